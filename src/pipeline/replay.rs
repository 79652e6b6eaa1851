//! Measures again what was recorded: the same steps, without watches, a clock or a thread.

use super::{Now, Step};
use crate::{
    model::Stamp,
    propagation::{Ended, OutOfSyncEndpoint, PendingChange, Report, Standing, Tracker, TrackerSettings},
    stats::{Selection, Stats, Table},
};
use std::time::SystemTime;

/// A measurement that is fed by hand.
#[derive(Debug)]
pub struct Replay {
    trackers: Vec<Tracker>,
    stats: Stats,
    /// The latest time of any step.
    at: Stamp,
}

/// A step of a scope that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step of scope {0}, which does not exist")]
pub struct NoScope(usize);

// === impl Replay ===

impl Replay {
    /// A measurement of this number of scopes.
    pub fn new(scopes: usize, settings: TrackerSettings, stats: Stats) -> Self {
        let trackers = (0..scopes).map(|_| Tracker::new(settings).in_order()).collect();
        Self { trackers, stats, at: Stamp::default() }
    }

    /// Takes the next step. `on_ended` is called for each change that ends.
    ///
    /// # Errors
    /// If the scope of the step does not exist.
    pub fn take(&mut self, step: Step, mut on_ended: impl FnMut(&Ended)) -> Result<(), NoScope> {
        let (scope, at) = match &step {
            Step::Event { scope, seen, .. } => (*scope, seen.at),
            Step::Through { scope, at } => (*scope, *at),
        };
        self.at = self.at.max(at);
        let tracker = self.trackers.get_mut(scope).ok_or(NoScope(scope))?;
        match step {
            Step::Event { seen, event, .. } => tracker.apply(seen, event),
            Step::Through { at, .. } => tracker.advance(at),
        }
        for report in tracker.reports() {
            // The number of Services is not limited here.
            let _ = self.stats.record(&report, self.at);
            if let Report::Ended(ended) = &report {
                on_ended(ended);
            }
        }
        Ok(())
    }

    /// The latest time of any step.
    pub fn at(&self) -> Stamp {
        self.at
    }

    /// The selected Services, at the time of the last step. `wall` is this time on the wall clock.
    pub fn table(&self, selection: &Selection, wall: impl Fn(Stamp) -> SystemTime) -> Now<Table> {
        let standing: Vec<Standing> = self.trackers.iter().map(Tracker::standing).collect();
        Now { at: self.at, wall: wall(self.at), value: self.stats.table(&standing, selection) }
    }

    /// All pending changes, in no order.
    pub fn pending(&self) -> Vec<PendingChange> {
        self.trackers.iter().flat_map(Tracker::pending_changes).collect()
    }

    /// Each endpoint that is out of sync, in no order.
    pub fn out_of_sync(&self) -> Vec<OutOfSyncEndpoint> {
        self.trackers.iter().flat_map(Tracker::out_of_sync_endpoints).collect()
    }
}
