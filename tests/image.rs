//! The static binary that the image holds.
