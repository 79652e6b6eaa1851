//! The steps that nodes have to follow: one backend that a frontend gets or loses.

use super::{
    changes::ChangeId,
    early::PATIENCE,
    mark::{Mark, State},
    nodes::{NodeId, Nodes},
    report::NodeOutcome,
    views::ServiceId,
};
use crate::model::{Backend, Fingerprint, Frontend, Interval, Seen, Stamp, Uid};
use foldhash::fast::RandomState;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// Index of a step.
pub(super) type StepId = usize;

/// What a step is about.
pub(super) type Key = (Frontend, Backend);

/// Number of marks of all steps together: 32 MB.
const ROOM: usize = 8 << 20;

/// The steps that have not ended on each node, or wait for their change.
#[derive(Debug)]
pub(super) struct Steps {
    steps: slab::Slab<Step>,
    /// The steps of a key, the oldest first. They alternate between added and removed.
    chains: HashMap<Key, Vec<StepId>, RandomState>,
    /// Steps that no change has claimed, by pod and Service.
    unclaimed: HashMap<ServiceId, HashMap<Uid, Vec<StepId>>>,
    marks: usize,
    /// Maximum number of marks.
    room: usize,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) key: Key,
    pub(super) adds: bool,
    pub(super) service: ServiceId,
    pod: Uid,
    /// When the event arrived that asks for it.
    pub(super) since: Stamp,
    /// Whether `since` can be used to measure.
    is_exact: bool,
    /// Whether there was room to follow it.
    pub(super) is_followed: bool,
    pub(super) change: Option<ChangeId>,
    /// By node. Nodes that joined later are not in it.
    pub(super) marks: Box<[Mark]>,
    /// Number of nodes that have not shown it.
    pub(super) open: u32,
    /// The largest error of its delays.
    pub(super) error: Duration,
}

/// A step that ended on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) step: StepId,
    pub(super) node: NodeId,
}

/// Which nodes must follow a step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Followers {
    All,
    Only(Option<NodeId>),
}

// === impl Steps ===

impl Steps {
    /// No steps.
    pub(super) fn new() -> Self {
        Self::bounded(ROOM)
    }

    /// No steps, and room for this number of marks.
    pub(super) fn bounded(room: usize) -> Self {
        let (steps, chains, unclaimed) = (slab::Slab::new(), HashMap::default(), HashMap::new());
        Self { steps, chains, unclaimed, marks: 0, room }
    }

    pub(super) fn get(&self, id: StepId) -> &Step {
        &self.steps[id]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps.iter()
    }

    /// When the oldest step started.
    pub(super) fn oldest(&self) -> Option<Stamp> {
        self.steps.iter().map(|(_, step)| step.since).min()
    }

    /// Starts a step. Without room for its marks it is followed to no node.
    pub(super) fn start(
        &mut self,
        (key, adds): (Key, bool),
        service: ServiceId,
        pod: Uid,
        seen: Seen,
        followers: Followers,
        nodes: &Nodes,
    ) -> StepId {
        let is_followed = self.marks + nodes.len() <= self.room;
        let mut marks = vec![Mark::ABSENT; if is_followed { nodes.len() } else { 0 }].into_boxed_slice();
        let must = |id: &NodeId| match followers {
            Followers::All => true,
            Followers::Only(only) => only == Some(*id),
        };
        let mut open = 0;
        for id in nodes.iter_following(key.0.family()).filter(must) {
            if let Some(mark) = marks.get_mut(id) {
                *mark = Mark::OPEN;
                open += 1;
            }
        }
        self.marks += marks.len();
        let id = self.steps.insert(Step {
            key,
            adds,
            service,
            pod: pod.clone(),
            since: seen.at,
            is_exact: !seen.is_late(),
            is_followed,
            change: None,
            marks,
            open,
            error: Duration::ZERO,
        });
        self.chains.entry(key).or_default().push(id);
        self.unclaimed.entry(service).or_default().entry(pod).or_default().push(id);
        id
    }

