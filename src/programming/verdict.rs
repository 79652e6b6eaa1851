//! Whether a change was in effect on most of the nodes within its objective.
//!
//! It is missed only where it could also have been met: with nodes of which nothing is known, neither is said. Otherwise one node
//! without an agent would leave the misses and take away all that is met.

use super::report::Share;
use std::time::Duration;

/// What is known of that.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Age within which the change should be in effect on [`Share::Most`] of the nodes, from its own arrival on.
    pub(super) objective: Duration,
    /// Nodes that must follow.
    nodes: usize,
    in_time: usize,
    late: usize,
    /// Nodes on which it has ended, and it is not known when it was in effect.
    unknown: usize,
    /// Whether the slices showed it too late, so that no node can be in time.
    is_hopeless: bool,
    is_reached: bool,
}

/// Nodes on which a change has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// They are late for certain.
    pub(super) late: usize,
    /// It is not known what they did.
    pub(super) unknown: usize,
}

// === impl Verdict ===

impl Verdict {
    /// Nothing is known of any of the nodes.
    pub(super) fn new(objective: Duration, nodes: usize, is_hopeless: bool) -> Self {
        Self { objective, nodes, in_time: 0, late: 0, unknown: 0, is_hopeless, is_reached: false }
    }

    /// It has ended on a node: it was in effect at this age, or not before this age. `None` if neither is known.
    pub(super) fn count(&mut self, age: Option<Duration>) {
        let of_it = match age {
            Some(age) if age > self.objective => &mut self.late,
            Some(_) => &mut self.in_time,
            None => &mut self.unknown,
        };
        *of_it += 1;
    }

    /// Whether it is not certain yet.
    pub(super) fn is_open(&self) -> bool {
        !self.is_reached
    }

    /// Whether a node was late, or all are.
    pub(super) fn has_late(&self) -> bool {
        self.is_hopeless || self.late > 0
    }

    /// Whether it is certain now that the objective was met, and was not before.
    pub(super) fn is_met(&mut self) -> bool {
        let is_met = self.in_time >= Share::Most.of(self.nodes);
        self.reach(is_met)
    }

    /// Whether it is certain now that the objective was missed, and was not before.
    pub(super) fn is_missed(&mut self, open: Open) -> bool {
        let needed = Share::Most.of(self.nodes);
        let could_be_met = self.nodes - self.unknown - open.unknown >= needed;
        let is_late = self.is_hopeless || self.late + open.late > self.nodes - needed;
        self.reach(could_be_met && is_late)
    }

    fn reach(&mut self, is_certain: bool) -> bool {
        let is_new = is_certain && !self.is_reached;
        self.is_reached |= is_new;
        is_new
    }
}
