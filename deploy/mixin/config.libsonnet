// What may differ from one installation to the next. Import mixin.libsonnet and override below `_config`:
//
//   (import 'mixin.libsonnet') + { _config+:: { selector: 'job=~"monitoring/endpointlag.*"', sloTarget: 0.995 } }
{
  _config+:: {
    // Matches the series of the daemon, and the `up` of its scrapes.
    selector: 'job="endpointlag"',

    // The label that tells clusters apart. Where no series has it, everything counts as one cluster.
    clusterLabel: 'cluster',

    // Share of the changes that are to be reflected within their objective, which the daemon knows: its flag --objective, or
    // the annotation endpointlag.io/objective of the Service.
    sloTarget: 0.99,

    // Days that the target holds over. The windows and factors below are worked out for 30.
    sloDays: 30,

    // Burn rates by the length of two windows: both must burn the error budget `factor` times as fast as it lasts for the
    // whole period. Of the budget of 30 days, 14.4 uses 2 % in an hour, 6 uses 5 % in six, 3 uses 10 % in a day and 1 uses
    // 10 % in three days. See "Alerting on SLOs" in The Site Reliability Workbook.
    burnRates: [
      { severity: 'critical', factor: 14.4, short: '5m', long: '1h' },
      { severity: 'critical', factor: 6, short: '30m', long: '6h' },
      { severity: 'warning', factor: 3, short: '2h', long: '1d' },
      { severity: 'warning', factor: 1, short: '6h', long: '3d' },
    ],

    // Misses within the long window without which no burn rate alerts: a Service with three changes an hour has a third of
    // them late when one is. They are counted from averages, so one in five of a single burst may be overlooked.
    minimumMissed: { service: 5, cluster: 10 },

    // Window of the rates that all others are made from. Four scrape intervals at least, and as short as the shortest above.
    rateWindow: '5m',

    // How often rules are evaluated; those over more than an hour need it less, and cost the most. Both shorter than the five
    // minutes for which Prometheus takes a sample to hold.
    interval: '1m',
    longInterval: '3m',

    // A change is old when it has been pending for `factor` times the objective of its Service, and in any case at `most`,
    // which is to be less than --expiry: what has expired is not pending any more. Only where traffic goes wrong meanwhile.
    pendingOld: [
      { severity: 'warning', factor: 6, most: '8m', 'for': '2m' },
    ],

    // Endpoints are out of sync for too long when traffic has gone wrong by them for `factor` times the objective of their
    // Service, but not before `least`, and in any case at `most`. Where no traffic goes wrong, at `withoutTraffic`, which pages
    // nobody: a pod that was not ready and then failed may stay listed as not ready for ever.
    outOfSync: { factor: 60, least: '2m', most: '15m', 'for': '1m', withoutTraffic: '1h' },

    // Objective in seconds of the Services beyond --max-services. They share one series, and none says their objective.
    otherObjective: 5,

    // The controller stands still if nothing is reflected in the whole cluster for `rateWindow`, while traffic has gone wrong by
    // an endpoint for more than `outOfSync`, or while `minimumSuperseded` changes are overtaken within `superseded`.
    stalled: { outOfSync: '1m', superseded: '10m', minimumSuperseded: 3, 'for': '2m' },

    // A daemon that hears nothing on a watch for this long, or whose watch is not synced, does not see what changes: it says
    // nothing about the controller then, and EndpointLagBlind speaks instead. Longer than the minute between two bookmarks, and
    // shorter than what any alert about a pending change waits for, so that none comes before.
    blindAfter: '90s',

    // What one daemon may leave unseen: how long a watch may be without all objects, or without a byte (bookmarks come each
    // minute, and --watch-idle-timeout ends it after three), the share of time between connections, the share in which a watch could not
    // tell all as it happened for whatever reason, and the share in which the thread that reads the watches did not run.
    blind: {
      unsynced: '5m',
      silent: '5m',
      gapShare: 0.1,
      gapWindow: '15m',
      blindShare: 0.1,
      blindWindow: '10m',
      stalledShare: 0.02,
      stalledWindow: '10m',
      // Share of the changes of a cluster that may end censored, and how many must have before it is looked at.
      censoredShare: 0.1,
      minimumCensored: 10,
      censoredWindow: '30m',
    },

    // How long a daemon may be away: one of several, or all.
    downFor: '15m',

    // Prefix of the address of a runbook, such as 'https://example.org/runbooks/'. The name of the alert and runbookURLSuffix
    // follow. Without it alerts carry the path in this repository alone.
    runbookURLPrefix: '',
    runbookURLSuffix: '.md',

    // Address of Grafana, such as 'https://grafana.example.org'. With it, alerts link to the dashboards.
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
