//! Which levers would have helped in one rollout, judged by what happened in it.
//!
//! This is about the past: it holds for this rollout, and no number of samples is needed for that. What to set for the future is what the
//! checks find, which need [enough](super::ENOUGH) of them.

use super::{
    Facts, Finding, Lever, Measured, NodeHop, Sample, Subject, advise,
    case::Case,
    words::{ceil, delay},
};
use crate::{
    ledger::Change,
    model::spec::{Backing, Strategy, WorkloadKind},
    rollout::{HopDelay, Leg, Report, ServiceReport},
};
use std::{collections::BTreeMap, time::Duration};

/// A lever, and whether it would have helped.
#[derive(Clone, Debug, PartialEq)]
pub struct Help {
    /// The lever.
    pub lever: Lever,
    /// Whether another setting of it would have made this rollout better.
    pub helps: bool,
    /// What happened.
    pub happened: String,
    /// What is set.
    pub set: String,
    /// What would have been better.
    pub better: Option<String>,
    /// What the checks find, the worst first, with the figures of this rollout where there are enough.
    pub findings: Vec<Finding>,
}

/// What is looked at.
struct Look<'a> {
    case: Case<'a>,
    report: &'a Report,
    service: &'a ServiceReport,
}

/// The levers of a workload, for the rollout of its pods in this Service.
pub fn in_rollout(report: &Report, service: &ServiceReport, subject: &Subject, facts: &Facts) -> Vec<Help> {
    let subject = Subject { measured: Some(Measured::of_rollout(report, service)), ..subject.clone() };
    let advice = advise(std::slice::from_ref(&subject), facts);
    let mut all = Vec::new();
    for backing in &subject.backings {
        let case = Case { service: &subject.service, backing, measured: subject.measured.as_ref(), facts };
        let look = Look { case, report, service };
        let helps = [look.min_ready_seconds(), look.pre_stop(), look.rolling_update(backing), look.readiness_probe()];
        all.extend(helps.into_iter().map(|help| {
            let own =
                |it: &&Finding| it.check.lever == help.lever && it.target.kind != "Service" && it.ignored.is_none();
            Help { findings: advice.findings.iter().filter(own).cloned().collect(), ..help }
        }));
    }
    all
}

impl Measured {
    /// What one rollout measured of a Service.
    pub fn of_rollout(report: &Report, service: &ServiceReport) -> Self {
        let mut of_kinds: BTreeMap<(Change, bool), Vec<&HopDelay>> = BTreeMap::new();
        for hop in &service.delays {
            of_kinds.entry((hop.change, hop.leg == Leg::Nodes)).or_default().push(hop);
        }
        let mut measured = Self { rollouts: Some(1), ..Self::nothing_in(report.lasted()) };
        for ((change, is_of_nodes), hops) in of_kinds {
            let mut known: Vec<_> = hops.iter().filter(|hop| !hop.is_pending).map(|hop| hop.delay).collect();
            known.sort_unstable();
            let pending = || hops.iter().filter(|hop| hop.is_pending);
            if !is_of_nodes {
                let oldest_pending = pending().map(|hop| hop.delay).max().unwrap_or_default();
                let sample = Sample { pending: pending().count() as u64, oldest_pending, ..Sample::of_delays(&known) };
                measured.changes.insert(change, sample);
            } else {
                let at_least = pending().map(|hop| hop.delay).max().unwrap_or_default();
                let hop = NodeHop::of(&known, pending().count() as u64, at_least);
                measured.nodes.extend(hop.map(|hop| (change, hop)));
            }
        }
        measured
    }
}

impl Sample {
    /// Of single delays, ascending.
    pub fn of_delays(sorted: &[Duration]) -> Self {
        // The least that this share of all does not exceed.
        let at = |thousandths: usize| {
            let index = (sorted.len() * thousandths).div_ceil(1_000).max(1) - 1;
            sorted.get(index).copied().unwrap_or_default()
        };
        let [p50, p90, p99, p999, max] = [500, 900, 990, 999, 1_000].map(at);
        Self { count: sorted.len() as u64, p50, p90, p99, p999, max, ..Self::default() }
    }
}

