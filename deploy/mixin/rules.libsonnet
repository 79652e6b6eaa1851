// Recording rules: rates of changes and misses, and the shares that the alerts need.
//
// Each daemon measures separately, so a Service's value is the maximum over all daemons: replicas see the same, and of several
// shards only one sees the Service. Services are summed after that.
//
// Cost: all windows are computed from the rates of one short window, so each evaluation reads a few minutes of the daemons'
// counters, and not days. The rates of a Service are recorded while it has changes, and its shares while it has misses. With
// 10,000 Services of which 500 change within an hour, this is 1,000 series, one share per window for each Service that misses,
// and about twenty series for the cluster. A rate that is not recorded is zero, and sums over time treat it as zero.
local duration = import 'duration.libsonnet';

{
  local config = $._config,
  local window = config.rateWindow,
  local cluster = config.clusterLabel,
  local service = [cluster, 'namespace', 'service'],
  local by(labels) = std.join(', ', labels),

  // The rate of a counter by Service and further labels.
  //
  // A Service's counters start to exist with its first change, or with the first one after a day without changes. rate() ignores
  // the first value of a series, which here are the first changes of a rollout. So if a series did not exist one window ago, its
  // value counts as its increase. This holds only if its daemon was scraped then: otherwise the series may be old, and only its
  // scrapes were missing. A series with other labels of the target, after a change of its relabeling, is not a new one.
  local rate(metric, labels, matchers='') =
    |||
      max by (%(labels)s) (
        (
          %(series)s
          unless on (%(own)s) %(series)s offset %(window)s
          and on (%(target)s) (up{%(selector)s} offset %(window)s == 1)
        ) / %(seconds)d
        or
        rate(%(series)s[%(window)s])
      )
    ||| % {
      labels: by(service + labels),
      series: '%s{%s}' % [metric, std.join(', ', [config.selector] + (if matchers == '' then [] else [matchers]))],
      selector: config.selector,
      own: by([cluster, 'job', 'instance', 'namespace', 'service'] + labels),
      target: by([cluster, 'job', 'instance']),
      window: window,
      seconds: duration.seconds(window),
    },
  local sum(labels, expression) = 'sum by (%s) (\n%s)\n' % [by(labels), $.endpointlag.indented(expression)],

  local changes = '%s:endpointlag_slo_changes:rate' + window,
  local missed = '%s:endpointlag_slo_missed:rate' + window,

  // The share of missed changes over a window. Numerator and denominator are sums over the same evaluations, so the number of
  // evaluations cancels out.
  local share(level, over) =
    local operand(name) = if over == window then name % level else 'sum_over_time(%s[%s])' % [name % level, over];
    {
      record: $.endpointlag.share(level, over),
      expr: '%s\n/\n%s\n' % [operand(missed), operand(changes)],
    },

  local windows = std.set([rate[length] for rate in config.burnRates for length in ['short', 'long']]),
  local isLong(window) = duration.seconds(window) > 60 * 60,
  assert std.all([duration.seconds(over) >= duration.seconds(window) for over in windows]) :
         'a window of burnRates is shorter than rateWindow',
  local shares(windows) = [
    share(level, over)
    for over in std.sort(windows, duration.seconds)
    for level in ['cluster_namespace_service', 'cluster']
  ],

  // Names and helpers that alerts and SLOs build on.
  endpointlag:: {
    serviceLabels: service,
    changes(level):: changes % level,
    missed(level):: missed % level,
    share(level, over):: '%s:endpointlag_slo_missed_per_change:ratio_rate%s' % [level, over],
    outcomes:: 'cluster_outcome:endpointlag_changes:rate' + window,
    // The number of events over a window, from a rate that is recorded at each interval.
    events(rate, over):: 'sum_over_time(%s[%s]) * %d' % [rate, over, duration.seconds(config.interval)],
    indented(text):: std.join('', ['  %s\n' % line for line in std.split(std.rstripChars(text, '\n'), '\n')]),
  },

  prometheusRules+:: {
    groups+: [
      {
        name: 'endpointlag-rates',
        interval: config.interval,
        rules: [
          {
            record: changes % 'cluster_namespace_service',
            expr: sum(service, rate('endpointlag_slo_changes_total', ['change'])) + '> 0\n',
          },
          {
            record: missed % 'cluster_namespace_service',
            expr: sum(service, rate('endpointlag_slo_missed_total', ['change'])) + '> 0\n',
          },
          {
            record: changes % 'cluster',
            expr: 'sum by (%s) (%s)\n' % [cluster, changes % 'cluster_namespace_service'],
          },
          {
            // Zero if there are changes but no misses, so that the share exists and is zero.
            record: missed % 'cluster',
            expr: 'sum by (%s) (%s)\nor\n0 * %s\n' % [
              cluster,
              missed % 'cluster_namespace_service',
              changes % 'cluster',
            ],
          },
          {
            record: $.endpointlag.outcomes,
            expr: sum([cluster, 'outcome'], rate('endpointlag_changes_total', ['change', 'outcome'])),
          },
        ] + shares([over for over in windows if !isLong(over)]),
      },
    ] + (
      local long = shares([over for over in windows if isLong(over)]);
      if long == [] then [] else [{ name: 'endpointlag-long', interval: config.longInterval, rules: long }]
    ),
  },
}
