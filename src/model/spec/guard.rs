//! Objects that act on the pods of a workload: PodDisruptionBudgets and HorizontalPodAutoscalers.

use super::Amount;

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// What it limits.
    pub limit: Limit,
    /// Whether pods that are not ready can always be evicted: unhealthyPodEvictionPolicy AlwaysAllow.
    pub lets_unhealthy_go: bool,
    /// The fewest pods that may run of all the workloads of which it selects pods, as it counts them together; `None` if an owner is
    /// not known.
    pub pods: Option<u32>,
    /// How many pods it selects now, if it selects only some of the pods of a workload: by a label that only pods have, such as that
    /// of a primary. `None` if it selects all.
    pub selected: Option<u32>,
    /// Whether another budget selects pods of the same workload that it selects too.
    pub overlaps: bool,
}

/// What a PodDisruptionBudget limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// How many pods must stay.
    MinAvailable(Amount),
    /// How many may be missing.
    MaxUnavailable(Amount),
    /// Neither of the two is set. Then the disruption controller expects no pods, and so it allows no eviction.
    Unset,
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoscaler {
    /// Its name.
    pub name: String,
    /// What it scales.
    pub target: Scaled,
    /// minReplicas.
    pub minimum: u32,
    /// maxReplicas.
    pub maximum: u32,
}

/// What an autoscaler scales.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scaled {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

// === impl Limit ===

impl Limit {
    /// How many pods may be evicted if `healthy` pods are selected, and their workloads want `pods`. The disruption controller rounds both
    /// limits up, and counts all pods of a workload of which it selects one: getExpectedPodCount in pkg/controller/disruption.
    pub fn allowed(&self, pods: u32, healthy: u32) -> u32 {
        let wanted = match self {
            Self::MinAvailable(least) => least.rounded_up(pods),
            Self::MaxUnavailable(most) => pods.saturating_sub(most.rounded_up(pods)),
            Self::Unset => return 0,
        };
        healthy.saturating_sub(wanted)
    }

    /// Whether it allows no eviction, whatever the number of pods.
    pub fn allows_none(&self) -> bool {
        match self {
            Self::MinAvailable(Amount::Number(_)) => false,
            Self::MinAvailable(Amount::Percent(share)) => *share >= 100,
            Self::MaxUnavailable(Amount::Number(most) | Amount::Percent(most)) => *most == 0,
            Self::Unset => true,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinAvailable(amount) => write!(f, "minAvailable: {amount}"),
            Self::MaxUnavailable(amount) => write!(f, "maxUnavailable: {amount}"),
            Self::Unset => write!(f, "neither minAvailable nor maxUnavailable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Amount::*, Limit::*};

    #[test]
    fn shares_are_rounded_up() {
        let allowed = [
            (MinAvailable(Percent(50)), 3, 1),
            (MinAvailable(Percent(90)), 3, 0),
            (MinAvailable(Number(2)), 2, 0),
            (MinAvailable(Number(5)), 2, 0),
            (MaxUnavailable(Percent(25)), 2, 1),
            (MaxUnavailable(Number(0)), 9, 0),
            (MaxUnavailable(Percent(0)), 9, 0),
            (Unset, 9, 0),
        ];
        for (limit, pods, expected) in allowed {
            assert_eq!(limit.allowed(pods, pods), expected, "{limit} of {pods}");
            assert!(!limit.allows_none() || expected == 0, "{limit}");
        }
        // Only one of three pods is selected, as a primary is.
        let allowed = [MinAvailable(Number(1)), MaxUnavailable(Number(1)), MaxUnavailable(Number(3))];
        assert_eq!(allowed.map(|limit| limit.allowed(3, 1)), [0, 0, 1]);
        let never = [MaxUnavailable(Number(0)), MaxUnavailable(Percent(0)), MinAvailable(Percent(100)), Unset];
        assert!(never.iter().all(super::Limit::allows_none));
        assert!(![MinAvailable(Number(9)), MaxUnavailable(Percent(1))].iter().any(super::Limit::allows_none));
    }
}