    /// A node's kernel has added or removed a backend. Returns the steps that this ends on the node, and whether it is one of them that was
    /// observed.
    ///
    /// Without its time (`None`), the steps that it ends are censored.
    pub(super) fn observe(
        &mut self,
        node: NodeId,
        key: &Key,
        adds: bool,
        when: Option<Interval>,
    ) -> (Vec<Closed>, bool) {
        let mut closed = Vec::new();
        let mut open: Vec<StepId> = self.open_on(node, key).collect();
        if let Some(first) = open.first().copied().filter(|first| self.steps[*first].adds != adds) {
            if when.is_some_and(|when| when.latest < self.steps[first].since) {
                // It is older than what the node has to show next.
                return (closed, false);
            }
            // The node had shown that already, unseen, and this is what came after it.
            open.remove(0);
            closed.extend(self.close(first, node, Mark::ended(NodeOutcome::Censored)));
        }
        // Every other one has this direction. kube-proxy may have merged some of them into one sync. The first one may be shown before
        // the daemon has read of it, but not much earlier.
        let has_come = |at: &usize| {
            let since = self.steps[open[*at]].since;
            let since = if *at == 0 { since.minus(PATIENCE) } else { since };
            when.is_none_or(|when| since <= when.latest)
        };
        let Some(hit) = (0..open.len()).step_by(2).rfind(has_come) else { return (closed, false) };
        let merged = if when.is_some() { NodeOutcome::Superseded } else { NodeOutcome::Censored };
        for step in &open[..hit] {
            closed.extend(self.close(*step, node, Mark::ended(merged)));
        }
        let step = &mut self.steps[open[hit]];
        let mark = match when.filter(|_| step.is_exact) {
            Some(when) => {
                step.error = step.error.max(when.error());
                Mark::in_effect(when.middle().since(step.since))
            }
            None => Mark::ended(NodeOutcome::Censored),
        };
        closed.extend(self.close(open[hit], node, mark));
        (closed, true)
    }

    /// The steps of a frontend that a node has not shown.
    pub(super) fn open_of(&self, node: NodeId, frontend: &Frontend) -> Vec<StepId> {
        let is_it = |step: &Step| step.key.0 == *frontend && step.marks.get(node) == Some(&Mark::OPEN);
        self.steps.iter().filter(|(_, step)| step.open > 0 && is_it(step)).map(|(id, _)| id).collect()
    }

    /// The steps of a key that a node has not shown, the oldest first.
    pub(super) fn open_on(&self, node: NodeId, key: &Key) -> impl Iterator<Item = StepId> {
        let chain = self.chains.get(key).into_iter().flatten().copied();
        chain.filter(move |id| self.steps[*id].marks.get(node) == Some(&Mark::OPEN))
    }

    /// The step that cancels this one out: a node that has shown neither does what the slices say. The steps of a key that a node has not
    /// shown alternate. So they cancel each other out in pairs, and at most the last one is left.
    pub(super) fn opposite(&self, id: StepId, node: NodeId) -> Option<StepId> {
        if self.chains.get(&self.steps[id].key).is_some_and(|chain| chain.len() == 1) {
            return None;
        }
        let open: Vec<_> = self.open_on(node, &self.steps[id].key).collect();
        let at = open.iter().position(|open| *open == id)?;
        open.get(at ^ 1).copied()
    }

    /// What a node has of a frontend, if it has shown all steps except these. `wanted` is what it should have.
    pub(super) fn without(&self, open: &[StepId], node: NodeId, wanted: Fingerprint) -> Fingerprint {
        let behind = open.iter().filter(|step| self.is_behind(**step, node)).map(|step| &self.steps[*step]);
        behind.fold(wanted, |set, step| {
            let (_, backend) = &step.key;
            if step.adds { set.without(backend) } else { set.with(backend) }
        })
    }

    /// Whether a node does otherwise than the slices now say because of this step, which it has not shown.
    pub(super) fn is_behind(&self, id: StepId, node: NodeId) -> bool {
        self.opposite(id, node).is_none()
    }

