//! Who a change is about.

use super::membership::{PodId, ServiceId};

/// A pod in a Service, or the Service itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    /// The Service whose endpoints must change.
    pub(super) service: ServiceId,
    /// The pod; `None` for a change of the Service itself.
    pub(super) pod: Option<PodId>,
}

// === impl Subject ===

impl Subject {
    /// A pod in a Service.
    pub(super) fn of_pod(service: ServiceId, pod: PodId) -> Self {
        Self { service, pod: Some(pod) }
    }

    /// The Service itself.
    pub(super) fn of_service(service: ServiceId) -> Self {
        Self { service, pod: None }
    }
}
