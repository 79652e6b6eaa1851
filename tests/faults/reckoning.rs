//! Compares the daemon's outcomes with the truth where the daemon could not see all of it.
//!
//! In the other tests each change must have the same outcome. Across a gap the daemon would have to guess
//! that. So this requires: no false delay, no change that did not happen, none reported twice, and nothing
//! outside the gap excused by it.

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use testkit::daemon::metrics::Metrics;
use testkit::daemon::samples::{Outcome as Told, Sample};
use testkit::progress::say;
use testkit::scene::Scene;
use testkit::scene::agreement::histories;
use testkit::truth::{Outcome, Record};

/// How far a delay may be from the truth. It is as loose as in the other tests, because machines may be busy. The gaps of these
/// tests are far longer.
const BOUND: Duration = Duration::from_millis(500);

/// How long before a gap a slice may have been written that was lost on its way to the daemon.
const ON_THE_WAY: Duration = Duration::from_millis(200);

/// How long the controller and the daemon may take until everything is reported.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long nothing may be added once both agree.
const QUIET: Duration = Duration::from_millis(400);

/// Pause between two checks.
const POLL: Duration = Duration::from_millis(50);

/// Pods that [`measures`] makes ready at about the same time, and how often it does so.
const BURST: usize = 4;
const BURSTS: usize = 6;

/// Pause after a burst that the machine was too busy for. The daemon trusts its stamps again half a second after a stall.
const DOUBT: Duration = Duration::from_secs(2);

/// A time in which the daemon did not see everything.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// No later than the moment at which it no longer saw everything.
    pub from: Timestamp,
    /// It saw nothing at least until here: no delay of a change that started before can be known.
    pub dark_until: Timestamp,
    /// No earlier than the moment at which it saw everything again.
    pub until: Timestamp,
    /// It had to list again: it cannot know what came and went in the gap.
    pub relisted: bool,
    /// The API server died at `from`, maybe between a write and its line in the audit log. The truth then has only the
    /// next write, and a change may have ended earlier than the truth says.
    pub crashed: bool,
}

/// How many changes had each outcome, as the daemon reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// With a true delay.
    pub timed: usize,
    /// Without one.
    pub censored: usize,
    /// Superseded or withdrawn.
    pub other: usize,
    /// Not reported, and the daemon cannot know of them.
    pub unseen: usize,
    /// The daemon reports that the machine was too busy for it: some changes may be censored instead of timed.
    pub doubts: bool,
}

impl Tally {
    /// Checks how many changes had each outcome. Those with a delay are given as bursts at different times: one stall of a busy machine
    /// censors a whole burst, and half of the bursts may be censored.
    ///
    /// # Errors
    /// The tally differs.
    pub fn check(self, bursts: &[usize], censored: usize, other: usize, unseen: usize) -> Result<()> {
        let timed = bursts.iter().sum::<usize>();
        let all = (self.timed + self.censored, self.other, self.unseen) == (timed + censored, other, unseen);
        let mut smallest = bursts.to_vec();
        smallest.sort_unstable();
        smallest.truncate(bursts.len().div_ceil(2));
        let least = if self.doubts { smallest.iter().sum() } else { timed };
        ensure!(all && (least..=timed).contains(&self.timed), "not {timed}, {censored}, {other}, {unseen}: {self:?}");
        Ok(())
    }
}

