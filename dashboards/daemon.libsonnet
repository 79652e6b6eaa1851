// Can the numbers be trusted, and what do they cost?
local panel = import 'lib/panel.libsonnet';

function(config)
  local query = (import 'lib/query.libsonnet')(config);
  local dashboard = (import 'lib/dashboard.libsonnet')(config);

  // Metrics that other programs have as well, for which the job of the daemon is told by the same matchers.
  local own = query.own;
  // The worst or the sum of all daemons. The variable `instance` narrows it to one.
  local watch(fn, metric) = '%s by (resource) (%s)' % [fn, metric];
  local outcomes(matchers) =
    'sum(%s)' % query.each(
      'rate(%s[$__rate_interval])' % own('endpointlag_changes_total', matchers), ['change', 'outcome']
    );

  // A watch that brings nothing for 3 minutes is dropped; bookmarks come about once a minute.
  local age = panel.thresholds('green', [['yellow', 90], ['red', 180]]);

  dashboard.new(
    'daemon',
    'Whether the daemons see what happens, and what they cost.',
    [dashboard.variables[name] for name in ['datasource', 'cluster', 'job', 'instance', 'histogram']],
    [
      dashboard.row(4, [
        panel.stat(
          'Daemons down',
          |||
            Scrapes of the daemon that fail.

            When this is red: nothing is measured there. `kubectl describe pod` and its log say why; if it runs, look at NetworkPolicies and at who may read its metrics.
          |||,
          'short',
          query.series('count(%s) - sum(%s)' % [own('up'), own('up')], 'down'),
          panel.thresholds('green', [['red', 1]]),
          { fieldConfig+: { defaults+: {
            noValue: 'no targets',
            mappings: [{ type: 'value', options: { '0': { text: 'none', index: 0 } } }],
          } } }
        ),
        panel.stat(
          'Blind watches',
          |||
            Watches that are not synced: objects are not all known, or changes do not come in.

            When this is red: the daemon's /readyz and its log say which watch, and why: a right that is missing, or an API server that is away.
          |||,
          'short',
          query.series(query.orZero('count(%s == 0)' % own('endpointlag_watch_synced')), 'blind'),
          panel.thresholds('green', [['red', 1]]),
          { fieldConfig+: { defaults+: {
            noValue: 'no daemon',
            mappings: [{ type: 'value', options: { '0': { text: 'none', index: 0 } } }],
          } } }
        ),
        panel.stat(
          'Quietest watch',
          |||
            The longest that a watch has brought nothing. The API server sends a bookmark about once a minute.

            When this is red: the watch is as good as dead, and is about to be dropped (--watch-idle-timeout). Look for a proxy or firewall that forgets connections.
          |||,
          's',
          query.series('max(%s)' % own('endpointlag_watch_age_seconds'), 'age'),
          age,
        ),
        panel.stat(
          'Censored share',
          |||
            Share of the changes that ended without a delay because they were not seen in order: after a lost connection, or while the daemon was behind.

            When this is red: percentiles stand on too little. The restarts, gaps and waits below say what it was.
          |||,
          'percentunit',
          query.series(
            '(%s or %s) / (%s > 0)' % [outcomes(', outcome="censored"'), query.zero, outcomes('')], 'censored'
          ),
          panel.thresholds('green', [['yellow', 0.01], ['red', 0.05]]),
          { fieldConfig+: { defaults+: { decimals: 1, noValue: 'no changes' } } },
        ),
        panel.stat(
          'Services',
          |||
            Services that are measured: each has an objective.

            When this is far from what the cluster has: Services without a selector and ignored ones do not count, and --namespace, --exclude-namespace and --shard leave out others.
          |||,
          'short',
          query.series(
            'count(max %s (%s))' % [query.by(query.serviceLabels), own('endpointlag_objective_seconds')], 'Services'
          ),
          panel.thresholds('blue'),
        ),
        panel.stat(
          'Overflowed Services',
          |||
            Services beyond --max-services, which share the series of _other/_other.

            When this is red: raise --max-services, if Prometheus can stand it, or divide the cluster by --shard.
          |||,
          'short',
          query.series('max(%s)' % own('endpointlag_services_overflowed'), 'overflowed'),
          panel.thresholds('green', [['red', 1]]),
          { fieldConfig+: { defaults+: {
            mappings: [{ type: 'value', options: { '0': { text: 'none', index: 0 } } }],
          } } }
        ),
      ]),

      dashboard.row(4, [
        dashboard.alerts(
          'EndpointLag(Blind|Down)', [['job=~"$job|"', 'instance=~"$instance|"']], 'of the daemons'
        ),
      ]),
      dashboard.row(6, [
        panel.table(
          'Daemons',
          |||
            Each daemon: what it is, since when it runs.

            When versions differ for long: a rollout is stuck. When one is young and nobody restarted it: see why it ended, for what was pending then is lost.
          |||,
          [
            query.table('max by (%s, job, instance, version, revision) (%s)' % [
              config.clusterLabel,
              own('endpointlag_build_info'),
            ]),
            query.table('max by (%s, job, instance) (time() - %s)' % [
              config.clusterLabel,
              own('process_start_time_seconds'),
            ]),
            query.table('min by (%s, job, instance) (%s)' % [
              config.clusterLabel,
              own('endpointlag_watch_synced'),
            ]),
          ],
          [
            { field: config.clusterLabel, name: 'Cluster' },
            { field: 'job', name: 'Job' },
            { field: 'instance', name: 'Instance' },
            { field: 'version', name: 'Version' },
            { field: 'revision', name: 'Revision' },
            { field: 'Value #B', name: 'Up for', options: { unit: 's' } },
            {
              field: 'Value #C',
              name: 'Watches',
              options: panel.cell('none', 'red', [['green', 1]]) + {
                mappings: [{ type: 'value', options: {
                  '0': { text: 'blind', index: 0 },
                  '1': { text: 'synced', index: 1 },
                } }],
              },
            },
          ],
          ['Value #A'],
          'Up for',
        ),
      ]),

      dashboard.section('What it sees'),
      dashboard.row(8, [
        panel.timeseries(
          'Watches synced',
          |||
            1 where all objects are known and changes come in, on the daemon that does worst.

            When a line is at 0: a daemon is blind for this resource; the table above says which. Changes of that time end censored; see the reasons of the restarts.
          |||,
          'none',
          [query.series(watch('min', own('endpointlag_watch_synced')), '{{resource}}')],
          panel.steps { fieldConfig+: { defaults+: { max: 1, decimals: 0 } } },
        ),
        panel.timeseries(
          'Age of the last byte',
          |||
            Time since each watch brought something, on the daemon that does worst. It falls with every event, and in a quiet cluster with the bookmark about once a minute. At 3 minutes, --watch-idle-timeout, the watch is dropped.

            When a saw tooth grows past the line: connections die without a word. Look for what lies between the daemon and the API server.
          |||,
          's',
          [query.series(watch('max', own('endpointlag_watch_age_seconds')), '{{resource}}')],
          panel.limits(panel.thresholds('transparent', [['red', 180]])),
        ),
        panel.timeseries(
          'Events',
          |||
            Events that the watches brought, bookmarks included.

            When this falls to nothing while the cluster works: the daemon sees nothing. When it jumps: a list after a lost watch, or a controller that writes in a loop.
          |||,
          panel.perSecond('events'),
          [query.series(watch('sum', query.ownRate('endpointlag_watch_events_total')), '{{resource}}')],
        ),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Restarts of watches',
          |||
            Connections that ended or could not be made, by reason. `closed` is in good order: the API server ends each watch after half an hour or so, and nothing is lost.

            When others are there: `broken` and `unreachable` are the network or an API server that restarts, `refused` is a right, `idle` a connection that died silently, `expired` a version too old to resume from.
          |||,
          'short',
          [query.series(
            'sum by (reason) (increase(%s[$__rate_interval]))' % own('endpointlag_watch_restarts_total'), '{{reason}}'
          )],
          panel.stacked + panel.upTo(1),
        ),
        panel.timeseries(
          'Gaps',
          |||
            Share of the time in which a resource was not watched, between one connection and the next.

            When this is not nothing: changes of that time are censored. See why the watches restarted.
          |||,
          'percentunit',
          [query.series(
            watch('max', query.ownRate('endpointlag_watch_gap_seconds_total')), '{{resource}}'
          )],
          panel.upTo(0.01),
        ),
        panel.timeseries(
          'Time to connect',
          |||
            From asking for the watch to the beginning of its answer, at the last connection. Its events come the same way.

            When one resource is much slower than the others: its events are late, and delays are too long (EndpointSlices) or too short (pods). Look at the API server's load and at proxies.
          |||,
          's',
          [query.series(watch('max', own('endpointlag_watch_connect_seconds')), '{{resource}}')],
        ),
      ]),

      dashboard.row(8, [
        panel.timeseries(
          'Time blind',
          |||
            Share of the time in which a watch could not tell what happened as it happened: lists, gaps, stalls, a slow connection, a full queue. It counts when it is over.

            When this is not nothing: changes of that time are censored. The other panels of this section say which of them it was.
          |||,
          'percentunit',
          [query.series(
            watch('max', query.ownRate('endpointlag_watch_blind_seconds_total')), '{{resource}}'
          )],
          panel.upTo(0.01),
        ),
        panel.timeseries(
          'Time not run',
          |||
            Share of the time in which the thread that reads the watches did not run, by more than 50 ms at once.

            When this is not nothing: the daemon is throttled by a CPU limit, or its node has no CPU for it. Take the limit away, or raise the request.
          |||,
          'percentunit',
          [query.series(
            'max by (instance) (%s)' % query.ownRate('endpointlag_reader_stalled_seconds_total'), '{{instance}}'
          )],
          panel.upTo(0.01),
        ),
        panel.timeseries(
          'Stalls',
          |||
            Times that the thread that reads the watches did not run for more than 50 ms.

            When these come at a steady pace: the daemon is throttled by a CPU limit. Single ones are a busy node.
          |||,
          'short',
          [query.series(
            'max by (instance) (increase(%s[$__rate_interval]))' % own('endpointlag_reader_stalls_total'), '{{instance}}'
          )],
          panel.upTo(1),
        ),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Round trip of a PING',
          |||
            How long the last HTTP/2 PING on the connection of each watch took, on the daemon that does worst, and what it may
            take before what is read meanwhile is censored. Zero over HTTP/1.1.

            When this rises: the API server is busy, or the network is slow. Delays do not grow by it, since all watches share the connection.
          |||,
          's',
          [
            query.series(watch('max', own('endpointlag_watch_ping_seconds')), '{{resource}}'),
            query.series(watch('max', own('endpointlag_watch_ping_bound_seconds')), '{{resource}}, bound'),
          ],
        ),
        panel.timeseries(
          'Slow PINGs',
          |||
            HTTP/2 PINGs that took longer than their bound: a quarter more than the quickest of the last seconds, and 25 to 100 ms.

            When there are some: what was read meanwhile is censored. Look at the load of the API server, and at what lies between.
          |||,
          'short',
          [query.series(
            'max by (resource) (increase(%s[$__rate_interval]))' % own('endpointlag_watch_slow_pings_total'), '{{resource}}'
          )],
          panel.upTo(1),
        ),
        panel.timeseries(
          'Protocol',
          |||
            Watches by the protocol that they speak: http2 over one connection for all of a scope, http1 over one for each.

            When http1 is not 0: a proxy or load balancer does not offer HTTP/2, watches may end at different API servers, and a slow connection is not noticed.
          |||,
          'short',
          [query.series('sum by (protocol) (%s)' % own('endpointlag_watch_protocol'), '{{protocol}}')],
          panel.whole + panel.steps,
        ),
      ]),

      dashboard.section('How far it can be trusted'),
      dashboard.row(8, [
        panel.timeseries(
          'Changes that ended, censored or measured',
          |||
            All changes that ended, by outcome, of all daemons.

            When censored is much: the watches were lost or the daemon was behind. Nothing is wrong in the cluster for that, but little is known.
          |||,
          panel.perSecond('changes'),
          [query.series(
            'sum by (outcome) (%s)' % query.each(
              'rate(%s[$__rate_interval])' % own('endpointlag_changes_total'), ['change', 'outcome']
            ), '{{outcome}}'
          )],
          panel.stacked,
        ),
        panel.timeseries(
          'Slices that came before their cause',
          |||
            Changes whose EndpointSlice arrived before the change itself. Their delay counts as zero.

            When this is more than a few: the pod watch is slower than the slice watch, and delays are measured too short. Compare the times to connect.
          |||,
          panel.perSecond('slices'),
          [query.series('sum by (instance) (%s)' % query.ownRate('endpointlag_reordered_total'), '{{instance}}')],
        ),
        panel.timeseries(
          'How much earlier they came, p99',
          |||
            By how much those EndpointSlices came before their cause; zero if none did.

            When this is above some milliseconds: it is about as much as delays are measured too short. Look for a slow pod watch.
          |||,
          's',
          [query.series(
            'histogram_quantile(0.99, sum by (instance, le) (rate(%s[$__rate_interval]))) >= 0 or %s' %
            [own('endpointlag_reorder_${histogram}'), 'max by (instance) (0 * %s)' % own('endpointlag_build_info')],
            '{{instance}}'
          )],
        ),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Reader backpressure',
          |||
            Times that a reader had to wait until what it had read before was measured. Changes read then end censored.

            When this is not nothing: the daemon needs more CPU (is it throttled by its limit?), or its cluster is to be divided by --shard.
          |||,
          panel.perSecond('times'),
          [query.series(watch('sum', query.ownRate('endpointlag_watch_backpressure_total')), '{{resource}}')],
          panel.upTo(0.1),
        ),
        panel.timeseries(
          'Not understood',
          |||
            Objects and streams of the watches that could not be understood, and annotations of Services.

            When this is not nothing: the log names the annotation, to be mended by its owner. A malformed object is a proxy that alters answers, or a bug to be reported.
          |||,
          panel.perSecond('objects'),
          [
            query.series(watch('sum', query.ownRate('endpointlag_watch_malformed_total')), '{{resource}}'),
            query.series('sum(%s)' % query.ownRate('endpointlag_malformed_annotations_total'), 'annotations'),
          ],
          panel.upTo(0.1),
        ),
        panel.timeseries(
          'Output lost',
          |||
            Lines of --samples that were not written because their reader was too slow, and writes of --hdr-log that failed.

            When this is not nothing: look at the disk or the program that reads. The metrics are complete all the same.
          |||,
          panel.perSecond('losses'),
          [
            query.series('sum(%s)' % query.ownRate('endpointlag_samples_dropped_total'), 'samples'),
            query.series('sum(%s)' % query.ownRate('endpointlag_hdr_log_errors_total'), 'HDR log'),
          ],
          panel.upTo(0.1),
        ),
      ]),

      dashboard.section('What it costs'),
      dashboard.row(8, [
        panel.timeseries(
          'CPU',
          |||
            Processor time of each daemon, in cores.

            When this is near its limit: stamps may come late and delays look too long. Give it more, or divide the cluster by --shard.
          |||,
          'none',
          [query.series('sum by (instance) (%s)' % query.ownRate('process_cpu_seconds_total'), '{{instance}}')],
          // The metric counts whole seconds: over less time it is a row of spikes.
          { interval: '2m' } + panel.upTo(0.1),
        ),
        panel.timeseries(
          'Memory',
          |||
            Resident memory of each daemon.

            When this is near its limit: it will be killed and lose what is pending. It grows with pods, Services and their kinds of changes; raise the limit, or --shard.
          |||,
          'bytes',
          [query.series('max by (instance) (%s)' % own('process_resident_memory_bytes'), '{{instance}}')],
        ),
        panel.timeseries(
          'Network from the API server',
          |||
            Bytes that the watches read.

            When this is much: a shard reads the whole watches, so several cost the API server as many times. Where only some namespaces are of interest, --namespace asks for no more.
          |||,
          'Bps',
          [query.series(watch('sum', query.ownRate('endpointlag_watch_bytes_total')), '{{resource}}')],
        ),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Time of a scrape',
          |||
            How long Prometheus takes to scrape each daemon.

            When this nears the scrape timeout: use native histograms alone (--histogram native), a longer interval, or --shard.
          |||,
          's',
          [query.series('max by (instance) (%s)' % own('scrape_duration_seconds'), '{{instance}}')],
        ),
        panel.timeseries(
          'Series of a scrape',
          |||
            Samples that each scrape brings.

            When this is more than Prometheus should bear: --histogram native or cluster-only, --series-idle, --max-services.
          |||,
          'short',
          [query.series('max by (instance) (%s)' % own('scrape_samples_scraped'), '{{instance}}')],
        ),
        panel.timeseries(
          'HTTP requests',
          |||
            Requests that the daemons answered, by status, and connections of clients that they dropped.

            When 401, 403 or 503 are there: a reader has no right, or the API server cannot be asked. When connections are dropped: a client is too slow, or sends what is no request; endpointlag_http_connections_dropped_total has the reasons.
          |||,
          'reqps',
          [
            query.series(
              'sum by (code) (%s)' % query.ownRate('endpointlag_http_requests_total'), '{{code}}'
            ),
            query.series(
              'sum(%s)' % query.ownRate('endpointlag_http_connections_dropped_total'), 'connections dropped'
            ),
          ],
        ),
      ]),
    ]
  )
