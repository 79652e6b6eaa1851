//! The changes that ended last, for queries by pod.

use super::Selection;
use crate::propagation::Ended;
use std::collections::VecDeque;

/// Number of changes that are kept, for all Services together: about a megabyte.
pub const KEPT: usize = 10_000;

/// The last changes that ended.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Ended>);

// === impl Recent ===

impl Recent {
    /// Adds a change, and drops the oldest if there are more than [`KEPT`].
    pub fn push(&mut self, ended: &Ended) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(ended.clone());
    }

    /// The selected changes, the newest first.
    pub fn select<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a Ended> {
        let selected = |ended: &&Ended| selection.matches(&ended.key.service, ended.change);
        self.0.iter().rev().filter(selected)
    }
}
