// Is anything lagging right now, where, and which way?
local panel = import 'lib/panel.libsonnet';

function(config)
  local query = (import 'lib/query.libsonnet')(config);
  local dashboard = (import 'lib/dashboard.libsonnet')(config);
  local budget = 1 - config.sloTarget;
  local percent(share) = '%g %%' % (std.round(share * 1e6) / 1e4);

  // Bounds of a delay where no single objective holds: a second is slow, five are the daemon's default objective.
  local delays = panel.thresholds('green', [['yellow', 1], ['red', 5]]);
  local objectives = query.series(
    'quantile(0.5, max %s (%s))' %
    [query.by(query.serviceLabels), query.of('endpointlag_objective_seconds')],
    'objective (median)'
  );
  local oldest = query.of('endpointlag_oldest_pending_seconds');
  local wrong = query.of('endpointlag_oldest_out_of_sync_seconds');
  local misrouted = query.of('endpointlag_oldest_out_of_sync_traffic_seconds');
  local service = query.by(query.serviceLabels);
  local range(metric) = query.increase(metric);
  local perService(metric) =
    'sum %s (%s)' % [service, query.each(range(metric))];
  local worst = 'topk(20, %s)' % perService('endpointlag_slo_missed_total');
  local stuck = 'topk(20, max %s (%s))' % [service, misrouted];
  // Services of which this gauge passes the objective.
  local past(gauge) = 'max %s (%s) > on (%s) max %s (%s)' % [
    service,
    gauge,
    std.join(', ', query.serviceLabels),
    service,
    query.of('endpointlag_objective_seconds'),
  ];
  local ofStuck(expression) = '%s and on (%s) %s' % [expression, std.join(', ', query.serviceLabels), stuck];
  local ofWorst(expression) = '%s and on (%s) %s' % [expression, std.join(', ', query.serviceLabels), worst];

  // As long as the windows of the alerts, but for those that take too long to read without recording rules.
  local windows = ['5m', '30m', '1h', '6h'];

  dashboard.new(
    'overview',
    'How long Kubernetes takes to carry changes of pods and Services into the EndpointSlices: is anything lagging, and where?',
    [dashboard.variables[name] for name in [
      'datasource',
      'cluster',
      'job',
      'instance',
      'namespaces',
      'services',
      'histogram',
    ]],
    [
      dashboard.row(4, [
        panel.stat(
          'Services lagging',
          |||
            Services where traffic has gone wrong, or a change has been pending, for longer than their objective, right now; and how many are measured.

            When this is red: the table below names them. If it is all of them, look at the EndpointSlice controller (is kube-controller-manager up, is its client throttled?) and at the API server; if it is one, open it.
          |||,
          'short',
          [
            query.series(query.orZero('count(%s or %s)' % [past(misrouted), past(oldest)]), 'lagging'),
            query.series(query.orZero('count(max %s (%s))' % [service, query.of('endpointlag_objective_seconds')]), 'of'),
          ],
          panel.thresholds('green', [['red', 1]]),
          panel.named { fieldConfig+: { overrides+: [
            panel.byName('of', { color: { mode: 'fixed', fixedColor: 'text' } }),
          ] } },
        ),
        panel.stat(
          'Out of sync now',
          |||
            Endpoints that the EndpointSlices show otherwise than their pods and Services say. It stays until the slices are right, also when the change behind it was given up or happened before the daemon started.

            When this is high and stays so: look at the age beside it. A few for a moment are how it works; what no traffic goes wrong by, such as a failed pod that was not ready before, may stay.
          |||,
          'short',
          query.series('sum(max %s (%s))' % [service, query.of('endpointlag_out_of_sync_endpoints')], 'out of sync'),
          panel.thresholds('blue'),
        ),
        panel.stat(
          'Traffic wrong for',
          |||
            Age of the oldest endpoint that gets connections which it should not get, or lacks those which it should.

            When this is red: it has been so for longer than 5 s, the default objective. The table below says in which Service; the daemon's /api/v1/out-of-sync names the pods.
          |||,
          's',
          query.series('max(%s)' % misrouted, 'wrong for'),
          delays,
        ),
        panel.stat(
          'Oldest pending now',
          |||
            Age of the oldest change that the EndpointSlices do not show yet. While the controller stands still, delays look fine, since nothing ends; this grows, until --expiry.

            When this is red: something waits for longer than 5 s, the default objective. See which kind and which Service below.
          |||,
          's',
          query.series('max(%s)' % oldest, 'oldest'),
          delays,
        ),
        panel.stat(
          'Pending now',
          |||
            Changes that the EndpointSlices do not show yet. A few for a moment are how it works.

            When this is high and stays so: the controller does not keep up. Compare with the oldest age: many young ones are a rollout, old ones are trouble.
          |||,
          'short',
          query.series(query.sum(query.of('endpointlag_pending_changes')), 'pending'),
          panel.thresholds('blue'),
        ),
        panel.stat(
          'Blind watches',
          |||
            Watches of all daemons that are not synced. What such a watch would have told is counted as censored, not measured.

            When this is red: open the Daemon dashboard, and ask the daemon's /readyz, which says why.
          |||,
          'short',
          query.series(
            query.orZero('count(%s == 0)' % query.own('endpointlag_watch_synced')),
            'blind'
          ),
          panel.thresholds('green', [['red', 1]]),
          { fieldConfig+: { defaults+: {
            noValue: 'no daemon',
            mappings: [{ type: 'value', options: { '0': { text: 'none', index: 0 } } }],
          } } }
        ),
      ]),


      dashboard.section('What is wrong now'),
      dashboard.row(7, [
        dashboard.alerts(
          'EndpointLag.+',
          [['service=""'], ['namespace=~"$namespace"', 'service=~"$service"']],
          'of whole clusters, of daemons and of the chosen Services',
        ),
      ]),
      dashboard.row(9, [
        panel.table(
          'Services by time that traffic goes wrong',
          |||
            The twenty Services whose traffic has gone wrong for longest. All zeros: none does.

            When an age is red: that Service's slices have been wrong for longer than the default objective. Open it, and ask the daemon's /api/v1/out-of-sync which pods these are.
          |||,
          [
            query.table(stuck),
            query.table(ofStuck('max %s (%s)' % [service, query.of('endpointlag_out_of_sync_endpoints')])),
            query.table(ofStuck('max %s (%s)' % [service, wrong])),
          ],
          [
            { field: config.clusterLabel, name: 'Cluster', options: { 'custom.width': 84 } },
            { field: 'namespace', name: 'Namespace', options: { 'custom.width': 130 } },
            { field: 'service', name: 'Service', options: { links: [{
              title: 'Open the Service',
              url: dashboard.serviceURL('${__data.fields.Namespace}', '${__data.fields.Service}'),
            }] } },
            {
              field: 'Value #A',
              name: 'Wrong for',
              options: panel.cell('s', 'green', [['yellow', 1], ['red', 5]]) + { 'custom.width': 96 },
            },
            { field: 'Value #B', name: 'Out of sync', options: { unit: 'short', decimals: 0, 'custom.width': 100 } },
            { field: 'Value #C', name: 'Oldest', options: { unit: 's', 'custom.width': 88 } },
          ],
          sort='Wrong for',
        ),
        panel.timeseries(
          'Out of sync, over time',
          |||
            Endpoints that the EndpointSlices show otherwise than their pods and Services say, of all Services.

            When it rises and does not fall: nothing is written. When it stays at one for hours: one pod is listed wrongly; the table says whether traffic goes wrong by it.
          |||,
          'short',
          [query.series('sum(max %s (%s))' % [service, query.of('endpointlag_out_of_sync_endpoints')], 'endpoints')],
          panel.whole { options+: { legend+: { showLegend: false } } },
        ),
        panel.timeseries(
          'Traffic wrong for, over time',
          |||
            Age of the oldest endpoint that traffic goes wrong by, and the objective that half of the Services have. It does not end with --expiry.

            When it rises like a ramp: that endpoint stays wrong. From its foot you read since when.
          |||,
          panel.seconds,
          [query.series('max(%s)' % misrouted, 'oldest'), objectives],
          panel.limitSeries('objective (median)'),
        ),
      ], [12, 6, 6]),

      dashboard.section('What ended in the shown time'),
      dashboard.row(4, [
        panel.stat(
          'Delay, p99',
          |||
            99 of 100 changes that ended in the shown time took at most this long. What still waits is not in it.

            When this is red: it is above 5 s, the default objective. See by kind of change below: `ready` late means capacity comes late, `terminating` and `removed` late mean that traffic goes to pods that are gone.
          |||,
          's',
          query.now(query.quantile('0.99', window='$__range'), 'p99'),
          delays,
          { fieldConfig+: { defaults+: { noValue: 'no changes' } } },
        ),
        panel.stat(
          'Within objective',
          |||
            Share of the changes of the shown time that were reflected within the objective of their Service. The target is %s.

            When this is red: the error budget of the shown time is spent. The table says on which Services.
          ||| % percent(config.sloTarget),
          'percentunit',
          query.now('1 - ' + query.missedShare(range), 'within'),
          panel.thresholds('red', [['green', config.sloTarget]]),
          { fieldConfig+: { defaults+: { decimals: 2, noValue: 'no changes' } } }
        ),
        panel.stat(
          'Error budget left',
          |||
            What is left of the misses that the target allows for the shown time, and over how long it was measured of that. Choose 30 days to see the budget of a month; what minutes of data say is not the budget of a month.

            When this is red: more was missed than the target allows. Hold back what makes it worse (large rollouts at once) until the cause is mended.
          |||,
          'percentunit',
          [
            query.now('1 - (%s) / %g' % [query.missedShare(range), budget], 'left'),
            query.now(
              'max(time() - min_over_time(timestamp(%s)[$__range:$__interval]))' % query.own('endpointlag_build_info'), 'data of'
            ),
          ],
          panel.thresholds('red', [['yellow', 0], ['green', 0.25]]),
          panel.named { fieldConfig+: {
            defaults+: { decimals: 0, noValue: 'no changes' },
            overrides+: [panel.byName('data of', { unit: 's', color: { mode: 'fixed', fixedColor: 'text' } })],
          } },
        ),
      ], [9, 9, 6]),

      dashboard.section('Which Services'),
      dashboard.row(10, [
        panel.bars(
          'Slowest Services, p99',
          |||
            The ten Services with the highest p99 of the shown time. A click opens the Service.

            When a bar is red: its p99 is above 5 s, the default objective. One alone: look at its size and how often it changes. All alike: it is the controller or the API server. Classic buckets end at 60 s, and so does what is read from them.
          |||,
          's',
          [query.now('sort_desc(topk(10, %s))' % query.quantile('0.99', query.serviceLabels, window='$__range'),
                     '{{namespace}}/{{service}}')],
          delays,
          { fieldConfig+: { defaults+: { links: [{
            title: 'Open ${__field.labels.namespace}/${__field.labels.service}',
            url: dashboard.serviceURL('${__field.labels.namespace}', '${__field.labels.service}'),
          }] } } }
        ),
        panel.table(
          'Services by missed objectives',
          |||
            The twenty Services with the most changes of the shown time that missed their objective, and what is pending there now.

            When a share is red: that Service spends more than its error budget. Open it to see which kind of change and since when.
          |||,
          [
            query.table(worst),
            query.table(ofWorst(perService('endpointlag_slo_changes_total'))),
            query.table(ofWorst('%s / (%s > 0)' % [
              perService('endpointlag_slo_missed_total'),
              perService('endpointlag_slo_changes_total'),
            ])),
            query.table(ofWorst('sum %s (%s)' % [service, query.each(query.of('endpointlag_pending_changes'))])),
            query.table(ofWorst('max %s (%s)' % [service, oldest])),
            query.table(ofWorst('max %s (%s)' % [service, query.of('endpointlag_objective_seconds')])),
          ],
          [
            { field: config.clusterLabel, name: 'Cluster' },
            { field: 'namespace', name: 'Namespace' },
            { field: 'service', name: 'Service', options: { links: [{
              title: 'Open the Service',
              url: dashboard.serviceURL('${__data.fields.Namespace}', '${__data.fields.Service}'),
            }] } },
            { field: 'Value #A', name: 'Missed', options: { unit: 'short', decimals: 0, 'custom.width': 78 } },
            { field: 'Value #B', name: 'Changes', options: { unit: 'short', decimals: 0, 'custom.width': 82 } },
            {
              field: 'Value #C',
              name: 'Share missed',
              options: panel.cell('percentunit', 'green', [['red', budget]]) + { decimals: 1, 'custom.width': 112 },
            },
            { field: 'Value #D', name: 'Pending', options: { unit: 'short', 'custom.width': 78 } },
            {
              field: 'Value #E',
              name: 'Oldest',
              options: panel.cell('s', 'green', [['yellow', 1], ['red', 5]]) + { 'custom.width': 78 },
            },
            { field: 'Value #F', name: 'Objective', options: { unit: 's', 'custom.width': 88 } },
          ],
          sort='Missed',
        ),
      ], [7, 17]),

      dashboard.section('Which direction'),
      dashboard.row(8, [
        panel.timeseries(
          'Delay by change, p99',
          |||
            The delay that 99 of 100 changes of each kind stay below, and the objective that half of the Services have.

            When a line passes the objective: `ready` alone points to slow additions, `terminating` and `removed` to slow endings (lengthen preStop until it is mended), all of them to the controller.
          |||,
          panel.decades,
          [query.series(query.quantile('0.99', ['change']), '{{change}}'), objectives],
          panel.limitSeries('objective (median)') + panel.logarithmic,
        ),
        panel.timeseries(
          'Delay by change, p50',
          |||
            The delay that half of the changes of each kind stay below.

            When this is high: not a few are slow but all. Look for a throttled client or a batch period of the controller (`--kube-api-qps`, `--endpointslice-updates-batch-period`) and for a slow API server.
          |||,
          panel.decades,
          [query.series(query.quantile('0.5', ['change']), '{{change}}')],
          panel.logarithmic,
        ),
      ]),
      dashboard.row(9, [
        panel.heatmap(
          'Delays',
          |||
            How many changes took how long: each column a moment, each row a range of delays, the stronger the colour the more. Each replica of the daemon counts for itself.

            When a second band stands high above the first: those are retries or throttling, and their height is the pause between tries.
          |||,
          panel.perSecond('changes'),
          query.series('sum by (le) (%s)' % query.rate('endpointlag_propagation_${histogram}'), '{{le}}', {
            format: 'heatmap',
          }),
        ),
        panel.timeseries(
          'Outcomes',
          |||
            Changes that ended, by how. Propagated: shown. Superseded: overtaken by their opposite. Withdrawn: the Service no longer expects them. Censored: not seen in order. Expired: given up.

            When expired is there: something is stuck for as long as --expiry. When censored is much: the daemon was blind or behind, see its dashboard.
          |||,
          panel.perSecond('changes'),
          [query.series(
            query.sum(query.rate('endpointlag_changes_total'), ['outcome'], ['change', 'outcome']), '{{outcome}}'
          )],
          panel.stacked,
        ),
      ]),

      dashboard.section('What waits'),
      dashboard.row(8, [
        panel.timeseries(
          'Pending changes',
          |||
            Changes that the EndpointSlices do not show yet, by kind.

            When it rises and does not fall: the controller stands still or does not keep up. Check that it runs and leads, and its work queue (`workqueue_depth{name="endpoint_slice"}`).
          |||,
          'short',
          [query.series(query.sum(query.of('endpointlag_pending_changes'), ['change']), '{{change}}')],
          panel.stacked + panel.whole,
        ),
        panel.timeseries(
          'Oldest pending',
          |||
            Age of the oldest change that is not shown yet, by kind.

            When a line rises like a ramp: that change waits and nothing comes. From its foot you read since when.
          |||,
          panel.seconds,
          [query.series('max by (change) (%s)' % oldest, '{{change}}'), objectives],
          panel.limitSeries('objective (median)'),
        ),
      ]),

      dashboard.section('Objective: %s of the changes in time' % percent(config.sloTarget)),
      dashboard.row(8, [
        panel.timeseries(
          'Share that missed the objective',
          |||
            Of the changes that met or missed their objective, the share that missed it. A change misses at the moment its age passes the objective, also if it is never shown. The line is what the target allows.

            When it stays above the line: the error budget shrinks. The Services above say where.
          |||,
          'percentunit',
          [query.series(query.missedShare(function(metric) query.rate(metric)), 'missed')],
          panel.limits(panel.thresholds('green', [['red', budget]])) + panel.upTo(2 * budget) +
          {
            fieldConfig+: { defaults+: { color: { mode: 'fixed', fixedColor: 'orange' } } },
            options+: { legend+: { showLegend: false } },
          },
        ),
        panel.bars(
          'Burn rate',
          |||
            How many times faster than the target allows errors came, over windows that end now. 1 spends the budget of 30 days in 30 days, 14.4 in two days.

            When both a short and a long window are red: it goes on, and is worth a page. Only the long one: it is over. Only the short one: wait a moment.
          |||,
          'none',
          [
            query.now(
              '(%s) / %g' % [query.missedShare(function(metric) query.increase(metric, window)), budget], window
            )
            for window in windows
          ],
          panel.thresholds('green', [['yellow', 1], ['orange', 6], ['red', 14.4]]),
          { fieldConfig+: { defaults+: { max: 20, decimals: 1, noValue: 'no changes' } } },
        ),
      ], [14, 10]),
    ]
  )
