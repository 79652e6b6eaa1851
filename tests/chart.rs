//! The chart and the manifests, held by Helm, by schemas and by a real API server.

mod controlplane;
mod daemon;
mod helm;
mod prometheus;
mod pypi;
mod truth;

/// The tests by who holds them.
mod chart {
    mod install;
    mod kubectl;
    mod linters;
    mod process;
    mod readme;
    mod refusals;
    mod rendered;
    mod schemas;
    mod variants;
}
