//! What a watch tells, in the order in which it tells it, with the time at which it was told.

use crate::cluster::object::{EncodedEndpoint, EndpointSlice, Pod, Service};
use std::{fmt, time::Duration};

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

/// The three resources that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// `v1` pods.
    Pods,
    /// `v1` services.
    Services,
    /// `discovery.k8s.io/v1` endpointslices.
    EndpointSlices,
}

/// One step of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// From its time on the watch may lack what happened, or bring it late: the connection broke, fell silent or was held up.
    WatchLost(Resource),
    /// All that happened until its time has been told, and what follows is told as it happens.
    WatchRestored(Resource),
    /// A list begins: the objects until [`Event::ListEnded`] are all there are.
    ListBegan(Resource),
    /// The list is complete; what it did not name is gone.
    ListEnded(Resource),
    /// A pod was created or changed, or stands in a list.
    Pod(Pod),
    /// A pod was deleted; its last state.
    PodDeleted(Pod),
    /// A Service was created or changed, or stands in a list.
    Service(Service),
    /// A Service was deleted; its last state.
    ServiceDeleted(Service),
    /// A slice was created or changed, or stands in a list.
    EndpointSlice(EndpointSlice<EncodedEndpoint>),
    /// A slice was deleted; its last state.
    EndpointSliceDeleted(EndpointSlice<EncodedEndpoint>),
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

// === impl Resource ===

impl Resource {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Pods, Self::Services, Self::EndpointSlices];

    /// The plural as the API and the metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
