//! What the tracker reports: who changed, and what became of it.

use crate::{
    ledger::{Change, Outcome},
    model::{Stamp, Uid},
};
use std::{fmt, sync::Arc};

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

/// The end of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The Service whose endpoints had to change.
    pub service: Arc<ServiceName>,
    /// The pod; `None` for [`Change::Service`].
    pub pod: Option<PodRef>,
    /// Kind of change.
    pub change: Change,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub at: Stamp,
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

// === impl ServiceName ===

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
