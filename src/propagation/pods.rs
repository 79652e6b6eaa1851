//! What the pod watch delivered.

use super::{intern::Interner, key::PodId, membership::SetId, pair::Desired, report::PodRef};
use crate::model::{Families, NamedPort, Pod, Uid};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::{hash::BuildHasher, sync::Arc};

/// All pods that the pod watch delivered or a slice names.
#[derive(Debug, Default)]
pub(super) struct Pods {
    slots: slab::Slab<PodEntry>,
    /// Indices of `slots`, found by the UID in the slot, so that the UIDs are not stored twice.
    by_uid: HashTable<PodId>,
    hasher: RandomState,
    ports: Interner<[NamedPort]>,
}

/// One pod. It is kept while the pod watch, an endpoint, an edit that excluded it, or the memory of an overtaken change needs it.
#[derive(Debug)]
struct PodEntry {
    uid: Uid,
    name: Arc<str>,
    /// Its last state in the pod watch; `None` before its first event and after its deletion.
    known: Option<Known>,
    /// Number of slice entries, edits and memories that name it.
    holders: u32,
}

/// A pod as the pod watch shows it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What it should be in the endpoints of a Service that selects it.
    pub(super) desired: Desired,
    pub(super) families: Families,
    pub(super) ports: Arc<[NamedPort]>,
    pub(super) set: SetId,
    pub(super) resource_version: u64,
    /// The list in which it was last seen.
    list: u32,
}

// === impl Pods ===

impl Pods {
    /// The index of a pod. A new pod gets one now.
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

    /// The index of a known pod.
    pub(super) fn find(&self, uid: &Uid) -> Option<PodId> {
        self.by_uid.find(self.hasher.hash_one(uid), |id| self.slots[id.slot()].uid == *uid).copied()
    }

    /// Number of pods.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Its name and UID.
    pub(super) fn named(&self, id: PodId) -> PodRef {
        let PodEntry { name, uid, .. } = &self.slots[id.slot()];
        PodRef { name: name.clone(), uid: uid.clone() }
    }

    /// Its last state in the pod watch.
    pub(super) fn known(&self, id: PodId) -> Option<&Known> {
        self.slots[id.slot()].known.as_ref()
    }

    /// Removes and returns its last state in the pod watch.
    pub(super) fn take_known(&mut self, id: PodId) -> Option<Known> {
        self.slots[id.slot()].known.take()
    }

    /// Stores the state of a pod in the pod watch. `set` is the set of its labels. Returns what the pod should be in Services that select
    /// it.
    pub(super) fn learn(&mut self, id: PodId, pod: &Pod, set: SetId, list: u32) -> (Desired, Families) {
        let (desired, families, resource_version) = (Desired::from(pod), pod.families, pod.resource_version);
        let ports = self.ports.intern(&pod.ports);
        self.slots[id.slot()].known = Some(Known { desired, families, ports, set, resource_version, list });
        (desired, families)
    }

    /// Pods that the pod watch knows and this list did not contain.
    pub(super) fn unlisted(&self, list: u32) -> Vec<Uid> {
        let is_unlisted = |entry: &PodEntry| entry.known.as_ref().is_some_and(|known| known.list != list);
        self.slots.iter().filter(|(_, entry)| is_unlisted(entry)).map(|(_, entry)| entry.uid.clone()).collect()
    }

    /// An endpoint, an edit or a memory names it.
    pub(super) fn hold(&mut self, id: PodId) {
        self.slots[id.slot()].holders += 1;
    }

    /// An endpoint, an edit or a memory no longer names it.
    pub(super) fn release(&mut self, id: PodId) {
        let entry = &mut self.slots[id.slot()];
        entry.holders -= 1;
        if entry.known.is_none() && entry.holders == 0 {
            let hash = self.hasher.hash_one(&entry.uid);
            if let Ok(entry) = self.by_uid.find_entry(hash, |other| *other == id) {
                entry.remove();
            }
            self.slots.remove(id.slot());
        }
    }
}
