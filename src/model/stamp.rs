//! When, and how, something was told.

use std::time::Duration;

/// A point on the process's monotonic clock: nanoseconds since the clock's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

/// Whether the stamp of an event is the time at which the cluster let it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// It was read as it came.
    Live,
    /// It may have been there before: part of a list, of the replay after a reconnect, or read while we were behind.
    /// Nothing timed by it is true.
    Late,
}

/// When, and how, an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When its last byte was read.
    pub at: Stamp,
    /// Whether that is a time to measure with.
    pub arrival: Arrival,
}

// === impl Stamp ===

impl Stamp {
    /// The stamp `since_origin` after the clock's origin. Saturates after 584 years.
    pub fn new(since_origin: Duration) -> Self {
        Self(u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The stamp so many nanoseconds after the clock's origin.
    pub const fn from_nanos(since_origin: u64) -> Self {
        Self(since_origin)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the clock's origin.
    pub fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The stamp `by` earlier; the clock's origin if that is before it.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The stamp `by` later.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

// === impl Seen ===

impl Seen {
    /// Read as it came.
    pub fn live(at: Stamp) -> Self {
        Self { at, arrival: Arrival::Live }
    }

    /// May have been there before.
    pub fn late(at: Stamp) -> Self {
        Self { at, arrival: Arrival::Late }
    }

    /// Whether nothing can be timed by it.
    pub fn is_late(self) -> bool {
        self.arrival == Arrival::Late
    }
}
