//! What is counted of one kind of change of one Service.

use super::{Delays, Misses};
use crate::{ledger::Outcome, model::Stamp};

/// The counts.
#[derive(Debug)]
pub(super) struct ChangeStats {
    /// When counting began.
    pub(super) created: Stamp,
    /// By [`Outcome::index`].
    pub(super) outcomes: [u64; Outcome::NAMES.len()],
    /// When each outcome was counted first; the clock's origin where it was not.
    pub(super) first: [Stamp; Outcome::NAMES.len()],
    pub(super) judged: u64,
    pub(super) missed: Misses,
    /// Made at the first delay: most Services see few kinds of change.
    pub(super) delays: Option<Delays>,
}

// === impl ChangeStats ===

impl ChangeStats {
    /// Nothing counted yet.
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
