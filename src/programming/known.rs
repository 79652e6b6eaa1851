//! What is known of the nodes now: which certainly have not shown a step, and so which are behind, and for how long.

use super::{
    changes::Changes,
    divergences::Divergences,
    nodes::{NodeId, Nodes},
    report::{Stale, Standing},
    steps::{StepId, Steps},
    verdict::Open,
    views::{ServiceId, Views},
};
use crate::model::Stamp;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// The parts of the hop, to be asked.
pub(super) struct Known<'a> {
    pub(super) views: &'a Views,
    pub(super) nodes: &'a Nodes,
    pub(super) steps: &'a Steps,
    pub(super) changes: &'a Changes,
    pub(super) divergences: &'a Divergences,
    /// Delay within which a change should be in effect on each node, for Services without their own objective.
    pub(super) objective: Duration,
}

// === impl Known ===

impl Known<'_> {
    /// Delay within which a change of this Service should be in effect on each node.
    pub(super) fn objective(&self, service: ServiceId) -> Duration {
        self.views.objective(service).unwrap_or(self.objective)
    }

    /// The current state, without what is counted.
    pub(super) fn standing(&self, now: Stamp) -> Standing {
        let mut standing = Standing { following: self.nodes.following(), ..Standing::default() };
        let mut stale: HashMap<ServiceId, (HashSet<NodeId>, Stamp)> = HashMap::new();
        let mut behind: HashSet<(usize, NodeId)> = HashSet::new();
        for (id, step) in self.steps.iter().filter(|(_, step)| step.open > 0) {
            let objective = self.objective(step.service);
            for node in step.open_nodes() {
                if !self.is_certain(id, node) || !self.steps.is_behind(id, node) {
                    continue;
                }
                // Of several steps, a change counts once for a node.
                let is_first =
                    |change: &usize| self.changes.get(*change).steps.len() == 1 || behind.insert((*change, node));
                if let Some(change) = step.change.filter(is_first) {
                    let carried = self.changes.get(change).carried();
                    let kind = carried.change.index();
                    standing.pending[kind] += 1;
                    let oldest = &mut standing.oldest[kind];
                    *oldest = Some(oldest.map_or(carried.shown, |oldest| oldest.min(carried.shown)));
                }
                if now.since(step.since) > objective {
                    let (nodes, since) = stale.entry(step.service).or_insert((HashSet::new(), step.since));
                    nodes.insert(node);
                    *since = (*since).min(step.since);
                }
            }
        }
        for (frontend, node, first_seen) in self.divergences.iter() {
            let Some(service) = self.views.service_of(frontend).filter(|_| self.nodes.is_certain(node)) else {
                continue;
            };
            let objective = self.objective(service);
            if now.since(first_seen) > objective {
                let (nodes, since) = stale.entry(service).or_insert((HashSet::new(), first_seen));
                nodes.insert(node);
                *since = (*since).min(first_seen);
            }
        }
        let named = |(service, (nodes, since)): (ServiceId, (HashSet<NodeId>, Stamp))| {
            let nodes = nodes.into_iter().filter_map(|node| self.nodes.name_of(node)).cloned().collect();
            Some(Stale { service: self.views.name(service)?.clone(), nodes, since })
        };
        standing.stale = stale.into_iter().filter_map(named).collect();
        standing
    }

    /// What is known of the nodes on which a change is open. If it is overdue, those are late that certainly have not shown it, and do not
    /// do what the slices say.
    pub(super) fn open(&self, change: usize, is_overdue: bool) -> Open {
        let (mut late, mut unknown): (HashSet<NodeId>, HashSet<NodeId>) = Default::default();
        for step in &self.changes.get(change).steps {
            for node in self.steps.get(*step).open_nodes() {
                if !self.is_certain(*step, node) {
                    unknown.insert(node);
                } else if is_overdue && self.steps.is_behind(*step, node) {
                    late.insert(node);
                }
            }
        }
        Open { late: late.difference(&unknown).count(), unknown: unknown.len() }
    }

    /// Whether it is certain that a node has not shown a step that is open on it.
    pub(super) fn is_certain(&self, step: StepId, node: NodeId) -> bool {
        let (frontend, _) = &self.steps.get(step).key;
        self.nodes.is_certain(node) && !self.divergences.contains(frontend, node)
    }
}
