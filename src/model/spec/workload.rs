//! Workloads and their pod templates.

use super::{Amount, Autoscaler, Budget, Container};
use std::{collections::BTreeMap, fmt};

/// A workload whose pods a Service selects, and what else acts on these pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// The workload.
    pub workload: Workload,
    /// The PodDisruptionBudgets that select its pods, or some of them; `None` if they may not be read.
    pub budgets: Option<Vec<Budget>>,
    /// Whether none of them selects some of its pods.
    pub has_unguarded: bool,
    /// Its HorizontalPodAutoscaler: `None` if they may not be read, `Some(None)` if it has none.
    pub autoscaler: Option<Option<Autoscaler>>,
    /// How long its pods took until they were Ready; `None` if that is not known.
    pub startup: Option<StartTimes>,
    /// The same until all their containers were ready: without readiness gates, which no container can make faster.
    pub containers_ready: Option<StartTimes>,
    /// Whether its name is not enough for a new PodDisruptionBudget: another workload of its namespace has it, or a budget.
    pub is_name_taken: bool,
}

/// A workload, as far as it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many pods it wants.
    pub replicas: u32,
    /// How it replaces its pods.
    pub strategy: Strategy,
    /// For how long a new pod must be ready until it counts as available, in seconds.
    pub min_ready_seconds: u32,
    /// What its pods are made from.
    pub template: PodTemplate,
    /// The annotation with which its owner ignores advice.
    pub ignored: Option<String>,
}

/// Kind of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// A Deployment.
    #[default]
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

/// How a workload replaces its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Some at a time.
    RollingUpdate {
        /// How many may be missing meanwhile.
        max_unavailable: Amount,
        /// How many may be there in addition. StatefulSets have none.
        max_surge: Amount,
    },
    /// All old ones are stopped before the first new one starts. Deployments only.
    Recreate,
    /// When a person deletes them. StatefulSets and DaemonSets.
    OnDelete,
}

/// What pods are made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTemplate {
    /// Labels of the pods.
    pub labels: BTreeMap<String, String>,
    /// The labels by which the workload finds its own pods.
    pub selector: BTreeMap<String, String>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Init containers with restartPolicy Always: native sidecars, which stop after the containers.
    pub sidecars: Vec<Container>,
    /// terminationGracePeriodSeconds.
    pub grace_seconds: u32,
    /// Condition types that must be true before the pod is ready.
    pub readiness_gates: Vec<String>,
    /// Whether it has topologySpreadConstraints.
    pub has_spread_constraints: bool,
    /// Whether it has a pod anti-affinity.
    pub has_anti_affinity: bool,
    /// What may keep a second pod from running at the same time.
    pub obstacles: Vec<Obstacle>,
}

/// What may keep a second pod of a template from running at the same time, or on the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It mounts a PersistentVolumeClaim, which may be mounted on one node only.
    Claim,
    /// It writes into a directory of its node.
    HostPath,
    /// It takes a port of its node.
    HostPort,
    /// A pod anti-affinity requires another node for each pod.
    AntiAffinity,
}

/// How long pods took from the start of their last container until they or their containers were ready. Kubelets write whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartTimes {
    /// Number of pods.
    pub pods: u32,
    /// Half of them took at most this long, in seconds.
    pub median: u32,
    /// The longest, in seconds.
    pub longest: u32,
    /// Where this is known from.
    pub source: StartSource,
}

/// Where the start times of pods are known from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartSource {
    /// The status of the pods that there are now, which have not restarted.
    #[default]
    Status,
    /// The last first starts that a daemon has followed, also those of pods that are gone.
    Phases,
}

// === impl StartTimes ===

impl StartTimes {
    /// Of pods that took this many seconds; `None` if there are none.
    pub fn of(mut seconds: Vec<u32>) -> Option<Self> {
        seconds.sort_unstable();
        let longest = *seconds.last()?;
        let pods = u32::try_from(seconds.len()).unwrap_or(u32::MAX);
        Some(Self { pods, median: seconds[(seconds.len() - 1) / 2], longest, source: StartSource::Status })
    }
}

