//! Changes and how they end: what the tracker reports.

use crate::cluster::{event::Stamp, object::Uid};
use std::{fmt, sync::Arc, time::Duration};

/// A kind of change: a fact about a pod or a Service that must alter a Service's endpoint list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The pod became servable.
    Ready,
    /// Ready left `True`, and the pod is not being deleted.
    Unready,
    /// The pod's deletion was asked for.
    Terminating,
    /// The pod is gone, has ended, or its labels stopped matching.
    Removed,
    /// The Service was created, or an edit changed what its slices must show.
    Service,
}

/// How a change ended. Every change ends in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The slices showed it.
    Propagated {
        /// From the arrival of the change to the arrival of the slice; zero where the slice came first.
        delay: Duration,
        /// How much earlier the slice came, where it did.
        reordered: Option<Duration>,
    },
    /// Its opposite came before the slices showed it.
    Superseded,
    /// It was given up at this age.
    Expired {
        /// Age when it was given up.
        age: Duration,
    },
    /// It happened, but its time is not known.
    Censored,
    /// The Service no longer expects it.
    Withdrawn,
}

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

// === impl Change ===

impl Change {
    /// All kinds, in the order of [`Change::index`].
    pub const ALL: [Self; 5] = [Self::Ready, Self::Unready, Self::Terminating, Self::Removed, Self::Service];

    /// The value of the label `change`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Terminating => "terminating",
            Self::Removed => "removed",
            Self::Service => "service",
        }
    }

    /// Position in [`Change::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Outcome ===

impl Outcome {
    /// The values of the label `outcome`, in the order of [`Outcome::index`].
    pub const NAMES: [&'static str; 5] = ["propagated", "superseded", "expired", "censored", "withdrawn"];

    /// Position in [`Outcome::NAMES`].
    pub fn index(self) -> usize {
        match self {
            Self::Propagated { .. } => 0,
            Self::Superseded => 1,
            Self::Expired { .. } => 2,
            Self::Censored => 3,
            Self::Withdrawn => 4,
        }
    }

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// The delay or, for an expired change, the age: what is known of how long it took.
    pub fn delay(self) -> Option<Duration> {
        match self {
            Self::Propagated { delay, .. } => Some(delay),
            Self::Expired { age } => Some(age),
            Self::Superseded | Self::Censored | Self::Withdrawn => None,
        }
    }
}

// === impl ServiceName ===

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
