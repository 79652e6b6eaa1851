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
      { alert: 'Fast', severity: 'critical', factor: 14.4, short: '5m', long: '1h' },
      { alert: 'Fast', severity: 'critical', factor: 6, short: '30m', long: '6h' },
      { alert: 'Slow', severity: 'warning', factor: 3, short: '2h', long: '1d' },
      { alert: 'Slow', severity: 'warning', factor: 1, short: '6h', long: '3d' },
    ],

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
