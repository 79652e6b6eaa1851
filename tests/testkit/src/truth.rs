//! What really happened, computed from the API server's audit log: every change of a pod or Service, and when the
//! EndpointSlices showed it.
//!
//! The daemon is compared with this, so it shares no code with the daemon. It follows the definitions of the
//! measurement word for word. It can do what a daemon cannot: it looks back over the whole history, and it
//! orders pods and slices by resource version, because all of them are in one etcd.
//!
//! A change starts, and is reflected, when the API server answers the write that did it. A watch delivers both writes a little
//! later. The daemon's error is the difference between its delay and the true one.

pub mod audit;
mod cluster;
mod history;
pub mod serving;
mod union;

use jiff::Timestamp;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// The kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A pod became servable.
    Ready,
    /// A pod is no longer Ready, and stays.
    Unready,
    /// A pod got its deletionTimestamp.
    Terminating,
    /// A pod is gone, has ended, or its labels no longer match.
    Removed,
    /// A Service was created, or its selector, ports or families were edited.
    Service,
}

impl Change {
    /// The value of the label `change`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Terminating => "terminating",
            Self::Removed => "removed",
            Self::Service => "service",
        }
    }
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The slices showed it after this delay.
    Propagated(Duration),
    /// Its opposite came first.
    Superseded,
    /// Its Service no longer expects it.
    Withdrawn,
}

impl Outcome {
    /// The value of the label `outcome`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Propagated(_) => "propagated",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// One change of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The Service.
    pub service: String,
    /// The pod, for all kinds except [`Change::Service`].
    pub pod: Option<PodName>,
    /// The kind.
    pub change: Change,
    /// When the write that started it was answered.
    pub started: Timestamp,
    /// How it ended; `None` while it is pending.
    pub outcome: Option<Outcome>,
}

/// A pod's identity, with its name for messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodName {
    /// Metadata name. An earlier pod may have had it.
    pub name: String,
    /// Metadata UID.
    pub uid: String,
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} ", self.service, self.change.label())?;
        if let Some(pod) = &self.pod {
            write!(formatter, "{} ({}) ", pod.name, pod.uid)?;
        }
        match self.outcome {
            None => write!(formatter, "pending since {}", self.started),
            Some(outcome) => write!(formatter, "{outcome:?}, started {}", self.started),
        }
    }
}

/// All changes of the audit log's namespace in the order in which they started.
pub fn records(log: &audit::AuditLog) -> Vec<Record> {
    history::replay(&log.in_order())
}
