//! The dashboards, checked by rules and by a real Prometheus that scraped the daemon.

/// The tests, by what they need.
mod dashboards {
    mod grafana;
    mod links;
    mod live;
    mod nodes;
    mod promql;
    mod rules;
    mod values;
}
