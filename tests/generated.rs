//! The generated and committed files are what their sources render. With `ENDPOINTLAG_WRITE_GENERATED=1` they are written again.

/// The tests, by what is generated.
mod generated {
    mod chart;
    mod committed;
    mod mixin;
}
