//! States, and when they changed.

use crate::model::{Seen, Stamp};

/// When something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When the event arrived.
    pub at: Stamp,
    /// Whether it happened then. If not, it happened then or earlier.
    pub exact: bool,
}

/// A state and its changes, in the order of their times. Before the first change it has its default.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts<T>(Vec<(Moment, T)>);

/// What is kept of the past while no rollout is followed. Both watches together may be out of order by as much as one change.
const KEPT: usize = 2;

// === impl Moment ===

impl From<Seen> for Moment {
    fn from(seen: Seen) -> Self {
        Self { at: seen.at, exact: !seen.is_late() }
    }
}

// === impl Facts ===

impl<T: Copy + Default + PartialEq> Facts<T> {
    /// It is this from now on.
    pub(super) fn set(&mut self, mut moment: Moment, value: T) {
        if self.last() == value {
            return;
        }
        if let Some((last, _)) = self.0.last() {
            moment.at = moment.at.max(last.at);
        }
        self.0.push((moment, value));
    }

    /// What it is now.
    pub(super) fn last(&self) -> T {
        self.0.last().map(|(_, value)| *value).unwrap_or_default()
    }

    /// What it was at this time, including what changed at this time.
    pub(super) fn at(&self, at: Stamp) -> T {
        let number = self.0.partition_point(|(moment, _)| moment.at <= at);
        number.checked_sub(1).map(|index| self.0[index].1).unwrap_or_default()
    }

    /// All changes that are kept.
    pub(super) fn changes(&self) -> &[(Moment, T)] {
        &self.0
    }

    /// Forgets the past, except for the last changes.
    pub(super) fn trim(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(KEPT));
    }
}
