//! What a watch tells, in the order in which it tells it.

use super::{EndpointSlice, EndpointsChange, Pod, Service};
use std::fmt;

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
    /// From its time on the watch may lack what happened, or bring it late: the connection broke, fell silent or stalled.
    WatchLost(Resource),
    /// All that happened until its time has been told, and what follows is told as it happens.
    WatchRestored(Resource),
    /// A list begins: the objects until [`Event::InitDone`] are all there are.
    Init(Resource),
    /// The list is complete; what it did not name is gone.
    InitDone(Resource),
    /// A pod was created or changed, or stands in a list.
    Pod(Pod),
    /// A pod was deleted; its last state.
    PodDeleted(Pod),
    /// A Service was created or changed, or stands in a list.
    Service(Service),
    /// A Service was deleted; its last state.
    ServiceDeleted(Service),
    /// A slice was created or changed, or stands in a list.
    EndpointSlice(EndpointSlice),
    /// A slice that was told of before was changed, in nothing but its endpoints.
    EndpointsChanged(EndpointsChange),
    /// A slice was deleted; its last state, whose endpoints and ports may be left out.
    EndpointSliceDeleted(EndpointSlice),
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
