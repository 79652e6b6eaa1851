//! The hop: takes events, changes that the slice hop has carried, and observations, and reports what became of them.

use super::{
    changes::Changes,
    divergences::Divergences,
    early::Early,
    known::Known,
    mark::Mark,
    nodes::{NodeId, Nodes},
    report::{NodeOutcome, Report, Share, Standing, Unmatched},
    steps::{Closed, Followers, Key, Step, StepId, Steps},
    targets::Target,
    views::{Difference, Move, Scope, ServiceId, Views},
};
use crate::{
    ledger::{Carried, Change},
    model::{Event, Families, Fingerprint, Frontend, Interval, Seen, SetChange, SliceVersion, Stamp},
    propagation::Subject,
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// How long a step waits for the slice hop's change that it belongs to. The pod's event may arrive after the slice's.
const UNCLAIMED: Duration = Duration::from_secs(10);

/// How much earlier than its change a step may have started, if another slice of the Service showed it first.
const LEAD: Duration = Duration::from_secs(1);

/// How often it looks for what has become too old.
const SWEEP: Duration = Duration::from_secs(1);

/// The settings of the hop.
#[derive(Clone, Copy, Debug)]
pub struct ProgrammingSettings {
    /// Delay within which a change should be in effect on each node, for Services without their own objective.
    pub objective: Duration,
    /// Age at which a change expires.
    pub expiry: Duration,
}

/// Follows the changes of all scopes to the nodes.
#[derive(Debug)]
pub struct Programming {
    settings: ProgrammingSettings,
    views: Views,
    nodes: Nodes,
    steps: Steps,
    changes: Changes,
    early: Early,
    divergences: Divergences,
    unmatched: Unmatched,
    overflowed: u64,
    reports: Vec<Report>,
    swept: Stamp,
}

// === impl Programming ===

impl Programming {
    /// No nodes yet.
    pub fn new(settings: ProgrammingSettings) -> Self {
        Self {
            settings,
            views: Views::default(),
            nodes: Nodes::default(),
            steps: Steps::new(),
            changes: Changes::new(settings.expiry),
            early: Early::default(),
            divergences: Divergences::default(),
            unmatched: Unmatched::default(),
            overflowed: 0,
            reports: Vec::new(),
            swept: Stamp::default(),
        }
    }

    // === What the watches deliver ===

    /// Takes the next event of a scope's watches. Pods do not matter here.
    pub fn apply(&mut self, scope: usize, seen: Seen, event: &Event) {
        match event {
            Event::Init(resource) => self.views.begin_list(scope, *resource),
            Event::InitDone(resource) => {
                let was_measuring = self.views.is_measuring(scope);
                let affected = self.views.end_list(scope, *resource);
                let seen = Seen::late(seen.at);
                affected.into_iter().for_each(|service| self.refresh(service, seen, was_measuring));
            }
            Event::Service(service) => {
                // One of the same name that was deleted unseen is found at the end of the list.
                let service = self.views.service_seen(scope, service);
                self.refresh(service, seen, self.views.is_measuring(scope));
            }
            Event::ServiceDeleted(service) => {
                if let Some(id) = self.views.service_gone(&service.uid) {
                    self.refresh(id, seen, self.views.is_measuring(scope));
                }
            }
            Event::EndpointSlice(slice) => {
                self.slice(scope, seen, |views, nodes| views.slice_seen(scope, slice, nodes))
            }
            Event::EndpointsChanged(change) => {
                self.slice(scope, seen, |views, nodes| views.endpoints_changed(change, nodes).into_iter().collect())
            }
            Event::EndpointSliceDeleted(slice) => {
                self.slice(scope, seen, |views, _| views.slice_gone(&slice.uid));
            }
            Event::WatchLost(_) | Event::WatchRestored(_) | Event::Pod(_) | Event::PodDeleted(_) => {}
        }
    }

    fn slice(&mut self, scope: Scope, seen: Seen, apply: impl FnOnce(&mut Views, &mut Nodes) -> Vec<ServiceId>) {
        let affected = apply(&mut self.views, &mut self.nodes);
        let is_measuring = self.views.is_measuring(scope);
        affected.into_iter().for_each(|service| self.refresh(service, seen, is_measuring));
    }

    /// Starts the steps that follow from a new state of a Service.
    fn refresh(&mut self, service: ServiceId, seen: Seen, is_measuring: bool) {
        let is_gone = self.views.name(service).is_none();
        let Difference { moves, reset } = self.views.refresh(service);
        let mut frontends: Vec<_> = moves.iter().map(|it| it.frontend).chain(reset.iter().copied()).collect();
        frontends.dedup();
        let Self { views, nodes, divergences, .. } = self;
        let ahead = frontends.into_iter().flat_map(|frontend| {
            let nodes = divergences.retarget(&frontend, |node| wanted(views, nodes, &frontend, node));
            nodes.into_iter().map(move |node| (frontend, node))
        });
        let ahead: Vec<_> = ahead.collect();
        if is_gone {
            let closed = self.steps.close_all(|step| step.service == service, NodeOutcome::Withdrawn);
            self.settle(closed, seen.at);
        }
        if !reset.is_empty() {
            let reset: HashSet<_> = reset.into_iter().collect();
            let closed = self.steps.close_all(|step| reset.contains(&step.key.0), NodeOutcome::NotApplicable);
            self.settle(closed, seen.at);
        }
        if is_measuring {
            moves.into_iter().for_each(|it| self.start(service, it, seen));
        }
        // These nodes have shown the steps already, unseen.
        for (frontend, node) in ahead {
            let open = self.steps.open_of(node, &frontend).into_iter();
            let censored = Mark::ended(NodeOutcome::Censored);
            let closed = open.filter_map(|step| self.steps.close(step, node, censored)).collect();
            self.settle(closed, seen.at);
        }
    }

    fn start(&mut self, service: ServiceId, it: Move, seen: Seen) {
        let Move { frontend, backend, adds, pod, only } = it;
        let followers = match only {
            None => Followers::All,
            Some(node) => Followers::Only(node.and_then(|node| self.nodes.find(&node))),
        };
        let key = (frontend, backend);
        let step = self.steps.start((key, adds), service, pod, seen, followers, &self.nodes);
        self.overflowed += u64::from(!self.steps.get(step).is_followed);
        for early in self.early.take(&key, adds) {
            // A change that came before the step was not seen does not belong to an older step: those were asked first.
            if self.steps.open_on(early.node, &key).last() == Some(step) {
                let (closed, _) = self.steps.observe(early.node, &key, adds, early.when);
                self.settle(closed, seen.at);
            }
        }
    }

    // === What the slice hop has carried ===

    /// Follows a change of the slice hop to the nodes. The caller knows it by a number. Returns whether a node has to follow.
    pub fn carried(&mut self, carried: Carried<Subject, Arc<SliceVersion>>, number: u64, now: Stamp) -> bool {
        let service = self.views.owner(&carried.by.uid, &carried.key.service);
        let change = self.changes.next_id();
        let kind = carried.change;
        let (began, shown) = (carried.began.min(carried.shown), carried.shown);
        let is_shown_by_several = service.is_some_and(|service| self.views.is_shown_by_several(service, kind));
        let lead = if is_shown_by_several { LEAD } else { Duration::ZERO };
        let fits = |step: &Step| {
            let is_direction = match kind {
                Change::Ready => step.adds,
                Change::Unready | Change::Terminating | Change::Removed => !step.adds,
                Change::Service => true,
            };
            is_direction && step.since >= began.minus(lead) && step.since <= shown
        };
        let pod = carried.key.pod.as_ref().map(|pod| &pod.uid);
        let steps = service.map(|service| self.steps.claim(service, pod, change, fits)).unwrap_or_default();
        let is_followed = steps.iter().all(|step| self.steps.get(*step).is_followed);
        if !is_followed || !steps.iter().any(|step| self.steps.get(*step).has_followers()) {
            steps.into_iter().for_each(|step| self.steps.remove(step));
            let outcome = if is_followed { NodeOutcome::NotApplicable } else { NodeOutcome::Censored };
            let nodes = self.nodes.following();
            if nodes > 0 {
                self.reports.push(Report::Nodes { change: kind, outcome, delay: None, nodes });
            }
            return false;
        }
        let objective = service.map_or(self.settings.objective, |service| self.known().objective(service));
        let change = self.changes.start((number, carried), objective, steps, &self.steps, &mut self.reports);
        self.finish_if_over(change, now);
        true
    }

    /// A change of the slice hop has expired: no slice showed it. If nodes would have had to follow, it has missed its objective here too.
    pub fn expired(&mut self, subject: &Subject, change: Change) {
        let nodes = self.nodes.following();
        if nodes == 0 || !self.views.would_follow(&subject.service, change) {
            return;
        }
        let delay = self.settings.expiry;
        self.reports.extend(Share::ALL.map(|share| {
            let service = subject.service.clone();
            Report::Visible { service, change, share, delay, is_expired: true }
        }));
        if self.nodes.certain() >= Share::Most.of(nodes as usize) {
            let service = subject.service.clone();
            self.reports.push(Report::Judged { service, change, missed: true });
        }
    }

    // === What the agents tell ===

    /// The agent of a node sees its data plane for these address families from now on.
    pub fn set_follows(&mut self, node: &str, follows: Families, now: Stamp) {
        let node = self.nodes.intern(node, || self.steps.oldest());
        self.nodes.set_follows(node, follows);
        self.nodes.set_silent(node, false);
        if follows.is_empty() {
            self.divergences.forget(node);
            self.end_on(node, NodeOutcome::Censored, now);
        }
    }

    /// A part of what the kernel of a node does now, after all that was observed. With the last part it is compared with what the slices say.
    pub fn state(&mut self, node: &str, part: &[(Frontend, Fingerprint)], is_last: bool, now: Stamp) {
        let node = self.nodes.intern(node, || self.steps.oldest());
        let Some(has) = self.divergences.arrive(node, part, is_last) else { return };
        self.divergences.forget(node);
        self.nodes.set_complete(node);
        let Some(name) = self.nodes.name_of(node).cloned() else { return };
        let nodes = &self.nodes;
        let differs = |(frontend, target): (&Frontend, &Target)| {
            let has = has.get(frontend).copied().unwrap_or_default();
            let wanted = target.on(&name).filter(|_| nodes.follows(node, frontend.family()))?;
            (wanted != has).then_some((*frontend, wanted, has))
        };
        let differing: Vec<_> = self.views.targets().filter_map(differs).collect();
        let mut on_the_way: HashSet<StepId> = HashSet::new();
        for (frontend, wanted, has) in differing {
            // What it has not shown yet may explain it.
            let open = self.steps.open_of(node, &frontend);
            if self.steps.without(&open, node, wanted) == has {
                on_the_way.extend(open);
            } else {
                self.divergences.insert(frontend, node, has, now);
            }
        }
        // The node has shown all other steps, unseen. Or it is not known which of them it will show.
        let closed = self.steps.close_on_except(node, NodeOutcome::Censored, &on_the_way);
        self.settle(closed, now);
    }

    /// Observations of a node were lost. What it did until now is not known.
    pub fn lost(&mut self, node: &str, now: Stamp) {
        if let Some(node) = self.nodes.find(node) {
            self.nodes.set_lost(node);
            self.divergences.forget(node);
            self.end_on(node, NodeOutcome::Censored, now);
        }
    }

    /// The kernel of a node changed what it does. `None` as the time: it is not known.
    pub fn observed(&mut self, node: &str, change: &SetChange, when: Option<Interval>, now: Stamp) {
        let node = self.nodes.intern(node, || self.steps.oldest());
        self.divergences.observed(node, change, wanted(&self.views, &self.nodes, &change.frontend, node));
        let SetChange { frontend, added, removed } = change;
        let added = added.iter().map(|backend| (backend, true));
        for (backend, adds) in removed.iter().map(|backend| (backend, false)).chain(added) {
            let key: Key = (*frontend, *backend);
            let (closed, is_matched) = self.steps.observe(node, &key, adds, when);
            self.settle(closed, now);
            if !is_matched {
                self.early.push(key, node, adds, when, now);
            }
        }
    }

    /// Which nodes are silent now, and which are gone. Nodes that are in neither list are heard.
    pub fn set_silent(&mut self, silent: &HashSet<Arc<str>>, gone: &HashSet<Arc<str>>, now: Stamp) {
        let all: Vec<_> = self.nodes.iter().map(|(name, id)| (name.clone(), id)).collect();
        for (name, node) in all {
            self.nodes.set_silent(node, silent.contains(&name));
            if gone.contains(&name) {
                self.end_on(node, NodeOutcome::Withdrawn, now);
                self.divergences.forget(node);
                self.nodes.remove(node, now);
            }
        }
    }

    // === Time ===

    /// Lets time pass: what is too old ends, and shares that are certain are reported.
    pub fn advance(&mut self, now: Stamp) {
        if now.since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let Self { early, views, unmatched, .. } = self;
        early.expire(now, |(frontend, _)| {
            if views.has_frontend(frontend) { unmatched.no_change += 1 } else { unmatched.no_service += 1 }
        });
        self.expire(now);
        let unclaimed = self
            .steps
            .iter()
            .filter(|(_, step)| step.change.is_none() && step.open == 0 && now.since(step.since) >= UNCLAIMED);
        let unclaimed: Vec<_> = unclaimed.map(|(id, _)| id).collect();
        unclaimed.into_iter().for_each(|step| self.steps.remove(step));
        let changes: Vec<_> = self.changes.iter().map(|(id, _)| id).collect();
        for change in changes {
            self.changes.tell_shares(change, now, &mut self.reports);
            let is_overdue = self.changes.get(change).is_overdue(now);
            if is_overdue || self.changes.get(change).has_late() {
                let open = self.known().open(change, is_overdue);
                self.changes.miss(change, open, &mut self.reports);
            }
        }
        self.nodes.forget_names();
    }

    /// Ends steps that are too old.
    fn expire(&mut self, now: Stamp) {
        let expiry = self.settings.expiry;
        let old: Vec<_> =
            self.steps.iter().filter(|(_, step)| step.open > 0 && now.since(step.since) > expiry).collect();
        let mut ends = Vec::new();
        let mut stuck = Vec::new();
        for (id, step) in old {
            for node in step.open_nodes() {
                // A step and its opposite that the node has both not shown end together.
                if let Some(opposite) = self.steps.opposite(id, node) {
                    ends.extend([id, opposite].map(|id| (id, node, NodeOutcome::Superseded)));
                    continue;
                }
                if !self.known().is_certain(id, node) {
                    ends.push((id, node, NodeOutcome::Censored));
                    continue;
                }
                ends.push((id, node, NodeOutcome::Expired));
                let (frontend, _) = step.key;
                if let Some(wanted) = wanted(&self.views, &self.nodes, &frontend, node) {
                    let has = self.steps.without(&self.steps.open_of(node, &frontend), node, wanted);
                    stuck.push((frontend, node, has, step.since));
                }
            }
        }
        // The change has ended. The node is still behind.
        for (frontend, node, has, since) in stuck {
            if !self.divergences.contains(&frontend, node) {
                self.divergences.insert(frontend, node, has, since);
            }
        }
        let ended = ends.into_iter();
        let closed = ended.filter_map(|(id, node, outcome)| self.steps.close(id, node, Mark::ended(outcome))).collect();
        self.settle(closed, now);
    }

    /// Ends all steps on one node.
    fn end_on(&mut self, node: NodeId, outcome: NodeOutcome, now: Stamp) {
        let closed = self.steps.close_on(node, outcome);
        self.settle(closed, now);
    }

    /// Passes on that steps have ended on nodes. Several steps of one change may have.
    fn settle(&mut self, closed: Vec<Closed>, now: Stamp) {
        let of_changes = closed.iter().filter_map(|it| Some((self.steps.get(it.step).change?, it.node)));
        let mut of_changes: Vec<_> = of_changes.collect();
        of_changes.sort_unstable();
        of_changes.dedup();
        for (change, node) in &of_changes {
            self.changes.settle(*change, *node, &self.steps, &mut self.reports);
        }
        of_changes.dedup_by_key(|(change, _)| *change);
        of_changes.into_iter().for_each(|(change, _)| self.finish_if_over(change, now));
    }

    fn finish_if_over(&mut self, change: usize, now: Stamp) {
        if self.changes.get(change).is_over() {
            let steps = self.changes.finish(change, now, &self.nodes, &mut self.reports);
            steps.into_iter().for_each(|step| self.steps.remove(step));
        }
    }

    // === What is known ===

    /// What became known since the last call, in order.
    pub fn reports(&mut self) -> std::vec::Drain<'_, Report> {
        self.reports.drain(..)
    }

    /// The current state.
    pub fn standing(&self, now: Stamp) -> Standing {
        Standing { unmatched: self.unmatched, overflowed: self.overflowed, ..self.known().standing(now) }
    }

    fn known(&self) -> Known<'_> {
        let Self { views, nodes, steps, changes, divergences, .. } = self;
        Known { views, nodes, steps, changes, divergences, objective: self.settings.objective }
    }

    /// Keeps this number of marks at most.
    #[cfg(test)]
    pub(super) fn limit(&mut self, marks: usize) {
        self.steps = Steps::bounded(marks);
    }

    /// Number of changes and of steps that are kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.changes.iter().count(), self.steps.iter().count())
    }
}

/// What a node should have of a frontend; `None` if that is not known.
fn wanted(views: &Views, nodes: &Nodes, frontend: &Frontend, node: NodeId) -> Option<Fingerprint> {
    let follows = nodes.follows(node, frontend.family());
    views.target(frontend).filter(|_| follows)?.on(nodes.name_of(node)?)
}
