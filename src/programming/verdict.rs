//! Whether a change was in effect on most of the nodes within its objective.

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
    is_reached: bool,
}

// === impl Verdict ===

impl Verdict {
    /// Nothing is known of any of the nodes.
    pub(super) fn new(objective: Duration, nodes: usize) -> Self {
        Self { objective, nodes, in_time: 0, late: 0, is_reached: false }
    }

    /// A node had it in effect at this age, or not before this age.
    pub(super) fn count(&mut self, age: Duration) {
        let of_it = if age > self.objective { &mut self.late } else { &mut self.in_time };
        *of_it += 1;
    }

    /// Whether it is not certain yet.
    pub(super) fn is_open(&self) -> bool {
        !self.is_reached
    }

    /// Whether the objective was missed, if that is certain and was not said before. This number of other nodes are late too.
    pub(super) fn reach(&mut self, others: usize) -> Option<bool> {
        if self.is_reached {
            return None;
        }
        let needed = Share::Most.of(self.nodes);
        let missed = match (self.in_time >= needed, self.late + others > self.nodes - needed) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => return None,
        };
        self.is_reached = true;
        Some(missed)
    }
}
