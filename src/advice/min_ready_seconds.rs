//! minReadySeconds: whether a rollout waits until a new pod gets traffic.

use super::{
    Finding, Severity,
    case::Case,
    checks,
    finding::Findings,
    words::{FIND_OUT, delay},
};
use crate::{ledger::Change, model::spec::Strategy};
use serde_json::json;
use std::time::Duration;

/// A measured time below this is worth a note only: the next pod takes longer than that to start.
const SHORT: Duration = Duration::from_secs(1);

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    // There a pod gets traffic before it is ready; and no rollout goes on by itself after OnDelete, or waits for anything with Recreate.
    if case.service.publishes_not_ready || !matches!(case.workload().strategy, Strategy::RollingUpdate { .. }) {
        return;
    }
    let Some(measured) = case.measured else { return };
    let Some(reach) = measured.reach(Change::Ready) else { return };
    let set = case.workload().min_ready_seconds;
    // What is not measured decides nothing: without agents only the slices count.
    let known = reach.slices.delay + reach.nodes.map(|nodes| nodes.longest).unwrap_or_default();
    if Duration::from_secs(set.into()) >= known {
        return;
    }
    let (total, replicas) = (delay(known), case.workload().replicas);
    let finding = Finding::new(checks::MIN_READY_SHORT, case.target(), format!("minReadySeconds: {set}"))
        .severity(if known < SHORT { Severity::Note } else { Severity::Warning })
        .measured(measured.in_words(Change::Ready, &reach))
        .rule(format!("a new pod counts as available after {set} s, and gets traffic {total} after it is ready"));
    let Some(wanted) = reach.with_margin(Duration::ZERO) else {
        let rule = format!(
            "a new pod counts as available after {set} s, and gets traffic more than {total} after it is ready"
        );
        let advice = format!("minReadySeconds that are longer than this takes. {FIND_OUT}");
        return findings.add(finding.rule(rule).advice(advice).cost("A rollout waits longer at each step."));
    };
    let mut advice = format!("minReadySeconds: {wanted}.");
    if let Some(beyond) = case.beyond() {
        advice += &format!(" This is a lower bound, because the path goes on: {beyond}.");
    }
    let finding = finding
        .advice(advice)
        .cost(format!(
            "A rollout waits {wanted} s longer at each step, with {replicas} replicas at most {} s.",
            wanted.saturating_mul(replicas)
        ))
        .figure(wanted)
        .patch(case.patch(json!({ "minReadySeconds": wanted })));
    findings.add(finding);
}
