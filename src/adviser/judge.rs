//! Brings together what is set and what was measured.

use super::Measurement;
use crate::{
    advice::{Advice, CHECKS, Facts, Lever, Measured, Skipped, Subject, advise, checks},
    cluster::inventory::{Inventory, Missing, Set},
    propagation::ServiceName,
};

/// Judges all Services, or those with this name only.
pub fn judge(inventory: Inventory, measurement: &Measurement, only: Option<&str>) -> Advice {
    let Measurement { window, services, cluster, proxy_modes, starts } = measurement;
    let facts = Facts {
        minor: inventory.minor,
        zones: inventory.zones,
        services: inventory.services.len(),
        changes: cluster.clone(),
        proxy_modes: proxy_modes.clone(),
    };
    let selected = inventory.services.into_iter().filter(|set| only.is_none_or(|name| name == set.service.name));
    let subject = |Set { service, backings, unread }: Set| {
        let name = ServiceName { namespace: service.namespace.as_str().into(), name: service.name.as_str().into() };
        let measured = services.get(&name).cloned().or_else(|| window.map(Measured::nothing_in));
        Subject { service, backings, unread, measured }.with_starts(&name, starts)
    };
    let subjects: Vec<_> = selected.map(subject).collect();
    let mut advice = advise(&subjects, &facts);
    if window.is_none() {
        let checks = CHECKS.iter().filter(|check| check.is_measured).map(|check| check.id);
        let why = "nothing was measured (--for 0s)".to_owned();
        advice.skipped.insert(0, Skipped { service: None, checks: checks.collect(), why });
    }
    advice.skipped.splice(0..0, inventory.missing.iter().map(skipped));
    advice
}

/// The checks that need what may not be read.
fn skipped(missing: &Missing) -> Skipped {
    let checks = match missing.resource {
        "poddisruptionbudgets.policy" => vec![Lever::DisruptionBudget.as_str()],
        "horizontalpodautoscalers.autoscaling" => vec![Lever::Autoscaling.as_str()],
        "nodes" => vec![checks::IN_ONE_ZONE.id],
        "ingresses.networking.k8s.io"
        | "httproutes.gateway.networking.k8s.io"
        | "targetgroupbindings.elbv2.k8s.aws" => vec![checks::READINESS_DETECTION.id],
        // Their names tell the Deployments.
        "replicasets.apps" => Vec::new(),
        _ => Lever::OF_WORKLOADS.map(Lever::as_str).to_vec(),
    };
    let of = missing.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    let why = format!("no permission to list {}{of}", missing.resource);
    Skipped { service: None, checks, why }
}
