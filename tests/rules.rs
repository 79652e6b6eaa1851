//! The shipped rules and alerts, held by promtool and by a real Prometheus beside a real control plane.
