//! The chart and the manifests, checked by Helm, by schemas and by a real API server.

/// The tests, by what checks them.
mod chart {
    mod agents;
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
