//! What the Service watch says.

use super::{
    Tracker,
    edits::Edit,
    pairs::Rebased,
    ports::{PortSets, ResolvedPorts},
    slices::SliceId,
};
pub(super) use crate::propagation::pair::Pair;
use crate::{
    ledger::{Cause, Change},
    model::{Families, Resource, Seen, Service, Uid},
    propagation::{
        membership::{PodId, ServiceId},
        pair::{Desired, Facts, Marks},
        report::ServiceName,
        subject::Subject,
    },
};
use foldhash::fast::RandomState;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// All Services that the Service watch or a slice has named. They are known by their UID: a Service that was deleted and made anew
/// under its name is another, and owns none of the slices of the first.
#[derive(Debug, Default)]
pub(super) struct Services {
    states: slab::Slab<ServiceState>,
    by_uid: HashMap<Uid, ServiceId, RandomState>,
    /// Those that exist, as far as the Service watch has told.
    by_name: HashMap<Arc<ServiceName>, ServiceId>,
}

/// One Service. It stays as long as the Service watch or a slice knows it.
#[derive(Debug)]
pub(super) struct ServiceState {
    pub(super) uid: Uid,
    /// As the Service watch has it; until that tells, as the slices have it.
    pub(super) name: Arc<ServiceName>,
    /// What the Service watch said last; `None` while only slices are known.
    spec: Option<Service>,
    /// The list in which it was seen last.
    list: u32,
    pub(super) slices: Vec<SliceId>,
    /// Ports of `slices`.
    pub(super) port_sets: PortSets,
    /// Ports of `spec`, as far as they were asked for.
    pub(super) resolved_ports: ResolvedPorts,
    /// When a slice last changed in what it shows, if that was after the Service watch last spoke of it.
    pub(super) last_slice: Option<Seen>,
    pairs: HashMap<PodId, Pair, RandomState>,
    /// Few: only of pods whose slices ran ahead of the pod watch.
    pub(super) marks: HashMap<PodId, Marks>,
    /// The pending change of the Service itself.
    pub(super) edit: Option<Edit>,
}

// === impl Services ===

impl Services {
    /// The index of a Service, which it is given now if it has none.
    pub(super) fn intern(&mut self, uid: &Uid, namespace: &str, name: &str) -> ServiceId {
        if let Some(id) = self.by_uid.get(uid) {
            return *id;
        }
        let name = Arc::new(ServiceName { namespace: namespace.into(), name: name.into() });
        let id = self.states.insert(ServiceState::new(uid.clone(), name));
        self.by_uid.insert(uid.clone(), id);
        id
    }

    /// The Service that has this name now, as far as the Service watch has told.
    fn named(&self, namespace: &str, name: &str) -> Option<ServiceId> {
        self.by_name.get(&ServiceName { namespace: namespace.into(), name: name.into() }).copied()
    }

    /// Takes what the Service watch says of a Service; returns what it said before.
    fn learn(&mut self, id: ServiceId, spec: Service) -> Option<Service> {
        let state = &mut self.states[id];
        let old = state.spec.replace(spec);
        if let (None, Some(spec)) = (&old, &state.spec) {
            if *state.name.namespace != *spec.namespace || *state.name.name != *spec.name {
                // A slice with a false label came first.
                let (namespace, name) = (spec.namespace.as_str().into(), spec.name.as_str().into());
                state.name = Arc::new(ServiceName { namespace, name });
            }
            self.by_name.insert(state.name.clone(), id);
        }
        state.resolved_ports.clear();
        old
    }

    /// The Service watch knows a Service no longer.
    fn unlearn(&mut self, id: ServiceId) {
        let state = &mut self.states[id];
        (state.spec, state.last_slice) = (None, None);
        self.by_name.remove(&state.name);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    pub(super) fn get(&self, id: ServiceId) -> &ServiceState {
        &self.states[id]
    }

    /// The Service that was given `id`, if it still exists.
    pub(super) fn find_state(&self, id: ServiceId) -> Option<&ServiceState> {
        self.states.get(id)
    }

    pub(super) fn get_mut(&mut self, id: ServiceId) -> &mut ServiceState {
        &mut self.states[id]
    }

    /// Forgets a Service that neither the Service watch nor a slice knows.
    pub(super) fn drop_if_unknown(&mut self, id: ServiceId) {
        if self.states[id].spec.is_none() && self.states[id].slices.is_empty() {
            let ServiceState { uid, .. } = self.states.remove(id);
            self.by_uid.remove(&uid);
        }
    }

    /// The objective that the Service itself sets.
    pub(super) fn objective(&self, id: ServiceId) -> Option<Duration> {
        self.states[id].spec.as_ref().and_then(|spec| spec.objective.value())
    }

    pub(super) fn measured(&self) -> impl Iterator<Item = (&Arc<ServiceName>, Option<Duration>)> {
        let measured = self.states.iter().filter(|(_, state)| state.is_measured());
        measured.map(|(id, state)| (&state.name, self.objective(id)))
    }

    pub(super) fn measured_ids(&self) -> Vec<ServiceId> {
        self.states.iter().filter(|(_, state)| state.is_measured()).map(|(id, _)| id).collect()
    }

    pub(super) fn is_measured(&self, name: &ServiceName) -> bool {
        self.by_name.get(name).is_some_and(|id| self.states[*id].is_measured())
    }
}

// === impl ServiceState ===

impl ServiceState {
    fn new(uid: Uid, name: Arc<ServiceName>) -> Self {
        Self {
            uid,
            name,
            spec: None,
            list: 0,
            slices: Vec::new(),
            port_sets: PortSets::default(),
            resolved_ports: ResolvedPorts::default(),
            last_slice: None,
            pairs: HashMap::default(),
            marks: HashMap::new(),
            edit: None,
        }
    }

