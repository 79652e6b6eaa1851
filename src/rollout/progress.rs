//! Whether a rollout is over, decided as `kubectl rollout status` does: k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go.

use crate::model::spec::{RolloutStatus, WorkloadKind};

/// What the controller of a Deployment says once the newest template is rolled out, until the next one.
const COMPLETE: &str = "NewReplicaSetAvailable";

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on, and waits for this.
    Waiting(String),
    /// It is complete.
    Complete,
    /// It has failed, for this reason.
    Failed(String),
}

/// How far the rollout with this status is.
pub fn progress(status: &RolloutStatus) -> Progress {
    // A new StatefulSet has generation 1, and until its controller has seen it the status has 0.
    if status.is_outdated() || (status.kind == WorkloadKind::StatefulSet && status.observed_generation == 0) {
        return Progress::Waiting("its controller has not seen the new spec yet".to_owned());
    }
    match status.kind {
        WorkloadKind::Deployment => deployment(status),
        WorkloadKind::StatefulSet => stateful_set(status),
        WorkloadKind::DaemonSet => daemon_set(status),
    }
}

/// What a rollout that is under way waits for. `None` if no pods are being replaced, as far as the status tells: then a workload that is not
/// complete is being scaled, or a pod of it is not ready. Of a DaemonSet whose pods are all new and not all available this cannot be told.
pub fn under_way(status: &RolloutStatus) -> Option<String> {
    let RolloutStatus { wanted, total, updated, partition, is_current, .. } = *status;
    let Progress::Waiting(why) = progress(status) else { return None };
    let is_replacing = match status.kind {
        // It keeps this reason while it scales: pkg/controller/deployment/progress.go.
        WorkloadKind::Deployment => total > updated || !["", COMPLETE].contains(&&*status.progress_reason),
        WorkloadKind::StatefulSet => {
            !is_current && partition.is_none_or(|partition| updated < wanted.saturating_sub(partition))
        }
        WorkloadKind::DaemonSet => updated < wanted,
    };
    (is_replacing && !status.is_outdated()).then_some(why)
}

fn deployment(status: &RolloutStatus) -> Progress {
    let RolloutStatus { wanted, total, updated, available, .. } = *status;
    if status.has_exceeded_deadline {
        return Progress::Failed("it exceeded its progress deadline (progressDeadlineSeconds)".to_owned());
    }
    let paused = if status.is_paused { "; it is paused" } else { "" };
    if updated < wanted {
        return Progress::Waiting(format!("{updated} of {wanted} pods have the new template{paused}"));
    }
    if total > updated {
        return Progress::Waiting(format!("{} old pods have to go{paused}", total - updated));
    }
    if available < updated {
        return Progress::Waiting(format!("{available} of {updated} new pods are available{paused}"));
    }
    Progress::Complete
}

fn stateful_set(status: &RolloutStatus) -> Progress {
    let RolloutStatus { wanted, ready, updated, partition, .. } = *status;
    if ready < wanted {
        return Progress::Waiting(format!("{ready} of {wanted} pods are ready"));
    }
    if let Some(partition) = partition {
        let above = wanted.saturating_sub(partition);
        if updated < above {
            return Progress::Waiting(format!("{updated} of {above} pods have the new template"));
        }
        return Progress::Complete;
    }
    if !status.is_current {
        return Progress::Waiting(format!("{updated} of {wanted} pods have the new template"));
    }
    Progress::Complete
}

