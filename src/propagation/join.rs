//! Compares what the pods and Services want with what the slices show.

use super::{
    changes::Changes,
    edits::{Edits, World},
    key::{Key, PairKey, PodId, ServiceId},
    pair::{Desired, Pair, Shown},
    pairs::{Pairs, Rebased},
    ports::endpoint_ports,
    services::{Terms, is_ignored, is_measured},
    slices::Difference,
    views::{PodStep, Views},
};
use crate::model::{Families, Resource, Seen, Service, Stamp};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// The pairs and the edits, and the changes that follow from them.
#[derive(Debug)]
pub(super) struct Join {
    pairs: Pairs,
    edits: Edits,
    pub(super) changes: Changes,
    /// Services that arrived while earlier events of the pod watch could still be outstanding. Such a late pod event may be older than the
    /// Service.
    newcomers: HashSet<ServiceId>,
    /// Pairs of measured Services whose sides differed when they were first seen, while a watch was lost. One side may be older than the
    /// other, so they are compared again when no watch is lost. Their pods are held.
    uncompared: HashMap<ServiceId, HashSet<PodId>>,
}

// === impl Join ===

impl Join {
    /// An empty join. Changes expire at the age of `expiry`.
    pub(super) fn new(expiry: Duration) -> Self {
        let changes = Changes::new(expiry);
        Self {
            pairs: Pairs::default(),
            edits: Edits::default(),
            changes,
            newcomers: HashSet::new(),
            uncompared: HashMap::new(),
        }
    }

    /// Every watch has listed once. From now on there are changes. Where the lists disagree, a change is pending.
    pub(super) fn begin(&mut self, views: &mut Views, seen: Seen) {
        self.changes.begin();
        let measured: Vec<_> = views.services.measured().collect();
        for service in measured {
            let pods: Vec<_> = self.pairs.pods(service).collect();
            pods.into_iter().for_each(|pod| self.look(views, service, pod, seen.at));
            self.start_unseen(views, service, seen);
            self.edits.start_unseen(service, seen, &mut world(views, &self.pairs, &mut self.changes));
        }
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: Stamp) {
        for service in self.changes.advance(now) {
            self.edits.drop(service, &mut self.changes);
        }
    }

    /// A watch is no longer lost. If none is, this compares what could not be compared before.
    pub(super) fn restored(&mut self, views: &mut Views, seen: Seen) {
        if self.changes.is_blind() {
            return;
        }
        for (service, pods) in std::mem::take(&mut self.uncompared) {
            pods.iter().for_each(|pod| self.start_unseen_change(views, service, *pod, seen));
            self.changes.release(pods.into_iter());
        }
    }

    // === Events of the pod watch ===

    /// The pod watch has delivered everything that happened before now.
    pub(super) fn pods_caught_up(&mut self) {
        self.newcomers.clear();
    }

    /// The pod watch delivered a new state of a pod.
    pub(super) fn pod_moved(&mut self, views: &mut Views, step: PodStep, seen: Seen) {
        let PodStep { pod, desired, families, selected_by, left, skipped } = step;
        if let Some(services) = skipped {
            self.changes.taint_pod(pod, services);
        }
        for service in selected_by {
            self.move_pair(views, (service, pod), (desired, families), seen);
        }
        for service in left {
            self.move_pair(views, (service, pod), (Desired::Out, Families::NONE), seen);
        }
    }

    fn move_pair(
        &mut self,
        views: &mut Views,
        (service, pod): (ServiceId, PodId),
        (desired, families): (Desired, Families),
        seen: Seen,
    ) {
        let terms = views.services.terms(service);
        let to = terms.expectation(desired, families);
        let is_older = seen.is_late() && self.newcomers.contains(&service);
        let pair = if is_older {
            if self.pairs.is_as(service, pod, to) {
                return;
            }
            self.pairs.rebase((service, pod), to, terms, seen, &mut self.changes);
            self.pairs.get(service, pod).copied().unwrap_or_default()
        } else {
            let moved = self.pairs.move_to((service, pod), to, terms, seen, &mut self.changes);
            let Some(pair) = moved else { return };
            pair
        };
        if to.0 == Desired::Out {
            self.edits.no_longer_await(service, pod);
        }
        self.edits.check(service, seen, None, &mut world(views, &self.pairs, &mut self.changes));
        self.look_at(views, PairKey { service, pod }, &pair, terms, seen.at);
        if is_older {
            self.start_unseen_change(views, service, pod, seen);
        }
    }