    /// Ends a step on a node, if it has not ended there.
    pub(super) fn close(&mut self, id: StepId, node: NodeId, mark: Mark) -> Option<Closed> {
        let step = &mut self.steps[id];
        let place = step.marks.get_mut(node).filter(|mark| **mark == Mark::OPEN)?;
        *place = mark;
        step.open -= 1;
        Some(Closed { step: id, node })
    }

    /// Ends all steps that `fit`, on the nodes where they have not ended.
    pub(super) fn close_all(&mut self, fit: impl Fn(&Step) -> bool, outcome: NodeOutcome) -> Vec<Closed> {
        let ending = self.steps.iter().filter(|(_, step)| step.open > 0 && fit(step));
        let open = ending.flat_map(|(id, step)| step.open_nodes().map(move |node| (id, node)));
        let open: Vec<_> = open.collect();
        open.into_iter().filter_map(|(id, node)| self.close(id, node, Mark::ended(outcome))).collect()
    }

    /// Ends all steps on one node.
    pub(super) fn close_on(&mut self, node: NodeId, outcome: NodeOutcome) -> Vec<Closed> {
        self.close_on_except(node, outcome, &HashSet::new())
    }

    /// Ends all steps on one node, except some.
    pub(super) fn close_on_except(
        &mut self,
        node: NodeId,
        outcome: NodeOutcome,
        except: &HashSet<StepId>,
    ) -> Vec<Closed> {
        let all = self.steps.iter().filter(|(id, step)| step.open > 0 && !except.contains(id));
        let all: Vec<_> = all.map(|(id, _)| id).collect();
        all.into_iter().filter_map(|id| self.close(id, node, Mark::ended(outcome))).collect()
    }

    /// The unclaimed steps of a pod in a Service, or of all its pods, that `fits`.
    pub(super) fn claim(
        &mut self,
        service: ServiceId,
        pod: Option<&Uid>,
        change: ChangeId,
        fits: impl Fn(&Step) -> bool,
    ) -> Vec<StepId> {
        let Some(of_service) = self.unclaimed.get_mut(&service) else { return Vec::new() };
        let lists: Vec<&mut Vec<StepId>> = match pod {
            Some(pod) => of_service.get_mut(pod).into_iter().collect(),
            None => of_service.values_mut().collect(),
        };
        let mut claimed = Vec::new();
        for list in lists {
            list.retain(|id| {
                let is_claimed = fits(&self.steps[*id]);
                if is_claimed {
                    claimed.push(*id);
                }
                !is_claimed
            });
        }
        of_service.retain(|_, list| !list.is_empty());
        if of_service.is_empty() {
            self.unclaimed.remove(&service);
        }
        for id in &claimed {
            self.steps[*id].change = Some(change);
        }
        claimed
    }

    /// Forgets a step.
    pub(super) fn remove(&mut self, id: StepId) {
        let step = self.steps.remove(id);
        self.marks -= step.marks.len();
        if let Some(chain) = self.chains.get_mut(&step.key) {
            chain.retain(|it| *it != id);
            if chain.is_empty() {
                self.chains.remove(&step.key);
            }
        }
        if let Some(of_service) = self.unclaimed.get_mut(&step.service)
            && let Some(list) = of_service.get_mut(&step.pod)
        {
            list.retain(|it| *it != id);
            if list.is_empty() {
                of_service.remove(&step.pod);
            }
            if of_service.is_empty() {
                self.unclaimed.remove(&step.service);
            }
        }
    }
}

// === impl Step ===

impl Step {
    /// Its state on a node.
    pub(super) fn state(&self, node: NodeId) -> State {
        self.marks.get(node).map_or(State::Absent, |mark| mark.state())
    }

    /// Whether any node must follow.
    pub(super) fn has_followers(&self) -> bool {
        self.marks.iter().any(|mark| *mark != Mark::ABSENT)
    }

    /// The nodes that have not shown it.
    pub(super) fn open_nodes(&self) -> impl Iterator<Item = NodeId> {
        self.marks.iter().enumerate().filter(|(_, mark)| **mark == Mark::OPEN).map(|(node, _)| node)
    }
}
