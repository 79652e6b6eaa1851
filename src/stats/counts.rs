//! The counts of one kind of change of one Service.

use super::{Delays, Misses};
use crate::{ledger::Outcome, model::Stamp};

/// The counts.
#[derive(Debug)]
pub(super) struct ChangeStats {
    /// When counting started.
    pub(super) created: Stamp,
    /// By [`Outcome::index`].
    pub(super) outcomes: [u64; Outcome::NAMES.len()],
    /// When each outcome was first counted; the clock's origin if it never was.
    pub(super) first: [Stamp; Outcome::NAMES.len()],
    pub(super) judged: u64,
    pub(super) missed: Misses,
    /// Created with the first delay, because most Services have few kinds of change.
    pub(super) delays: Option<Delays>,
}

// === impl ChangeStats ===

impl ChangeStats {
    /// Empty counts.
    pub(super) fn new(created: Stamp) -> Self {
        Self {
            created,
            outcomes: Default::default(),
            first: Default::default(),
            judged: 0,
            missed: Misses::default(),
            delays: None,
        }
    }

    /// Counts an outcome.
    pub(super) fn count(&mut self, outcome: Outcome, now: Stamp) {
        let outcome = outcome.index();
        if self.outcomes[outcome] == 0 {
            self.first[outcome] = now;
        }
        self.outcomes[outcome] += 1;
    }
}
