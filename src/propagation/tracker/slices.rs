//! What the EndpointSlice watch says: the union of a Service's slices, kept by differences.

use super::Tracker;
use crate::{
    cluster::{
        event::{Resource, Seen},
        object::{EndpointPort, EndpointSlice, Family, Uid},
    },
    propagation::{
        intern::Interner,
        membership::{PodId, ServiceId},
        pair::Entry,
    },
};
use foldhash::fast::RandomState;
use std::{collections::HashMap, sync::Arc};

/// Index of a slice.
pub(super) type SliceId = usize;

/// All slices that the EndpointSlice controller writes.
#[derive(Debug, Default)]
pub(super) struct Slices {
    slices: slab::Slab<Slice>,
    by_uid: HashMap<Uid, SliceId, RandomState>,
    ports: Interner<[EndpointPort]>,
}

/// One slice as it was last seen.
#[derive(Debug)]
pub(super) struct Slice {
    uid: Uid,
    service: ServiceId,
    pub(super) family: Family,
    /// Sorted.
    pub(super) ports: Arc<[EndpointPort]>,
    /// Sorted by pod.
    entries: Box<[(PodId, Entry)]>,
    /// The list in which it was seen last.
    list: u32,
}

// === impl Slices ===

impl Slices {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slices.len()
    }

    pub(super) fn get(&self, id: SliceId) -> &Slice {
        &self.slices[id]
    }
}

// === impl Slice ===

impl Slice {
    /// Whether it names the pod.
    pub(super) fn lists(&self, pod: PodId) -> bool {
        self.entries.binary_search_by_key(&pod, |(listed, _)| *listed).is_ok()
    }
}

// === impl Tracker ===

impl Tracker {
    /// A slice was created or changed, or stands in a list.
    pub(super) fn slice_seen(&mut self, seen: Seen, slice: EndpointSlice) {
        let Some(owner) = &slice.owner else {
            // Not the controller's; if it was before, it has left the union.
            self.slice_gone(seen, &slice.uid);
            return;
        };
        let service = self.services.intern(&slice.namespace, &owner.service);
        let known = self.slices.by_uid.get(&slice.uid).copied();
        if known.is_some_and(|id| (self.slices.get(id).service, self.slices.get(id).family) != (service, owner.family))
        {
            self.slice_gone(seen, &slice.uid);
        }
        let list =
            self.listing(Resource::EndpointSlices).unwrap_or(self.lists[Resource::EndpointSlices as usize].number);
        let mut entries: Vec<_> = slice
            .endpoints
            .iter()
            .map(|endpoint| {
                let pod = self.pods.intern(&endpoint.pod, || String::from_utf8_lossy(&endpoint.name).into());
                self.pods.hold(pod);
                let (ready, serving, terminating) = (endpoint.ready, endpoint.serving, endpoint.terminating);
                (pod, Entry { ready, serving, terminating })
            })
            .collect();
        entries.sort_unstable();
        let entries = entries.into_boxed_slice();
        let ports = self.slices.ports.intern(&slice.ports);
        let (old, shape_changed) = match self.slices.by_uid.get(&slice.uid).copied() {
            Some(id) => {
                let known = &mut self.slices.slices[id];
                known.list = list;
                let shape_changed = std::mem::replace(&mut known.ports, ports.clone()) != ports;
                (std::mem::replace(&mut known.entries, entries.clone()), shape_changed)
            }
            None => {
                let new = Slice {
                    uid: slice.uid.clone(),
                    service,
                    family: owner.family,
                    ports,
                    entries: entries.clone(),
                    list,
                };
                let id = self.slices.slices.insert(new);
                self.slices.by_uid.insert(slice.uid.clone(), id);
                self.services.get_mut(service).slices.push(id);
                (Box::default(), true)
            }
        };
        self.show_difference(service, owner.family, &old, &entries, shape_changed, seen);
    }

    /// A slice was deleted.
    pub(super) fn slice_gone(&mut self, seen: Seen, uid: &Uid) {
        let Some(id) = self.slices.by_uid.remove(uid) else { return };
        let Slice { service, family, entries, .. } = self.slices.slices.remove(id);
        self.services.get_mut(service).slices.retain(|slice| *slice != id);
        self.show_difference(service, family, &entries, &[], true, seen);
        self.services.drop_if_unknown(service);
    }

    /// Slices that a complete list did not name were deleted while nobody looked.
    pub(super) fn drop_unlisted_slices(&mut self, list: u32, seen: Seen) {
        let unlisted = self.slices.slices.iter().filter(|(_, slice)| slice.list != list);
        let gone: Vec<Uid> = unlisted.map(|(_, slice)| slice.uid.clone()).collect();
        for uid in gone {
            self.slice_gone(seen, &uid);
        }
    }

    /// Counts every pair of the Service anew, after it changed what counts as ready.
    pub(super) fn recount(&mut self, service: ServiceId) {
        let state = self.services.get_mut(service);
        // What came to be shown by the old count is not what is asked now.
        state.marks.clear();
        let published = state.publishes();
        let slices = state.slices.clone();
        let listed: Vec<PodId> = state.pairs().map(|(pod, _)| pod).collect();
        for pod in listed {
            state.pair_mut(pod).hide_all();
        }
        for id in slices {
            let Slice { family, entries, .. } = &self.slices.slices[id];
            for (pod, entry) in entries {
                state.pair_mut(*pod).show(*family, *entry, published);
            }
        }
    }

    /// Carries what one slice shows otherwise than before into the union, and settles what that ends.
    fn show_difference(
        &mut self,
        service: ServiceId,
        family: Family,
        old: &[(PodId, Entry)],
        new: &[(PodId, Entry)],
        shape_changed: bool,
        seen: Seen,
    ) {
        let published = self.services.get(service).publishes();
        let touched = touched_pods(old, new);
        for pod in &touched {
            let pair = self.services.get_mut(service).pair_mut(*pod);
            let before = pair.facts(published);
            for entry in entries_of(new, *pod) {
                pair.show(family, entry, published);
            }
            for entry in entries_of(old, *pod) {
                pair.hide(family, entry, published);
            }
            self.settle_pair(service, *pod, before, seen);
        }
        if shape_changed || !touched.is_empty() {
            // What the first lists show was there before.
            self.services.get_mut(service).last_slice = self.measuring.then_some(seen);
            self.check_edit(service, seen, true);
        }
        for (pod, _) in old {
            self.pods.release(*pod);
        }
    }
}

/// The pods whose entries differ, each once. Both sides are sorted by pod.
fn touched_pods(old: &[(PodId, Entry)], new: &[(PodId, Entry)]) -> Vec<PodId> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut touched: Vec<PodId> = Vec::new();
    loop {
        let pod = match (old.peek(), new.peek()) {
            (None, None) => return touched,
            (Some(a), Some(b)) if a == b => {
                old.next();
                new.next();
                continue;
            }
            (Some(a), Some(b)) if a <= b => old.next(),
            (Some(_), None) => old.next(),
            (_, Some(_)) => new.next(),
        };
        let Some((pod, _)) = pod else { return touched };
        if touched.last() != Some(pod) {
            touched.push(*pod);
        }
    }
}

fn entries_of(all: &[(PodId, Entry)], pod: PodId) -> impl Iterator<Item = Entry> {
    let from = all.partition_point(|(listed, _)| *listed < pod);
    all[from..].iter().take_while(move |(listed, _)| *listed == pod).map(|(_, entry)| *entry)
}