    pub(super) fn spec(&self) -> Option<&Service> {
        self.spec.as_ref()
    }

    /// Whether its endpoints are the controller's to write, and wanted.
    pub(super) fn is_measured(&self) -> bool {
        self.spec.as_ref().is_some_and(is_measured)
    }

    /// Whether it publishes its pods whatever their readiness.
    pub(super) fn publishes(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.publish_not_ready_addresses)
    }

    /// What a pod that it selects should be in its endpoints, and in which families.
    pub(super) fn expectation(&self, desired: Desired, families: Families) -> (Desired, Families) {
        let wanted = self.spec.as_ref().filter(|spec| is_measured(spec)).map_or(Families::NONE, |spec| spec.families);
        let expected = families.intersection(wanted);
        if desired == Desired::Out || expected.is_empty() {
            (Desired::Out, Families::NONE)
        } else {
            (desired, expected)
        }
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (PodId, &Pair)> {
        self.pairs.iter().map(|(pod, pair)| (*pod, pair))
    }

    pub(super) fn pair(&self, pod: PodId) -> Option<&Pair> {
        self.pairs.get(&pod)
    }

    /// The pair of this pod, made now if there is none.
    pub(super) fn pair_mut(&mut self, pod: PodId) -> &mut Pair {
        self.pairs.entry(pod).or_default()
    }

    pub(super) fn drop_pair_if_empty(&mut self, pod: PodId) {
        if self.pairs.get(&pod).is_some_and(Pair::is_empty) {
            self.pairs.remove(&pod);
            self.marks.remove(&pod);
        }
    }

    /// The marks of a pod that moves to what `change` leads to. The one for `change` is used up by that; the others stay, since
    /// the slices may be several steps ahead.
    pub(super) fn take_marks(&mut self, pod: PodId, change: Change) -> Marks {
        let Some(marks) = self.marks.get_mut(&pod) else { return Marks::default() };
        let taken = *marks;
        marks.clear(change);
        if marks.is_empty() {
            self.marks.remove(&pod);
        }
        taken
    }

    /// Notes when the slices came to show something of a pod ahead of the pod watch, or that they show it no longer.
    pub(super) fn mark(&mut self, pod: PodId, before: Facts, after: Facts, current: Change, seen: Seen) {
        let marks = self.marks.entry(pod).or_default();
        marks.update(before, after, current, seen);
        if marks.is_empty() {
            self.marks.remove(&pod);
        }
    }
}

fn is_measured(spec: &Service) -> bool {
    // For a Service that a finalizer holds the controller makes no slices any more.
    !spec.selector.is_empty() && !spec.external_name && !spec.terminating && !is_ignored(spec)
}

fn is_ignored(spec: &Service) -> bool {
    spec.ignore.value() == Some(true)
}

// === impl Tracker ===

impl Tracker {
    /// A Service was created or changed, or stands in a list.
    pub(super) fn service_seen(&mut self, seen: Seen, new: Service) {
        let known = self.services.named(&new.namespace, &new.name);
        if let Some(old) = known.filter(|id| self.services.get(*id).uid != new.uid) {
            // Deleted and made anew while nobody looked.
            self.forget_service(old, seen);
        }
        let id = self.services.intern(&new.uid, &new.namespace, &new.name);
        let is_listing = self.listing(Resource::Services).is_some();
        let list = self.watches[Resource::Services as usize].list;
        let old = self.services.learn(id, new.clone());
        let state = self.services.get_mut(id);
        state.list = list;
        let ahead = state.last_slice.take();
        if let (Some(old), true) = (&old, is_listing)
            && old.resource_version != new.resource_version
        {
            // What happened between the two versions is lost.
            if let Some(pending) = state.edit.as_ref().and_then(Edit::pending) {
                self.ledger.taint(pending);
            }
            self.overtaken.taint(Subject::of_service(id));
        }
        let was_ignored = old.as_ref().is_some_and(is_ignored);
        match (old.filter(is_measured), is_measured(&new)) {
            (Some(old), true) => self.edit_service(id, &old, &new, seen, ahead),
            (Some(_), false) => self.stop_measuring(id, seen),
            (None, true) => self.start_measuring(id, &new, !was_ignored, seen, ahead),
            (None, false) => {}
        }
    }