/// Makes new pods of a Service ready, a few at a time, until most of a burst have a delay. On a busy machine one stall censors all of
/// them.
///
/// # Errors
/// The daemon lacks an outcome, or most of each burst have no delay.
pub async fn measures(scene: &Scene, app: &str) -> Result<()> {
    let mut found = Vec::new();
    for burst in 0..BURSTS {
        let mut pods = Vec::new();
        for number in 0..BURST {
            pods.push(scene.objects.create_pod(&format!("{app}-again-{burst}-{number}"), app).await?);
        }
        for pod in &pods {
            scene.objects.report(pod, true).await?;
        }
        let started = Instant::now();
        let outcomes = loop {
            let samples = scene.daemon.samples()?.into_iter();
            let of_burst = samples.filter(|it| pods.iter().any(|pod| it.uid.as_ref() == Some(&pod.uid)));
            let outcomes: Vec<_> = of_burst.map(|it| it.outcome).collect();
            if outcomes.len() == BURST {
                break outcomes;
            }
            ensure!(started.elapsed() < TIMEOUT, "the daemon tells {outcomes:?} of {BURST}");
            tokio::time::sleep(POLL).await;
        };
        if 2 * outcomes.iter().filter(|outcome| **outcome == Told::Propagated).count() > BURST {
            return Ok(());
        }
        found.push(outcomes);
        tokio::time::sleep(DOUBT).await;
    }
    bail!("most of each burst have no delay: {found:?}")
}

