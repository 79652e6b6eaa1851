//! The changes that ended last, for queries by pod.

use super::Selection;
use crate::{model::Stamp, programming::Spread, propagation::Ended};
use std::collections::VecDeque;

/// Number of changes that are kept, for all Services together: about 3 MB. Half of it is the versions of the slices that showed them.
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
    /// Whether it is followed to the nodes.
    pub is_followed: bool,
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
        } else if self.changes.is_empty() {
            // It fills up, and would otherwise grow to a power of two. Memory that is not written yet costs nothing.
            self.changes.reserve_exact(KEPT);
        }
        self.changes.push_back(RecentChange { ended: ended.clone(), is_followed: false, spread: None });
        self.dropped + self.changes.len() as u64 - 1
    }

    /// The change with this number is followed to the nodes.
    pub fn follow(&mut self, number: u64) {
        if let Some(change) = self.kept(number) {
            change.is_followed = true;
        }
    }

    /// Adds how the change with this number spread, if it is still kept.
    pub fn spread(&mut self, spread: Spread) {
        if let Some(change) = self.kept(spread.number) {
            change.spread = Some(Box::new(spread));
        }
    }

    fn kept(&mut self, number: u64) -> Option<&mut RecentChange> {
        let index = usize::try_from(number.checked_sub(self.dropped)?).ok()?;
        self.changes.get_mut(index)
    }

    /// Since when they are all that ended: the end of the oldest. `None` if none was dropped, and so they reach back to the start.
    pub fn since(&self) -> Option<Stamp> {
        self.changes.front().filter(|_| self.dropped > 0).map(|oldest| oldest.ended.at)
    }

    /// All of them, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &RecentChange> {
        self.changes.iter().rev()
    }

    /// The selected changes, the newest first.
    pub fn select<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a RecentChange> {
        let selected = |change: &&RecentChange| selection.matches(&change.ended.key.service, change.ended.change);
        self.newest().filter(selected)
    }
}