    /// The Service's endpoints are measured from now on.
    fn start_measuring(&mut self, id: ServiceId, new: &Service, is_new: bool, seen: Seen, ahead: Option<Seen>) {
        self.membership.select(id, &new.namespace, &new.selector);
        self.recount(id);
        self.rebase_all(id, seen);
        if is_new {
            self.start_edit(id, HashSet::new(), seen, ahead);
        }
        self.start_unseen(id, seen);
        if !is_new {
            // Taking the annotation away makes nothing new.
            self.start_unseen_edit(id, seen);
        }
    }

    /// The Service's endpoints are measured no longer.
    fn stop_measuring(&mut self, id: ServiceId, seen: Seen) {
        self.withdraw_all(id, seen);
        self.membership.unselect(id);
        self.rebase_all(id, seen);
    }

    /// Both before and now the Service's endpoints are measured.
    fn edit_service(&mut self, id: ServiceId, old: &Service, new: &Service, seen: Seen, ahead: Option<Seen>) {
        let before: HashMap<PodId, Families> = self.expectations(id);
        if old.selector != new.selector {
            self.membership.select(id, &new.namespace, &new.selector);
        }
        if old.publish_not_ready_addresses != new.publish_not_ready_addresses {
            self.recount(id);
        }
        let same_pods = old.selector == new.selector && old.families == new.families;
        if same_pods && old.publish_not_ready_addresses == new.publish_not_ready_addresses && old.ports == new.ports {
            return;
        }
        let rebased = self.rebase_all(id, seen);
        let of = |which: Rebased| rebased.iter().filter(move |(_, it)| *it == which).map(|(pod, _)| *pod);
        let moved = old.families != new.families || self.expectations(id) != before;
        if moved || self.ports_differ(id, old, new) {
            self.start_edit(id, of(Rebased::Left).collect(), seen, ahead);
        } else {
            self.check_edit(id, seen, false);
        }
        for pod in of(Rebased::Entered) {
            // Listed, but wrongly: the edit does not wait for that.
            self.start_unseen_change(id, pod, seen);
        }
    }

    /// A Service was deleted.
    pub(super) fn service_gone(&mut self, seen: Seen, gone: &Service) {
        let known = self.services.named(&gone.namespace, &gone.name);
        if let Some(id) = known.filter(|id| self.services.get(*id).uid == gone.uid) {
            self.forget_service(id, seen);
        }
    }

    /// Services that a complete list did not name were deleted while nobody looked.
    pub(super) fn drop_unlisted_services(&mut self, list: u32, seen: Seen) {
        let unlisted = |state: &ServiceState| state.spec.is_some() && state.list != list;
        let gone: Vec<_> = self.services.states.iter().filter(|(_, state)| unlisted(state)).map(|(id, _)| id).collect();
        for id in gone {
            self.forget_service(id, seen);
        }
    }

    fn forget_service(&mut self, id: ServiceId, seen: Seen) {
        self.services.unlearn(id);
        self.stop_measuring(id, seen);
        self.services.drop_if_unknown(id);
    }

    fn withdraw_all(&mut self, id: ServiceId, seen: Seen) {
        let state = self.services.get(id);
        let pending: Vec<_> =
            state.pairs().flat_map(|(_, pair)| pair.all_pending()).map(|(_, pending)| pending).collect();
        let edit = state.edit.as_ref().and_then(Edit::pending);
        for pending in pending.into_iter().chain(edit) {
            self.end(pending, seen, Cause::Withdrawn);
        }
        for subject in self.overtaken.subjects_of(id) {
            self.forget(subject);
        }
    }

    /// Brings every pair in line with the Service as it is now.
    fn rebase_all(&mut self, id: ServiceId, seen: Seen) -> Vec<(PodId, Rebased)> {
        let mut pods: HashSet<PodId> = self.services.get(id).pairs.keys().copied().collect();
        pods.extend(self.membership.pods(id));
        pods.into_iter().map(|pod| (pod, self.rebase_pair(id, pod, seen))).collect()
    }

    fn expectations(&self, id: ServiceId) -> HashMap<PodId, Families> {
        let expected = self.services.get(id).pairs().filter(|(_, pair)| pair.desired != Desired::Out);
        expected.map(|(pod, pair)| (pod, pair.expected)).collect()
    }
}
