//! Times that are known with an error.

use super::Stamp;
use std::time::Duration;

/// A time on a clock, with its error. The true time lies within these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The true time is not before this.
    pub earliest: Stamp,
    /// The true time is not after this.
    pub latest: Stamp,
}

// === impl Interval ===

impl Interval {
    /// Maximum error of the time in its middle.
    pub fn error(self) -> Duration {
        self.latest.since(self.earliest) / 2
    }

    /// The time in its middle.
    pub fn middle(self) -> Stamp {
        self.earliest.plus(self.error())
    }
}
