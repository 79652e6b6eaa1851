// Panels: their common parts, and the Grafana options that are used here.
local datasource = { type: 'prometheus', uid: '${datasource}' };

// A fixed colour for each kind of change, each outcome and each resource, by the legend of the series.
local colours = {
  '{{change}}': { ready: 'green', unready: 'orange', terminating: 'purple', removed: 'red', service: 'blue' },
  '{{outcome}}': {
    propagated: 'green',
    in_effect: 'green',
    superseded: 'light-blue',
    censored: 'yellow',
    withdrawn: 'purple',
    expired: 'red',
    not_applicable: 'text',
  },
  '{{resource}}': { pods: 'green', services: 'blue', endpointslices: 'orange' },
};

local step(colour, value=null) = { color: colour, value: value };

local base(type, title, description, unit, targets) = {
  type: type,
  title: title,
  description: description,
  datasource: datasource,
  pluginVersion: '11.6.0',
  targets: [
    { refId: std.char(std.codepoint('A') + number), datasource: datasource, editorMode: 'code' } + targets[number]
    for number in std.range(0, std.length(targets) - 1)
  ],
  fieldConfig: { defaults: { unit: unit }, overrides: [] },
};

{
  datasource:: datasource,

  // Thresholds: the first colour applies below all values, each other colour from its value on.
  thresholds(first, steps=[]):: {
    mode: 'absolute',
    steps: [step(first)] + [step(entry[0], entry[1]) for entry in steps],
  },

  // Options of the fields with these names.
  override(matcher, properties):: {
    matcher: matcher,
    properties: [{ id: id, value: properties[id] } for id in std.objectFields(properties)],
  },
  byName(name, properties):: $.override({ id: 'byName', options: name }, properties),

  // Units: things per second; seconds on a linear axis, where Grafana would otherwise write 1.67 mins; seconds on a logarithmic axis.
  perSecond(what):: 'suffix:%s/s' % what,
  seconds:: 'suffix:s',
  decades:: 'si:s',

  // A number with its recent values as a small graph, or several such numbers.
  stat(title, description, unit, target, thresholds, extra={})::
    local targets = if std.isArray(target) then target else [target];
    base('stat', title, description, unit, targets) + {
      fieldConfig+: { defaults+: { thresholds: thresholds, color: { mode: 'thresholds' } } },
      options: {
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        colorMode: 'value',
        graphMode: if targets[0].range then 'area' else 'none',
        justifyMode: 'center',
        orientation: 'auto',
        textMode: 'value',
      },
    } + extra,

  // Shows each number with its name.
  named:: { options+: { textMode: 'value_and_name', graphMode: 'none', orientation: 'vertical' } },

  // Lines over time.
  timeseries(title, description, unit, targets, extra={})::
    base('timeseries', title, description, unit, targets) + {
      fieldConfig+: {
        defaults+: {
          min: 0,
          color: { mode: 'palette-classic' },
          custom: {
            drawStyle: 'line',
            lineWidth: 2,
            fillOpacity: 0,
            gradientMode: 'none',
            lineInterpolation: 'linear',
            showPoints: 'auto',
            pointSize: 4,
            spanNulls: false,
            axisPlacement: 'auto',
            stacking: { mode: 'none', group: 'A' },
            thresholdsStyle: { mode: 'off' },
          },
        },
        overrides: [
          $.byName(name, { color: { mode: 'fixed', fixedColor: colours[target.legendFormat][name] } })
          for target in targets
          if std.objectHas(colours, target.legendFormat)
          for name in std.objectFields(colours[target.legendFormat])
        ],
      },
      options: {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    } + extra,

  // Modifiers of lines over time.
  stacked:: {
    fieldConfig+: { defaults+: { custom+: {
      stacking: { mode: 'normal', group: 'A' },
      fillOpacity: 45,
      lineWidth: 1,
    } } },
  },
  // Counts: no fractions on the axis.
  whole:: { fieldConfig+: { defaults+: { decimals: 0 } } },
  // Values that hold until the next one: drawn as steps.
  steps:: { fieldConfig+: { defaults+: { custom+: { lineInterpolation: 'stepAfter' } } } },
  // A logarithmic axis, for values from milliseconds to minutes.
  logarithmic:: {
    fieldConfig+: { defaults+: { min:: null, custom+: {
      scaleDistribution: { type: 'log', log: 10 },
      axisGridShow: false,
    } } },
  },
  // The axis reaches at least this value, so that noise near zero does not look large.
  upTo(value):: { fieldConfig+: { defaults+: { custom+: { axisSoftMax: value } } } },
  // The axis reaches at least over this range, so that panels side by side can be compared.
  between(least, most):: { fieldConfig+: { defaults+: { custom+: { axisSoftMin: least, axisSoftMax: most } } } },
  // A line at each threshold.
  limits(thresholds):: {
    fieldConfig+: { defaults+: { thresholds: thresholds, custom+: { thresholdsStyle: { mode: 'dashed' } } } },
  },
  // Draws the series of this name as a limit.
  limitSeries(name):: {
    fieldConfig+: { overrides+: [$.byName(name, {
      color: { mode: 'fixed', fixedColor: 'dark-red' },
      'custom.fillOpacity': 0,
      'custom.lineWidth': 1,
      'custom.lineStyle': { fill: 'dash', dash: [8, 6] },
      'custom.showPoints': 'never',
    })] },
  },
  // Bars, the longest first.
  bars(title, description, unit, targets, thresholds, extra={})::
    base('bargauge', title, description, unit, targets) + {
      fieldConfig+: { defaults+: { min: 0, thresholds: thresholds, color: { mode: 'thresholds' } } },
      options: {
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        displayMode: 'basic',
        orientation: 'horizontal',
        namePlacement: 'left',
        showUnfilled: true,
        valueMode: 'color',
        sizing: 'auto',
        minVizHeight: 16,
        minVizWidth: 8,
        text: { titleSize: 13, valueSize: 16 },
      },
    } + extra,

  // Counts by size over time.
  heatmap(title, description, unit, target, extra={})::
    base('heatmap', title, description, unit, [target]) + {
      options: {
        calculate: false,
        cellGap: 1,
        cellValues: { unit: unit, decimals: 2 },
        color: { mode: 'scheme', scheme: 'Oranges', steps: 64, exponent: 0.5, fill: 'dark-orange', reverse: false },
        filterValues: { le: 1e-9 },
        legend: { show: true },
        rowsFrame: { layout: 'auto' },
        showValue: 'never',
        tooltip: { mode: 'single', yHistogram: true, showColorScale: true },
        yAxis: { axisPlacement: 'left', unit: 's', reverse: false },
      },
    } + extra,

  // Rows of labels and values. Columns are objects of field, name, and further options of the field; other fields are left out.
  table(title, description, targets, columns, hidden=[], sort=null, extra={})::
    base('table', title, description, 'short', targets) + {
      fieldConfig+: {
        defaults+: { custom: { align: 'auto', cellOptions: { type: 'auto' }, filterable: false } },
        overrides: [
          $.byName(column.name, column.options)
          for column in columns
          if std.objectHas(column, 'options')
        ],
      },
      options: {
        cellHeight: 'sm',
        showHeader: true,
        footer: { show: false, reducer: ['sum'], countRows: false, fields: '' },
        sortBy: if sort == null then [] else [{ displayName: sort, desc: true }],
      },
      transformations: [
        { id: 'merge', options: {} },
        { id: 'organize', options: {
          excludeByName: { [field]: true for field in ['Time'] + hidden },
          indexByName: { [columns[number].field]: number for number in std.range(0, std.length(columns) - 1) },
          renameByName: { [column.field]: column.name for column in columns },
        } },
      ],
    } + extra,

  // A cell with the colour of its threshold.
  cell(unit, first, steps):: {
    unit: unit,
    thresholds: $.thresholds(first, steps),
    'custom.cellOptions': { type: 'color-text' },
  },
}
