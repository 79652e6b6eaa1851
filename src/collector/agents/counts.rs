//! What is counted of agents since the daemon started.

use crate::{collector::refusal::Refusal, dataplane::Loss};
use std::time::Duration;

/// The counts for one node since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Events that arrived, each counted once.
    pub received: u64,
    /// Received events whose time is unknown.
    pub untimed: u64,
    /// Events that arrived again.
    pub duplicate: u64,
    /// Events that were lost before they were taken: dropped by the agent, unreadable, or sent to another daemon.
    pub lost: u64,
    /// Number of times that its clock and the daemon's stopped agreeing.
    pub steps: u64,
}

/// The counts for all nodes since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that arrived, each counted once.
    pub received: u64,
    /// Received events whose time is unknown.
    pub untimed: u64,
    /// Events that arrived again.
    pub duplicate: u64,
    /// Events that an agent had to drop from memory before they could be sent.
    pub lost_ring: u64,
    /// Events that were sent to another daemon.
    pub lost_elsewhere: u64,
    /// Events that arrived and could not be understood.
    pub lost_unreadable: u64,
    /// Gaps in the kernel's notifications to an agent, in the order of [`Loss::ALL`].
    pub gaps: [u64; Loss::ALL.len()],
    /// Number of times that a node's clock and the daemon's stopped agreeing.
    pub steps: u64,
    /// Streams and connections that were refused, in the order of [`Summary::REFUSED`].
    pub refused: [u64; Refusal::REASONS.len()],
}

/// All agents in a few numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Agents that have a stream.
    pub connected: usize,
    /// Agents that have a stream, or sent something within the last hour.
    pub expected: usize,
    /// Agents that sent something within the last hour, but nothing recently.
    pub silent: usize,
    /// The largest clock error among the connected agents.
    pub clock_error: Duration,
    /// The counts.
    pub counts: Counts,
}

// === impl Counts ===

impl Counts {
    pub(super) fn count_gap(&mut self, loss: Loss) {
        if let Some(index) = Loss::ALL.iter().position(|it| *it == loss) {
            self.gaps[index] += 1;
        }
    }
}

// === impl Summary ===

impl Summary {
    /// The names of the reasons for which streams and connections are refused.
    pub const REFUSED: [&str; Refusal::REASONS.len()] = Refusal::REASONS;
}
