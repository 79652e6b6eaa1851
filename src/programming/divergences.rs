//! Frontends that a node's kernel sends elsewhere than the slices say, with no step on the way that explains it: the node was behind
//! when its state became known.

use super::nodes::NodeId;
use crate::model::{Fingerprint, Frontend, SetChange, Stamp};
use std::collections::HashMap;

/// The divergences of all nodes.
#[derive(Debug, Default)]
pub(super) struct Divergences {
    all: HashMap<(Frontend, NodeId), Divergence>,
    /// States of nodes that have not arrived completely.
    arriving: HashMap<NodeId, HashMap<Frontend, Fingerprint>>,
}

/// A frontend on a node.
#[derive(Clone, Copy, Debug)]
struct Divergence {
    /// What the kernel has.
    has: Fingerprint,
    /// When it was first seen: a lower bound of its age.
    since: Stamp,
}

// === impl Divergences ===

impl Divergences {
    /// A part of a node's state. Returns the whole, if this is the last part.
    pub(super) fn arrive(
        &mut self,
        node: NodeId,
        part: &[(Frontend, Fingerprint)],
        is_last: bool,
    ) -> Option<HashMap<Frontend, Fingerprint>> {
        self.arriving.entry(node).or_default().extend(part.iter().copied());
        if is_last { self.arriving.remove(&node) } else { None }
    }

    /// Nothing is known of a node any more.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.arriving.remove(&node);
        self.all.retain(|(_, of), _| *of != node);
    }

    pub(super) fn insert(&mut self, frontend: Frontend, node: NodeId, has: Fingerprint, since: Stamp) {
        self.all.insert((frontend, node), Divergence { has, since });
    }

    pub(super) fn contains(&self, frontend: &Frontend, node: NodeId) -> bool {
        !self.all.is_empty() && self.all.contains_key(&(*frontend, node))
    }

    /// A node did something. `wanted` is what it should have.
    pub(super) fn observed(&mut self, node: NodeId, change: &SetChange, wanted: Option<Fingerprint>) {
        if self.all.is_empty() {
            return;
        }
        let key = (change.frontend, node);
        let Some(divergence) = self.all.get_mut(&key) else { return };
        let without = change.removed.iter().fold(divergence.has, |has, backend| has.without(backend));
        divergence.has = change.added.iter().fold(without, |has, backend| has.with(backend));
        if wanted.is_none_or(|wanted| wanted == divergence.has) {
            self.all.remove(&key);
        }
    }

    /// The slices of a frontend changed. `wanted` is what a node should have. Returns the nodes that did so before.
    pub(super) fn retarget(
        &mut self,
        frontend: &Frontend,
        wanted: impl Fn(NodeId) -> Option<Fingerprint>,
    ) -> Vec<NodeId> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let is_over = |node, has| wanted(node).is_none_or(|wanted| wanted == has);
        let over = self.all.extract_if(|(of, node), it| of == frontend && is_over(*node, it.has));
        over.map(|((_, node), _)| node).collect()
    }

    /// Each of them, and since when.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Frontend, NodeId, Stamp)> {
        self.all.iter().map(|((frontend, node), it)| (frontend, *node, it.since))
    }
}
