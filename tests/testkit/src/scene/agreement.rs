//! Compares the daemon's outcomes with the truth, change by change and as sums.

use crate::daemon::metrics::Metrics;
use crate::daemon::samples::{self, Sample};
use crate::truth::{Change, Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One change as both report it.
#[derive(Clone, Debug)]
pub struct Pair {
    /// What happened.
    pub record: Record,
    /// What the daemon wrote about it.
    pub sample: Sample,
}

impl Pair {
    /// The difference between the daemon's delay and the true one, if the change has any.
    pub fn error(&self) -> Option<Duration> {
        match (self.record.outcome, self.sample.delay()) {
            (Some(Outcome::Propagated(truth)), Some(daemon)) => Some(daemon.abs_diff(truth)),
            _ => None,
        }
    }
}

/// Pairs each change with the daemon's outcome for it: by Service, pod and kind, in order, because the changes of one kind of
/// one pod follow each other.
///
/// # Errors
/// The differences, one line for each Service, pod and kind.
pub fn pair(records: &[Record], samples: &[Sample], doubts: bool) -> Result<Vec<Pair>, String> {
    let histories = histories(records, samples);

    let mut pairs = Vec::new();
    let mut differences = String::new();
    for ((service, uid, change), (records, samples)) in histories {
        let same = records.len() == samples.len()
            && records.iter().zip(&samples).all(|(record, sample)| agree(record.outcome, sample.outcome, doubts));
        if same {
            let both = records.into_iter().cloned().zip(samples.into_iter().cloned());
            pairs.extend(both.map(|(record, sample)| Pair { record, sample }));
        } else {
            let truth: Vec<_> = records.iter().map(|record| record.outcome).collect();
            let daemon: Vec<_> = samples.iter().map(|sample| (sample.outcome, sample.delay())).collect();
            let pod = uid.unwrap_or_default();
            differences += &format!("  {service} {} {pod}: truth {truth:?}, daemon {daemon:?}\n", change.label());
        }
    }
    if differences.is_empty() { Ok(pairs) } else { Err(differences) }
}

/// A change that the daemon does not trust may be censored. Everything else must be as in the truth.
fn agree(truth: Option<Outcome>, daemon: samples::Outcome, doubts: bool) -> bool {
    (doubts && truth.is_some() && daemon == samples::Outcome::Censored)
        || matches!(
            (truth, daemon),
            (Some(Outcome::Propagated(_)), samples::Outcome::Propagated)
                | (Some(Outcome::Superseded), samples::Outcome::Superseded)
                | (Some(Outcome::Withdrawn), samples::Outcome::Withdrawn)
        )
}

/// Compares the metrics of a namespace with its changes, none of which is pending.
///
/// # Errors
/// The differences, one on each line.
pub(super) fn check_metrics(
    namespace: &str,
    metrics: &Metrics,
    records: &[Record],
    doubts: bool,
) -> Result<(), String> {
    type Key = [String; 3];
    let mut differences = String::new();

    let mut truth: BTreeMap<Key, f64> = BTreeMap::new();
    for record in records {
        let outcome = record.outcome.map_or("pending", Outcome::label);
        let key = [record.service.as_str(), record.change.label(), outcome].map(str::to_owned);
        *truth.entry(key).or_default() += 1.0;
    }
    let of_namespace = [("namespace", namespace)];
    let exported = metrics.matching("endpointlag_changes_total", &of_namespace).filter(|(_, value)| *value > 0.0);
    let exported: BTreeMap<Key, f64> = exported
        .map(|(labels, value)| {
            (["service", "change", "outcome"].map(|key| labels.get(key).cloned().unwrap_or_default()), value)
        })
        .collect();
    for key in truth.keys().chain(exported.keys()).collect::<BTreeSet<_>>() {
        let (wanted, found) = (truth.get(key).unwrap_or(&0.0), exported.get(key).unwrap_or(&0.0));
        // Then some are censored. The comparison of the samples shows which.
        if wanted != found && !doubts {
            differences += &format!("  endpointlag_changes_total of {key:?} is {found}, the truth {wanted}\n");
        }
        let [service, change, outcome] = key;
        if outcome == Outcome::Propagated(Duration::ZERO).label() {
            let of = [("namespace", namespace), ("service", service), ("change", change)];
            let count = metrics.sum("endpointlag_propagation_seconds_count", &of);
            if count != *wanted && !doubts {
                differences += &format!(
                    "  endpointlag_propagation_seconds of {service} {change} has {count}, the truth {wanted}\n"
                );
            }
        }
    }
    let pending = metrics.sum("endpointlag_pending_changes", &of_namespace);
    if pending != 0.0 {
        differences += &format!("  endpointlag_pending_changes is {pending} when all is done\n");
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// A Service, a pod's UID where there is a pod, and a kind.
pub type Key = (String, Option<String>, Change);

/// The changes of the truth and of the daemon for each key, in order.
pub fn histories<'a>(
    records: &'a [Record],
    samples: &'a [Sample],
) -> BTreeMap<Key, (Vec<&'a Record>, Vec<&'a Sample>)> {
    let mut histories: BTreeMap<Key, (Vec<&Record>, Vec<&Sample>)> = BTreeMap::new();
    for record in records {
        let uid = record.pod.as_ref().map(|pod| pod.uid.clone());
        histories.entry((record.service.clone(), uid, record.change)).or_default().0.push(record);
    }
    for sample in samples {
        let key = (sample.service.clone(), sample.uid.clone(), sample.change);
        histories.entry(key).or_default().1.push(sample);
    }
    histories
}
