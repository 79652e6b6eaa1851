// One Service: how long its changes take, how they end, and what is pending.
local panel = import 'lib/panel.libsonnet';

function(config)
  local query = (import 'lib/query.libsonnet')(config);
  local dashboard = (import 'lib/dashboard.libsonnet')(config);

  local delays = panel.thresholds('green', [['yellow', 1], ['red', 5]]);
  local objective = query.series('max(%s)' % query.of('endpointlag_objective_seconds'), 'objective');
  local oldest = query.seen('endpointlag_oldest_pending_seconds');
  local wrong = query.seen('endpointlag_oldest_out_of_sync_seconds');
  local misrouted = query.seen('endpointlag_oldest_out_of_sync_traffic_seconds');
  local endpoints = 'max(%s)' % query.seen('endpointlag_out_of_sync_endpoints');
  local pending = query.seen('endpointlag_pending_changes');
  local range(metric) = query.increase(metric);

  // Quantiles of one kind of change. The exemplars are single pods.
  local quantiles(change, means, advice) =
    local of(q) =
      query.quantile(q, matchers=', change="%s"' % change);
    panel.timeseries(
      'Delay, %s' % change,
      '%s: p50, p90 and p99 of the delay, with single pods as exemplars.\n\nWhen it passes the objective: %s\n' %
      [means, advice],
      panel.decades,
      [query.series(of(q.value), q.name, { exemplar: true }) for q in [
        { name: 'p50', value: '0.5' },
        { name: 'p90', value: '0.9' },
        { name: 'p99', value: '0.99' },
      ]] + [objective],
      panel.limitSeries('objective') + panel.logarithmic + {
        fieldConfig+: { overrides+: [
          panel.byName(quantile[0], { color: { mode: 'fixed', fixedColor: quantile[1] } })
          for quantile in [['p50', 'light-blue'], ['p90', 'blue'], ['p99', 'purple']]
        ] },
      },
    );

  dashboard.new(
    'service',
    'One Service: how long its changes take to reach its EndpointSlices, how they end, and what is pending.',
    [dashboard.variables[name] for name in [
      'datasource',
      'cluster',
      'job',
      'instance',
      'namespace',
      'service',
      'histogram',
    ]],
    [
      dashboard.row(4, [
        panel.stat(
          'Out of sync now',
          |||
            Endpoints that the EndpointSlices show differently from their pods and the Service, whatever the outcome of the change. A blind daemon does not count, here and in the next panels.

            When this stays above zero: the daemon's page and its /api/v1/out-of-sync name the pods, and show whether traffic is affected.
          |||,
          'short',
          query.now(endpoints, 'out of sync'),
          panel.thresholds('blue'),
        ),
        panel.stat(
          'Traffic wrong for',
          |||
            Age of the oldest endpoint that gets connections that it should not get, or does not get those that it should.

            When this is red: `kubectl get endpointslices -l kubernetes.io/service-name=SERVICE -o yaml` shows where traffic goes; compare it with the pods.
          |||,
          's',
          query.now('max(%s)' % misrouted, 'wrong for'),
          delays,
        ),
        panel.stat(
          'Oldest pending now',
          |||
            Age of the oldest change of this Service that its EndpointSlices do not show yet.

            When this is red: `kubectl get endpointslices -l kubernetes.io/service-name=SERVICE -o yaml` shows what is there; the daemon's page and its /api/v1/changes name the pods with pending changes.
          |||,
          's',
          query.now('max(%s)' % oldest, 'oldest'),
          delays,
        ),
        panel.stat(
          'Pending now',
          |||
            Changes that the EndpointSlices of this Service do not show yet.

            When this stays high: either the whole controller is behind (see Overview), or this Service changes faster than its slices are written.
          |||,
          'short',
          query.now(query.sum(pending), 'pending'),
          panel.thresholds('blue'),
        ),
      ]),
      dashboard.row(4, [
        panel.stat(
          'Delay, p99',
          |||
            99 of 100 changes of the shown time took at most this long.

            When this is red: it is above 5 s, the default objective. See below which kind of change it is.
          |||,
          's',
          query.now(query.quantile('0.99', window='$__range'), 'p99'),
          delays,
          { fieldConfig+: { defaults+: { noValue: 'no changes' } } },
        ),
        panel.stat(
          'Objective',
          |||
            The delay within which a change of this Service should be shown: the daemon's --objective, or the Service's annotation endpointlag.io/objective.

            When this is too high or too low: set the annotation to a delay that the Service's clients and its preStop sleep can tolerate.
          |||,
          's',
          query.now('max(%s)' % query.of('endpointlag_objective_seconds'), 'objective'),
          panel.thresholds('text'),
        ),
        panel.stat(
          'Within objective',
          |||
            Share of the changes of the shown time that were reflected within the objective.

            When this is red: more changes missed it than the target allows. The panel of misses below shows when.
          |||,
          'percentunit',
          query.now('1 - ' + query.missedShare(range), 'within'),
          panel.thresholds('red', [['green', config.sloTarget]]),
          { fieldConfig+: { defaults+: { decimals: 2, noValue: 'no changes' } } },
        ),
        panel.stat(
          'Changes',
          |||
            Changes of the shown time that met or missed their objective. Without the recording rules of deploy/prometheus, the number is too small if a daemon was replaced in this time.

            When this is high without a rollout of the Service: its pods flap. Look at their readiness probes.
          |||,
          'short',
          query.now('sum(%s)' % query.count('changes'), 'changes'),
          panel.thresholds('text'),
          { fieldConfig+: { defaults+: { decimals: 0 } } },
        ),
      ]),

      dashboard.section('What is wrong now'),
      dashboard.row(5, [
        dashboard.alerts('EndpointLag.+', [{ matchers: ['namespace=~"$namespace"', 'service=~"$service"'] }], 'of this Service'),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Out of sync, over time',
          |||
            Endpoints that the EndpointSlices show differently from their pods and the Service.

            When it rises and does not fall: the controller writes nothing for this Service. Look for its errors: `kubectl describe service` shows FailedToUpdateEndpointSlices.
          |||,
          'short',
          [query.series(endpoints, 'endpoints')],
          panel.whole { options+: { legend+: { showLegend: false } } },
        ),
        panel.timeseries(
          'Out of sync for, over time',
          |||
            Age of the oldest endpoint that is out of sync, age of the oldest endpoint that affects traffic, and the objective. These ages do not end at --expiry.

            When the line "traffic wrong" rises above the objective: traffic is affected, and the slices are not corrected. When only the other line rises: the slices wrongly list a pod that gets no traffic, such as a pod that failed while it was not ready.
          |||,
          panel.seconds,
          [
            query.series('max(%s)' % wrong, 'out of sync'),
            query.series('max(%s)' % misrouted, 'traffic wrong'),
            objective,
          ],
          panel.limitSeries('objective') + { fieldConfig+: { overrides+: [
            panel.byName(line[0], { color: { mode: 'fixed', fixedColor: line[1] } })
            for line in [['traffic wrong', 'red'], ['out of sync', 'yellow']]
          ] } },
        ),
      ]),

      dashboard.section('How long'),
      dashboard.row(8, [
        quantiles('ready', 'Pods that turned ready', 'new pods get traffic late, and rollouts wait for them.'),
        quantiles(
          'unready', 'Pods that turned not ready', 'traffic goes on to pods that fail their probes.'
        ),
        quantiles(
          'terminating',
          'Pods that are being deleted',
          'new connections go to pods that shut down. A preStop sleep must be longer than this delay plus that of the nodes.'
        ),
      ]),
      dashboard.row(8, [
        quantiles('removed', 'Pods that are gone', 'traffic goes to addresses that no pod has.'),
        quantiles(
          'service',
          'Creation of the Service, and edits of its selector, ports or families',
          'clients wait for a new Service, or use endpoints that an edit removed.'
        ),
        panel.heatmap(
          'Delays',
          |||
            Number of changes of all kinds by delay. Each replica of the daemon is counted separately.

            When there is a second band high above the first: these are retries or throttling of the controller.
          |||,
          panel.perSecond('changes'),
          query.series('sum by (le) (%s)' % query.rate('endpointlag_propagation_${histogram}'), '{{le}}', {
            format: 'heatmap',
          }),
        ),
      ]),

      dashboard.section('How it ended, and what waits'),
      dashboard.row(8, [
        panel.timeseries(
          'Outcomes',
          |||
            Changes that ended, by outcome. Propagated: the slices show them. Superseded: their opposite came first. Withdrawn: the Service no longer expects them. Censored: not seen as they happened. Expired: still pending at --expiry.

            When many are superseded: pods flap faster than slices are written. When there are expired changes: something is stuck.
          |||,
          panel.perSecond('changes'),
          [query.series(
            query.sum(query.rate('endpointlag_changes_total'), ['outcome'], ['change', 'outcome']), '{{outcome}}'
          )],
          panel.stacked,
        ),
        panel.timeseries(
          'Missed objectives',
          |||
            Changes that missed the objective, by kind, counted at the moment when their age passed it.

            When there are any: compare with the delays above and with Overview, which shows whether other Services missed at the same time.
          |||,
          panel.perSecond('changes'),
          [query.series(query.sum(query.rate('endpointlag_slo_missed_total'), ['change']), '{{change}}')],
          panel.stacked,
        ),
      ]),
      dashboard.row(8, [
        panel.timeseries(
          'Pending changes',
          |||
            Changes that the EndpointSlices do not show yet, by kind.

            When it rises and does not fall: the controller writes nothing for this Service. Look for its errors: `kubectl describe service` shows FailedToUpdateEndpointSlices.
          |||,
          'short',
          [query.series(query.sum(pending, ['change']), '{{change}}')],
          panel.stacked + panel.whole,
        ),
        panel.timeseries(
          'Oldest pending',
          |||
            Age of the oldest pending change, by kind, and the objective.

            When a line rises above the objective: that change stays pending. The line starts at the time when the change happened.
          |||,
          panel.seconds,
          [query.series('max by (change) (%s)' % oldest, '{{change}}'), objective],
          panel.limitSeries('objective'),
        ),
      ]),

      dashboard.section('The start of its pods, and advice'),
      dashboard.row(9, [
        panel.bars(
          'Start of a pod by phase, p90',
          |||
            90 of 100 pods that started in the shown time took at most this long in each phase of their first start: scheduled, initialized, images and containers started, containers ready, readiness gates, reported, listed by the slices, in effect on the nodes, and in total. The phases up to `reported` are whole seconds of other machines' clocks. Only with --pod-startup (podStartup in the chart). With classic histograms this is for all Services together.

            When `containers_ready` is the longest: the application starts slowly, or its probes ask seldom; the page of the daemon says how much may be the period of the probe. When it is `started`: images are pulled. When it is `listed`: see the delays of `ready` above.
          |||,
          's',
          // A phase of no whole second is a quantile within the bucket of zero, which is far below a nanosecond.
          [query.now(
            'round(%s, 0.001)'
            % query.ownOrAll('0.9', 'endpointlag_pod_startup_', ['namespace', 'service'], ['phase'], '$__range'),
            '{{phase}}'
          )],
          panel.thresholds('blue'),
          { fieldConfig+: { defaults+: { noValue: 'no starts' } } },
        ),
        panel.timeseries(
          'Report hop, p99',
          |||
            99 of 100 changes of a pod's Ready condition arrive within this time. It counts from the whole second that the node wrote, by its own clock: up to a second is rounding. All pods of the namespace; with classic histograms, all namespaces together. Only with --pod-startup.

            When it is above a few seconds: the kubelets of the nodes are slow to write, or their clocks are off. `endpointlag_report_negative_total` counts clocks that are ahead.
          |||,
          panel.decades,
          [query.series(query.ownOrAll('0.99', 'endpointlag_report_', ['namespace'], ['change']), '{{change}}')],
          panel.logarithmic,
        ),
        panel.table(
          'Advice',
          |||
            What to change in the settings of this Service and its workloads: the checks that found something, the worst first. Only with --advice (advice.enabled in the chart).

            When there is an error: requests fail at each rollout or restart, or no drain gets through. The page of the daemon and its /api/v1/advice say what to set, why, what it costs, and have the patch.
          |||,
          [query.table(
            'sort_desc(topk(20, max by (check, severity) (%s)))' % query.of('endpointlag_finding')
          )],
          [
            { field: 'check', name: 'Check' },
            { field: 'severity', name: 'Severity', options: { 'custom.width': 90 } },
          ],
          hidden=['Value'],
        ),
      ]),

      dashboard.section('On the nodes'),
      dashboard.row(8, [
        panel.timeseries(
          'Visible on nodes, p99',
          |||
            99 of 100 changes are in effect on this share of the nodes within this delay of the change itself. Only with node agents (agents.enabled in the chart). `_all` means all Services together: a Service has its own values only with native histograms.

            When only the line of all nodes is high: one or a few nodes are slow. The daemon's /api/v1/changes names the last node of each change. When all lines are high: compare with the delays above, which end at the slices.
          |||,
          panel.decades,
          [
            query.series(query.visible('0.99', share.nodes, ['service']), '{{service}}, ' + share.name)
            for share in [
              { nodes: '0.5', name: '50 % of nodes' },
              { nodes: '0.99', name: '99 % of nodes' },
              { nodes: '1', name: 'all nodes' },
            ]
          ] + [objective],
          panel.limitSeries('objective') + panel.logarithmic,
        ),
        panel.timeseries(
          'Visible on all nodes, by change, p99',
          |||
            99 of 100 changes of each kind are in effect on all nodes within this delay of the change itself. Only with node agents. With classic histograms this is for all Services together.

            When `terminating` is high: the preStop sleep of the pods must be longer than this. When `ready` is high: new pods get their share of the traffic late.
          |||,
          panel.decades,
          [query.series(query.visible('0.99', '1', ['change']), '{{change}}'), objective],
          panel.limitSeries('objective') + panel.logarithmic,
        ),
        panel.timeseries(
          'Stale nodes',
          |||
            Nodes that send connections of this Service otherwise than its slices have said for longer than the objective. Nodes whose agent is silent do not count. Only with node agents.

            When this stays above zero: kube-proxy of these nodes is stuck or slow. The runbook of EndpointLagNodesStale says how to find them.
          |||,
          'short',
          [query.series(
            'max(%s) or 0 * max(%s)' %
            [query.seen('endpointlag_stale_nodes'), query.sighted(query.own('endpointlag_dataplane_nodes'))],
            'stale nodes'
          )],
          panel.whole + panel.steps { options+: { legend+: { showLegend: false } } },
        ),
      ]),
    ]
  )
