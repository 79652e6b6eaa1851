//! What only all workloads together tell: how many pods a PodDisruptionBudget counts, and which names are taken.

use super::pods::{Guarded, Owner};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A workload, also one that no Service selects: a budget counts its pods all the same.
pub(super) struct Counted {
    pub(super) namespace: String,
    pub(super) owner: Owner,
    /// The fewest pods that it may have.
    pub(super) fewest: u32,
    /// Positions of the budgets that select its pods, or some of them.
    pub(super) budgets: BTreeSet<usize>,
    /// Those of them that select only some of the pods that it has now.
    pub(super) partly: BTreeSet<usize>,
}

/// What selects the pods that an owner has now, by position.
#[derive(Debug, Default)]
pub(super) struct Selecting {
    pub(super) services: BTreeSet<usize>,
    /// Budgets with the number of pods that each selects.
    pub(super) budgets: BTreeMap<usize, u32>,
    /// Budgets that select a pod which another one selects too.
    pub(super) overlapping: BTreeSet<usize>,
    /// Number of its pods, where its namespace has a budget, and of those that no budget selects.
    pub(super) pods: u32,
    pub(super) unguarded: u32,
}

/// By the namespace and the owner of the pods.
pub(super) type Owned<'a> = HashMap<(&'a str, &'a Owner), Selecting>;

/// The result.
pub(super) struct Reach {
    /// The fewest pods of all workloads that a budget selects, by its position; `None` if it selects pods of another owner.
    pods: Vec<Option<u32>>,
    /// How many pods a budget selects now, by its position, if it selects only some of those of a workload.
    selected: Vec<Option<u32>>,
    /// Namespaces and names that more than one workload has.
    shared: HashSet<(String, String)>,
}

// === impl Selecting ===

impl Selecting {
    /// Adds what budgets select of more of its pods.
    pub(super) fn add(&mut self, guarded: &Guarded) {
        for (budget, number) in &guarded.budgets {
            *self.budgets.entry(*budget).or_default() += number;
        }
        self.overlapping.extend(&guarded.overlapping);
        self.pods += guarded.pods;
        self.unguarded += guarded.unguarded;
    }
}

// === impl Reach ===

impl Reach {
    /// Of this number of budgets.
    pub(super) fn new(budgets: usize, workloads: Vec<Counted>, owned: &Owned<'_>) -> Self {
        let mut pods = vec![Some(0_u32); budgets];
        let mut selected = vec![None; budgets];
        for workload in &workloads {
            for budget in &workload.budgets {
                pods[*budget] = pods[*budget].map(|pods| pods.saturating_add(workload.fewest));
            }
            workload.partly.iter().for_each(|budget| selected[*budget] = Some(0_u32));
        }
        for (budget, number) in owned.values().flat_map(|own| &own.budgets) {
            selected[*budget] = selected[*budget].map(|selected| selected.saturating_add(*number));
        }
        let known: HashSet<_> = workloads.iter().map(|it| (it.namespace.as_str(), &it.owner)).collect();
        for (_, selecting) in owned.iter().filter(|(owner, _)| !known.contains(*owner)) {
            selecting.budgets.keys().for_each(|budget| pods[*budget] = None);
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
        Self { pods, selected, shared }
    }

    pub(super) fn pods(&self, budget: usize) -> Option<u32> {
        self.pods[budget]
    }

    pub(super) fn selected(&self, budget: usize) -> Option<u32> {
        self.selected[budget]
    }

    pub(super) fn is_shared(&self, name: &(String, String)) -> bool {
        self.shared.contains(name)
    }
}
