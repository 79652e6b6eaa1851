//! The static binary that the image holds.

/// The tests by what they look at.
mod image {
    mod build;
    mod dockerfile;
    mod elf;
    mod root;
    mod running;
}
