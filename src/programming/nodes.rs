//! The nodes with an agent.

use crate::model::{Families, Family, Stamp};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Index of a node.
pub(super) type NodeId = usize;

/// The nodes that are known from their agents.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    slots: Vec<Option<Node>>,
    by_name: HashMap<Arc<str>, NodeId>,
    /// Indices of nodes that are gone, and when they went. Steps from before that still have a mark of the old node.
    free: Vec<(NodeId, Stamp)>,
    following: u64,
    /// Names in slices and of agents, each stored once.
    names: HashSet<Arc<str>>,
}

#[derive(Debug)]
struct Node {
    name: Arc<str>,
    /// The address families for which its agent sees the data plane, so that the node takes part in new steps.
    follows: Families,
    /// Whether nothing was heard of its agent for a while.
    is_silent: bool,
    /// Whether observations were lost since its state was last known. It may have shown later steps already, unseen.
    has_lost: bool,
}

// === impl Nodes ===

impl Nodes {
    /// The name, shared.
    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }

    /// Forgets names that only this set uses.
    pub(super) fn forget_names(&mut self) {
        self.names.retain(|name| Arc::strong_count(name) > 1);
    }

    pub(super) fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// The node with this name. A new one gets an index that the oldest step does not use.
    pub(super) fn intern(&mut self, name: &str, oldest_step: impl FnOnce() -> Option<Stamp>) -> NodeId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let name = self.name(name);
        let node = Node { name: name.clone(), follows: Families::NONE, is_silent: false, has_lost: false };
        let oldest_step = oldest_step();
        let reusable = self.free.iter().position(|(_, gone)| oldest_step.is_none_or(|oldest| oldest > *gone));
        let id = match reusable {
            Some(at) => self.free.swap_remove(at).0,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.slots[id] = Some(node);
        self.by_name.insert(name, id);
        id
    }

    /// The address families for which its agent sees the data plane from now on.
    pub(super) fn set_follows(&mut self, id: NodeId, follows: Families) {
        let Some(node) = &mut self.slots[id] else { return };
        match (node.follows.is_empty(), follows.is_empty()) {
            (true, false) => self.following += 1,
            (false, true) => self.following -= 1,
            _ => {}
        }
        node.follows = follows;
        if follows.is_empty() {
            node.has_lost = false;
        }
    }

    /// Observations of the node were lost.
    pub(super) fn set_lost(&mut self, id: NodeId) {
        if let Some(node) = &mut self.slots[id] {
            node.has_lost = true;
        }
    }

    pub(super) fn set_silent(&mut self, id: NodeId, is_silent: bool) {
        if let Some(node) = &mut self.slots[id] {
            node.is_silent = is_silent;
        }
    }

    /// The state of the node is known: nothing that was lost matters any more.
    pub(super) fn set_complete(&mut self, id: NodeId) {
        if let Some(node) = &mut self.slots[id] {
            node.has_lost = false;
        }
    }

    /// A node is gone.
    pub(super) fn remove(&mut self, id: NodeId, now: Stamp) {
        self.set_follows(id, Families::NONE);
        if let Some(node) = self.slots[id].take() {
            self.by_name.remove(&node.name);
            self.free.push((id, now));
        }
    }

    /// Whether it is certain that the node has not shown a step that is open on it.
    pub(super) fn is_certain(&self, id: NodeId) -> bool {
        self.slots.get(id).and_then(Option::as_ref).is_some_and(|node| !node.is_silent && !node.has_lost)
    }

    pub(super) fn name_of(&self, id: NodeId) -> Option<&Arc<str>> {
        self.slots.get(id)?.as_ref().map(|node| &node.name)
    }

    /// Number of nodes that take part in new steps.
    pub(super) fn following(&self) -> u64 {
        self.following
    }

    /// Number of nodes that take part in new steps, are heard, and have lost nothing.
    pub(super) fn certain(&self) -> usize {
        self.slots.iter().flatten().filter(|node| !node.follows.is_empty() && !node.is_silent && !node.has_lost).count()
    }

    /// One more than the highest index.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The nodes that take part in new steps of an address family.
    pub(super) fn iter_following(&self, family: Family) -> impl Iterator<Item = NodeId> {
        (0..self.slots.len()).filter(move |id| self.follows(*id, family))
    }

    /// Whether a node takes part in new steps of an address family.
    pub(super) fn follows(&self, id: NodeId, family: Family) -> bool {
        self.slots.get(id).and_then(Option::as_ref).is_some_and(|node| node.follows.contains(family))
    }

    /// All nodes with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, NodeId)> {
        self.by_name.iter().map(|(name, id)| (name, *id))
    }
}
