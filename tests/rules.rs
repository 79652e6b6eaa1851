//! The shipped rules and alerts, held by promtool and by a real Prometheus beside a real control plane.

/// The tests by who judges the rules.
mod rules {
    mod promtool;
    mod slo;
    mod stalled;
}
