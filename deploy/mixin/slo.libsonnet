// The same objective for Sloth and for Pyrra, to replace the alerts EndpointLag*BudgetBurn.
{
  local config = $._config,
  local names = $.endpointlag,
  local target = '%.10g' % (100 * config.sloTarget),
  local description = 'Changes of pods and Services reach the EndpointSlices within the objective of their Service.',
  local runbook(name) = {
    [if config.runbookURLPrefix != '' then 'runbook_url']: config.runbookURLPrefix + name + config.runbookURLSuffix,
  },

  // Uses the recorded rates. With the counters themselves, a window of days over each Service would be too expensive.
  sloth+:: {
    version: 'prometheus/v1',
    service: 'endpointlag',
    slos: [
      {
        local events(rate) = 'sum by (%s) (sum_over_time(%s[{{.window}}]))' % [config.clusterLabel, rate],
        name: 'propagation',
        objective: std.parseJson(target),
        description: description,
        sli: { events: { error_query: events(names.missed('cluster')), total_query: events(names.changes('cluster')) } },
        alerting: {
          name: 'EndpointLagClusterBudgetBurn',
          annotations: { summary: 'Changes of the cluster miss their objective too often.' } + runbook(self.name),
          page_alert: { labels: { severity: 'critical' } },
          ticket_alert: { labels: { severity: 'warning' } },
        },
      },
    ],
  },

  // Pyrra sums all counters. Two replicas double both misses and changes, but not their ratio.
  pyrra+:: [
    {
      apiVersion: 'pyrra.dev/v1alpha1',
      kind: 'ServiceLevelObjective',
      metadata: { name: 'endpointlag-' + slo.name, labels: { 'app.kubernetes.io/name': 'endpointlag' } },
      spec: {
        description: description,
        target: target,
        window: '%dd' % config.sloDays,
        indicator: {
          ratio: {
            errors: { metric: 'endpointlag_slo_missed_total{%s}' % config.selector },
            total: { metric: 'endpointlag_slo_changes_total{%s}' % config.selector },
            [if slo.grouping != [] then 'grouping']: slo.grouping,
          },
        },
        // EndpointLagDown is the alert for missing series. Services that never changed have no counters.
        alerting: { name: slo.alert, absent: false },
      },
    }
    for slo in [
      { name: 'cluster', alert: 'EndpointLagClusterBudgetBurn', grouping: [] },
      { name: 'services', alert: 'EndpointLagServiceBudgetBurn', grouping: ['namespace', 'service'] },
    ]
  ],
}
