//! The strategy of a rollout: how many endpoints it leaves.

use super::{
    Finding, Severity,
    case::Case,
    checks,
    finding::Findings,
    liveness_probe::ENOUGH_PODS,
    words::{ONLY_OWNER, counted, start_times},
};
use crate::model::spec::{Amount, Strategy, WorkloadKind};
use serde_json::json;

/// A start of half of the pods that takes this long, in seconds, is slow.
const SLOW: u32 = 10;

/// What a surge costs where something may keep another pod from running.
const BESIDE: &str =
    "Two pods run at once during a rollout. If the second cannot, the rollout waits for it without end.";

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    match &case.workload().strategy {
        Strategy::Recreate => findings.add(recreate(case)),
        Strategy::RollingUpdate { max_unavailable, max_surge } => {
            no_endpoints(case, max_unavailable, findings);
            no_surge(case, max_surge, findings);
        }
        Strategy::OnDelete => {}
    }
}

fn recreate(case: &Case<'_>) -> Finding {
    let finding = Finding::new(checks::ROLLOUT_RECREATE, case.target(), "strategy: Recreate");
    if let Some(obstacle) = case.obstacle() {
        // Often that is why.
        return finding
            .severity(Severity::Note)
            .advice(format!("Nothing, if {obstacle}. Otherwise RollingUpdate."))
            .cost(BESIDE);
    }
    // Recreate may be there so that old and new never run together.
    finding
        .advice(format!(
            "strategy: RollingUpdate with maxUnavailable: 0 and maxSurge: 1, if old and new may run together. {ONLY_OWNER}"
        ))
        .cost("One more pod during a rollout; old and new version serve at the same time.")
}

fn no_endpoints(case: &Case<'_>, max_unavailable: &Amount, findings: &mut Findings) {
    let pods = case.backing.fewest();
    let kind = case.workload().kind;
    let missing = case.workload().may_be_missing(pods);
    // One pod of these kinds is always replaced by stopping it first: that is what the check of replicas is about.
    let least = if kind == WorkloadKind::Deployment { 1 } else { 2 };
    if pods < least || missing < pods {
        return;
    }
    let finding =
        Finding::new(checks::ROLLOUT_NO_ENDPOINTS, case.target(), format!("maxUnavailable: {max_unavailable}"))
            .rule(format!("with {}, {missing} may be missing at once", counted(pods.into(), "pod")));
    let path = if kind == WorkloadKind::Deployment { "strategy" } else { "updateStrategy" };
    let obstacle = case.obstacle();
    if let Some(obstacle) = obstacle.filter(|_| pods == 1) {
        // With 0 and no room for another pod the rollout would never end.
        let advice = format!("Nothing, if {obstacle}. Otherwise {path}.rollingUpdate: maxUnavailable: 0, maxSurge: 1.");
        return findings.add(finding.severity(Severity::Note).advice(advice).cost(BESIDE));
    }
    if is_single(case, pods) {
        let advice =
            format!("{path}.rollingUpdate: maxUnavailable: 0, maxSurge: 1, if two may run at once. {ONLY_OWNER}");
        return findings.add(finding.advice(advice).cost("One more pod during a rollout."));
    }
    let wanted = u32::from(kind != WorkloadKind::Deployment || obstacle.is_some());
    let mut change = json!({ "maxUnavailable": wanted });
    let mut advice = format!("{path}.rollingUpdate.maxUnavailable: {wanted}.");
    let mut cost = "A rollout takes more steps.".to_owned();
    if let Strategy::RollingUpdate { max_surge, .. } = &case.workload().strategy
        && kind == WorkloadKind::Deployment
        && max_surge.rounded_up(pods) == 0
        && obstacle.is_none()
    {
        change["maxSurge"] = json!(1);
        advice = format!("{path}.rollingUpdate: maxUnavailable: 0, maxSurge: 1.");
        cost += " One more pod meanwhile.";
    }
    findings.add(finding.advice(advice).cost(cost).patch(case.patch(json!({ path: { "rollingUpdate": change } }))));
}

/// Whether never more than one pod of this Deployment runs. That may be meant so.
fn is_single(case: &Case<'_>, pods: u32) -> bool {
    let Strategy::RollingUpdate { max_surge, .. } = &case.workload().strategy else { return false };
    let most = case.backing.autoscaler.iter().flatten().map(|autoscaler| autoscaler.maximum).max().unwrap_or(pods);
    case.workload().kind == WorkloadKind::Deployment && pods == 1 && most < 2 && max_surge.rounded_up(pods) == 0
}

fn no_surge(case: &Case<'_>, max_surge: &Amount, findings: &mut Findings) {
    let Some(startup) = case.backing.startup.filter(|it| it.pods >= ENOUGH_PODS && it.median >= SLOW) else { return };
    let pods = case.workload().replicas;
    if case.workload().kind != WorkloadKind::Deployment || max_surge.rounded_up(pods) > 0 {
        return;
    }
    let finding = Finding::new(checks::ROLLOUT_NO_SURGE, case.target(), format!("maxSurge: {max_surge}"))
        .measured(start_times(&startup))
        .rule(format!("each of {pods} pods is missing for about {} s in a rollout", startup.median));
    let advice = "strategy.rollingUpdate: maxSurge: 1, maxUnavailable: 0.";
    findings.add(match case.obstacle() {
        Some(obstacle) => {
            let advice = format!("Nothing, if {obstacle}. Otherwise {advice}");
            finding.severity(Severity::Note).advice(advice).cost(BESIDE)
        }
        None if is_single(case, pods) => finding
            .advice(format!("{advice} That is, if two may run at once. {ONLY_OWNER}"))
            .cost("One more pod during a rollout."),
        None => finding
            .advice(advice)
            .cost("One more pod during a rollout, for which a node must have room.")
            .patch(case.patch(json!({ "strategy": { "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } } }))),
    });
}
