// The settings that may differ between installations. Import mixin.libsonnet and override them under `_config`:
//
//   (import 'mixin.libsonnet') + { _config+:: { selector: 'job=~"monitoring/endpointlag.*"', sloTarget: 0.995 } }
{
  _config+:: {
    // Matches the series of the daemon, and the `up` of its scrapes.
    selector: 'job="endpointlag"',

    // The label that identifies a cluster. If no series has it, everything counts as one cluster.
    clusterLabel: 'cluster',

    // Share of the changes that should be reflected within their objective. The daemon knows the objective: its flag
    // --objective, or the annotation endpointlag.io/objective of the Service.
    sloTarget: 0.99,

    // The period of the target in days. The windows and factors below are computed for 30.
    sloDays: 30,

    // Burn rates with two windows each. An alert fires if the error budget burns at least `factor` times too fast in both
    // windows; 1 is the rate that uses it up in exactly the period. Of the budget of 30 days, 14.4 uses 2 % in an hour, 6 uses
    // 5 % in six hours, 3 uses 10 % in a day and 1 uses 10 % in three days. See "Alerting on SLOs" in The Site Reliability Workbook.
    burnRates: [
      { severity: 'critical', factor: 14.4, short: '5m', long: '1h' },
      { severity: 'critical', factor: 6, short: '30m', long: '6h' },
      { severity: 'warning', factor: 3, short: '2h', long: '1d' },
      { severity: 'warning', factor: 1, short: '6h', long: '3d' },
    ],

    // Minimum number of misses in the long window for a burn rate alert. Without it, one late change of a Service with three
    // changes an hour would be a third of its changes. Misses are counted from averages, so a single burst may lose one in five.
    minimumMissed: { service: 5, cluster: 10 },

    // Window of the recorded rates, from which all other windows are computed. At least four scrape intervals, and at most the
    // shortest window above.
    rateWindow: '5m',

    // How often rules are evaluated. Rules over more than an hour cost most and need it less often. Both must be shorter than
    // five minutes, for which Prometheus considers a sample valid.
    interval: '1m',
    longInterval: '3m',

    // A change is old when it has been pending for `factor` times the objective of its Service, or for `most`, whichever is
    // less. `most` must be less than --expiry, because an expired change is no longer pending. Only if traffic is affected.
    pendingOld: [
      { severity: 'warning', factor: 6, most: '8m', 'for': '2m' },
    ],

    // Endpoints are out of sync for too long when they have affected traffic for `factor` times the objective of their Service,
    // but at least `least` and at most `most`. If no traffic is affected, after `withoutTraffic`; that alert does not page: a pod
    // that was not ready and then failed may stay listed as not ready forever.
    outOfSync: { factor: 60, least: '2m', most: '15m', 'for': '1m', withoutTraffic: '1h' },

    // Objective in seconds of the Services beyond --max-services. They share one series, which does not have their objectives.
    otherObjective: 5,

    // The controller has stalled if nothing is reflected in the whole cluster for `rateWindow`, while an endpoint has affected
    // traffic for more than `outOfSync`, or while at least `minimumSuperseded` changes are superseded within the same `rateWindow`.
    stalled: { outOfSync: '1m', minimumSuperseded: 3, 'for': '2m' },

    // A daemon does not see changes if one of its watches is not synced, or has received nothing for this long. The alerts about
    // the controller then ignore it, and EndpointLagBlind fires instead. Longer than the minute between two bookmarks, and shorter
    // than the wait of every alert about pending changes, so that none of them fires earlier.
    blindAfter: '90s',

    // Limits for one daemon: how long a watch may be without all objects, or without a byte (bookmarks come each minute, and
    // --watch-idle-timeout ends the watch after three); the share of time between connections; the share in which a watch did not
    // deliver events as they happened, for any reason; and the share in which the thread that reads the watches did not run.
    blind: {
      unsynced: '5m',
      silent: '5m',
      gapShare: 0.1,
      gapWindow: '15m',
      blindShare: 0.1,
      blindWindow: '10m',
      stalledShare: 0.02,
      stalledWindow: '10m',
      // Number of restarts of a daemon for the alert. A new pod is another daemon, so rollouts do not count.
      restarts: 3,
      restartWindow: '1h',
      // Share of the changes of a cluster that may end censored, and the minimum number of censored changes for the alert.
      censoredShare: 0.1,
      minimumCensored: 10,
      censoredWindow: '30m',
    },

    // Nodes are stale for too long if, for `for`, more than `share` of them send connections of a Service otherwise than its
    // EndpointSlices say. The daemon calls a node stale once its delay exceeds the objective. Five minutes are ten tries of
    // kube-proxy, which repeats a failed sync after 30 s.
    nodesStale: [
      { severity: 'critical', share: 0.25, 'for': '5m' },
      { severity: 'warning', share: 0, 'for': '5m' },
    ],

    // Node agents are missing if at least `share` of those that were connected within `window` are not connected now. An update of
    // the chart's DaemonSet disconnects a tenth of them at a time. endpointlag_agent_silent would not do: the agent of a node that
    // was removed counts as silent for an hour, so a cluster that removes nodes all the time always has some.
    agentsSilent: { share: 0.2, window: '1h', 'for': '10m' },

    // How long Prometheus may fail to scrape one of several daemons, or all, before an alert.
    downFor: '15m',

    // There should be as many targets as there were so long ago. After a reduction on purpose the alert lasts for as long, less
    // `downFor`.
    missingSince: '1h',

    // Prefix of a runbook's URL, such as 'https://example.org/runbooks/'. The name of the alert and runbookURLSuffix
    // follow. Without a prefix, alerts have only the path in this repository.
    runbookURLPrefix: '',
    runbookURLSuffix: '.md',

    // URL of Grafana, such as 'https://grafana.example.org'. With it, alerts link to the dashboards.
    grafanaURL: '',

    // Uids of the dashboards.
    dashboardUIDs: {
      overview: 'endpointlag-overview',
      service: 'endpointlag-service',
      daemon: 'endpointlag-daemon',
    },
    dashboardTags: ['endpointlag', 'kubernetes'],
  },
}
