//! When and how an event arrived.

use std::time::Duration;

/// A point on the process's monotonic clock: nanoseconds since the clock's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

/// Whether the stamp of an event is the time at which the cluster sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// It was read when it arrived.
    Live,
    /// It may have happened earlier: it is part of a list or of the replay after a reconnect, or we read it late.
    /// It cannot be used to measure time.
    Late,
}

/// When and how an event arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When its last byte was read.
    pub at: Stamp,
    /// Whether this time can be used to measure.
    pub arrival: Arrival,
}

// === impl Stamp ===

impl Stamp {
    /// The stamp `since_origin` after the clock's origin. It saturates after 584 years.
    pub fn new(since_origin: Duration) -> Self {
        Self(u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The stamp this number of nanoseconds after the clock's origin.
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

    /// Time from `earlier` to this stamp; zero if `earlier` is later.
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
    /// It was read when it arrived.
    pub fn live(at: Stamp) -> Self {
        Self { at, arrival: Arrival::Live }
    }

    /// It may have happened earlier.
    pub fn late(at: Stamp) -> Self {
        Self { at, arrival: Arrival::Late }
    }

    /// Whether it cannot be used to measure time.
    pub fn is_late(self) -> bool {
        self.arrival == Arrival::Late
    }
}
