// Are the numbers reliable, and what does the measurement cost?
local panel = import 'lib/panel.libsonnet';

function(config)
  local query = (import 'lib/query.libsonnet')(config);
  local dashboard = (import 'lib/dashboard.libsonnet')(config);

  // Series of the daemon, selected by job. Other programs have some metrics of the same names.
  local own = query.own;
  // The worst daemon, or the sum of all daemons. The variable `instance` selects one.
  local watch(fn, metric) = '%s by (resource) (%s)' % [fn, metric];
  local outcomes(matchers) =
    'sum(%s)' % query.each(
      'rate(%s[$__rate_interval])' % own('endpointlag_changes_total', matchers), ['change', 'outcome']
    );

  // A watch that receives nothing for 3 minutes is dropped. Bookmarks come about once a minute.
  local age = panel.thresholds('green', [['yellow', 90], ['red', 180]]);

  dashboard.new(
    'daemon',
    'Whether the daemons see what happens in the cluster, and what they cost.',
    [dashboard.variables[name] for name in ['datasource', 'cluster', 'job', 'instance', 'histogram']],
    [
      dashboard.row(4, [
        panel.stat(
          'Daemons down',
          |||
            Daemons that Prometheus cannot scrape.

            When this is red: no numbers arrive from there. `kubectl describe pod` and the log show the reason. If the daemon runs, check NetworkPolicies and the permission to read its metrics.
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
            Watches that are not synced: the daemon does not know all objects, or receives no changes.

            When this is red: the daemon's /readyz and its log show which watch, and why: a missing permission, or an API server that is down.
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
            The longest time for which a watch has received nothing. The API server sends a bookmark about once a minute.

            When this is red: the connection is probably dead, and the daemon will soon drop it (--watch-idle-timeout). Look for a proxy or firewall that forgets connections.
          |||,
          's',
          query.series('max(%s)' % own('endpointlag_watch_age_seconds'), 'age'),
          age,
        ),
        panel.stat(
          'Censored share',
          |||
            Share of the changes that ended without a delay because the daemon did not see them as they happened: after a lost connection, or while the daemon was behind.

            When this is red: too few changes are measured for reliable percentiles. The restarts, gaps and backpressure below show the cause.
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
            Number of measured Services: each has an objective.

            When this differs much from the number in the cluster: Services without a selector and ignored Services do not count, and --namespace, --exclude-namespace and --shard exclude others.
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

            When this is red: raise --max-services, if Prometheus can handle the series, or divide the cluster with --shard.
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
          'EndpointLag(Blind|Down)', [{ matchers: ['job=~"$job|"', 'instance=~"$instance|"'] }], 'of the daemons'
        ),
      ]),
      dashboard.row(6, [
        panel.table(
          'Daemons',
          |||
            Each daemon with its version and uptime.

            When versions differ for a long time: a rollout is stuck. When a daemon is young and was not restarted on purpose: find out why it ended. Its pending changes are lost.
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
            1 if the daemon knows all objects and receives changes, for the worst daemon.

            When a line is at 0: a daemon is blind for this resource. The table above shows which one. Changes in this time end censored. See the reasons of the restarts.
          |||,
          'none',
          [query.series(watch('min', own('endpointlag_watch_synced')), '{{resource}}')],
          panel.steps { fieldConfig+: { defaults+: { max: 1, decimals: 0 } } },
        ),
        panel.timeseries(
          'Age of the last byte',
          |||
            Time since each watch received something, for the worst daemon. It falls to zero with every event, and in a quiet cluster with the bookmark about once a minute. At 3 minutes (--watch-idle-timeout) the daemon drops the watch.

            When it rises above the line: connections die silently. Look at proxies and firewalls between the daemon and the API server.
          |||,
          's',
          [query.series(watch('max', own('endpointlag_watch_age_seconds')), '{{resource}}')],
          panel.limits(panel.thresholds('transparent', [['red', 180]])),
        ),
        panel.timeseries(
          'Events',
          |||
            Events that the watches received, bookmarks included.

            When this falls to zero while the cluster works: the daemon sees nothing. When it jumps: there was a new list after a lost watch, or a controller writes in a loop.
          |||,
          panel.perSecond('events'),
          [query.series(watch('sum', query.ownRate('endpointlag_watch_events_total')), '{{resource}}')],
        ),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Restarts of watches',
          |||
            Connections that ended or could not be established, by reason. `closed` is normal: the API server ends each watch after about half an hour, and nothing is lost.

            When there are other reasons: `broken` and `unreachable` mean the network, or an API server that restarts; `refused` a missing permission; `idle` a connection that died silently; `expired` a resourceVersion that is too old to resume from.
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
            Share of the time in which a resource was not watched, between one connection and the next, as the mean of its watches for the worst daemon.

            When this is above zero: changes in this time end censored. See why the watches restarted.
          |||,
          'percentunit',
          [query.series(
            watch('max', query.shareOf('endpointlag_watch_gap_seconds_total')), '{{resource}}'
          )],
          panel.upTo(0.01),
        ),
        panel.timeseries(
          'Time to connect',
          |||
            Time from the request for the watch to the start of its answer, for the last connection. Its events take the same path.

            When one resource is much slower than the others: its events are late, and the measured delays are too long (EndpointSlices) or too short (pods). Look at the API server's load and at proxies.
          |||,
          's',
          [query.series(watch('max', own('endpointlag_watch_connect_seconds')), '{{resource}}')],
        ),
      ]),

      dashboard.row(8, [
        panel.timeseries(
          'Time blind',
          |||
            Share of the time in which the watches of a resource did not deliver events as they happened: lists, gaps, stalls, a slow connection, a full queue. It is their mean, for the worst daemon. A blind time is counted when it is over.

            When this is above zero: changes in this time end censored. The other panels of this section show the cause.
          |||,
          'percentunit',
          [query.series(
            watch('max', query.shareOf('endpointlag_watch_blind_seconds_total')), '{{resource}}'
          )],
          panel.upTo(0.01),
        ),
        panel.timeseries(
          'Time not run',
          |||
            Share of the time in which the thread that reads the watches did not run for more than 50 ms at once.

            When this is above zero: a CPU limit throttles the daemon, or its node has no free CPU. Remove the limit, or raise the request.
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
            How often the thread that reads the watches did not run for more than 50 ms.

            When stalls come regularly: a CPU limit throttles the daemon. Single stalls come from a busy node.
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
            Round trip of the last HTTP/2 PING on the connection of each watch, for the worst daemon, and the bound above which what is read
            ends censored. Zero over HTTP/1.1.

            When this rises: the API server is busy, or the network is slow. This does not change the measured delays, because all watches share the connection.
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
            HTTP/2 PINGs that took much longer than usual: longer than the fastest of the last seconds by a quarter of it plus 25 to 100 ms.

            When there are any: changes that were read in this time end censored. Look at the load of the API server and at the network.
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
            Watches by protocol: http2 uses one connection for all watches of a scope, http1 one connection for each watch.

            When http1 is not 0: a proxy or load balancer does not offer HTTP/2. The watches may reach different API servers, and the daemon does not detect a slow connection.
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

            When many are censored: watches were lost, or the daemon was behind. This does not mean that the cluster has a problem, but little was measured.
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

            When there are more than a few: the pod watch is slower than the slice watch, and the measured delays are too short. Compare the times to connect.
          |||,
          panel.perSecond('slices'),
          [query.series('sum by (instance) (%s)' % query.ownRate('endpointlag_reordered_total'), '{{instance}}')],
        ),
        panel.timeseries(
          'How much earlier they came, p99',
          |||
            How much earlier than their cause these EndpointSlices arrived; zero if there were none.

            When this is above a few milliseconds: the measured delays are too short by about this time. Look for a slow pod watch.
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
            How often a reader had to wait because the pipeline was behind. Changes that are read after such a wait end censored.

            When this is above zero: the daemon needs more CPU (does a limit throttle it?), or you need to divide the cluster with --shard.
          |||,
          panel.perSecond('times'),
          [query.series(watch('sum', query.ownRate('endpointlag_watch_backpressure_total')), '{{resource}}')],
          panel.upTo(0.1),
        ),
        panel.timeseries(
          'Not understood',
          |||
            Malformed objects and streams of the watches, and malformed annotations of Services.

            When this is above zero: the log names the annotation, so that its owner can fix it. A malformed object means a proxy that alters answers, or a bug: please report it.
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

            When this is above zero: look at the disk, or at the program that reads the lines. The metrics are still complete.
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
            CPU time of each daemon, in cores.

            When this is near its limit: timestamps may be late, so that delays look too long. Give it more CPU, or divide the cluster with --shard.
          |||,
          'none',
          [query.series('sum by (instance) (%s)' % query.ownRate('process_cpu_seconds_total'), '{{instance}}')],
          // The metric counts whole seconds. Over a shorter interval the graph shows only spikes.
          { interval: '2m' } + panel.upTo(0.1),
        ),
        panel.timeseries(
          'Memory',
          |||
            Resident memory of each daemon.

            When this is near its limit: the daemon will be killed (out of memory) and lose its pending changes. Memory grows with pods, Services and their kinds of changes. Raise the limit, or use --shard.
          |||,
          'bytes',
          [query.series('max by (instance) (%s)' % own('process_resident_memory_bytes'), '{{instance}}')],
        ),
        panel.timeseries(
          'Network from the API server',
          |||
            Bytes that the watches read.

            When this is high: each shard reads the whole watches, so several shards multiply the load on the API server. If only some namespaces matter, --namespace requests only those.
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
            Number of samples in each scrape.

            When this is too much for Prometheus: use --histogram native or cluster-only, --series-idle, --max-services.
          |||,
          'short',
          [query.series('max by (instance) (%s)' % own('scrape_samples_scraped'), '{{instance}}')],
        ),
        panel.timeseries(
          'HTTP requests',
          |||
            Requests that the daemons answered, by status, and connections of clients that they dropped.

            When there are 401, 403 or 503: a reader has no permission, or the API server does not answer the daemon's reviews. When connections are dropped: a client is too slow, or sends malformed requests; endpointlag_http_connections_dropped_total has the reasons.
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