// === impl Obstacle ===

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claim => "the volume can be mounted by one pod only",
            Self::HostPath => "two pods may not write into the same directory of a node",
            Self::HostPort => "no node has its port free",
            Self::AntiAffinity => "the anti-affinity leaves no node for another pod",
        })
    }
}

// === impl Workload ===

impl Workload {
    /// The least number of pods that may run with this autoscaler, if it has one.
    pub fn fewest(&self, autoscaler: Option<&Autoscaler>) -> u32 {
        autoscaler.map_or(self.replicas, |autoscaler| autoscaler.minimum)
    }

    /// How many of `pods` pods may be missing at once in a rollout, rounded as its controller does.
    pub fn may_be_missing(&self, pods: u32) -> u32 {
        let (max_unavailable, max_surge) = match &self.strategy {
            Strategy::Recreate => return pods,
            Strategy::OnDelete => return 0,
            Strategy::RollingUpdate { max_unavailable, max_surge } => (max_unavailable, max_surge),
        };
        let missing = match self.kind {
            WorkloadKind::Deployment => max_unavailable.rounded_down(pods),
            WorkloadKind::StatefulSet => max_unavailable.rounded_down(pods).max(1),
            WorkloadKind::DaemonSet => max_unavailable.rounded_up(pods),
        };
        // A rollout that may neither stop a pod nor start another one stops one: ResolveFenceposts in pkg/controller/deployment/util.
        let is_stuck = missing == 0 && max_surge.rounded_up(pods) == 0;
        missing.max(u32::from(is_stuck)).min(pods)
    }
}

// === impl WorkloadKind ===

impl WorkloadKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// As in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Backing ===

impl Backing {
    /// The least number of pods that may run: the autoscaler's minimum, or what the workload wants.
    pub fn fewest(&self) -> u32 {
        self.workload.fewest(self.autoscaler.as_ref().and_then(Option::as_ref))
    }
}

// === impl PodTemplate ===

impl PodTemplate {
    /// All containers that run as long as the pod.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.sidecars)
    }
}

#[cfg(test)]
mod tests {
    use super::{Amount::*, WorkloadKind::*, *};

    /// What the controllers of Kubernetes 1.37 do.
    #[test]
    fn shares_of_pods_that_may_be_missing_are_rounded_as_the_controllers_do() {
        let cases = [
            (Deployment, Percent(25), Percent(25), 3, 0),
            (Deployment, Percent(34), Number(0), 3, 1),
            // Both round to 0: one is stopped all the same.
            (Deployment, Percent(25), Number(0), 3, 1),
            (Deployment, Percent(25), Number(0), 1, 1),
            (Deployment, Number(9), Number(0), 3, 3),
            (Deployment, Number(1), Number(0), 0, 0),
            (StatefulSet, Percent(51), Number(0), 2, 1),
            (StatefulSet, Percent(1), Number(0), 5, 1),
            (StatefulSet, Number(2), Number(0), 5, 2),
            (DaemonSet, Percent(10), Number(0), 5, 1),
            (DaemonSet, Number(0), Number(1), 5, 0),
            (DaemonSet, Number(0), Number(0), 5, 1),
        ];
        for (kind, max_unavailable, max_surge, pods, expected) in cases {
            let words = format!("{kind} {max_unavailable} {max_surge} of {pods}");
            let workload = Workload {
                kind,
                namespace: String::new(),
                name: String::new(),
                replicas: pods,
                strategy: Strategy::RollingUpdate { max_unavailable, max_surge },
                min_ready_seconds: 0,
                template: PodTemplate::default(),
                ignored: None,
            };
            assert_eq!(workload.may_be_missing(pods), expected, "{words}");
        }
    }
}
