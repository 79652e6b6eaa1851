//! Where pods are placed.

use super::{Facts, Finding, Severity, Target, case::Case, checks, finding::Findings, words::counted};
use crate::model::spec::{ServiceSpec, WorkloadKind};
use serde_json::json;
use std::collections::BTreeSet;

/// What is there now.
pub(super) fn of_service(service: &ServiceSpec, facts: &Facts, findings: &mut Findings) {
    let ready = service.places.len();
    if ready < 2 {
        return;
    }
    let pods = counted(ready as u64, "ready endpoint");
    let nodes: BTreeSet<_> = service.places.iter().map(|place| &*place.node).collect();
    if let (1, Some(node)) = (nodes.len(), nodes.first()) {
        let finding = Finding::new(
            checks::ON_ONE_NODE,
            Target::of_service(service),
            format!(
                "{pods}, all on node \
                 {node}"
            ),
        )
        .advice(
            "topologySpreadConstraints by kubernetes.io/hostname, then delete pods one at a time: the \
             scheduler moves none that run.",
        )
        .cost("Each of these pods is replaced once.");
        findings.add(finding);
        return;
    }
    let zones: BTreeSet<_> = service.places.iter().map(|place| place.zone.as_deref()).collect();
    let (1, Some(Some(zone)), Some(all @ 2..)) = (zones.len(), zones.first(), facts.zones) else { return };
    let finding = Finding::new(
        checks::IN_ONE_ZONE,
        Target::of_service(service),
        format!("{pods}, all in zone {zone} of {all} zones"),
    )
    .advice("topologySpreadConstraints by topology.kubernetes.io/zone.")
    .cost("Traffic between zones, which some providers charge for; each of these pods is replaced once.");
    findings.add(finding);
}

/// What is set.
pub(super) fn of_workload(case: &Case<'_>, findings: &mut Findings) {
    let workload = case.workload();
    let template = &workload.template;
    let is_set = template.has_spread_constraints || template.has_anti_affinity;
    // A DaemonSet has one on each node.
    if workload.kind == WorkloadKind::DaemonSet || workload.replicas < 2 || is_set || template.selector.is_empty() {
        return;
    }
    let constraint = |key: &str| {
        json!({
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": template.selector },
        })
    };
    let mut constraints = vec![constraint("kubernetes.io/hostname")];
    if case.facts.zones.is_some_and(|zones| zones > 1) {
        constraints.push(constraint("topology.kubernetes.io/zone"));
    }
    let finding =
        Finding::new(checks::SPREAD_UNSET, case.target(), "neither topologySpreadConstraints nor podAntiAffinity")
            .severity(Severity::Note)
            .advice("topologySpreadConstraints with maxSkew: 1 and whenUnsatisfiable: ScheduleAnyway.")
            .cost(
                "A rollout, as for each change of the pod template. With ScheduleAnyway no pod stays pending \
                 for it.",
            )
            .patch(case.patch(json!({ "template": { "spec": { "topologySpreadConstraints": constraints } } })));
    findings.add(finding);
}
