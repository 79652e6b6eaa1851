//! What was found last, for all who show it.

use crate::{
    advice::{Advice, Finding, Severity, Skipped},
    cluster::inventory::Missing,
    propagation::ServiceName,
};
use parking_lot::Mutex;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The largest number of findings that are kept, and of their series: the worst. Each takes one to three kilobytes.
pub const KEPT: usize = 10_000;

/// The findings of the last evaluation, and how evaluations went.
#[derive(Debug, Default)]
pub struct Board {
    state: Mutex<View>,
}

/// The state of a [`Board`] at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What was found.
    pub found: Arc<Found>,
    /// The last evaluation that succeeded; `None` before the first.
    pub last: Option<Evaluation>,
    /// Number of evaluations that succeeded.
    pub evaluations: u64,
    /// Number of those that failed.
    pub failures: u64,
    /// Why the last one failed; `None` if it succeeded.
    pub failure: Option<String>,
}

/// An evaluation that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation {
    /// When it ended.
    pub at: SystemTime,
    /// How long it took, of which most is reading.
    pub took: Duration,
}

/// What an evaluation found.
#[derive(Debug, Default)]
pub struct Found {
    /// The worst findings, and what was not judged; up to [`KEPT`] of each.
    pub advice: Advice,
    /// Number of all findings by severity, from the least on, without those that are ignored.
    pub by_severity: [usize; Severity::ALL.len()],
    /// Number of findings that are ignored by an annotation.
    pub ignored: usize,
    /// Number of series that there are no more of, because there are [`KEPT`].
    pub overflowed: usize,
    /// The findings as series, sorted; up to [`KEPT`].
    pub series: Vec<Series>,
    /// Resources that may not be listed, with the number of namespaces, which is 1 for the whole cluster.
    pub missing: BTreeMap<&'static str, usize>,
    /// How many entries of what was not judged are there because of a missing right. They come first.
    pub rights: usize,
}

/// A finding about one Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The Service; `None` for the cluster as a whole.
    pub service: Option<ServiceName>,
    /// The check.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
}

// === impl Board ===

impl Board {
    /// Shows what was found. What was found before is dropped.
    pub fn show(&self, found: Found, evaluation: Evaluation) {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.found, Arc::new(found));
        (state.last, state.failure) = (Some(evaluation), None);
        state.evaluations += 1;
        drop(state);
        // Not while others wait.
        drop(before);
    }

    /// Counts a failure. What was found before stays.
    pub fn fail(&self, why: String) {
        let mut state = self.state.lock();
        state.failures += 1;
        state.failure = Some(why);
    }

    /// The state now.
    pub fn view(&self) -> View {
        self.state.lock().clone()
    }
}

// === impl Found ===

impl Found {
    /// The worst of an advice. What was not judged begins with what may not be read.
    pub fn new(advice: Advice, missing: &[Missing]) -> Self {
        Self::with_most(advice, missing, KEPT)
    }

    fn with_most(Advice { mut findings, mut skipped }: Advice, missing: &[Missing], most: usize) -> Self {
        let mut by_severity = [0; Severity::ALL.len()];
        let mut series = BTreeSet::new();
        for finding in findings.iter().filter(|finding| finding.ignored.is_none()) {
            by_severity[finding.severity as usize] += 1;
            let services: Vec<_> = if finding.services.is_empty() {
                vec![None]
            } else {
                finding.services.iter().cloned().map(Some).collect()
            };
            let one = |service| (Reverse(finding.severity), service, finding.check.id);
            series.extend(services.into_iter().map(one));
        }
        let ignored = findings.len() - by_severity.iter().sum::<usize>();
        let overflowed = series.len().saturating_sub(most);
        let of = |(Reverse(severity), service, check)| Series { service, check, severity };
        let mut series: Vec<_> = series.into_iter().take(most).map(of).collect();
        series.sort_unstable();
        keep_worst(&mut findings, most);
        skipped.truncate(most);
        findings.shrink_to_fit();
        let mut rights = BTreeMap::new();
        for it in missing {
            *rights.entry(it.resource).or_default() += 1;
        }
        let advice = Advice { findings, skipped };
        Self { advice, by_severity, ignored, overflowed, series, missing: rights, rights: missing.len() }
    }

    /// The checks that are left out because something may not be read.
    pub fn missing_rights(&self) -> &[Skipped] {
        &self.advice.skipped[..self.rights.min(self.advice.skipped.len())]
    }
}

