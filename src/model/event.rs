//! What a watch delivers, in the order of delivery.

use super::{EndpointSlice, EndpointsChange, Pod, Service};
use std::fmt;

/// The three watched resources.
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
    /// From this time on, the watch may miss events or deliver them late: the connection broke, fell silent or stalled.
    WatchLost(Resource),
    /// Everything before this time was delivered. Later events are delivered as they happen.
    WatchRestored(Resource),
    /// A list begins: the objects until [`Event::InitDone`] are all that exist.
    Init(Resource),
    /// The list is complete. What it did not contain is gone.
    InitDone(Resource),
    /// A pod was created or changed, or is in a list.
    Pod(Pod),
    /// A pod was deleted. This is its last state.
    PodDeleted(Pod),
    /// A Service was created or changed, or is in a list.
    Service(Service),
    /// A Service was deleted. This is its last state.
    ServiceDeleted(Service),
    /// A slice was created or changed, or is in a list.
    EndpointSlice(EndpointSlice),
    /// Only the endpoints of a slice changed. The slice was delivered before.
    EndpointsChanged(EndpointsChange),
    /// A slice was deleted. This is its last state, possibly without endpoints and ports.
    EndpointSliceDeleted(EndpointSlice),
}

// === impl Resource ===

impl Resource {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Pods, Self::Services, Self::EndpointSlices];

    /// The plural name in the API and the metrics.
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
