//! The static binary in the image.

/// The tests, by what they check.
mod image {
    mod build;
    mod dockerfile;
    mod elf;
    mod krew;
    mod root;
    mod running;
}