/// Keeps the worst in their order. Those that are ignored are the least.
fn keep_worst(findings: &mut Vec<Finding>, most: usize) {
    let rank = |finding: &Finding| match (&finding.ignored, finding.severity) {
        (Some(_), _) => 3,
        (None, Severity::Note) => 2,
        (None, Severity::Warning) => 1,
        (None, Severity::Error) => 0,
    };
    let mut room = [0; 4];
    findings.iter().for_each(|finding| room[rank(finding)] += 1);
    let mut left = most;
    for wanted in &mut room {
        *wanted = left.min(*wanted);
        left -= *wanted;
    }
    findings.retain(|finding| {
        let room = &mut room[rank(finding)];
        let is_kept = *room > 0;
        *room = room.saturating_sub(1);
        is_kept
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        advice::{Facts, Subject, advise},
        model::spec::{Backing, Container, PodTemplate, ServiceSpec, Strategy, Workload, WorkloadKind},
    };

    /// A Service whose workload has no probe, no budget and one replica, and one that ignores its probes.
    fn advice() -> Advice {
        let subject = |name: &str, ignored: Option<&str>| {
            let container = Container { name: "main".to_owned(), ..Container::default() };
            let workload = Workload {
                kind: WorkloadKind::Deployment,
                namespace: "shop".to_owned(),
                name: name.to_owned(),
                replicas: 1,
                strategy: Strategy::Recreate,
                min_ready_seconds: 0,
                template: PodTemplate { containers: vec![container], grace_seconds: 30, ..PodTemplate::default() },
                ignored: ignored.map(str::to_owned),
            };
            let backing = Backing {
                workload,
                budgets: None,
                has_unguarded: false,
                autoscaler: Some(None),
                startup: None,
                containers_ready: None,
                is_name_taken: false,
            };
            let (namespace, name) = ("shop".to_owned(), name.to_owned());
            let service = ServiceSpec { namespace, name, ..ServiceSpec::default() };
            Subject { service, backings: vec![backing], unread: Vec::new(), measured: None }
        };
        let ignored = "readiness-probe=a batch job; liveness-probe=a batch job";
        advise(&[subject("job", Some(ignored)), subject("web", None)], &Facts::default())
    }

    fn found(most: usize) -> Found {
        let missing = Missing { resource: "nodes", namespace: None };
        Found::with_most(advice(), &[missing], most)
    }

    #[test]
    fn findings_have_a_series_each_and_ignored_ones_have_none() {
        let all = found(KEPT);
        let of = |name: &str| -> Vec<_> {
            let is_own = |series: &&Series| series.service.as_ref().is_some_and(|service| &*service.name == name);
            all.series.iter().filter(is_own).map(|series| (series.check, series.severity.as_str())).collect()
        };
        assert!(of("web").contains(&("readiness-probe-missing", "error")), "{:?}", of("web"));
        assert!(of("web").contains(&("liveness-probe-missing", "note")));
        assert!(!of("job").iter().any(|(check, _)| check.contains("probe")), "{:?}", of("job"));
        assert!(of("job").contains(&("rollout-recreate", "warning")));
        assert_eq!((all.ignored, all.overflowed, all.missing.get("nodes")), (2, 0, Some(&1)));
        assert_eq!(all.series.len(), all.by_severity.iter().sum::<usize>());
        assert_eq!(all.advice.findings.len(), all.series.len() + all.ignored);
    }

    #[test]
    fn the_worst_are_kept() {
        let all = found(KEPT);
        let [_, warnings, errors] = all.by_severity;
        assert_eq!(errors, 1);
        let few = found(errors + 2);
        assert_eq!((few.series.len(), few.overflowed), (errors + 2, all.series.len() - errors - 2));
        assert_eq!(few.by_severity, all.by_severity, "all are counted");
        let severities: Vec<_> = few.advice.findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities.iter().filter(|it| **it == Severity::Error).count(), errors);
        assert!(warnings >= 2 && !severities.contains(&Severity::Note), "{severities:?}");
        // They stay in their order.
        let order = |found: &Found| -> Vec<_> { found.advice.findings.iter().map(|it| it.target.clone()).collect() };
        let (all, few) = (order(&all), order(&few));
        let mut rest = all.iter();
        assert!(few.iter().all(|target| rest.any(|it| it == target)), "{few:?} of {all:?}");
    }

    #[test]
    fn a_failure_leaves_what_was_found_before() {
        let board = Board::default();
        board.fail("no answer".to_owned());
        let view = board.view();
        assert_eq!((view.evaluations, view.failures, view.found.series.len()), (0, 1, 0));
        let evaluation = Evaluation { at: SystemTime::UNIX_EPOCH, took: Duration::from_secs(1) };
        board.show(found(KEPT), evaluation);
        assert_eq!(board.view().failure, None);
        board.fail("no answer".to_owned());
        let view = board.view();
        assert_eq!((view.evaluations, view.failures, view.failure.as_deref()), (1, 2, Some("no answer")));
        assert!(!view.found.series.is_empty() && view.last.is_some());
    }
}
