//! How many changes of each kind had each outcome.

use endpointlag::{
    ledger::{Change, Outcome},
    propagation::{Report, Tracker},
};
use std::{collections::BTreeMap, time::Duration};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Changes by kind and outcome.
    pub outcomes: BTreeMap<(Change, &'static str), u64>,
    /// Sum of the delays of each kind.
    delays: BTreeMap<Change, Duration>,
    /// Changes by kind and whether they missed the objective.
    judged: BTreeMap<(Change, bool), u64>,
}

impl Totals {
    /// A change was reflected after `delay`.
    pub fn propagated(&mut self, change: Change, delay: Duration) {
        *self.outcomes.entry((change, "propagated")).or_default() += 1;
        *self.delays.entry(change).or_default() += delay;
        *self.judged.entry((change, delay > super::SETTINGS.objective)).or_default() += 1;
    }

    /// A change expired.
    pub fn expired(&mut self, change: Change) {
        self.other(change, "expired");
        *self.judged.entry((change, true)).or_default() += 1;
    }

    /// A change ended before it passed its objective, without being reflected.
    pub fn other(&mut self, change: Change, outcome: &'static str) {
        *self.outcomes.entry((change, outcome)).or_default() += 1;
    }

    /// Adds what the tracker reports.
    pub fn take(&mut self, tracker: &mut Tracker) {
        for report in tracker.reports() {
            match report {
                Report::Ended(ended) => {
                    *self.outcomes.entry((ended.change, ended.outcome.as_str())).or_default() += 1;
                    if let Outcome::Propagated { delay, .. } = ended.outcome {
                        *self.delays.entry(ended.change).or_default() += delay;
                    }
                }
                Report::Judged { change, missed, .. } => *self.judged.entry((change, missed)).or_default() += 1,
            }
        }
    }
}
