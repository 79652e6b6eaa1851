//! What only all workloads together tell: how many pods a PodDisruptionBudget counts, and which names are taken.

use super::pods::Owner;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A workload, also one that no Service selects: a budget counts its pods all the same.
pub(super) struct Counted {
    pub(super) namespace: String,
    pub(super) owner: Owner,
    /// The fewest pods that it may have.
    pub(super) fewest: u32,
    /// Positions of the budgets that select its pods.
    pub(super) budgets: BTreeSet<usize>,
}

/// What selects the pods that an owner has now, by position.
#[derive(Debug, Default)]
pub(super) struct Selecting {
    pub(super) services: BTreeSet<usize>,
    pub(super) budgets: BTreeSet<usize>,
}

/// By the namespace and the owner of the pods.
pub(super) type Owned<'a> = HashMap<(&'a str, &'a Owner), Selecting>;

/// The result.
pub(super) struct Reach {
    /// The fewest pods of all workloads that a budget selects, by its position; `None` if it selects pods of another owner.
    pods: Vec<Option<u32>>,
    /// Namespaces and names that more than one workload has.
    shared: HashSet<(String, String)>,
}

// === impl Reach ===

impl Reach {
    /// Of this number of budgets.
    pub(super) fn new(budgets: usize, workloads: Vec<Counted>, owned: &Owned<'_>) -> Self {
        let mut pods = vec![Some(0_u32); budgets];
        for workload in &workloads {
            for budget in &workload.budgets {
                pods[*budget] = pods[*budget].map(|pods| pods.saturating_add(workload.fewest));
            }
        }
        let known: HashSet<_> = workloads.iter().map(|it| (it.namespace.as_str(), &it.owner)).collect();
        for (_, selecting) in owned.iter().filter(|(owner, _)| !known.contains(*owner)) {
            selecting.budgets.iter().for_each(|budget| pods[*budget] = None);
        }
        let mut names = HashSet::new();
        let mut shared = HashSet::new();
        for workload in workloads {
            if let Owner::Of { name, .. } = workload.owner {
                let name = (workload.namespace, name);
                if !names.insert(name.clone()) {
                    shared.insert(name);
                }
            }
        }
        Self { pods, shared }
    }

    pub(super) fn pods(&self, budget: usize) -> Option<u32> {
        self.pods[budget]
    }

    pub(super) fn is_shared(&self, name: &(String, String)) -> bool {
        self.shared.contains(name)
    }
}
