// Is anything lagging right now, where, and which way?
local panel = import 'lib/panel.libsonnet';

function(config)
  local query = (import 'lib/query.libsonnet')(config);
  local dashboard = (import 'lib/dashboard.libsonnet')(config);
  local budget = 1 - config.sloTarget;
  local percent(share) = '%g %%' % (std.round(share * 1e6) / 1e4);

  // Thresholds of a delay if there is no single objective: one second is slow, five is the daemon's default objective.
  local delays = panel.thresholds('green', [['yellow', 1], ['red', 5]]);
  local objectives = query.series(
    'quantile(0.5, max %s (%s))' %
    [query.by(query.serviceLabels), query.of('endpointlag_objective_seconds')],
    'objective (median)'
  );
  local oldest = query.seen('endpointlag_oldest_pending_seconds');
  local wrong = query.seen('endpointlag_oldest_out_of_sync_seconds');
  local misrouted = query.seen('endpointlag_oldest_out_of_sync_traffic_seconds');
  local outOfSync = query.seen('endpointlag_out_of_sync_endpoints');
  local pending = query.seen('endpointlag_pending_changes');
  local service = query.by(query.serviceLabels);
  local range(metric) = query.increase(metric);
  local worst = 'topk(20, %s)' % query.count('missed');
  local stuck = 'topk(20, max %s (%s))' % [service, misrouted];
  // Services in which this gauge exceeds the objective. Those beyond --max-services share one series, without an objective.
  local past(gauge) = 'max %s (%s) > on (%s) (max %s (%s) or 0 * max %s (%s) + %g)' % [
    service,
    gauge,
    std.join(', ', query.serviceLabels),
    service,
    query.of('endpointlag_objective_seconds'),
    service,
    query.of('endpointlag_out_of_sync_endpoints'),
    config.otherObjective,
  ];
  local ofStuck(expression) = '%s and on (%s) %s' % [expression, std.join(', ', query.serviceLabels), stuck];
  local ofWorst(expression) = '%s and on (%s) %s' % [expression, std.join(', ', query.serviceLabels), worst];

  // Alerts about daemons, and the others.
  local ofDaemons = 'EndpointLag(Blind|Down)';
  local others = 'alertname!~"%s"' % ofDaemons;

  // One of the hops side by side. All have the same axis, unless a delay is beyond it.
  local hop(title, description, quantile) = panel.timeseries(
    title,
    description,
    panel.decades,
    [query.series(quantile, '{{change}}')],
    panel.logarithmic + panel.between(0.001, 10),
  );

  // The windows of the alerts, except those that are too expensive without recording rules.
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
            Services in which, right now, traffic has been affected or a change has been pending for longer than the objective; and the number of measured Services. Services beyond --max-services count as one. A blind daemon does not count, here and in the next panels.

            When this is red: the table below names the Services. If all are lagging, look at the EndpointSlice controller (is kube-controller-manager up, is its client throttled?) and at the API server. If it is one, open that Service.
          |||,
          'short',
          [
            query.now(query.orSeenZero('count(%s or %s)' % [past(misrouted), past(oldest)]), 'lagging'),
            query.now(query.orZero('count(max %s (%s))' % [service, query.of('endpointlag_objective_seconds')]), 'of'),
          ],
          panel.thresholds('green', [['red', 1]]),
          panel.named { fieldConfig+: { overrides+: [
            panel.byName('of', { color: { mode: 'fixed', fixedColor: 'text' } }),
          ] } },
        ),
        panel.stat(
          'Out of sync now',
          |||
            Endpoints that the EndpointSlices show differently from their pods and Services. They count until the slices are right, even if the change behind them has expired or happened before the daemon started.

            When this stays high: look at the age in the next panel. A few for a moment are normal. Endpoints that affect no traffic, such as a failed pod that was not ready before, may stay.
          |||,
          'short',
          query.now('sum(max %s (%s))' % [service, outOfSync], 'out of sync'),
          panel.thresholds('blue'),
        ),
        panel.stat(
          'Traffic wrong for',
          |||
            Age of the oldest endpoint that gets connections that it should not get, or does not get those that it should.

            When this is red: traffic has been affected for longer than 5 s, the default objective. The table below shows the Service; the daemon's /api/v1/out-of-sync names the pods.
          |||,
          's',
          query.now('max(%s)' % misrouted, 'wrong for'),
          delays,
        ),
        panel.stat(
          'Oldest pending now',
          |||
            Age of the oldest change that the EndpointSlices do not show yet. If the controller has stopped, delays look fine because no change ends, but this age grows, until --expiry.

            When this is red: a change has been pending for longer than 5 s, the default objective. See below which kind and which Service.
          |||,
          's',
          query.now('max(%s)' % oldest, 'oldest'),
          delays,
        ),
        panel.stat(
          'Pending now',
          |||
            Changes that the EndpointSlices do not show yet. A few for a moment are normal.

            When this stays high: the controller does not keep up. Compare with the oldest age: many young changes mean a rollout, old changes mean a problem.
          |||,
          'short',
          query.now(query.sum(pending), 'pending'),
          panel.thresholds('blue'),
        ),
        panel.stat(
          'Blind watches',
          |||
            Watches of all daemons that are not synced. Changes that such a watch misses end censored, and are not measured.

            When this is red: open the Daemon dashboard. The daemon's /readyz shows the reason.
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
          [
            // The target of a daemon may have labels `namespace` and `service` of its own, which the variables do not choose.
            { matchers: [others, 'service=""'] },
            { matchers: ['alertname=~"%s"' % ofDaemons], without: ['namespace', 'service'] },
            { matchers: [others, 'namespace=~"$namespace"', 'service=~"$service"'] },
          ],
          'of whole clusters, of daemons and of the chosen Services',
        ),
      ]),
      dashboard.row(9, [
        panel.table(
          'Services by time that traffic goes wrong',
          |||
            The twenty Services whose traffic has been affected for the longest time. All zeros: no traffic is affected.

            When an age is red: the slices of that Service have been wrong for longer than the default objective. Open the Service. The daemon's /api/v1/out-of-sync names the pods.
          |||,
          [
            query.table(stuck),
            query.table(ofStuck('max %s (%s)' % [service, outOfSync])),
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
            Endpoints of all Services that the EndpointSlices show differently from their pods and Services.

            When it rises and does not fall: the controller writes nothing. When it stays at one for hours: one pod is listed wrongly. The table shows whether traffic is affected.
          |||,
          'short',
          [query.series('sum(max %s (%s))' % [service, outOfSync], 'endpoints')],
          panel.whole { options+: { legend+: { showLegend: false } } },
        ),
        panel.timeseries(
          'Traffic wrong for, over time',
          |||
            Age of the oldest endpoint that affects traffic, and the median objective of the Services. This age does not end at --expiry.

            When it rises in a straight line: that endpoint stays wrong. The line starts at the time when the problem started.
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
            99 of 100 changes that ended in the shown time took at most this long. Pending changes are not included.

            When this is red: it is above 5 s, the default objective. See the kinds of change below: if `ready` is late, new pods get traffic late; if `terminating` or `removed` is late, traffic goes to pods that are gone.
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

            When this is red: the error budget of the shown time is used up. The table shows by which Services.
          ||| % percent(config.sloTarget),
          'percentunit',
          query.now('1 - ' + query.missedShare(range), 'within'),
          panel.thresholds('red', [['green', config.sloTarget]]),
          { fieldConfig+: { defaults+: { decimals: 2, noValue: 'no changes' } } }
        ),
        panel.stat(
          'Error budget left',
          |||
            Share that is left of the misses that the target allows in the shown time, and for how much of that time there are data. Choose 30 days to see the budget of a month. A few minutes of data say nothing about the budget of a month.

            When this is red: more changes missed their objective than the target allows. Postpone what makes it worse (several large rollouts at once) until the cause is fixed.
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

            When a bar is red: its p99 is above 5 s, the default objective. If it is one Service, look at its size and how often it changes. If all are alike, the cause is the controller or the API server. Classic buckets end at 60 s, so a p99 from them is at most 60 s.
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
            The twenty Services with the most changes in the shown time that missed their objective, and their pending changes now. Without the recording rules of deploy/prometheus, the numbers are too small if a daemon was replaced in this time.

            When a share is red: that Service uses more than its error budget. Open it to see which kind of change, and since when.
          |||,
          [
            query.table(worst),
            query.table(ofWorst(query.count('changes'))),
            query.table(ofWorst(query.missedShare(range, query.serviceLabels))),
            query.table(ofWorst('sum %s (%s)' % [service, query.each(pending)])),
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
            99 of 100 changes of each kind take less than this delay. The dashed line is the median objective of the Services.

            When a line exceeds the objective: if it is `ready` alone, new pods are added slowly; if it is `terminating` and `removed`, old pods are removed slowly (use a longer preStop sleep until the cause is fixed); if it is all kinds, the cause is the controller.
          |||,
          panel.decades,
          [query.series(query.quantile('0.99', ['change']), '{{change}}'), objectives],
          panel.limitSeries('objective (median)') + panel.logarithmic,
        ),
        panel.timeseries(
          'Delay by change, p50',
          |||
            Half of the changes of each kind take less than this delay.

            When this is high: not only a few changes are slow. Look for a throttled client or a batch period of the controller (`--kube-api-qps`, `--endpointslice-updates-batch-period`) and for a slow API server.
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
            Number of changes by delay. Each column is a moment, each row a range of delays; a stronger colour means more changes. Each replica of the daemon is counted separately.

            When there is a second band high above the first: these are retries or throttling, and their height is the pause between tries.
          |||,
          panel.perSecond('changes'),
          query.series('sum by (le) (%s)' % query.rate('endpointlag_propagation_${histogram}'), '{{le}}', {
            format: 'heatmap',
          }),
        ),
        panel.timeseries(
          'Outcomes',
          |||
            Changes that ended, by outcome. Propagated: the slices show them. Superseded: their opposite came first. Withdrawn: the Service no longer expects them. Censored: not seen as they happened. Expired: still pending at --expiry.

            When there are expired changes: something has been stuck for as long as --expiry. When many are censored: the daemon was blind or behind, see its dashboard.
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

            When it rises and does not fall: the controller has stopped or does not keep up. Check that it runs and is the leader, and check its work queue (`workqueue_depth{name="endpoint_slice"}`).
          |||,
          'short',
          [query.series(query.sum(pending, ['change']), '{{change}}')],
          panel.stacked + panel.whole,
        ),
        panel.timeseries(
          'Oldest pending',
          |||
            Age of the oldest pending change, by kind.

            When a line rises in a straight line: that change stays pending. The line starts at the time when the change happened.
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
            Share of the changes that missed their objective, among those that met or missed it. A change misses at the moment when its age passes the objective, even if the slices never show it. The line is what the target allows.

            When it stays above the line: the error budget shrinks. The tables above show in which Services.
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
            How many times faster than the target allows the error budget is used, over windows that end now. 1 uses the budget of 30 days in 30 days, 14.4 in two days.

            When both a short and a long window are red: the problem is still there, and is worth a page. If only the long one is red, it is over. If only the short one is red, wait a moment.
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

      dashboard.section('Advice: which settings to change'),
      dashboard.row(8, [
        panel.timeseries(
          'Findings',
          |||
            Pairs of a Service and a check that found something, by severity. Error: requests fail at each rollout or restart, or no drain gets through. Warning: the same under conditions that occur. What an annotation ignores does not count. Only with --advice (advice.enabled in the chart); empty without it.

            When it rises: a workload was changed, or something new was measured. The panels to the right name the check and the Services.
          |||,
          'short',
          [query.series(query.findings(['severity']), '{{severity}}')],
          panel.whole + panel.steps + { fieldConfig+: { overrides+: [
            panel.byName(line[0], { color: { mode: 'fixed', fixedColor: line[1] } })
            for line in [['error', 'red'], ['warning', 'orange'], ['note', 'blue']]
          ] } },
        ),
        panel.bars(
          'Most common findings',
          |||
            Number of Services for which each check found something; the ten most common errors and warnings.

            When one is far above the others: a template or a chart sets it for all of them. Change it there. docs/advice.md says what each check means.
          |||,
          'short',
          [query.now(
            'sort_desc(topk(10, %s))' % query.findings(['check'], ', severity=~"error|warning"'),
            '{{check}}'
          )],
          panel.thresholds('orange'),
          { fieldConfig+: { defaults+: { decimals: 0, noValue: 'none' } } },
        ),
        panel.bars(
          'Services with most findings',
          |||
            The ten Services with the most errors and warnings. A click opens the Service.

            When a Service is important and is here: the page of the daemon and its /api/v1/advice say what to set, why, and what it costs, and have the patches.
          |||,
          'short',
          [query.now(
            'sort_desc(topk(10, %s))' %
            query.findings([config.clusterLabel, 'namespace', 'service'], ', severity=~"error|warning"'),
            '{{namespace}}/{{service}}'
          )],
          panel.thresholds('orange'),
          { fieldConfig+: { defaults+: { decimals: 0, noValue: 'none', links: [{
            title: 'Open ${__field.labels.namespace}/${__field.labels.service}',
            url: dashboard.serviceURL('${__field.labels.namespace}', '${__field.labels.service}'),
          }] } } }
        ),
      ]),

      dashboard.section('Nodes: the hop from the EndpointSlices to the kernels'),
      dashboard.row(8, [
        hop(
          'To the slices, p99',
          |||
            The slice hop: 99 of 100 changes are in the EndpointSlices within this delay. Compare it with the next two panels.

            When only this is high: the hop to the nodes is not the problem. Look at the EndpointSlice controller, as above.
          |||,
          query.quantile('0.99', ['change']),
        ),
        hop(
          'From the slices to a node, p99',
          |||
            The data-plane hop: of 100 pairs of a change and a node, 99 take less than this from the slice until the kernel of the node does what it says. All Services together. Only with node agents (agents.enabled in the chart); empty without them.

            When this is high: kube-proxy is slow. Compare with its own `kubeproxy_sync_proxy_rules_duration_seconds`, and with its CPU.
          |||,
          query.quantileOf('0.99', query.own('endpointlag_dataplane_${histogram}'), ['change']),
        ),
        hop(
          'Until visible on all nodes, p99',
          |||
            Both hops: 99 of 100 changes are in effect on all nodes within this delay of the change itself. Only with node agents. With classic histograms this is for all Services together, whichever are chosen.

            When `terminating` is high: a preStop sleep must be longer than this. When this is high and the panels to the left are not: few nodes are slow. The daemon's /api/v1/changes names the last node of each change.
          |||,
          query.visible('0.99', '1', ['change']),
        ),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Outcomes on nodes',
          |||
            Changes that ended on a node, by outcome; each counts once for each node. In effect: the kernel does what the slices say. Superseded: the opposite came first, or in the same sync. Censored: the time is not known. Withdrawn: the Service or the node is gone. Expired: the node did not show it within --expiry. Not applicable: no kernel has to change. Only with node agents.

            When there are expired changes: kube-proxy of a node is stuck. When many are censored: see the connected agents and the error of their clocks below.
          |||,
          panel.perSecond('changes'),
          [query.series(
            'sum by (outcome) (%s)' % query.ownRate('endpointlag_dataplane_changes_total'), '{{outcome}}'
          )],
          panel.stacked,
        ),
        panel.timeseries(
          'Pending on nodes',
          |||
            Changes that the kernel of a node does not show yet, by kind; each counts once for each node. Silent nodes do not count. Only with node agents.

            When it rises and does not fall: kube-proxy does not keep up, or is stuck on a node. The panels of the oldest change and of stale nodes show which of the two.
          |||,
          'short',
          [query.series(
            'sum by (change) (%s)' % query.own('endpointlag_dataplane_pending_changes'), '{{change}}'
          )],
          panel.stacked + panel.whole,
        ),
        panel.timeseries(
          'Oldest pending on a node',
          |||
            Age of the oldest change that a node does not show yet, since its slice arrived, by kind, and the median objective of the Services. Only with node agents.

            When a line rises in a straight line: a node stays behind. It ends at --expiry, even if the node is still behind then.
          |||,
          panel.seconds,
          [
            query.series(
              'max by (change) (%s)' % query.own('endpointlag_dataplane_oldest_pending_seconds'), '{{change}}'
            ),
            objectives,
          ],
          panel.limitSeries('objective (median)'),
        ),
      ]),
      dashboard.row(8, [
        panel.bars(
          'Services with stale nodes',
          |||
            The ten Services with the most nodes that send connections otherwise than the slices have said for longer than the objective. Nodes whose agent is silent do not count. A click opens the Service. Only with node agents.

            When there are any for minutes: if many Services have one stale node, it is probably the same one. The runbook of EndpointLagNodesStale says how to find it.
          |||,
          'short',
          [query.now(
            'sort_desc(topk(10, max %s (%s)))' % [service, query.seen('endpointlag_stale_nodes')],
            '{{namespace}}/{{service}}'
          )],
          panel.thresholds('orange'),
          { fieldConfig+: { defaults+: { decimals: 0, noValue: 'none', links: [{
            title: 'Open ${__field.labels.namespace}/${__field.labels.service}',
            url: dashboard.serviceURL('${__field.labels.namespace}', '${__field.labels.service}'),
          }] } } }
        ),
        panel.timeseries(
          'Agents',
          |||
            Agents that are connected; expected, which are those that are connected or were heard within the last hour; and silent, which are those of them that were not heard within the last 30 seconds. A node that was removed counts as silent for an hour.

            When fewer are connected than expected, and no nodes were removed: on the other nodes nothing is measured. The daemon's /api/v1/agents names the silent agents, and their own log says why.
          |||,
          'short',
          [
            query.series('sum(%s)' % query.own('endpointlag_agent_' + count), count)
            for count in ['connected', 'expected', 'silent']
          ],
          panel.whole + panel.steps + { fieldConfig+: { overrides+: [
            panel.byName(line[0], { color: { mode: 'fixed', fixedColor: line[1] } })
            for line in [['connected', 'green'], ['expected', 'blue'], ['silent', 'red']]
          ] } },
        ),
        panel.timeseries(
          'Clock error',
          |||
            How far the clock of a connected agent may be off at the most, by the comparison with the clock of the daemon. The largest of all agents counts. No delay to a node is more exact than this.

            When it is not far below the delays to the nodes: the network between the daemon and that node is slow, or the node has no free CPU. The daemon's /api/v1/agents has the error of each agent.
          |||,
          panel.decades,
          [query.series('max(%s)' % query.own('endpointlag_agent_clock_error_seconds'), 'largest error')],
          { options+: { legend+: { showLegend: false } } },
        ),
      ]),
    ]
  )