fn daemon_set(status: &RolloutStatus) -> Progress {
    let RolloutStatus { wanted, updated, available, .. } = *status;
    if updated < wanted {
        return Progress::Waiting(format!("{updated} of {wanted} pods have the new template"));
    }
    if available < wanted {
        return Progress::Waiting(format!("{available} of {wanted} pods are available"));
    }
    Progress::Complete
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(kind: WorkloadKind) -> RolloutStatus {
        RolloutStatus {
            kind,
            generation: 2,
            observed_generation: 2,
            wanted: 3,
            total: 3,
            updated: 3,
            ready: 3,
            available: 3,
            is_current: true,
            ..RolloutStatus::default()
        }
    }

    const KINDS: [WorkloadKind; 3] = [WorkloadKind::Deployment, WorkloadKind::StatefulSet, WorkloadKind::DaemonSet];

    fn waits(status: &RolloutStatus, words: &str) {
        let found = progress(status);
        assert!(matches!(&found, Progress::Waiting(why) if why.contains(words)), "{words}: {found:?}");
    }

    #[test]
    fn all_pods_new_and_available_is_complete_and_an_unseen_spec_is_not() {
        for kind in KINDS {
            assert_eq!(progress(&complete(kind)), Progress::Complete, "{kind}");
            waits(&RolloutStatus { generation: 3, ..complete(kind) }, "not seen the new spec");
        }
        let new = RolloutStatus { generation: 0, observed_generation: 0, ..complete(WorkloadKind::StatefulSet) };
        waits(&new, "not seen the new spec");
    }

    #[test]
    fn a_deployment_waits_for_new_pods_then_for_old_ones_then_for_availability() {
        let status = complete(WorkloadKind::Deployment);
        waits(&RolloutStatus { updated: 2, total: 4, ..status.clone() }, "2 of 3 pods have the new template");
        waits(&RolloutStatus { total: 4, available: 2, ..status.clone() }, "1 old pods have to go");
        waits(&RolloutStatus { available: 2, ..status.clone() }, "2 of 3 new pods are available");
        waits(&RolloutStatus { updated: 0, is_paused: true, ..status.clone() }, "it is paused");
        let late = RolloutStatus { updated: 1, has_exceeded_deadline: true, ..status };
        assert!(matches!(progress(&late), Progress::Failed(why) if why.contains("progress deadline")));
        // That of the rollout before is none of this one.
        waits(&RolloutStatus { generation: 3, ..late }, "not seen the new spec");
    }

    #[test]
    fn a_stateful_set_waits_for_readiness_and_for_the_pods_above_its_partition() {
        let status = RolloutStatus { is_current: false, updated: 1, ..complete(WorkloadKind::StatefulSet) };
        waits(&status, "1 of 3 pods have the new template");
        waits(&RolloutStatus { ready: 2, ..status.clone() }, "2 of 3 pods are ready");
        waits(&RolloutStatus { partition: Some(0), ..status.clone() }, "1 of 3 pods");
        waits(&RolloutStatus { partition: Some(1), ..status.clone() }, "1 of 2 pods");
        assert_eq!(progress(&RolloutStatus { partition: Some(2), ..status.clone() }), Progress::Complete);
        assert_eq!(progress(&RolloutStatus { partition: Some(9), ..status }), Progress::Complete);
    }

    #[test]
    fn scaling_and_a_pod_that_is_not_ready_are_no_rollout() {
        let few = |kind| RolloutStatus { wanted: 6, ready: 2, available: 2, ..complete(kind) };
        let deployment = RolloutStatus { progress_reason: COMPLETE.to_owned(), ..few(WorkloadKind::Deployment) };
        waits(&deployment, "3 of 6 pods have the new template");
        let rolling = RolloutStatus { progress_reason: "ReplicaSetUpdated".to_owned(), ..deployment.clone() };
        let old = RolloutStatus { total: 4, ..deployment.clone() };
        // Without a deadline the controller says nothing.
        let silent = RolloutStatus { progress_reason: String::new(), ..deployment.clone() };
        let stateful_set = few(WorkloadKind::StatefulSet);
        let other = RolloutStatus { is_current: false, ..stateful_set.clone() };
        let below = RolloutStatus { partition: Some(3), ..other.clone() };
        let daemon_set = RolloutStatus { wanted: 3, ..few(WorkloadKind::DaemonSet) };
        let unseen = RolloutStatus { generation: 3, ..old.clone() };
        let statuses = [deployment, rolling, old, silent, stateful_set, other, below, daemon_set, unseen];
        let expected = [false, true, true, false, false, true, false, false, false];
        assert_eq!(statuses.each_ref().map(|status| under_way(status).is_some()), expected);
        assert!(under_way(&RolloutStatus { updated: 2, ..few(WorkloadKind::DaemonSet) }).is_some());
    }

    #[test]
    fn a_daemon_set_waits_for_each_node() {
        let status = complete(WorkloadKind::DaemonSet);
        waits(&RolloutStatus { updated: 2, ..status.clone() }, "2 of 3 pods have the new template");
        waits(&RolloutStatus { available: 2, ..status }, "2 of 3 pods are available");
    }
}
