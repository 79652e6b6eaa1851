//! Deployments, StatefulSets and DaemonSets.

use super::template::{amount, number, template};
use crate::model::spec::{Amount, IGNORE_ADVICE_ANNOTATION, PodTemplate, Strategy, Workload, WorkloadKind};
use k8s_openapi::{
    api::apps::v1::{DaemonSet, Deployment, RollingUpdateDaemonSet, RollingUpdateDeployment, StatefulSet},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

/// `None` if it has no namespace, which no answer lacks.
pub(super) fn deployment(object: Deployment) -> Option<Workload> {
    let spec = object.spec;
    let strategy = spec.strategy.unwrap_or_default();
    let RollingUpdateDeployment { max_unavailable, max_surge } = strategy.rolling_update.unwrap_or_default();
    let strategy = match strategy.type_.as_deref() {
        Some("Recreate") => Strategy::Recreate,
        _ => rolling(max_unavailable, max_surge, [Amount::Percent(25), Amount::Percent(25)]),
    };
    let template = template(spec.template, spec.selector);
    let numbers = (spec.replicas.unwrap_or(1), spec.min_ready_seconds);
    workload(WorkloadKind::Deployment, &object.metadata, numbers, strategy, template)
}

/// `None` if it has no namespace.
pub(super) fn stateful_set(object: StatefulSet) -> Option<Workload> {
    let spec = object.spec;
    let strategy = spec.update_strategy.unwrap_or_default();
    let max_unavailable = strategy.rolling_update.and_then(|rolling| rolling.max_unavailable);
    let strategy = match strategy.type_.as_deref() {
        Some("OnDelete") => Strategy::OnDelete,
        _ => rolling(max_unavailable, None, [Amount::Number(1), Amount::Number(0)]),
    };
    let template = template(spec.template, spec.selector);
    let numbers = (spec.replicas.unwrap_or(1), spec.min_ready_seconds);
    workload(WorkloadKind::StatefulSet, &object.metadata, numbers, strategy, template)
}

/// `None` if it has no namespace.
pub(super) fn daemon_set(object: DaemonSet) -> Option<Workload> {
    let scheduled = object.status.map_or(0, |status| status.desired_number_scheduled);
    let spec = object.spec;
    let strategy = spec.update_strategy.unwrap_or_default();
    let RollingUpdateDaemonSet { max_unavailable, max_surge } = strategy.rolling_update.unwrap_or_default();
    let strategy = match strategy.type_.as_deref() {
        Some("OnDelete") => Strategy::OnDelete,
        _ => rolling(max_unavailable, max_surge, [Amount::Number(1), Amount::Number(0)]),
    };
    let template = template(spec.template, spec.selector);
    workload(WorkloadKind::DaemonSet, &object.metadata, (scheduled, spec.min_ready_seconds), strategy, template)
}

/// `numbers` are the replicas, and minReadySeconds.
fn workload(
    kind: WorkloadKind,
    meta: &ObjectMeta,
    (replicas, min_ready): (i32, Option<i32>),
    strategy: Strategy,
    template: PodTemplate,
) -> Option<Workload> {
    Some(Workload {
        kind,
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
        replicas: number(replicas.into()),
        strategy,
        min_ready_seconds: number(min_ready.unwrap_or(0).into()),
        template,
        ignored: meta.annotations.as_ref().and_then(|all| all.get(IGNORE_ADVICE_ANNOTATION).cloned()),
    })
}

/// maxUnavailable and maxSurge, with the API server's defaults.
fn rolling(unavailable: Option<IntOrString>, surge: Option<IntOrString>, [most, more]: [Amount; 2]) -> Strategy {
    let or = |value: Option<IntOrString>, default| value.as_ref().and_then(amount).unwrap_or(default);
    Strategy::RollingUpdate { max_unavailable: or(unavailable, most), max_surge: or(surge, more) }
}
