//! The number of replicas, and what scales it.

use super::{
    Finding, Target,
    case::Case,
    checks,
    finding::Findings,
    liveness_probe::ENOUGH_PODS,
    patch::{Action, Patch},
    words::{ONLY_OWNER, start_times},
};
use crate::model::spec::{Autoscaler, Obstacle, WorkloadKind};
use serde_json::json;

const KIND: &str = "HorizontalPodAutoscaler";

/// A start of half of the pods that takes this long, in seconds, is longer than scaling can wait for.
const SLOW: u32 = 60;

/// How often the autoscaler looks, in seconds: --horizontal-pod-autoscaler-sync-period.
const SYNC: u32 = 15;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    // The nodes decide how many pods a DaemonSet has.
    if case.workload().kind == WorkloadKind::DaemonSet {
        return;
    }
    let Some(autoscaler) = &case.backing.autoscaler else { return };
    match autoscaler {
        Some(autoscaler) => {
            minimum(case, autoscaler, findings);
            lags(case, autoscaler, findings);
        }
        None if case.workload().replicas == 1 => findings.add(single_replica(case)),
        None if case.workload().replicas > 1 && case.workload().kind == WorkloadKind::Deployment => {
            findings.add(
                Finding::new(
                    checks::AUTOSCALER_MISSING,
                    case.target(),
                    format!("replicas: {}", case.workload().replicas),
                )
                .advice(
                    "Nothing, if the load is known. Otherwise a HorizontalPodAutoscaler with these \
                     replicas as its minimum.",
                )
                .cost("It needs resource requests, and a metric that follows the load."),
            );
        }
        None => {}
    }
}

fn single_replica(case: &Case<'_>) -> Finding {
    let finding = Finding::new(checks::SINGLE_REPLICA, case.target(), "replicas: 1");
    let workload = case.workload();
    let keeps_data = [Obstacle::Claim, Obstacle::HostPath].iter().any(|it| workload.template.obstacles.contains(it));
    if workload.kind == WorkloadKind::StatefulSet || keeps_data {
        return finding
            .advice(
                "A second replica, if the application can replicate its data. It is not known here whether it \
                 can.",
            )
            .cost("Another pod with its own volume; more than `replicas: 2` has to be set up in the application.");
    }
    // Two of one that runs jobs or holds a lock would do its work twice.
    finding.advice(format!("replicas: 2, if two may run at once. {ONLY_OWNER}")).cost("One more pod.")
}

fn minimum(case: &Case<'_>, autoscaler: &Autoscaler, findings: &mut Findings) {
    if autoscaler.minimum > 1 {
        return;
    }
    let finding = Finding::new(
        checks::AUTOSCALER_MINIMUM,
        target(case, autoscaler),
        format!("minReplicas: {}", autoscaler.minimum),
    )
    .cost("One more pod when there is little load.");
    if autoscaler.maximum < 2 {
        let advice = format!("minReplicas: 2 and maxReplicas: 2, if two may run at once. {ONLY_OWNER}");
        return findings.add(finding.advice(advice));
    }
    // More than one may run already, with more load.
    let finding = finding.advice("minReplicas: 2.").patch(Patch {
        action: Action::Merge,
        api_version: "autoscaling/v2",
        kind: KIND,
        namespace: case.workload().namespace.clone(),
        name: autoscaler.name.clone(),
        spec: json!({ "minReplicas": 2 }).into(),
    });
    findings.add(finding);
}

fn lags(case: &Case<'_>, autoscaler: &Autoscaler, findings: &mut Findings) {
    let Some(startup) = case.backing.startup.filter(|it| it.pods >= ENOUGH_PODS && it.median >= SLOW) else { return };
    let after = startup.median.saturating_add(SYNC);
    let finding = Finding::new(
        checks::AUTOSCALER_LAGS,
        target(case, autoscaler),
        format!("minReplicas: {}, maxReplicas: {}", autoscaler.minimum, autoscaler.maximum),
    )
    .measured(start_times(&startup))
    .rule(format!("a pod helps {} s + {SYNC} s = {after} s after the load has risen, at the earliest", startup.median))
    .advice(format!(
        "Room for {after} s of growth: a higher minReplicas or a lower target; or a start that is \
         faster."
    ))
    .cost("Pods that have little to do most of the time.");
    findings.add(finding);
}

fn target(case: &Case<'_>, autoscaler: &Autoscaler) -> Target {
    Target::of(KIND, &case.workload().namespace, &autoscaler.name)
}
