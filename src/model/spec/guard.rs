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
    /// The fewest pods that may run of all the workloads that it selects, as it counts them together; `None` if an owner is not known.
    pub pods: Option<u32>,
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
    /// How many of `pods` healthy pods may be evicted. The disruption controller rounds both limits up.
    pub fn allowed(&self, pods: u32) -> u32 {
        match self {
            Self::MinAvailable(least) => pods.saturating_sub(least.rounded_up(pods)),
            Self::MaxUnavailable(most) => most.rounded_up(pods).min(pods),
            Self::Unset => 0,
        }
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
            assert_eq!(limit.allowed(pods), expected, "{limit} of {pods}");
            assert!(!limit.allows_none() || expected == 0, "{limit}");
        }
        let never = [MaxUnavailable(Number(0)), MaxUnavailable(Percent(0)), MinAvailable(Percent(100)), Unset];
        assert!(never.iter().all(super::Limit::allows_none));
        assert!(![MinAvailable(Number(9)), MaxUnavailable(Percent(1))].iter().any(super::Limit::allows_none));
    }
}
