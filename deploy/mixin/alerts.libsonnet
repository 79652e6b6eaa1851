// Alerts. The runbook of each has the same name, in deploy/runbooks.
local duration = import 'duration.libsonnet';

{
  local config = $._config,
  local names = $.endpointlag,
  local cluster = config.clusterLabel,
  local by(labels) = std.join(', ', labels),
  local daemon = [cluster, 'job', 'instance'],
  local metric(name, matchers='') =
    '%s{%s}' % [name, std.join(', ', [config.selector] + (if matchers == '' then [] else [matchers]))],

  // Share of the time that the watches of a resource lost. All watches of the resource, one for each namespace, add to one counter.
  local shareOf(name, over) =
    'rate(%s[%s]) / clamp_min(sum without (protocol) (%s), 1)' % [metric(name), over, metric('endpointlag_watch_protocol')],

  // The cluster, for texts. It is optional: an installation may have no cluster label.
  local inCluster = '{{ with $labels.%s }} in cluster {{ . }}{{ end }}' % cluster,
  local theService = 'Service {{ $labels.namespace }}/{{ $labels.service }}' + inCluster,

  local dashboards = {
    local variable(label) = '{{ with $labels.%s }}&var-%s={{ . }}{{ end }}' % [label, label],
    local inCluster = '{{ with $labels.%s }}&var-cluster={{ . }}{{ end }}' % cluster,
    overview: config.dashboardUIDs.overview + '?orgId=1' + inCluster,
    service: config.dashboardUIDs.service + '?orgId=1' + inCluster + variable('namespace') + variable('service'),
    daemon: config.dashboardUIDs.daemon + '?orgId=1' + inCluster,
  },

  local alert(name, severity, dashboard, rule) = {
    alert: name,
    expr: rule.expr,
    [if std.objectHas(rule, 'for') then 'for']: rule['for'],
    labels: { severity: severity } + std.get(rule, 'labels', {}),
    annotations: {
      summary: rule.summary,
      description: rule.description,
      runbook: 'deploy/runbooks/%s.md' % name,
      [if config.runbookURLPrefix != '' then 'runbook_url']: config.runbookURLPrefix + name + config.runbookURLSuffix,
      [if config.grafanaURL != '' then 'dashboard_url']: '%s/d/%s' % [config.grafanaURL, dashboards[dashboard]],
    },
  },

  // Both windows burn too fast, and there were enough misses to exclude chance.
  local burns(level, rate, minimum) =
    |||
      (
        %(long)s > %(factor)g * (1 - %(target)g)
        and
        %(short)s > %(factor)g * (1 - %(target)g)
      )
      and
      %(missed)s >= %(minimum)d
    ||| % {
      long: names.share(level, rate.long),
      short: names.share(level, rate.short),
      factor: rate.factor,
      target: config.sloTarget,
      missed: names.events(names.missed(level), rate.long),
      minimum: minimum,
    },
  local burn(name, level, whose, what, dashboard, minimum) = [
    alert(name, rate.severity, dashboard, {
      expr: burns(level, rate, minimum),
      labels: { long: rate.long, short: rate.short },
      summary: '%s miss their objective too often.' % whose,
      description: |||
        {{ $value | humanizePercentage }} of the changes of %(what)s in the last %(long)s, and too many in the last %(short)s,
        missed their objective. The target allows %(budget)g %% over %(days)d days. At %(factor)g times that rate the error budget
        lasts %(lasts).3g days.
      ||| % rate {
        what: what,
        budget: (1 - config.sloTarget) * 100,
        days: config.sloDays,
        lasts: config.sloDays / rate.factor,
      },
    })
    for rate in config.burnRates
  ],

  // A gauge of the daemons that can see. Of several replicas or shards, some may be blind.
  local sighted(name) =
    |||
      %(gauge)s
      unless on (%(daemon)s) (
        %(synced)s == 0
        or
        %(age)s > %(silent)d
      )
    ||| % {
      gauge: metric(name),
      daemon: by(daemon),
      synced: metric('endpointlag_watch_synced'),
      age: metric('endpointlag_watch_age_seconds'),
      silent: duration.seconds(config.blindAfter),
    },
  // Its maximum over these daemons.
  local seen(name, labels=names.serviceLabels) =
    'max by (%s) (\n%s)\n' % [by(labels), names.indented(sighted(name))],
  local pending = seen('endpointlag_oldest_pending_seconds'),
  local outOfSync = seen('endpointlag_oldest_out_of_sync_seconds'),
  local misrouted = seen('endpointlag_oldest_out_of_sync_traffic_seconds'),

  // A multiple of the objective of a Service, limited by two bounds in seconds.
  local objectives(factor, least, most) =
    |||
      clamp(
        %(factor)g * (
          max by (%(labels)s) (%(objective)s)
          or
          0 * max by (%(labels)s) (%(all)s) + %(other)g
        ),
        %(least)d, %(most)d
      )
    ||| % {
      factor: factor,
      labels: by(names.serviceLabels),
      objective: metric('endpointlag_objective_seconds'),
      all: metric('endpointlag_out_of_sync_endpoints'),
      other: config.otherObjective,
      least: least,
      most: most,
    },

  local budget = [
    burn(
      'EndpointLagClusterBudgetBurn',
      'cluster',
      'Changes of the cluster',
      'the cluster{{ with $labels.%s }} {{ . }}{{ end }}' % cluster,
      'overview',
      config.minimumMissed.cluster
    ),
    burn(
      'EndpointLagServiceBudgetBurn',
      'cluster_namespace_service',
      'Changes of a Service',
      theService,
      'service',
      config.minimumMissed.service
    ),
  ],

  local pendingOld = [
    alert('EndpointLagPendingOld', level.severity, 'service', {
      local bound = objectives(level.factor, 0, duration.seconds(level.most)),
      expr: '%s> %sand on (%s)\n%s> %s' % [pending, bound, by(names.serviceLabels), misrouted, bound],
      'for': level['for'],
      summary: 'A change of a Service has not reached its EndpointSlices for a long time.',
      description: |||
        The oldest pending change of %s is {{ $value | humanizeDuration }} old. Until it is reflected, a ready pod gets no traffic,
        or a pod that is gone still gets some.
      ||| % theService,
    })
    for level in config.pendingOld
  ],

  local wrong = [
    alert('EndpointLagOutOfSync', 'critical', 'service', {
      expr: tooLong,
      'for': config.outOfSync['for'],
      summary: 'Traffic of a Service is affected: its EndpointSlices are out of sync.',
      description: |||
        The EndpointSlices of %s have been out of sync for {{ $value | humanizeDuration }}: a pod gets connections that it should not
        get, or does not get those that it should. They stay wrong until they are written again, even if the change has expired.
      ||| % theService,
    }),
    alert('EndpointLagOutOfSync', 'info', 'service', {
      expr: '%s> %d\nunless on (%s) (\n%s)\n' % [
        outOfSync,
        duration.seconds(config.outOfSync.withoutTraffic),
        by(names.serviceLabels),
        names.indented(misrouted + '> 0'),
      ],
      'for': config.outOfSync['for'],
      summary: 'The EndpointSlices of a Service are out of sync, but no traffic is affected.',
      description: |||
        The EndpointSlices of %s have listed a pod wrongly for {{ $value | humanizeDuration }}. No traffic is affected now.
      ||| % theService,
    }),
  ],
  local tooLong = misrouted + '> ' + objectives(
    config.outOfSync.factor, duration.seconds(config.outOfSync.least), duration.seconds(config.outOfSync.most)
  ),

  local stalled = [
    alert('EndpointLagControllerStalled', 'critical', 'overview', {
      local all = seen('endpointlag_oldest_out_of_sync_traffic_seconds', [cluster]),
      expr: |||
        (
        %(all)s  > %(outOfSync)d
          or
        %(all)s  and on (%(cluster)s) %(outcomes)s{outcome="superseded"} * %(window)d >= %(minimum)d
        )
        unless on (%(cluster)s) (%(outcomes)s{outcome="propagated"} > 0)
      ||| % {
        all: names.indented(all),
        cluster: cluster,
        outOfSync: duration.seconds(config.stalled.outOfSync),
        window: duration.seconds(config.rateWindow),
        minimum: config.stalled.minimumSuperseded,
        outcomes: names.outcomes,
      },
      'for': config.stalled['for'],
      summary: 'No change reaches any EndpointSlice.',
      description: |||
        Pods and Services%s change, but for %s no EndpointSlice has shown any of the changes. {{ if gt $value 0.0 }}The oldest endpoint
        that affects traffic has been out of sync for {{ $value | humanizeDuration }}.{{ else }}The pending changes were
        superseded.{{ end }} The EndpointSlice controller does not work.
      ||| % [inCluster, config.rateWindow],
    }),
  ],

  local stale = [
    alert('EndpointLagNodesStale', level.severity, 'service', {
      // A Service without stale nodes has no series, and without agents no Service has one.
      expr: |||
        max by (%(labels)s) (
          (
        %(stale)s  )
          > on (%(daemon)s) group_left ()
          %(share)g * %(nodes)s
        )
      ||| % {
        labels: by(names.serviceLabels),
        stale: names.indented(names.indented(sighted('endpointlag_stale_nodes'))),
        daemon: by(daemon),
        share: level.share,
        nodes: metric('endpointlag_dataplane_nodes'),
      },
      'for': level['for'],
      summary: 'Nodes do not follow the EndpointSlices of a Service.',
      description: |||
        The kernel of {{ $value }} node(s)%s has sent connections of %s otherwise than its EndpointSlices say, for longer than the
        objective. From there, connections go to pods that are gone, or do not go to pods that are ready.
      ||| % [if level.share > 0 then ', more than %g %% of all,' % (100 * level.share) else '', theService],
    })
    for level in config.nodesStale
  ],

  local agents = [
    alert('EndpointLagAgentsSilent', 'warning', 'overview', {
      local connected = metric('endpointlag_agent_connected'),
      // Without agents there is no series, and if none has ever connected, both sides are zero.
      expr: |||
        max by (%(cluster)s) (%(connected)s)
        <=
        %(share)g * max by (%(cluster)s) (max_over_time(%(connected)s[%(window)s]))
      ||| % {
        cluster: cluster,
        connected: connected,
        share: 1 - config.agentsSilent.share,
        window: config.agentsSilent.window,
      },
      'for': config.agentsSilent['for'],
      summary: 'Node agents are not connected to the daemon.',
      description: |||
        Only {{ $value }} node agent(s) are connected to the daemon%s. A node without a connected agent is not measured: neither its
        delays, nor whether it is stale.
      ||| % inCluster,
    }),
  ],

  local blind = [
    alert('EndpointLagBlind', 'warning', 'daemon', rule { labels: { cause: rule.cause } })
    for rule in [
      {
        cause: 'unsynced',
        expr: '%s == 0\n' % metric('endpointlag_watch_synced'),
        'for': config.blind.unsynced,
        summary: 'A daemon does not know all objects.',
        description: |||
          The watch of {{ $labels.resource }} of the daemon at {{ $labels.instance }} has not been synced for %s. The daemon does
          not see what it should measure.
        ||| % config.blind.unsynced,
      },
      {
        cause: 'silent',
        expr: '%s > %d\n' % [metric('endpointlag_watch_age_seconds'), duration.seconds(config.blind.silent)],
        summary: 'A daemon receives nothing from the API server.',
        description: |||
          The watch of {{ $labels.resource }} of the daemon at {{ $labels.instance }} has received nothing for
          {{ $value | humanizeDuration }}. Changes in this time will end censored.
        |||,
      },
      {
        cause: 'gaps',
        expr: '%s > %g\n' % [
          shareOf('endpointlag_watch_gap_seconds_total', config.blind.gapWindow),
          config.blind.gapShare,
        ],
        summary: 'The connections of a daemon to the API server keep breaking.',
        description: |||
          The watch of {{ $labels.resource }} of the daemon at {{ $labels.instance }} had no connection for
          {{ $value | humanizePercentage }} of the last %s. Changes in this time end censored.
        ||| % config.blind.gapWindow,
      },
      {
        // A blind time is counted when it is over, and may be longer than the window.
        cause: 'blind',
        expr: 'clamp_max(%s, 1) > %g\n' % [
          shareOf('endpointlag_watch_blind_seconds_total', config.blind.blindWindow),
          config.blind.blindShare,
        ],
        summary: 'A daemon was blind for much of the time.',
        description: |||
          For {{ $value | humanizePercentage }} of the last %s the watch of {{ $labels.resource }} of the daemon at
          {{ $labels.instance }} did not deliver events as they happened. Changes in this time end censored.
        ||| % config.blind.blindWindow,
      },
      {
        // A stall is counted when it is over, and may be longer than the window.
        cause: 'stalled',
        expr: 'clamp_max(rate(%s[%s]), 1) > %g\n' % [
          metric('endpointlag_reader_stalled_seconds_total'),
          config.blind.stalledWindow,
          config.blind.stalledShare,
        ],
        summary: 'A daemon does not get the CPU that it needs.',
        description: |||
          For {{ $value | humanizePercentage }} of the last %s the thread that reads the watches did not run in the daemon at
          {{ $labels.instance }}. Changes in this time end censored.
        ||| % config.blind.stalledWindow,
      },
      {
        // Each run of a daemon that crashes again and again may be scraped once, so that EndpointLagDown never waits long enough.
        cause: 'restarts',
        expr: |||
          changes(%(start)s[%(over)s]) >= %(minimum)d
          and on (%(daemon)s) %(up)s
        ||| % {
          start: metric('process_start_time_seconds'),
          over: config.blind.restartWindow,
          minimum: config.blind.restarts,
          daemon: by(daemon),
          up: metric('up'),
        },
        summary: 'A daemon restarts again and again.',
        description: |||
          The daemon at {{ $labels.instance }} has restarted at least {{ $value }} times in the last %s. Each restart loses the
          pending changes, and nothing is measured until all watches are synced again.
        ||| % config.blind.restartWindow,
      },
      {
        local over = config.blind.censoredWindow,
        local all = 'sum by (%s) (sum_over_time(%s[%s]))' % [cluster, names.outcomes, over],
        local censored = '%s{outcome="censored"}' % names.outcomes,
        cause: 'censored',
        expr: |||
          sum without (outcome) (sum_over_time(%(censored)s[%(over)s])) / %(all)s > %(share)g
          and
          sum without (outcome) (%(events)s) >= %(minimum)d
        ||| % {
          censored: censored,
          over: over,
          all: all,
          share: config.blind.censoredShare,
          events: names.events(censored, over),
          minimum: config.blind.minimumCensored,
        },
        summary: 'Many changes are not measured.',
        description: |||
          {{ $value | humanizePercentage }} of the changes of the last %s%s happened while a daemon could not see them. They ended
          censored: they have no delay, and count for no objective.
        ||| % [over, inCluster],
      },
    ]
  ],

  local down = [
    alert('EndpointLagDown', 'warning', 'daemon', {
      expr: |||
        %(up)s == 0
        and on (%(cluster)s) %(up)s == 1
      ||| % { up: metric('up'), cluster: cluster },
      'for': config.downFor,
      summary: 'One of several daemons is not scraped.',
      description: |||
        Prometheus could not scrape the daemon at {{ $labels.instance }} for %s. If it is a replica, the others measure the same. If it
        is a shard, its namespaces are not measured.
      ||| % config.downFor,
    }),
    alert('EndpointLagDown', 'warning', 'daemon', {
      // A pod without an address is no target, so it has no `up`.
      expr: |||
        %(before)s - (
          count by (%(cluster)s) (%(up)s)
          or
          0 * %(before)s
        )
        > 0
      ||| % {
        before: 'count by (%s) (%s offset %s)' % [cluster, metric('up'), config.missingSince],
        up: metric('up'),
        cluster: cluster,
      },
      'for': config.downFor,
      labels: { cause: 'missing' },
      summary: 'There are fewer daemons than before.',
      description: |||
        Prometheus has {{ $value }} fewer daemon(s) to scrape%(inCluster)s than %(since)s ago. Their pods may be Pending. If one is a shard,
        its namespaces are not measured. If there are fewer on purpose, this alert ends within %(since)s.
      ||| % { inCluster: inCluster, since: config.missingSince },
    }),
    alert('EndpointLagDown', 'critical', 'daemon', {
      expr: |||
        max by (%(cluster)s) (%(up)s) == 0
        or
        absent(%(up)s)
      ||| % { up: metric('up'), cluster: cluster },
      'for': config.downFor,
      summary: 'No daemon is scraped.',
      description: |||
        For %s Prometheus has scraped no daemon%s. Nothing is measured, and no other alert of endpointlag can fire.
      ||| % [config.downFor, inCluster],
    }),
  ],

  // Joins the lines of a text.
  local joined(rule) = rule {
    annotations+: { description: std.strReplace(std.rstripChars(rule.annotations.description, '\n'), '\n', ' ') },
  },

  prometheusAlerts+:: {
    groups+: [
      { name: 'endpointlag-slo', rules: [joined(rule) for rule in std.flattenArrays(budget)] },
      { name: 'endpointlag-pending', rules: [joined(rule) for rule in pendingOld + wrong + stalled + stale] },
      { name: 'endpointlag-daemon', rules: [joined(rule) for rule in blind + agents + down] },
    ],
  },
}
