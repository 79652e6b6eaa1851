//! The changes that ended last, for queries by pod.

use super::Selection;
use crate::{programming::Spread, propagation::Ended};
use std::collections::VecDeque;

/// Number of changes that are kept, for all Services together: about a megabyte.
pub const KEPT: usize = 10_000;

/// The last changes that ended.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    changes: VecDeque<RecentChange>,
    /// Number of changes before those that are kept.
    dropped: u64,
}

/// A change that ended.
#[derive(Clone, Debug)]
pub struct RecentChange {
    /// Its end on the slice hop.
    pub ended: Ended,
    /// Its end on the nodes, if it has ended there.
    pub spread: Option<Box<Spread>>,
}

// === impl Recent ===

impl Recent {
    /// Adds a change, and drops the oldest if there are more than [`KEPT`]. Returns the number of the change.
    pub fn push(&mut self, ended: &Ended) -> u64 {
        if self.changes.len() == KEPT {
            self.changes.pop_front();
            self.dropped += 1;
        }
        self.changes.push_back(RecentChange { ended: ended.clone(), spread: None });
        self.dropped + self.changes.len() as u64 - 1
    }

    /// Adds how the change with this number spread, if it is still kept.
    pub fn spread(&mut self, spread: Spread) {
        let index = spread.number.checked_sub(self.dropped).and_then(|index| usize::try_from(index).ok());
        if let Some(change) = index.and_then(|index| self.changes.get_mut(index)) {
            change.spread = Some(Box::new(spread));
        }
    }

    /// The selected changes, the newest first.
    pub fn select<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a RecentChange> {
        let selected = |change: &&RecentChange| selection.matches(&change.ended.key.service, change.ended.change);
        self.changes.iter().rev().filter(selected)
    }
}
