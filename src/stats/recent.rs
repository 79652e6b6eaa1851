//! The changes that ended last, for whoever asks which pod it was.

use super::Selection;
use crate::propagation::Ended;
use std::collections::VecDeque;

/// How many are kept, of all Services together: about a megabyte.
pub const KEPT: usize = 10_000;

/// The last changes that ended.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Ended>);

// === impl Recent ===

impl Recent {
    /// Takes the next, and forgets the oldest when there are [`KEPT`].
    pub fn push(&mut self, ended: &Ended) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(ended.clone());
    }

    /// The selected ones, newest first.
    pub fn select<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a Ended> {
        let selected = |ended: &&Ended| selection.matches(&ended.key.service, ended.change);
        self.0.iter().rev().filter(selected)
    }
}