/// Waits until everything is reflected and reported, and compares the daemon with the truth.
///
/// # Errors
/// The differences.
pub async fn reckon(scene: &mut Scene, gap: Gap) -> Result<Tally> {
    let started = Instant::now();
    let mut agreed = None;
    loop {
        let records = scene.settle().await?;
        let namespace = scene.objects.namespace();
        let metrics = scene.daemon.metrics().await?;
        let samples: Vec<_> =
            scene.daemon.samples()?.into_iter().filter(|sample| sample.namespace == namespace).collect();
        let doubts = metrics.has_doubts();
        match compare(&records, &samples, gap, doubts)
            .and_then(|tally| add_up(namespace, &metrics, &samples).map(|()| tally))
        {
            Ok(tally) => {
                if agreed.get_or_insert_with(Instant::now).elapsed() > QUIET {
                    return Ok(tally);
                }
            }
            Err(differences) => {
                ensure!(agreed.is_none(), "the daemon added to what was already right:\n{differences}");
                ensure!(started.elapsed() < TIMEOUT, "with {gap:?} the daemon differs from the truth:\n{differences}");
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Compares each delay that the daemon reports with the truth, more closely than [`reckon`] does, and prints the largest difference.
///
/// # Errors
/// A delay that no change of its kind had.
pub async fn check_delays(scene: &mut Scene, within: Duration) -> Result<()> {
    let records = scene.settle().await?;
    let namespace = scene.objects.namespace();
    let samples: Vec<_> = scene.daemon.samples()?.into_iter().filter(|sample| sample.namespace == namespace).collect();
    let mut differences = Vec::new();
    for (key, (records, samples)) in histories(&records, &samples) {
        let truths: Vec<_> = records.iter().map(|record| record.outcome).collect();
        for delay in samples.iter().filter_map(|sample| sample.delay()) {
            let difference = |truth: &Option<Outcome>| match truth {
                Some(Outcome::Propagated(truth)) => Some(delay.abs_diff(*truth)),
                _ => None,
            };
            let least = truths.iter().filter_map(difference).min();
            let least = least.filter(|least| *least < within);
            differences.push(least.with_context(|| format!("{key:?} is told as {delay:?}, and was {truths:?}"))?);
        }
    }
    let (delays, most) = (differences.len(), differences.iter().max());
    say("faults", &format!("{namespace}: {delays} delays, at most {:.1?} wrong", most.copied().unwrap_or_default()));
    Ok(())
}

/// Compares the metrics with the samples: every change is counted once, and none is pending.
///
/// # Errors
/// The differences.
pub fn add_up(namespace: &str, metrics: &Metrics, samples: &[Sample]) -> Result<(), String> {
    let of_namespace = [("namespace", namespace)];
    let counted = metrics.sum("endpointlag_changes_total", &of_namespace);
    let timed = metrics.sum("endpointlag_propagation_seconds_count", &of_namespace);
    let pending = metrics.sum("endpointlag_pending_changes", &of_namespace);
    let told = samples.len() as f64;
    let told_timed = samples.iter().filter(|sample| sample.delay().is_some()).count() as f64;
    if (counted, timed, pending) == (told, told_timed, 0.0) {
        return Ok(());
    }
    Err(format!(
        "  metrics: {counted} changes, {timed} timed, {pending} pending; samples: {told}, {told_timed} timed\n"
    ))
}

/// The differences by Service, pod and kind; the tally if there are none.
fn compare(records: &[Record], samples: &[Sample], gap: Gap, doubts: bool) -> Result<Tally, String> {
    let histories = histories(records, samples);
    let mut differences = String::new();
    for ((service, uid, change), (records, samples)) in &histories {
        if !explains(records, samples, gap, doubts) {
            let truth: Vec<_> =
                records.iter().map(|record| format!("{:?} at {}", record.outcome, record.started)).collect();
            let told: Vec<_> = samples.iter().map(|sample| (sample.outcome, sample.delay())).collect();
            let pod = uid.as_deref().unwrap_or_default();
            differences += &format!("  {service} {} {pod}: truth {truth:?}, daemon {told:?}\n", change.label());
        }
    }
    if !differences.is_empty() {
        return Err(differences);
    }
    let count = |wanted: &[Told]| samples.iter().filter(|sample| wanted.contains(&sample.outcome)).count();
    Ok(Tally {
        timed: count(&[Told::Propagated]),
        censored: count(&[Told::Censored]),
        other: count(&[Told::Superseded, Told::Withdrawn, Told::Expired]),
        unseen: records.len() - samples.len(),
        doubts,
    })
}

/// Whether the changes of one kind, in order, account for the samples in their order. If the daemon reports that the machine
/// was too busy for it, it may have censored some of them.
fn explains(records: &[&Record], samples: &[&Sample], gap: Gap, doubts: bool) -> bool {
    match (records, samples) {
        ([], []) => true,
        ([], _) => false,
        ([record, later @ ..], _) => {
            let may_be = |sample: &Sample| {
                let is_doubted = doubts && record.outcome.is_some() && sample.outcome == Told::Censored;
                is_doubted || gap.allows(record, sample)
            };
            let told = samples.split_first();
            told.is_some_and(|(sample, rest)| may_be(sample) && explains(later, rest, gap, doubts))
                || (gap.hides(record) && explains(later, samples, gap, doubts))
        }
    }
}

impl Gap {
    /// Whether a sample may be the daemon's report of a change.
    fn allows(self, record: &Record, sample: &Sample) -> bool {
        match (record.outcome, sample.outcome, sample.delay()) {
            (Some(Outcome::Propagated(truth)), Told::Propagated, Some(delay)) => {
                let known = record.started < self.from || record.started > self.dark_until;
                known && (delay.abs_diff(truth) < BOUND || (self.crashed && self.ended_before(record, delay)))
            }
            (Some(Outcome::Superseded), Told::Superseded, None) | (Some(Outcome::Withdrawn), Told::Withdrawn, None) => {
                true
            }
            // The daemon saw its opposite, but not the slices between the two.
            (Some(Outcome::Propagated(_)), Told::Superseded | Told::Censored, None) => self.touches(record),
            (Some(Outcome::Superseded | Outcome::Withdrawn), Told::Censored, None) => self.touches(record),
            _ => false,
        }
    }

    /// Whether a change that continued into the gap would, with this delay, have ended before it.
    fn ended_before(self, record: &Record, delay: Duration) -> bool {
        self.touches(record) && record.started + delay <= self.from
    }

    /// Whether a part of the change's time is in the gap. It is unknown when an overtaken one ended.
    fn touches(self, record: &Record) -> bool {
        let ended_before = match record.outcome {
            Some(Outcome::Propagated(delay)) => record.started + delay + ON_THE_WAY < self.from,
            _ => false,
        };
        record.started <= self.until && !ended_before
    }

    /// Whether the daemon cannot know of the change.
    fn hides(self, record: &Record) -> bool {
        self.relisted && (self.from..=self.until).contains(&record.started)
    }
}
