//! The end of a change on one hop, and the start of the next hop.

use super::{Cause, Change, Hop, Outcome};
use crate::model::Stamp;

/// The end of one change of `K` on one hop. A version `V` of what is behind the hop may have shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended<K, V> {
    /// The hop.
    pub hop: Hop,
    /// Its subject.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// What started it.
    pub cause: Cause,
    /// When the change itself arrived, before the first hop.
    pub began: Stamp,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended. If it expired: when it reached that age. If it was shown before it arrived: when it arrived.
    pub at: Stamp,
    /// When the event arrived that showed it. Only if it is [`Outcome::Propagated`].
    pub shown: Option<Stamp>,
    /// What showed it. Only if it is [`Outcome::Propagated`].
    pub by: Option<V>,
}

/// A change that one hop has carried, as plain data. The next hop starts from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried<K, V> {
    /// Its subject.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// What started it, before the first hop.
    pub cause: Cause,
    /// When the change itself arrived, before the first hop.
    pub began: Stamp,
    /// When the event arrived that showed it, behind this hop.
    pub shown: Stamp,
    /// What showed it.
    pub by: V,
}

// === impl Ended ===

impl<K, V> Ended<K, V> {
    /// The start of the next hop, if this hop has carried the change.
    pub fn carried(self) -> Option<Carried<K, V>> {
        let Self { key, change, cause, began, shown, by, .. } = self;
        Some(Carried { key, change, cause, began, shown: shown?, by: by? })
    }

    /// The same end with another key.
    pub fn map_key<N>(self, key: impl FnOnce(K) -> N) -> Ended<N, V> {
        let Self { hop, key: old, change, cause, began, outcome, at, shown, by } = self;
        Ended { hop, key: key(old), change, cause, began, outcome, at, shown, by }
    }
}
