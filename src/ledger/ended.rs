//! The end of a change on one hop, and what the next hop starts from.

use super::{Cause, Change, Hop, Outcome};
use crate::model::Stamp;

/// The end of one change of `K` on one hop, which a version `V` of what comes behind the hop may have shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<K, V> {
    /// The hop.
    pub hop: Hop,
    /// Who changed.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// What started it.
    pub cause: Cause,
    /// When the change itself came; on a later hop, before the first.
    pub began: Stamp,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended; of a change that was given up, when it reached that age; of one that was shown before it came, when it came.
    pub at: Stamp,
    /// What showed it; only where it is [`Outcome::Propagated`].
    pub by: Option<V>,
}

/// A change that one hop has carried: plain data from which the next hop starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried<K, V> {
    /// Who changed.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// What started it, before the first hop.
    pub cause: Cause,
    /// When the change itself came, before the first hop.
    pub began: Stamp,
    /// When the event came that showed it, behind this hop.
    pub shown: Stamp,
    /// What showed it.
    pub by: V,
}

// === impl Ended ===

impl<K, V> Ended<K, V> {
    /// What the next hop starts from, if this one has carried the change.
    pub fn carried(self) -> Option<Carried<K, V>> {
        let Self { key, change, cause, began, outcome, at, by, .. } = self;
        let Outcome::Propagated { reordered, .. } = outcome else { return None };
        let shown = reordered.map_or(at, |lead| at.minus(lead));
        Some(Carried { key, change, cause, began, shown, by: by? })
    }

    /// The same of another key.
    pub fn map_key<N>(self, key: impl FnOnce(K) -> N) -> Ended<N, V> {
        let Self { hop, key: old, change, cause, began, outcome, at, by } = self;
        Ended { hop, key: key(old), change, cause, began, outcome, at, by }
    }
}
