//! The reports of the tracker, with names: what changed, how it ended, and the current state.

use crate::{
    ledger::{self, Backlog, Change, Fault, Faults},
    model::{SliceVersion, Uid},
};
use std::{cmp::Ordering, fmt, sync::Arc, time::Duration};

/// A report of the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A change ended.
    Ended(Ended),
    /// A change met its objective or missed it. Reported at most once per change: when it is reflected in time, or at the
    /// moment when its age passes the objective, independent of its outcome.
    Judged {
        /// The Service.
        service: Arc<ServiceName>,
        /// Kind of change.
        change: Change,
        /// Whether the objective was missed.
        missed: bool,
    },
}

/// The end of a change on the slice hop, and the version of the slice that showed it.
pub type Ended = ledger::Ended<Subject, Arc<SliceVersion>>;

/// A change that is pending on the slice hop.
pub type PendingChange = ledger::Pending<Subject>;

/// The subject of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The Service whose endpoints have to change.
    pub service: Arc<ServiceName>,
    /// The pod; `None` for [`Change::Service`].
    pub pod: Option<PodRef>,
}

/// Names a pod for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// Its name.
    pub name: Arc<str>,
    /// Its identity.
    pub uid: Uid,
}

/// Names a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

/// An endpoint for which the slices now differ from what its pod and Service say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfSyncEndpoint {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// The pod.
    pub pod: PodRef,
    /// Since when, and whether it affects traffic.
    pub fault: Fault,
}

/// The current state of the Services of a scope, as plain data, in addition to the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether every watch has listed once. Before, it is unknown what is in sync.
    pub is_measuring: bool,
    /// The Services whose endpoints are measured, each with its objective, in no order.
    pub measured: Vec<(Arc<ServiceName>, Duration)>,
    /// The pending changes, by Service and kind of change, in no order.
    pub pending: Vec<(Arc<ServiceName>, Change, Backlog)>,
    /// The endpoints that are out of sync, by Service, in no order. A Service in sync is not in the list.
    pub out_of_sync: Vec<(Arc<ServiceName>, Faults)>,
}

/// How much a tracker holds. All that can grow is counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Pods that exist, and pods that are gone but still listed by a slice, excluded by a pending edit, or remembered.
    pub pods: usize,
    /// Services that exist, measured or not, and Services that are gone but still have a slice.
    pub services: usize,
    /// Slices that the EndpointSlice controller writes for a Service.
    pub slices: usize,
    /// Pending changes: at most one per Service, and one per pod, Service and kind.
    pub pending: usize,
    /// Endpoints that are out of sync: at most one per pod and Service.
    pub out_of_sync: usize,
    /// Pods and Services with an overtaken change that may still be written: at most one per Service, and one per pod and Service.
    pub overtaken: usize,
}

// === impl Report ===

impl Report {
    /// The order of the reports of one step. By time first, because a step may end changes of several times.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let key = |report: &Self| match report {
            Self::Ended(Ended { at, key: Subject { service, pod }, change, outcome, began, .. }) => {
                let pod = pod.as_ref().map(|pod| (pod.name.clone(), pod.uid.clone()));
                // Two changes of the same name may end at once, when a Service is created again.
                (Some(*at), service.clone(), pod, *change, outcome.index(), outcome.delay(), Some(*began))
            }
            Self::Judged { service, change, missed } => {
                (None, service.clone(), None, *change, usize::from(*missed), None, None)
            }
        };
        key(self).cmp(&key(other))
    }
}

// === impl ServiceName ===

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
