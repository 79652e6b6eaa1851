// A dashboard: its variables, its links, and the places of its panels.
local panel = import 'panel.libsonnet';

function(config) {
  local dashboard = self,

  local variable(name, label, expression, extra={}) = {
    name: name,
    label: label,
    type: 'query',
    datasource: panel.datasource,
    query: { query: expression, refId: name },
    definition: expression,
    refresh: 2,
    sort: 1,
    hide: 0,
    regex: '',
    skipUrlSync: false,
    multi: false,
    includeAll: false,
    options: [],
  } + extra,
  local several(all) = {
    multi: true,
    includeAll: true,
    allValue: all,
    current: { selected: true, text: ['All'], value: ['$__all'] },
  },
  local within(matchers) = '%s{%s}' % ['endpointlag_build_info', std.join(', ', [config.selector] + matchers)],
  local inCluster = '%s=~"$cluster"' % config.clusterLabel,
  local ofServices(matchers) =
    'endpointlag_objective_seconds{%s}' % std.join(', ', [config.selector, inCluster, 'job=~"$job"'] + matchers),

  variables:: {
    datasource: {
      name: 'datasource',
      label: 'Data source',
      type: 'datasource',
      query: 'prometheus',
      refresh: 1,
      regex: '',
      hide: 0,
      multi: false,
      includeAll: false,
      skipUrlSync: false,
      options: [],
      current: {},
    },

    // If no series has the label, `.*` still matches.
    cluster: variable(
      'cluster', 'Cluster', 'label_values(%s, %s)' % [within([]), config.clusterLabel], several('.*')
    ),
    job: variable('job', 'Job', 'label_values(%s, job)' % within([inCluster]), several('.+')),
    instance: variable(
      'instance', 'Instance', 'label_values(%s, instance)' % within([inCluster, 'job=~"$job"']), several('.+')
    ),
    namespaces: variable('namespace', 'Namespace', 'label_values(%s, namespace)' % ofServices([]), several('.+')),
    services: variable(
      'service', 'Service', 'label_values(%s, service)' % ofServices(['namespace=~"$namespace"']), several('.+')
    ),
    namespace: variable('namespace', 'Namespace', 'label_values(%s, namespace)' % ofServices([])),
    service: variable('service', 'Service', 'label_values(%s, service)' % ofServices(['namespace=~"$namespace"'])),

    // Classic or native, if such series exist. The value completes the name of the metric. Prometheus drops the classic series
    // when it scrapes native ones, unless it is configured to keep both.
    histogram: variable(
      'histogram',
      'Histograms',
      local found(suffix, matchers) =
        'count(endpointlag_propagation_%s{%s})' % [suffix, std.join(', ', [config.selector, inCluster] + matchers)];
      local named(expression, kind, suffix) =
        'label_replace(label_replace(%s, "kind", "%s", "", ""), "suffix", "%s", "", "")' % [expression, kind, suffix];
      'query_result(%s or %s)' % [
        named(found('seconds_bucket', ['le="+Inf"']), 'classic', 'seconds_bucket'),
        named(found('seconds', []), 'native', 'seconds'),
      ],
      {
        regex: '/kind="(?<text>[^"]+)".*suffix="(?<value>[^"]+)"/',
        sort: 0,
        current: { selected: true, text: 'classic', value: 'seconds_bucket' },
      }
    ),
  },

  // Links to the other dashboards. They keep the time range and the shared variables.
  local links(except) = [
    {
      type: 'link',
      title: std.asciiUpper(name[0]) + name[1:],
      tooltip: 'The dashboard %s of endpointlag' % name,
      url: '/d/' + config.dashboardUIDs[name],
      icon: 'dashboard',
      includeVars: true,
      keepTime: true,
      targetBlank: false,
      asDropdown: false,
      tags: [],
    }
    for name in ['overview', 'service', 'daemon']
    if name != except
  ] + (if config.runbookURLPrefix == '' then [] else [{
         type: 'link',
         title: 'Runbook',
         tooltip: 'What to do if the controller has stopped. It links to the other runbooks',
         url: config.runbookURLPrefix + 'EndpointLagControllerStalled' + config.runbookURLSuffix,
         icon: 'doc',
         includeVars: false,
         keepTime: false,
         targetBlank: true,
         asDropdown: false,
         tags: [],
       }]),

  // Alerts that fired, as annotations on the time axis.
  local alerts = {
    name: 'Alerts',
    datasource: panel.datasource,
    enable: true,
    hide: false,
    iconColor: 'red',
    expr: 'ALERTS{alertname=~"EndpointLag.+", alertstate="firing", severity!="info", %s}' % inCluster,
    titleFormat: '{{alertname}}',
    textFormat: '{{severity}} {{namespace}} {{service}}',
    tagKeys: 'severity',
    step: '60s',
    useValueForTime: false,
  },

  // The firing alerts, each with its runbook. Alerts of severity info are left out here, and on the time axis too. Within a
  // severity, the first group comes before the second, with at most twenty alerts each. A group has the labels, but for those that it is
  // `without`.
  alerts(alertname, groups, what)::
    local labels = [config.clusterLabel, 'severity', 'alertname', 'namespace', 'service', 'instance'];
    // An alert about a whole cluster has no Service, and an alert about a Service has no daemon.
    local maybe = { noValue: '–' };
    local firing(group) =
      local selector = 'alertname=~"%s", severity!="info", %s' % [alertname, std.join(', ', [inCluster] + group.matchers)];
      'topk by (severity) (20, max by (%s) ((time() - ALERTS_FOR_STATE{%s}) and ignoring (alertstate) ALERTS{%s, alertstate="firing"}))' %
      [std.join(', ', std.filter(function(label) !std.member(std.get(group, 'without', []), label), labels)), selector, selector];
    panel.table(
      'Firing alerts',
      |||
        Alerts that fire now, %s. Critical alerts come first. Of the alerts about Services, only the twenty that have been active longest are listed. Prometheus must evaluate the rules of deploy/prometheus, or the chart's PrometheusRule. Without these rules this table is always empty.

        When there is an alert: its runbook says what it means, what to check and what to change.
      ||| % what,
      [{
        expr: 'label_replace(%s, "runbook", "%s$1%s", "alertname", "(.+)")' % [
          std.join(' or ', [firing(group) for group in groups]),
          if config.runbookURLPrefix == '' then 'deploy/runbooks/' else config.runbookURLPrefix,
          config.runbookURLSuffix,
        ],
        legendFormat: '',
        range: false,
        instant: true,
        format: 'table',
      }],
      [
        {
          field: 'severity',
          name: 'Severity',
          options: panel.cell('string', 'text', []) {
            'custom.width': 90,
            mappings: [{ type: 'value', options: {
              critical: { text: 'critical', color: 'red', index: 0 },
              warning: { text: 'warning', color: 'orange', index: 1 },
            } }],
          },
        },
        { field: 'alertname', name: 'Alert', options: { 'custom.width': 250 } },
        { field: 'Value', name: 'Active for', options: { unit: 's', 'custom.width': 110 } },
        { field: config.clusterLabel, name: 'Cluster', options: maybe { 'custom.width': 100 } },
        { field: 'namespace', name: 'Namespace', options: maybe { 'custom.width': 120 } },
        { field: 'service', name: 'Service', options: maybe { links: [{
          title: 'Open the Service',
          url: dashboard.serviceURL('${__data.fields.Namespace}', '${__data.fields.Service}'),
        }] } },
        { field: 'instance', name: 'Daemon', options: maybe { 'custom.width': 150 } },
        {
          field: 'runbook',
          name: 'Runbook',
          options: { 'custom.width': 400 } + (if config.runbookURLPrefix == '' then {} else {
                                                links: [{ title: 'Open the runbook', url: '${__value.raw}', targetBlank: true }],
                                              }),
        },
      ],
      extra={
        fieldConfig+: { defaults+: { noValue: 'none' } },
        options+: { sortBy: [{ displayName: 'Severity', desc: false }] },
      },
    ),

  // The URL of a Service's dashboard, from a row or a series that names the Service.
  serviceURL(namespace, service)::
    '/d/%s?${datasource:queryparam}&${cluster:queryparam}&${job:queryparam}&${histogram:queryparam}' %
    config.dashboardUIDs.service +
    '&var-namespace=%s&var-service=%s&${__url_time_range}' % [namespace, service],

  // A headline over the rows that follow.
  section(title):: { section: title },

  // Panels side by side, with the given `widths`, or with equal widths.
  row(height, panels, widths=null):: {
    height: height,
    panels: panels,
    widths: if widths != null then widths else [std.floor(24 / std.length(panels)) for _ in panels],
  },

  // Numbers the panels and computes their positions, from left to right and from top to bottom.
  local place(rows) = std.foldl(
    function(done, row)
      if std.objectHas(row, 'section') then done {
        y: done.y + 1,
        panels+: [{
          type: 'row',
          title: row.section,
          id: std.length(done.panels) + 1,
          gridPos: { x: 0, y: done.y, w: 24, h: 1 },
          collapsed: false,
          panels: [],
        }],
      } else done {
        y: done.y + row.height,
        panels+: [
          row.panels[number] {
            id: std.length(done.panels) + number + 1,
            gridPos: {
              x: std.foldl(function(x, width) x + width, row.widths[:number], 0),
              y: done.y,
              w: row.widths[number],
              h: row.height,
            },
          }
          for number in std.range(0, std.length(row.panels) - 1)
        ],
      },
    rows,
    { y: 0, panels: [] }
  ).panels,

  new(name, description, variables, rows):: {
    uid: config.dashboardUIDs[name],
    title: 'endpointlag / ' + std.asciiUpper(name[0]) + name[1:],
    description: description,
    tags: config.dashboardTags,
    schemaVersion: 39,
    version: 1,
    editable: false,
    graphTooltip: 1,
    refresh: '1m',
    time: { from: 'now-1h', to: 'now' },
    timezone: 'browser',
    links: links(name),
    templating: { list: variables },
    annotations: { list: [alerts] },
    panels: place(rows),
  },
}
