//! The PodDisruptionBudget: whether drains leave endpoints, and whether they get through.

use super::{
    Finding, Severity, Target,
    case::Case,
    checks,
    finding::Findings,
    patch::{Action, Patch},
    words::counted,
};
use crate::model::spec::{Amount, Budget, Limit, WorkloadKind};
use serde_json::{Value, json};

const KIND: &str = "PodDisruptionBudget";

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    // A drain leaves the pods of DaemonSets alone.
    if case.workload().kind == WorkloadKind::DaemonSet {
        return;
    }
    let Some(budgets) = &case.backing.budgets else { return };
    let (overlapping, single): (Vec<_>, Vec<_>) = budgets.iter().partition(|budget| budget.overlaps);
    if !overlapping.is_empty() {
        overlap(case, &overlapping, findings);
    }
    for budget in single {
        blocks(case, budget, findings);
        keeps_unhealthy(case, budget, findings);
    }
    if budgets.is_empty() {
        missing(case, findings);
    } else if case.backing.has_unguarded {
        missing_for_some(case, budgets, findings);
    }
}

fn missing(case: &Case<'_>, findings: &mut Findings) {
    let workload = case.workload();
    let pods = case.backing.fewest();
    // With one pod a budget either blocks its eviction or has no effect.
    if pods < 2 || workload.template.selector.is_empty() {
        return;
    }
    let spec = json!({
        "maxUnavailable": 1,
        "selector": { "matchLabels": workload.template.selector },
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    });
    let finding = Finding::new(checks::BUDGET_MISSING, case.target(), "no PodDisruptionBudget")
        .rule(format!("{} at the least, and a drain may evict all of them at once", counted(pods.into(), "pod")))
        .advice("A PodDisruptionBudget with maxUnavailable: 1 and unhealthyPodEvictionPolicy: AlwaysAllow.")
        .cost("A drain waits until the evicted pod is replaced and ready.")
        .patch(budget_patch(case, Action::Create, &new_name(case), spec));
    findings.add(finding);
}

/// Some of its pods have a budget, by labels that the template has not.
fn missing_for_some(case: &Case<'_>, budgets: &[Budget], findings: &mut Findings) {
    if case.backing.fewest() < 2 {
        return;
    }
    let others = names(budgets);
    let finding = Finding::new(
        checks::BUDGET_MISSING,
        case.target(),
        format!("PodDisruptionBudget {others} selects some of its pods, and none selects the rest"),
    )
    .severity(Severity::Note)
    .advice(format!(
        "Nothing, if only these pods matter. Otherwise a budget whose selector leaves out what {others} selects. There is \
         no patch: a pod that two budgets select cannot be evicted at all, and which labels pods get is not known here."
    ))
    .cost("A drain waits until the evicted pod is replaced and ready.");
    findings.add(finding);
}

/// The name of the workload. A second object of one name would replace the first.
fn new_name(case: &Case<'_>) -> String {
    let workload = case.workload();
    if case.backing.is_name_taken {
        format!("{}-{}", workload.name, workload.kind.as_str().to_lowercase())
    } else {
        workload.name.clone()
    }
}

fn blocks(case: &Case<'_>, budget: &Budget, findings: &mut Findings) {
    let limit = &budget.limit;
    let is_blocking = |pods| limit.allowed(pods, budget.selected.unwrap_or(pods)) == 0;
    let is_blocking = budget.pods.map_or(limit.allows_none(), is_blocking);
    let pods = budget.pods.unwrap_or(case.backing.fewest());
    if pods == 0 || !is_blocking {
        return;
    }
    let finding = Finding::new(checks::BUDGET_BLOCKS, target(case, budget), format!("{limit}"))
        .rule(format!("{}, no pod may be evicted", with_pods(case, budget)));
    if let Some(selected) = budget.selected {
        let advice = format!(
            "Leave it, if whoever drains a node first moves what these pods do, as operators of databases do, and ignore this \
             with that reason. Otherwise minAvailable: {}.",
            selected.saturating_sub(1)
        );
        findings.add(finding.advice(advice).cost("A drain may stop one of these pods at a time."));
        return;
    }
    // For a single pod Kubernetes' own documentation proposes such a budget, so that whoever drains its node asks first.
    findings.add(if pods == 1 {
        finding
            .advice(
                "Two replicas, then a budget with maxUnavailable: 1. Or maxUnavailable: 1 now, if the Service \
                 may stop for a restart. Or leave it, if whoever drains a node asks its owner first, and ignore this \
                 with that reason.",
            )
            .cost("With maxUnavailable: 1 a drain stops the only pod, and the Service with it, for as long as a start takes.")
    } else {
        finding
            .advice(format!("{}.", wanted(limit, pods)))
            .cost("A drain may stop one pod at a time.")
            .patch(budget_patch(case, Action::Merge, &budget.name, relaxed(limit)))
    });
}

