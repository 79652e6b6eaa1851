// The dashboards of the mixin, by file name.
{
  grafanaDashboards+:: {
    'overview.json': (import 'overview.libsonnet')($._config),
    'service.json': (import 'service.libsonnet')($._config),
    'daemon.json': (import 'daemon.libsonnet')($._config),
  },
}
