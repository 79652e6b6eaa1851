//! The shipped rules and alerts, checked by promtool and by a real Prometheus with a real control plane.

/// The tests, by what checks the rules.
mod rules {
    mod promtool;
    mod slo;
    mod stalled;
}
