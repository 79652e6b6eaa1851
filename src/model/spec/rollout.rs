//! How far the rollout of a workload is, as the workload's own controller says.

use super::WorkloadKind;

/// The numbers of a workload's status, and what is asked for. What a kind does not have is 0 or false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutStatus {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Version of the spec.
    pub generation: i64,
    /// Version of the spec to which the status belongs.
    pub observed_generation: i64,
    /// How many pods are asked for: spec.replicas, or for a DaemonSet the number of nodes that should run one.
    pub wanted: u32,
    /// All its pods that are not being deleted.
    pub total: u32,
    /// Those of the newest template.
    pub updated: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Those that have been ready for minReadySeconds.
    pub available: u32,
    /// Pods below this ordinal keep the old template. StatefulSets only.
    pub partition: Option<u32>,
    /// Whether all pods have the newest template. StatefulSets only.
    pub is_current: bool,
    /// Its controller has given up waiting for progress. Deployments only.
    pub has_exceeded_deadline: bool,
    /// What its controller says about progress; empty if it says nothing. Deployments only.
    pub progress_reason: String,
    /// When its controller last said something about progress, as text to compare. Deployments only.
    pub progress_said: String,
    /// It was told to stop. Deployments only.
    pub is_paused: bool,
}

// === impl RolloutStatus ===

impl RolloutStatus {
    /// Its controller has not seen the newest spec yet, so the numbers are those of an older one.
    pub fn is_outdated(&self) -> bool {
        self.generation > self.observed_generation
    }
}
