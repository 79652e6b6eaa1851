// Queries that are right for one daemon, for replicas and for shards.
//
// For gauges and rates of a Service, queries take the maximum over all daemons, because replicas see the same, and of several
// shards only one sees the Service. Services are summed after that. Histograms are summed directly, and so are both sides of a
// share: quantiles and shares do not change if each delay is counted twice.
local duration = import '../../deploy/mixin/duration.libsonnet';

function(config) {
  local query = self,

  // Labels that identify a Service.
  serviceLabels:: [config.clusterLabel, 'namespace', 'service'],

  // Matchers of every series of the daemon.
  daemon:: '%s, job=~"$job", instance=~"$instance", %s=~"$cluster"' % [config.selector, config.clusterLabel],

  // Matchers of the series of Services.
  service:: query.daemon + ', namespace=~"$namespace", service=~"$service"',

  by(labels):: 'by (%s)' % std.join(', ', labels),

  // A series of the daemon itself.
  own(metric, matchers=''):: '%s{%s%s}' % [metric, query.daemon, matchers],

  // A series of a Service.
  of(metric, matchers=''):: '%s{%s%s}' % [metric, query.service, matchers],

  // A gauge of the daemons that can see, as in the alerts: a daemon that is blind shows what it saw last.
  sighted(gauge)::
    '%s unless on (%s) (%s == 0 or %s > %d)' % [
      gauge,
      std.join(', ', [config.clusterLabel, 'job', 'instance']),
      query.own('endpointlag_watch_synced'),
      query.own('endpointlag_watch_age_seconds'),
      duration.seconds(config.blindAfter),
    ],

  // A gauge of a Service, from the daemons that can see.
  seen(metric):: query.sighted(query.of(metric)),

  // A gauge or a rate by Service, change and other labels, as the maximum over all daemons.
  each(expression, labels=['change'])::
    'max %s (%s)' % [query.by(query.serviceLabels + labels), expression],

  rate(metric, matchers=''):: 'rate(%s[$__rate_interval])' % query.of(metric, matchers),
  ownRate(metric, matchers=''):: 'rate(%s[$__rate_interval])' % query.own(metric, matchers),
  increase(metric, over='$__range'):: 'increase(%s[%s])' % [query.of(metric), over],

  // Share of the time that the watches of a resource lost. All watches of the resource, one for each namespace, add to one counter.
  shareOf(metric)::
    '%s / clamp_min(sum without (protocol) (%s), 1)' % [query.ownRate(metric), query.own('endpointlag_watch_protocol')],

  // Sums over Services.
  sum(expression, labels=[], of=['change'])::
    'sum %s(%s)' % [
      if labels == [] then '' else query.by(labels) + ' ',
      query.each(expression, of),
    ],

  // A quantile of a histogram. Without changes the result is empty instead of NaN. The variable `histogram` completes the
  // name: "seconds_bucket" selects the classic histogram, "seconds" the native one, which has no label le.
  quantile(q, labels=[], window='$__rate_interval', matchers='')::
    query.quantileOf(q, query.of('endpointlag_propagation_${histogram}', matchers), labels, window),

  // The same for any series of a histogram.
  quantileOf(q, series, labels=[], window='$__rate_interval')::
    'histogram_quantile(%s, sum %s (%s(%s[%s]))) >= 0' % [
      q,
      query.by(labels + ['le']),
      if window == '$__rate_interval' then 'rate' else 'increase',
      series,
      window,
    ],

  // A quantile of the time until a change was in effect on a share of the nodes. Services have this only as a native histogram;
  // classic buckets are of all Services together, as Service _all/_all. Prometheus has one of the two, whichever the variable
  // `histogram` selects: without classic buckets, native ones.
  visible(q, nodes, labels=[])::
    query.ownOrAll(q, 'endpointlag_visible_', ['namespace', 'service'], labels, matchers=', nodes="%s"' % nodes),

  // The same for any histogram whose owners have it only as a native one. `owner` has the labels that name the owner.
  ownOrAll(q, metric, owner, labels=[], window='$__rate_interval', matchers='')::
    local owners = std.join('', [', %s=~"$%s|_all"' % [label, label] for label in owner]);
    local of(suffix) =
      query.quantileOf(q, '%s%s{%s%s%s}' % [metric, suffix, query.daemon, owners, matchers], labels, window);
    '%s or %s' % [of('${histogram}'), of('seconds')],

  // Findings of advice by these labels. Each replica has all of them, and each shard its own.
  findings(labels, matchers='')::
    'count %s (%s)' % [
      query.by(labels),
      query.each(query.of('endpointlag_finding', matchers), ['check', 'severity']),
    ],

  // Zero if there is a daemon, for panels in which nothing is counted. Without a daemon the result is empty.
  zero:: '0 * max(%s)' % query.own('endpointlag_build_info'),
  orZero(expression):: '%s or %s' % [expression, query.zero],

  // The same if there is a daemon that can see.
  orSeenZero(expression):: '%s or 0 * max(%s)' % [expression, query.sighted(query.own('endpointlag_build_info'))],

  // Share of the changes that missed their objective. Empty if there were no changes. The sums are over all daemons: each daemon has
  // both its changes and its misses, and those that ran one after the other are added up.
  missedShare(increase, labels=[])::
    local sum(metric) = 'sum %s(%s)' % [if labels == [] then '' else query.by(labels) + ' ', increase(metric)];
    '%s / (%s > 0)' % [sum('endpointlag_slo_missed_total'), sum('endpointlag_slo_changes_total')],

  // The number of `changes` or `missed` of the shown time by Service. One daemon counts only what happened while it ran. The recorded
  // rates add up daemons that ran one after the other, and count replicas once, but the last window is not complete. Both are too
  // small, so the larger number counts. Without the recording rules it is that of one daemon.
  count(what)::
    local recorded = 'cluster_namespace_service:endpointlag_slo_%s:rate%s{%s=~"$cluster", namespace=~"$namespace", service=~"$service"}' %
                     [what, config.rateWindow, config.clusterLabel];
    'max %s (label_replace(sum_over_time(%s[$__range]) * %d, "from", "rules", "", "") or %s)' % [
      query.by(query.serviceLabels),
      recorded,
      duration.seconds(config.interval),
      query.sum(query.increase('endpointlag_slo_%s_total' % what), query.serviceLabels),
    ],

  // A target that is drawn over time.
  series(expr, legend, extra={}):: {
    expr: expr,
    legendFormat: legend,
    range: true,
    instant: false,
  } + extra,

  // A target with the present values.
  now(expr, legend=''):: {
    expr: expr,
    legendFormat: legend,
    range: false,
    instant: true,
  },

  // A target with the present values as columns.
  table(expr):: query.now(expr) + { format: 'table' },
}
