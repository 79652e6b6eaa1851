//! What the pod watch says.

use super::Tracker;
use crate::{
    ledger::Change,
    model::{Families, NamedPort, Pod, Resource, Seen, Uid},
    propagation::{
        intern::Interner,
        membership::{PodId, ServiceId, SetId},
        pair::Desired,
        subject::Subject,
    },
};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

/// All pods that the pod watch or a slice has named.
#[derive(Debug, Default)]
pub(super) struct Pods {
    slots: slab::Slab<PodEntry>,
    /// Indices of `slots`, found by the UID that stands there: most of what is kept of a pod would otherwise be kept twice.
    by_uid: HashTable<PodId>,
    hasher: RandomState,
    ports: Interner<[NamedPort]>,
    /// While a list is under way: Services of which something of the pod is pending or remembered, though they do not select it any
    /// more.
    left: HashMap<PodId, Vec<ServiceId>>,
}

/// One pod. It stays as long as the pod watch, an endpoint, an edit that excluded it or the memory of what it overtook knows it.
#[derive(Debug)]
pub(super) struct PodEntry {
    pub(super) uid: Uid,
    pub(super) name: Arc<str>,
    /// What the pod watch said last; `None` before it said anything and after the pod was deleted.
    pub(super) known: Option<Known>,
    /// Entries of slices, edits and memories that name it.
    holders: u32,
}

/// A pod as the pod watch has it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What it should be in the endpoints of a Service that selects it.
    pub(super) desired: Desired,
    pub(super) families: Families,
    pub(super) ports: Arc<[NamedPort]>,
    pub(super) set: SetId,
    resource_version: u64,
    /// The list in which it was seen last.
    list: u32,
}

// === impl Pods ===

impl Pods {
    /// The index of a pod, which it is given now if it has none.
    pub(super) fn intern(&mut self, uid: &Uid, name: impl FnOnce() -> Arc<str>) -> PodId {
        if let Some(id) = self.find(uid) {
            return id;
        }
        let entry = PodEntry { uid: uid.clone(), name: name(), known: None, holders: 0 };
        let id = PodId::new(self.slots.insert(entry));
        let Self { by_uid, slots, hasher, .. } = self;
        by_uid.insert_unique(hasher.hash_one(uid), id, |id| hasher.hash_one(&slots[id.slot()].uid));
        id
    }

