//! The status of a pod with its times, as the scheduler and the kubelet write it.

use crate::{
    cluster::wire::Time,
    simulator::{
        messages::{ContainerState, ContainerStatus, Pod, Probe, Running},
        object::set_condition,
    },
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The readiness probe of each container. Some of the pods' start-up time is its period.
pub(super) const READINESS_PROBE: Probe = Probe { initial_delay_seconds: 1, period_seconds: 2, success_threshold: 1 };

/// The present time in whole seconds, as objects carry it.
pub(super) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time { seconds: since.map_or(0, |since| since.as_secs().cast_signed()) }
}

/// It has a node, its images, and containers that run. None of them is ready.
pub(super) fn run(pod: &mut Pod, now: &Time) {
    for kind in ["PodScheduled", "PodReadyToStartContainers", "Initialized"] {
        set_condition(pod, kind, true, Some(now));
    }
    let containers = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let running = ContainerState { running: Some(Running { started_at: Some(now.clone()) }) };
    let status = pod.status.get_or_insert_default();
    status.phase = "Running".to_owned();
    status.container_statuses = vec![ContainerStatus { state: Some(running), restart_count: 0 }; containers];
    set_readiness(pod, false, now);
}

/// Its containers are ready, or no longer are.
pub(super) fn set_readiness(pod: &mut Pod, ready: bool, now: &Time) {
    for kind in ["ContainersReady", "Ready"] {
        set_condition(pod, kind, ready, Some(now));
    }
}
