//! What the tracker tells, by name: who changed, what became of it, and how things stand.

use crate::{
    ledger::{self, Backlog, Change, Fault, Faults},
    model::{SliceVersion, Uid},
};
use std::{fmt, sync::Arc, time::Duration};

/// What the tracker has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A change ended.
    Ended(Ended),
    /// A change met its objective or missed it. Said once a change at most: when it is reflected in time, or at the
    /// moment its age passes the objective, whatever becomes of it after.
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

/// Who a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The Service whose endpoints have to change.
    pub service: Arc<ServiceName>,
    /// The pod; `None` for [`Change::Service`].
    pub pod: Option<PodRef>,
}

/// Names a pod to people.
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

/// An endpoint that the slices show now otherwise than its pod and Service say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfSyncEndpoint {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// The pod.
    pub pod: PodRef,
    /// Since when, and whether it matters to traffic.
    pub fault: Fault,
}

/// How the Services of a scope stand now: plain data, beside what has been counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether every watch has listed once. Before, what is in sync is not known.
    pub is_measuring: bool,
    /// The Services whose endpoints are measured, each with its objective, in no order.
    pub measured: Vec<(Arc<ServiceName>, Duration)>,
    /// What is pending, by Service and kind of change, in no order.
    pub pending: Vec<(Arc<ServiceName>, Change, Backlog)>,
    /// The endpoints that are out of sync, by Service, in no order. A Service in sync is not there.
    pub out_of_sync: Vec<(Arc<ServiceName>, Faults)>,
}

/// How much a tracker holds. Nothing in it grows without one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Pods that exist, and pods that are gone and still listed by a slice, excluded by an edit that is pending, or remembered.
    pub pods: usize,
    /// Services that exist, measured or not, and Services that are gone and still have a slice.
    pub services: usize,
    /// Slices that the EndpointSlice controller writes for a Service.
    pub slices: usize,
    /// Pending changes: one a Service, and one a pod, Service and kind, at most.
    pub pending: usize,
    /// Endpoints that are out of sync: one a pod and Service at most.
    pub out_of_sync: usize,
    /// Pods and Services with an overtaken change that may still be written: one a Service, and one a pod and Service at most.
    pub overtaken: usize,
}

// === impl ServiceName ===

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
