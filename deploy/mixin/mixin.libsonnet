// Dashboards, recording rules, alerts and SLOs as a mixin.
(import 'config.libsonnet') +
(import 'rules.libsonnet') +
(import 'alerts.libsonnet') +
(import 'slo.libsonnet') +
(import '../../dashboards/dashboards.libsonnet')