    /// The index of a pod that has one.
    fn find(&self, uid: &Uid) -> Option<PodId> {
        self.by_uid.find(self.hasher.hash_one(uid), |id| self.slots[id.slot()].uid == *uid).copied()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn entry(&self, id: PodId) -> &PodEntry {
        &self.slots[id.slot()]
    }

    /// What the pod watch says of it.
    pub(super) fn known(&self, id: PodId) -> Option<&Known> {
        self.slots[id.slot()].known.as_ref()
    }

    /// An endpoint, an edit or a memory names it.
    pub(super) fn hold(&mut self, id: PodId) {
        self.slots[id.slot()].holders += 1;
    }

    /// An endpoint, an edit or a memory names it no longer.
    pub(super) fn release(&mut self, id: PodId) {
        self.slots[id.slot()].holders -= 1;
        self.drop_if_unknown(id);
    }

    fn drop_if_unknown(&mut self, id: PodId) {
        let entry = &self.slots[id.slot()];
        if entry.known.is_none() && entry.holders == 0 {
            let hash = self.hasher.hash_one(&entry.uid);
            if let Ok(entry) = self.by_uid.find_entry(hash, |other| *other == id) {
                entry.remove();
            }
            self.slots.remove(id.slot());
        }
    }
}

// === impl Desired ===

impl From<&Pod> for Desired {
    /// As `ShouldPodBeInEndpoints` and `podToEndpoint` of k8s.io/endpointslice decide.
    fn from(pod: &Pod) -> Self {
        if pod.terminal || pod.families.is_empty() {
            Self::Out
        } else if pod.terminating {
            Self::Terminating
        } else if pod.ready {
            Self::Ready
        } else {
            Self::Unready
        }
    }
}

// === impl Tracker ===

impl Tracker {
    /// A pod was created or changed, or stands in a list.
    pub(super) fn pod_seen(&mut self, seen: Seen, pod: Pod) {
        let id = self.pods.intern(&pod.uid, || pod.name.as_str().into());
        let listing = self.listing(Resource::Pods);
        let list = self.watches[Resource::Pods as usize].list;
        let ports = self.pods.ports.intern(&pod.ports);
        let old = self.pods.slots[id.slot()].known.take();
        if let Some(old) = &old
            && listing.is_some()
            && old.resource_version != pod.resource_version
        {
            // What happened between the two versions is lost, an unready and a ready perhaps.
            self.taint_pod(id, old.set);
        }
        let set = match &old {
            Some(old) if self.membership.is_set_of(old.set, &pod.labels) => old.set,
            _ => self.membership.join(id, &pod.namespace, &pod.labels),
        };
        let desired = Desired::from(&pod);
        let resource_version = pod.resource_version;
        self.pods.slots[id.slot()].known =
            Some(Known { desired, families: pod.families, ports, set, resource_version, list });
        let unchanged = |old: &Known| old.set == set && old.desired == desired && old.families == pod.families;
        if old.as_ref().is_some_and(unchanged) {
            return;
        }
        for service in self.membership.services(set).to_vec() {
            self.move_pair(service, id, desired, pod.families, seen);
        }
        if let Some(old) = old.filter(|old| old.set != set) {
            for service in self.membership.services(old.set).to_vec() {
                if !self.membership.services(set).contains(&service) {
                    self.move_pair(service, id, Desired::Out, Families::NONE, seen);
                }
            }
            self.membership.leave(id, old.set);
        }
    }

    /// A pod was deleted.
    pub(super) fn pod_gone(&mut self, seen: Seen, uid: &Uid) {
        let Some(id) = self.pods.find(uid) else { return };
        // What its removal ends may be the last to know it.
        self.pods.hold(id);
        if let Some(old) = self.pods.slots[id.slot()].known.take() {
            for service in self.membership.services(old.set).to_vec() {
                self.move_pair(service, id, Desired::Out, Families::NONE, seen);
            }
            self.membership.leave(id, old.set);
        }
        self.pods.release(id);
    }

    /// Pods that a complete list did not name were deleted while nobody looked.
    pub(super) fn drop_unlisted_pods(&mut self, list: u32, seen: Seen) {
        let unlisted = |entry: &PodEntry| entry.known.as_ref().is_some_and(|known| known.list != list);
        let gone: Vec<Uid> =
            self.pods.slots.iter().filter(|(_, entry)| unlisted(entry)).map(|(_, entry)| entry.uid.clone()).collect();
        for uid in gone {
            self.pod_gone(seen, &uid);
        }
        self.pods.left = HashMap::new();
    }

    /// Notes what a list of pods is going to need: the Services that wait for a pod to leave, or remember that it did, which they do
    /// not select any more, and which [`Membership`](crate::propagation::membership::Membership) therefore does not lead to.
    pub(super) fn begin_pod_list(&mut self) {
        let mut left: HashMap<PodId, Vec<ServiceId>> = HashMap::new();
        let pending = self.ledger.iter().filter(|pending| pending.change == Change::Removed).map(|pending| pending.key);
        for subject in pending.chain(self.overtaken.subjects()) {
            if let Some(pod) = subject.pod.filter(|pod| self.pods.known(*pod).is_some()) {
                left.entry(pod).or_default().push(subject.service);
            }
        }
        self.pods.left = left;
    }

    fn taint_pod(&mut self, pod: PodId, set: SetId) {
        let left = self.pods.left.get(&pod).into_iter().flatten();
        for service in self.membership.services(set).iter().chain(left) {
            self.overtaken.taint(Subject::of_pod(*service, pod));
            let Some(pair) = self.services.find_state(*service).and_then(|state| state.pair(pod)) else { continue };
            for (_, id) in pair.all_pending() {
                self.ledger.taint(id);
            }
        }
    }
}
