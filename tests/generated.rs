//! What is generated and committed is what its sources render. With `ENDPOINTLAG_WRITE_GENERATED=1` it is written anew.

/// The tests by what is generated.
mod generated {
    mod chart;
    mod committed;
    mod mixin;
}