impl Look<'_> {
    /// The longest that a change of this kind took, over all hops that were measured. Its parts, in words.
    fn longest(&self, change: Change) -> Option<(Duration, String)> {
        let of = |leg: Leg| self.service.delays.iter().filter(move |hop| hop.change == change && hop.leg == leg);
        let with_nodes = of(Leg::Slices).map(|slices| {
            let nodes = of(Leg::Nodes).find(|hop| hop.pod.uid == slices.pod.uid);
            (slices.delay + nodes.map(|hop| hop.delay).unwrap_or_default(), slices, nodes)
        });
        let (longest, slices, nodes) = with_nodes.max_by_key(|(total, ..)| *total)?;
        let took = |hop: &HopDelay| format!("{}{}", if hop.is_pending { "at least " } else { "" }, delay(hop.delay));
        let parts = match nodes {
            Some(nodes) => format!("{} to the slices and {} to the last node", took(slices), took(nodes)),
            None => format!("{} to the slices (the nodes were not measured)", took(slices)),
        };
        Some((longest, parts))
    }

    fn min_ready_seconds(&self) -> Help {
        let set = self.case.workload().min_ready_seconds;
        let hurried = self.service.serving.hurried;
        let longest = self.longest(Change::Ready);
        let is_rolling = matches!(self.case.workload().strategy, Strategy::RollingUpdate { .. });
        let is_short = longest.as_ref().is_some_and(|(longest, _)| Duration::from_secs(set.into()) < *longest);
        let helps = hurried > 0 && is_rolling && is_short;
        let took = longest.as_ref().map(|(_, parts)| format!("; a ready pod took up to {parts}")).unwrap_or_default();
        let happened = match hurried {
            0 => format!("no pod was stopped while another one was ready and not listed yet{took}"),
            number => format!("{number} times a pod was stopped while another one was ready and not listed yet{took}"),
        };
        let better =
            longest.filter(|_| helps).map(|(longest, _)| format!("minReadySeconds: at least {}", ceil(longest)));
        let set = format!("minReadySeconds: {set}");
        Help { lever: Lever::MinReadySeconds, helps, happened, set, better, findings: Vec::new() }
    }

    fn pre_stop(&self) -> Help {
        let longest = self.longest(Change::Terminating);
        let containers: Vec<_> =
            self.case.serving().into_iter().filter(|container| !self.case.is_sidecar(container)).collect();
        // What another program or an HTTP request waits for cannot be told.
        let sleep = |container: &&crate::model::spec::Container| match &container.pre_stop {
            None => Some(0),
            Some(hook) => hook.seconds(),
        };
        let shortest = containers.iter().filter_map(sleep).min();
        let is_short = |longest: Duration| shortest.is_some_and(|sleep| Duration::from_secs(sleep.into()) < longest);
        let (happened, helps, better) = match longest {
            _ if self.case.service.publishes_not_ready => {
                let why = "the Service publishes addresses that are not ready, so pods stay listed until they are gone";
                (why.to_owned(), false, None)
            }
            None => ("no pod that was being deleted stayed listed".to_owned(), false, None),
            Some((longest, parts)) => {
                let helps = is_short(longest) && !longest.is_zero();
                let better = helps.then(|| format!("lifecycle.preStop.sleep.seconds: at least {}", ceil(longest)));
                (format!("a pod that was being deleted got new connections for up to {parts}"), helps, better)
            }
        };
        let hooks = containers.iter().map(|container| {
            let name = &container.name;
            match container.pre_stop.as_ref().map(crate::model::spec::Hook::seconds) {
                None => format!("{name} has no preStop hook"),
                Some(Some(seconds)) => format!("{name} sleeps {seconds} s in preStop"),
                Some(None) => format!("{name} has a preStop hook whose length cannot be told"),
            }
        });
        let set = hooks.collect::<Vec<_>>().join(", ");
        Help { lever: Lever::PreStop, helps, happened, set, better, findings: Vec::new() }
    }

    fn rolling_update(&self, backing: &Backing) -> Help {
        let serving = &self.service.serving;
        let workload = &backing.workload;
        let without = serving.missing.saturating_sub(serving.waiting);
        let (set, may_miss) = match &workload.strategy {
            Strategy::Recreate => ("strategy: Recreate".to_owned(), true),
            Strategy::OnDelete => ("updateStrategy: OnDelete".to_owned(), false),
            Strategy::RollingUpdate { max_unavailable, max_surge } => {
                let missing = workload.may_be_missing(serving.wanted);
                (format!("maxUnavailable: {max_unavailable}, maxSurge: {max_surge}"), missing > 0)
            }
        };
        let is_without = !without.is_zero();
        let surge = "maxUnavailable: 0 and maxSurge: 1";
        let obstacle = self.case.obstacle();
        let better = match (workload.kind, obstacle) {
            (WorkloadKind::StatefulSet, _) => {
                "nothing here: a StatefulSet stops a pod before it starts its successor, so only more replicas help"
                    .to_owned()
            }
            (_, Some(obstacle)) => format!("nothing, if {obstacle}; otherwise {surge}"),
            (_, None) => surge.to_owned(),
        };
        let helps = is_without && may_miss && workload.kind != WorkloadKind::StatefulSet && obstacle.is_none();
        let before = match serving.wanted.saturating_sub(serving.at_begin) {
            missing if missing > 0 && is_without => format!("; {missing} were missing before it began"),
            _ => String::new(),
        };
        let happened = if is_without {
            let (least, wanted) = (serving.least, serving.wanted);
            let time = delay(without);
            format!(
                "{time} of endpoint time were missing with no pod ready to fill in, at least {least} of {wanted} served{before}"
            )
        } else {
            "no endpoint was missing for want of a ready pod".to_owned()
        };
        let better = (is_without && may_miss).then_some(better);
        Help { lever: Lever::RollingUpdate, helps, happened, set, better, findings: Vec::new() }
    }

    fn readiness_probe(&self) -> Help {
        let turned: usize = self.report.pods.iter().map(|pod| pod.turned_unready).sum();
        let containers = self.case.serving();
        let probes = containers.iter().map(|container| match &container.readiness {
            Some(probe) => format!("{}: every {} s, {} failures", container.name, probe.period, probe.failures),
            None => format!("{} has no readinessProbe", container.name),
        });
        let set = probes.collect::<Vec<_>>().join(", ");
        let is_missing = containers.iter().any(|container| container.readiness.is_none());
        let (happened, better) = match turned {
            0 if is_missing => {
                ("pods were ready as soon as they ran, whether they could answer or not".to_owned(), None)
            }
            0 => ("no pod turned unready again".to_owned(), None),
            times => (
                format!(
                    "pods turned unready again without being deleted, {times} in all: they passed the probe too early"
                ),
                Some("a readinessProbe that asks what a request needs".to_owned()),
            ),
        };
        Help { lever: Lever::ReadinessProbe, helps: turned > 0, happened, set, better, findings: Vec::new() }
    }
}
