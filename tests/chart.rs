//! The chart and the manifests, held by Helm, by schemas and by a real API server.

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
