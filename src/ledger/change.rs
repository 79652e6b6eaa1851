//! Kinds of change, and how a change ends.

use crate::model::Stamp;
use std::{fmt, time::Duration};

/// A kind of change: a fact about a pod or a Service that must alter a Service's endpoint list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The pod became servable.
    Ready,
    /// Ready left `True`, and the pod is not being deleted.
    Unready,
    /// The pod's deletion was requested.
    Terminating,
    /// The pod was deleted, has ended, or its labels no longer match.
    Removed,
    /// The Service was created, or an edit changed what its slices must show.
    Service,
}

/// How a change ended. Every change has exactly one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The slices showed it.
    Propagated {
        /// From the arrival of the change to the arrival of the slice; zero if the slice arrived first.
        delay: Duration,
        /// How much earlier the slice arrived, if it arrived first.
        reordered: Option<Duration>,
    },
    /// Its opposite arrived before the slices showed it.
    Superseded,
    /// It was still pending at the expiry.
    Expired {
        /// Its age then.
        age: Duration,
    },
    /// It happened, but its time is not known.
    Censored,
    /// The Service no longer expects it.
    Withdrawn,
}

/// A set of kinds of change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet(u8);

// === impl ChangeSet ===

impl ChangeSet {
    /// Whether it contains this kind.
    pub fn contains(self, change: Change) -> bool {
        self.0 & (1 << change.index()) != 0
    }

    /// The kinds of both.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds in it, in their order.
    pub fn iter(self) -> impl Iterator<Item = Change> {
        Change::ALL.into_iter().filter(move |change| self.contains(*change))
    }
}

impl From<Change> for ChangeSet {
    fn from(change: Change) -> Self {
        Self(1 << change.index())
    }
}

impl FromIterator<Change> for ChangeSet {
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        changes.into_iter().map(Self::from).fold(Self::default(), Self::union)
    }
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
    /// Of a change that arrived at `since` and was shown at `shown`. The two arrive by different watches, so `shown` may be
    /// earlier.
    pub fn propagated(since: Stamp, shown: Stamp) -> Self {
        let reordered = (shown < since).then(|| since.since(shown));
        Self::Propagated { delay: shown.since(since), reordered }
    }

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

    /// The delay or, for an expired change, the age: what is known about its duration.
    pub fn delay(self) -> Option<Duration> {
        match self {
            Self::Propagated { delay, .. } => Some(delay),
            Self::Expired { age } => Some(age),
            Self::Superseded | Self::Censored | Self::Withdrawn => None,
        }
    }
}