    // === Events of the Service watch ===

    /// The Service watch delivered a state of a Service, which replaces the old one. `is_skip` says that the Service had states between
    /// them that were not delivered.
    pub(super) fn service_told(
        &mut self,
        views: &mut Views,
        id: ServiceId,
        old: Option<Service>,
        is_skip: bool,
        seen: Seen,
    ) {
        views.ports.forget(id);
        let ahead = self.edits.take_last_slice(id);
        if is_skip {
            self.changes.taint(Key::of_service(id));
        }
        let was_ignored = old.as_ref().is_some_and(is_ignored);
        match (old.filter(is_measured), views.services.terms(id).is_measured) {
            (Some(old), true) => self.service_edited(views, id, &old, seen, ahead),
            (Some(_), false) => self.stop_measuring(views, id, seen),
            (None, true) => self.start_measuring(views, id, !was_ignored, seen, ahead),
            (None, false) => {}
        }
    }

    /// The Service watch no longer knows a Service.
    pub(super) fn service_gone(&mut self, views: &mut Views, id: ServiceId, seen: Seen) {
        views.services.unlearn(id);
        self.edits.take_last_slice(id);
        self.stop_measuring(views, id, seen);
    }

    /// A Service is gone, and no slice names it.
    pub(super) fn forget(&mut self, service: ServiceId) {
        self.pairs.forget(service);
        self.edits.forget(service);
    }

    /// The Service's endpoints are measured from now on.
    fn start_measuring(&mut self, views: &mut Views, id: ServiceId, is_new: bool, seen: Seen, ahead: Option<Shown>) {
        if let Some(spec) = views.services.spec(id) {
            views.membership.select(id, &spec.namespace, &spec.selector);
        }
        if self.changes.is_measuring() && (seen.is_late() || self.changes.is_lost(Resource::Pods)) {
            self.newcomers.insert(id);
        }
        self.recount(views, id);
        self.rebase_all(views, id, seen);
        if is_new {
            self.edits.start(id, HashSet::new(), seen, ahead, &mut world(views, &self.pairs, &mut self.changes));
        }
        self.start_unseen(views, id, seen);
        if !is_new && self.changes.is_measuring() {
            // The Service is not new without the annotation.
            self.edits.start_unseen(id, seen, &mut world(views, &self.pairs, &mut self.changes));
        }
    }

    /// The Service's endpoints are no longer measured.
    fn stop_measuring(&mut self, views: &mut Views, id: ServiceId, seen: Seen) {
        let pods: Vec<_> = self.pairs.pods(id).collect();
        self.changes.withdraw(id, pods.into_iter(), seen);
        self.edits.drop(id, &mut self.changes);
        self.newcomers.remove(&id);
        self.changes.release(self.uncompared.remove(&id).into_iter().flatten());
        views.membership.unselect(id);
        self.rebase_all(views, id, seen);
    }

    /// The Service's endpoints were measured before, and still are.
    fn service_edited(&mut self, views: &mut Views, id: ServiceId, old: &Service, seen: Seen, ahead: Option<Shown>) {
        let Some(new) = views.services.spec(id).cloned() else { return };
        let before: HashMap<PodId, Families> = self.pairs.expected(id).collect();
        if old.selector != new.selector {
            views.membership.select(id, &new.namespace, &new.selector);
        }
        if old.publish_not_ready_addresses != new.publish_not_ready_addresses {
            self.recount(views, id);
        }
        let same_pods = old.selector == new.selector && old.families == new.families;
        if same_pods && old.publish_not_ready_addresses == new.publish_not_ready_addresses && old.ports == new.ports {
            return;
        }
        let rebased = self.rebase_all(views, id, seen);
        let of = |which: Rebased| rebased.iter().filter(move |(_, it)| *it == which).map(|(pod, _)| *pod);
        let moved = old.families != new.families || self.pairs.expected(id).collect::<HashMap<_, _>>() != before;
        let is_change = moved || self.ports_differ(views, id, old, &new);
        let mut world = world(views, &self.pairs, &mut self.changes);
        if is_change {
            self.edits.start(id, of(Rebased::Left).collect(), seen, ahead, &mut world);
        } else {
            self.edits.check(id, seen, None, &mut world);
        }
        for pod in of(Rebased::Entered) {
            // It is listed, but wrongly. The edit does not wait for that.
            self.start_unseen_change(views, id, pod, seen);
        }
    }

