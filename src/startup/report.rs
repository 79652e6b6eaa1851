//! What is reported of starts and of the report hop, to be counted.

use super::{classify::Kind, phase::Phase};
use crate::{ledger::Change, propagation::ServiceName};
use std::{sync::Arc, time::Duration};

/// Something that became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A pod's Ready changed, and the watch delivered it.
    Reported {
        /// The pod's namespace.
        namespace: Arc<str>,
        /// [`Change::Ready`] or [`Change::Unready`].
        change: Change,
        /// From the condition's whole second of the node's clock to the arrival on the daemon's. Zero if the node's clock is ahead.
        delay: Duration,
    },
    /// A phase of a pod of a Service has ended.
    Phase {
        /// The Service.
        service: Arc<ServiceName>,
        /// The phase.
        phase: Phase,
        /// How long it took.
        took: Duration,
    },
}

/// The current state, and what was counted by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Pods that are followed until they become Ready: new ones, and those that were Ready before.
    pub waiting: usize,
    /// Pods that are Ready for the first time, and that a Service does not list yet.
    pub settling: usize,
    /// Pods that became Ready, by [`Kind`].
    pub kinds: [u64; Kind::ALL.len()],
    /// Phases that would have ended before they began, by [`Phase`]. They are not known.
    pub implausible: [u64; Phase::ALL.len()],
    /// Changes of Ready that arrived before the second in which the node says that they happened: its clock is ahead. They count as
    /// reported at once.
    pub negative: u64,
    /// Pods that were not followed, because too many were followed already.
    pub overflowed: u64,
}
