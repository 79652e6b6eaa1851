//! One simulated kube-proxy. It collects changes until its next sync, and a sync takes some time to write.

use super::NodeSync;
use crate::{
    dataplane::{self, Commit, EffectiveSets, Observation, SetChange, When},
    simulator::controller::Delay,
};
use rand::Rng;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Minimum time between the starts of two syncs: the default of kube-proxy's `minSyncPeriod`.
const PERIOD: Duration = Duration::from_secs(1);

/// Time that a sync takes to write: 10 to 250 ms, and one in 30 up to 900 ms.
const WRITE: Delay = Delay {
    shortest: Duration::from_millis(10),
    longest: Duration::from_millis(250),
    tail: 0.03,
    tail_longest: Duration::from_millis(900),
};

/// The same on a node without enough CPU.
const SLOW_WRITE: Delay = Delay {
    shortest: Duration::from_secs(2),
    longest: Duration::from_secs(8),
    tail: 0.0,
    tail_longest: Duration::from_secs(8),
};

/// A kube-proxy and the kernel that it writes to.
#[derive(Debug)]
pub(super) struct Proxy {
    node: Arc<str>,
    kernel: EffectiveSets,
    /// When the next sync starts, if there is something to do.
    due: Option<Instant>,
    /// No sync starts before this.
    rests_until: Instant,
    writing: Option<Writing>,
    /// Number of commits.
    generation: u32,
}

/// A sync that is being written.
#[derive(Debug)]
struct Writing {
    until: Instant,
    sets: Arc<EffectiveSets>,
}

// === impl Proxy ===

impl Proxy {
    /// A kube-proxy whose kernel does this.
    pub(super) fn new(node: Arc<str>, kernel: EffectiveSets, now: Instant) -> Self {
        Self { node, kernel, due: None, rests_until: now, writing: None, generation: 0 }
    }

    pub(super) fn node(&self) -> &Arc<str> {
        &self.node
    }

    pub(super) fn kernel(&self) -> &EffectiveSets {
        &self.kernel
    }

    /// It hears of a change at this time.
    pub(super) fn hear(&mut self, at: Instant) {
        self.due.get_or_insert(at.max(self.rests_until));
    }

    /// When it has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.writing.as_ref().map(|writing| writing.until).or(self.due)
    }

    /// Whether the next sync should start.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.writing.is_none() && self.due.is_some_and(|due| due <= now)
    }

    /// Starts a sync to these sets. What changes from now on is for the next one.
    pub(super) fn sync(&mut self, sets: Arc<EffectiveSets>, is_slow: bool, now: Instant, rng: &mut impl Rng) {
        self.due = None;
        self.rests_until = now + PERIOD;
        if *sets != self.kernel {
            let write = if is_slow { SLOW_WRITE } else { WRITE };
            self.writing = Some(Writing { until: now + write.sample(rng), sets });
        }
    }

    /// Commits the sync, if it is written.
    pub(super) fn commit(&mut self, now: Instant) -> Option<NodeSync> {
        let Writing { sets, .. } = self.writing.take_if(|writing| writing.until <= now)?;
        let changes = self.kernel.become_like(&sets);
        self.generation += 1;
        let at = dataplane::clock::now();
        let endpoints: usize = changes.iter().map(|SetChange { added, removed, .. }| added.len() + removed.len()).sum();
        let messages = u32::try_from(endpoints).unwrap_or(u32::MAX);
        let when = When::Commit(Commit { first: at, end: at, messages, generation: self.generation });
        let observations = changes.into_iter().map(|change| Observation { change, when }).collect();
        Some(NodeSync { node: self.node.clone(), observations })
    }
}