    /// Whether an edit changed the ports that slices show for any expected pod. Slices do not show the Service's own port
    /// numbers, and two names may mean the same number.
    fn ports_differ(&self, views: &Views, id: ServiceId, old: &Service, new: &Service) -> bool {
        let mut known = self.pairs.expected(id).filter_map(|(pod, _)| views.pods.known(pod));
        old.ports != new.ports
            && known.any(|known| endpoint_ports(old, &known.ports) != endpoint_ports(new, &known.ports))
    }

    fn recount(&mut self, views: &Views, id: ServiceId) {
        self.pairs.recount(id, views.services.terms(id), views.slices.listed(id), &mut self.changes);
    }

    /// Updates every pair to the current Service.
    fn rebase_all(&mut self, views: &mut Views, id: ServiceId, seen: Seen) -> Vec<(PodId, Rebased)> {
        let mut pods: HashSet<PodId> = self.pairs.pods(id).collect();
        pods.extend(views.membership.pods(id));
        pods.into_iter().map(|pod| (pod, self.rebase_pair(views, id, pod, seen))).collect()
    }

    fn rebase_pair(&mut self, views: &mut Views, service: ServiceId, pod: PodId, seen: Seen) -> Rebased {
        let (to, terms) = (views.expectation(service, pod), views.services.terms(service));
        let rebased = self.pairs.rebase((service, pod), to, terms, seen, &mut self.changes);
        if rebased == Rebased::Left {
            self.edits.no_longer_await(service, pod);
        }
        self.look(views, service, pod, seen.at);
        rebased
    }

    // === Events of the EndpointSlice watch ===

    /// What a slice shows has changed.
    pub(super) fn slice_shown(&mut self, views: &mut Views, difference: &mut Difference, shown: Shown) {
        let (service, at) = (difference.service, shown.seen.at);
        let terms = views.services.terms(service);
        let touched = self.pairs.show(difference, terms, &shown, &mut self.changes);
        touched.iter().for_each(|pod| self.look(views, service, *pod, at));
        if difference.is_reshaped || !touched.is_empty() {
            self.edits.check(service, shown.seen, Some(&shown), &mut world(views, &self.pairs, &mut self.changes));
            // What the first lists show was there before.
            if self.changes.is_measuring() {
                self.edits.set_last_slice(service, shown);
            }
        }
        if difference.is_reshaped && !difference.left.is_empty() {
            // The pods that stay listed now have other ports.
            difference.came.iter().for_each(|(pod, _)| self.look(views, service, *pod, at));
        }
    }

    // === Consequences for both sides ===

    /// Starts a change with an unknown start for each pair whose sides differ, unless an edit waits for the pair.
    fn start_unseen(&mut self, views: &mut Views, service: ServiceId, seen: Seen) {
        let pods: Vec<PodId> = self.pairs.pods(service).collect();
        for pod in pods {
            self.start_unseen_change(views, service, pod, seen);
        }
    }

    fn start_unseen_change(&mut self, views: &mut Views, service: ServiceId, pod: PodId, seen: Seen) {
        let terms = views.services.terms(service);
        if !self.changes.is_measuring() || self.pairs.is_shown(service, pod, terms) {
            return;
        }
        if self.changes.is_blind() {
            if self.uncompared.entry(service).or_default().insert(pod) {
                self.changes.hold([pod].into_iter());
            }
            return;
        }
        if !self.edits.is_waiting_for(service, pod, &mut world(views, &self.pairs, &mut self.changes)) {
            self.pairs.start_unseen(service, pod, terms, seen, &mut self.changes);
        }
    }

    /// Records whether a pair is out of sync. Must be called after each change of one of its sides.
    fn look(&mut self, views: &mut Views, service: ServiceId, pod: PodId, at: Stamp) {
        let pair = self.pairs.get(service, pod).copied().unwrap_or_default();
        let terms = views.services.terms(service);
        self.look_at(views, PairKey { service, pod }, &pair, terms, at);
    }

    /// The same for the pair as it is now.
    fn look_at(&mut self, views: &mut Views, key: PairKey, pair: &Pair, terms: Terms, at: Stamp) {
        if !self.changes.is_measuring() {
            return;
        }
        let has_other_ports = || views.has_other_ports(key.service, key.pod);
        let fault = terms.is_measured.then(|| pair.fault(terms.published, has_other_ports)).flatten();
        self.changes.out_of_sync.set(key, fault, at);
    }
}

fn world<'a>(views: &'a mut Views, pairs: &'a Pairs, changes: &'a mut Changes) -> World<'a> {
    World { views, pairs, changes }
}
