//! What is reported of the hop: each node's outcome, when shares of the nodes had a change in effect, and the current state.

use crate::{
    ledger::{Cause, Change},
    model::{SliceVersion, Stamp},
    propagation::{ServiceName, Subject},
};
use std::{sync::Arc, time::Duration};

/// How a change ended on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NodeOutcome {
    /// The node's kernel does what the slices say.
    InEffect,
    /// Its opposite came first, or kube-proxy wrote both in one sync. The kernel never showed it.
    Superseded,
    /// It happened, but its time is not known.
    Censored,
    /// The Service is gone, or the node is.
    Withdrawn,
    /// The node did not show it within the expiry. Its agent was heard, and has lost nothing.
    Expired,
    /// No kernel has to change: no clusterIP, or endpoints that the kernel did not use. Or it is not known which nodes have to: hints.
    NotApplicable,
}

/// A share of the nodes that must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// Half of the nodes.
    Half,
    /// 99 of 100 nodes.
    Most,
    /// All nodes.
    All,
}

/// Something that became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A change ended on a number of nodes.
    Nodes {
        /// Kind of change.
        change: Change,
        /// How it ended on each of them.
        outcome: NodeOutcome,
        /// The time from the slice event until it was in effect. For an expired change, its age.
        delay: Option<Duration>,
        /// Number of nodes.
        nodes: u64,
    },
    /// A share of the nodes had a change in effect, or certainly had not before the change expired.
    Visible {
        /// The Service.
        service: Arc<ServiceName>,
        /// Kind of change.
        change: Change,
        /// The share.
        share: Share,
        /// The time since the change itself arrived. For an expired change, its age.
        delay: Duration,
        /// Whether it expired first.
        is_expired: bool,
    },
    /// A change was in effect on [`Share::Most`] of the nodes within its objective, or not. Reported at most once per change, when it is
    /// certain, and never if so little is known of the nodes that it could not be certain in both cases.
    Judged {
        /// The Service.
        service: Arc<ServiceName>,
        /// Kind of change.
        change: Change,
        /// Whether the objective was missed.
        missed: bool,
    },
    /// A change has ended on each node.
    Spread(Spread),
}

/// How a change spread over the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The caller's number of the change.
    pub number: u64,
    /// Its subject.
    pub subject: Subject,
    /// Kind of change.
    pub change: Change,
    /// What started it.
    pub cause: Cause,
    /// When the change itself arrived.
    pub began: Stamp,
    /// When the slice event arrived that showed it. The delays count from here.
    pub shown: Stamp,
    /// The version of the slice.
    pub by: Arc<SliceVersion>,
    /// On how many nodes it ended in which way, by [`NodeOutcome`].
    pub outcomes: [u32; NodeOutcome::ALL.len()],
    /// When each [`Share`] of the nodes had it in effect. `None` if this is not known, because too many nodes ended otherwise.
    pub shares: [Option<Duration>; Share::ALL.len()],
    /// The node that was last to have it in effect.
    pub last: Option<Arc<str>>,
    /// Maximum error of the delays: the comparison of the clocks.
    pub error: Duration,
    /// When this became known.
    pub at: Stamp,
}

/// Observations that fit no change, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// The Service is known, but no change of this endpoint was waited for: a node that was behind, or rules made by hand.
    pub no_change: u64,
    /// No Service that is measured has this clusterIP and port.
    pub no_service: u64,
}

/// Nodes that send connections of a Service otherwise than its slices have said for longer than the objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// The nodes, in no order.
    pub nodes: Vec<Arc<str>>,
    /// Since when the first of them is behind.
    pub since: Stamp,
}

/// The current state of the hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Nodes whose changes are followed.
    pub following: u64,
    /// Pairs of a change and a node that has not shown it, by kind of change. Nodes that are silent or have lost observations do not count.
    pub pending: [u64; Change::ALL.len()],
    /// The slice event of the oldest of them, by kind of change.
    pub oldest: [Option<Stamp>; Change::ALL.len()],
    /// Services with stale nodes, in no order. Nodes that are silent or have lost observations do not count.
    pub stale: Vec<Stale>,
    /// Observations that fit no change.
    pub unmatched: Unmatched,
    /// Changes that were censored because too many were under way.
    pub overflowed: u64,
}

// === impl NodeOutcome ===

impl NodeOutcome {
    /// All, in their order.
    pub const ALL: [Self; 6] =
        [Self::InEffect, Self::Superseded, Self::Censored, Self::Withdrawn, Self::Expired, Self::NotApplicable];

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InEffect => "in_effect",
            Self::Superseded => "superseded",
            Self::Censored => "censored",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::NotApplicable => "not_applicable",
        }
    }
}

// === impl Share ===

impl Share {
    /// All, ascending.
    pub const ALL: [Self; 3] = [Self::Half, Self::Most, Self::All];

    /// The value of the label `nodes`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Half => "0.5",
            Self::Most => "0.99",
            Self::All => "1",
        }
    }

    /// How many of this number of nodes it takes.
    pub fn of(self, nodes: usize) -> usize {
        match self {
            Self::Half => nodes.div_ceil(2),
            Self::Most => (nodes * 99).div_ceil(100),
            Self::All => nodes,
        }
    }
}
