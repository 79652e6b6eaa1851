//! `endpointlag advise` on a real control plane: what it finds, and that its patches are accepted and help.

/// The tests by topic.
mod advise {
    mod charts;
    mod guarded;
    mod manifests;
    mod measured;
    mod outputs;
    mod paths;
    mod rights;
    mod rows;
    mod running;
    mod sample;
    mod scene;
}