/// How many pods the budget counts, in words.
fn with_pods(case: &Case<'_>, budget: &Budget) -> String {
    let of = match (&budget.limit, budget.pods) {
        (Limit::Unset, _) => return "without either, whatever the number of pods".to_owned(),
        (_, None) => return "whatever the number of pods".to_owned(),
        (_, Some(pods)) => counted(pods.into(), "pod"),
    };
    match &case.backing.autoscaler {
        _ if budget.selected.is_some() => {
            format!("with {}, of which it selects {}", of, budget.selected.unwrap_or_default())
        }
        _ if budget.pods != Some(case.backing.fewest()) => format!("with {of} of all workloads that it selects"),
        Some(Some(autoscaler)) => format!("with {of}, the minimum of autoscaler {}", autoscaler.name),
        _ => format!("with {of}"),
    }
}

/// The same limit, so that one pod may be evicted.
fn wanted(limit: &Limit, pods: u32) -> String {
    match limit {
        Limit::MaxUnavailable(_) | Limit::Unset => "maxUnavailable: 1".to_owned(),
        Limit::MinAvailable(Amount::Number(_)) => {
            format!("maxUnavailable: 1 instead of minAvailable (which would have to be {})", pods - 1)
        }
        Limit::MinAvailable(Amount::Percent(_)) => "maxUnavailable: 1 instead of minAvailable".to_owned(),
    }
}

fn relaxed(limit: &Limit) -> Value {
    match limit {
        Limit::MaxUnavailable(_) | Limit::Unset => json!({ "maxUnavailable": 1 }),
        // A budget has one of the two.
        Limit::MinAvailable(_) => json!({ "minAvailable": null, "maxUnavailable": 1 }),
    }
}

fn keeps_unhealthy(case: &Case<'_>, budget: &Budget, findings: &mut Findings) {
    if budget.lets_unhealthy_go {
        return;
    }
    let set = "unhealthyPodEvictionPolicy: IfHealthyBudget, the default";
    let finding = Finding::new(checks::BUDGET_KEEPS_UNHEALTHY, target(case, budget), set)
        .advice("unhealthyPodEvictionPolicy: AlwaysAllow.")
        .cost("A pod that runs and is not ready yet can be evicted before it has served.")
        .patch(budget_patch(case, Action::Merge, &budget.name, json!({ "unhealthyPodEvictionPolicy": "AlwaysAllow" })));
    findings.add(finding);
}

/// Their names in words.
fn names<'a>(budgets: impl IntoIterator<Item = &'a Budget>) -> String {
    budgets.into_iter().map(|budget| budget.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn overlap(case: &Case<'_>, budgets: &[&Budget], findings: &mut Findings) {
    let names = names(budgets.iter().copied());
    let finding = Finding::new(checks::BUDGETS_OVERLAP, case.target(), format!("PodDisruptionBudgets {names}"))
        .advice("One budget for these pods: delete the others, or make their selectors differ.");
    findings.add(finding);
}

fn target(case: &Case<'_>, budget: &Budget) -> Target {
    Target::of(KIND, &case.workload().namespace, &budget.name)
}

fn budget_patch(case: &Case<'_>, action: Action, name: &str, spec: Value) -> Patch {
    let namespace = case.workload().namespace.clone();
    Patch { action, api_version: "policy/v1", kind: KIND, namespace, name: name.to_owned(), spec: spec.into() }
}
