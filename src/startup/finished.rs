//! The pods that started last, each with its phases.

use super::{phase::Phase, phases::Phases};
use crate::{
    ledger::Outcome,
    model::{Stamp, WholeSecond},
    propagation::{PodRef, ServiceName},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Number of starts that are kept, for all Services together: about three megabytes.
pub const KEPT: usize = 10_000;

/// The last starts.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// Sorted by number.
    timelines: VecDeque<Timeline>,
}

/// The start of one pod of one Service. A pod of several Services has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The number of its change `ready`, by which the hop to the nodes names it.
    pub number: u64,
    /// The Service.
    pub service: Arc<ServiceName>,
    /// The pod.
    pub pod: PodRef,
    /// Its creation, by the clock of the API server.
    pub created: Option<WholeSecond>,
    /// When the watch delivered that it was Ready.
    pub arrived: Stamp,
    /// How its change `ready` ended on the slice hop.
    pub outcome: Outcome,
    /// Its phases.
    pub phases: Phases,
    /// How much of [`Phase::ContainersReady`] may be the granularity of the probes; `None` without such probes.
    pub granularity: Option<Duration>,
}

// === impl Finished ===

impl Finished {
    /// Adds a start. Numbers increase.
    pub(super) fn push(&mut self, timeline: Timeline) {
        if self.timelines.len() == KEPT {
            self.timelines.pop_front();
        }
        self.timelines.push_back(timeline);
    }

    /// The start whose change has this number.
    pub(super) fn find(&mut self, number: u64) -> Option<&mut Timeline> {
        let at = self.timelines.binary_search_by_key(&number, |timeline| timeline.number).ok()?;
        self.timelines.get_mut(at)
    }

    /// All, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Timeline> {
        self.timelines.iter().rev()
    }
}

// === impl Timeline ===

impl Timeline {
    /// The time from the creation of the pod until the slices listed it as ready, if every part of it is plausible.
    pub fn total(&self) -> Option<Duration> {
        self.phases.get(Phase::Total)
    }
}
