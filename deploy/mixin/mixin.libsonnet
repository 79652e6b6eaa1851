// Dashboards, recording rules and alerts as a mixin.
(import 'config.libsonnet') +
(import 'rules.libsonnet') +
(import 'alerts.libsonnet') +
(import '../../dashboards/dashboards.libsonnet')
