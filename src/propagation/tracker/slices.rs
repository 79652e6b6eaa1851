//! What the EndpointSlice watch says: the union of a Service's slices, kept by differences.

use super::Tracker;
use crate::{
    model::{Endpoint, EndpointPort, EndpointSlice, Family, Resource, Seen, SliceEndpoint, SliceOwner, Uid},
    propagation::{
        intern::Interner,
        membership::{PodId, ServiceId},
        pair::Entry,
    },
};
use foldhash::{fast, quality};
use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

/// Index of a slice.
pub(super) type SliceId = usize;

/// All slices that the EndpointSlice controller writes.
#[derive(Debug, Default)]
pub(super) struct Slices {
    slices: slab::Slab<Slice>,
    by_uid: HashMap<Uid, SliceId, fast::RandomState>,
    ports: Interner<[EndpointPort]>,
    fingerprints: quality::RandomState,
}

/// One slice as it was last seen.
#[derive(Debug)]
pub(super) struct Slice {
    uid: Uid,
    service: ServiceId,
    pub(super) family: Family,
    /// Sorted.
    pub(super) ports: Arc<[EndpointPort]>,
    /// In the order in which they came.
    listed: Box<[Listed]>,
    /// The list in which it was seen last.
    list: u32,
}

/// One endpoint of a slice.
#[derive(Clone, Copy, Debug)]
struct Listed {
    /// Its hash, by which it is known again. Two differ with a chance of 1 - 2^-64.
    fingerprint: u64,
    pod: PodId,
    entry: Entry,
}

/// The endpoints of a slice beside those that it had before.
#[derive(Debug, Default)]
struct Comparison {
    order: Vec<Origin>,
    /// Endpoints that were not there before, as they were read.
    read: Vec<Endpoint>,
    /// Endpoints that are not there any more.
    left: Vec<Listed>,
}

/// Where an endpoint of a slice comes from.
#[derive(Debug)]
enum Origin {
    /// It was there before.
    Kept(Listed),
    /// It is the next that was read.
    Read { fingerprint: u64 },
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

    /// One copy of these ports for all who have them.
    pub(super) fn intern_ports(&mut self, ports: &[EndpointPort]) -> Arc<[EndpointPort]> {
        self.ports.intern(ports)
    }

    /// Compares what a slice has to list with what it lists, and reads what is new. Endpoints stay where they are when another is
    /// written, so that one look at each is the rule; whatever is not known again is read.
    fn compare<E: SliceEndpoint>(&self, known: Option<SliceId>, endpoints: &[E]) -> Result<Comparison, E::Error> {
        let mut old = known.map_or(&[][..], |id| &self.slices[id].listed);
        let mut comparison = Comparison { order: Vec::with_capacity(endpoints.len()), ..Comparison::default() };
        for endpoint in endpoints {
            let fingerprint = self.fingerprints.hash_one(endpoint);
            if let Some(at) = old.iter().position(|listed| listed.fingerprint == fingerprint) {
                comparison.left.extend_from_slice(&old[..at]);
                comparison.order.push(Origin::Kept(old[at]));
                old = &old[at + 1..];
            } else if let Some(read) = endpoint.read()? {
                comparison.order.push(Origin::Read { fingerprint });
                comparison.read.push(read);
            }
        }
        comparison.left.extend_from_slice(old);
        Ok(comparison)
    }
}

// === impl Slice ===

impl Slice {
    /// Whether it names the pod.
    pub(super) fn lists(&self, pod: PodId) -> bool {
        self.listed.iter().any(|listed| listed.pod == pod)
    }
}

// === impl Listed ===

impl Listed {
    fn of_pod(&self) -> (PodId, Entry) {
        (self.pod, self.entry)
    }
}

// === impl Tracker ===

impl Tracker {
    /// A slice was created or changed, or stands in a list.
    ///
    /// # Errors
    /// If one of its endpoints cannot be read. The slice is then taken to be as it was.
    pub(super) fn slice_seen<E: SliceEndpoint>(&mut self, seen: Seen, slice: EndpointSlice<E>) -> Result<(), E::Error> {
        let Some(owner) = &slice.owner else {
            // Not the controller's; if it was before, it has left the union.
            self.slice_gone(seen, &slice.uid);
            return Ok(());
        };
        if let Some(id) = self.slices.by_uid.get(&slice.uid)
            && !self.is_of(*id, owner)
        {
            self.slice_gone(seen, &slice.uid);
        }
        let known = self.slices.by_uid.get(&slice.uid).copied();
        let Comparison { order, read, left } = self.slices.compare(known, &slice.endpoints)?;
        let service = self.services.intern(&owner.uid, &slice.namespace, &owner.service);
        let mut came = Vec::with_capacity(read.len());
        for Endpoint { pod, name, ready, serving, terminating } in read {
            let pod = self.pods.intern(&pod, || name.into());
            self.pods.hold(pod);
            came.push((pod, Entry { ready, serving, terminating }));
        }
        let mut next = came.iter();
        let listed = order.into_iter().filter_map(|origin| match origin {
            Origin::Kept(listed) => Some(listed),
            Origin::Read { fingerprint } => {
                next.next().map(|(pod, entry)| Listed { fingerprint, pod: *pod, entry: *entry })
            }
        });
        let listed = listed.collect();
        let list = self.watches[Resource::EndpointSlices as usize].list;
        let ports = self.slices.ports.intern(&slice.ports);
        let (id, old_ports) = match known {
            Some(id) => {
                let known = &mut self.slices.slices[id];
                (known.list, known.listed) = (list, listed);
                (id, Some(std::mem::replace(&mut known.ports, ports.clone())))
            }
            None => {
                let ports = ports.clone();
                let new = Slice { uid: slice.uid.clone(), service, family: owner.family, ports, listed, list };
                let id = self.slices.slices.insert(new);
                self.slices.by_uid.insert(slice.uid, id);
                self.services.get_mut(service).slices.push(id);
                (id, None)
            }
        };
        let shape_changed = old_ports.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &ports));
        if shape_changed {
            let port_sets = &mut self.services.get_mut(service).port_sets;
            port_sets.add(&ports);
            if let Some(old) = &old_ports {
                port_sets.remove(old);
            }
        }
        self.show_difference(
            service,
            owner.family,
            left.iter().map(Listed::of_pod).collect(),
            came,
            shape_changed,
            seen,
        );
        if shape_changed && old_ports.is_some() {
            // Those that are listed as before have other ports now.
            let listed: Vec<PodId> = self.slices.get(id).listed.iter().map(|listed| listed.pod).collect();
            listed.into_iter().for_each(|pod| self.look_at(service, pod, seen.at));
        }
        Ok(())
    }

    fn is_of(&self, slice: SliceId, owner: &SliceOwner) -> bool {
        let Slice { service, family, .. } = self.slices.get(slice);
        *family == owner.family && self.services.get(*service).uid == owner.uid
    }

    /// A slice was deleted.
    pub(super) fn slice_gone(&mut self, seen: Seen, uid: &Uid) {
        let Some(id) = self.slices.by_uid.remove(uid) else { return };
        let Slice { service, family, listed, ports, .. } = self.slices.slices.remove(id);
        let state = self.services.get_mut(service);
        state.slices.retain(|slice| *slice != id);
        state.port_sets.remove(&ports);
        self.show_difference(service, family, listed.iter().map(Listed::of_pod).collect(), Vec::new(), true, seen);
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
        for subject in self.overtaken.subjects_of(service).into_iter().filter(|subject| subject.pod.is_some()) {
            self.forget(subject);
        }
        let state = self.services.get_mut(service);
        let published = state.publishes();
        let slices = state.slices.clone();
        let listed: Vec<PodId> = state.pairs().map(|(pod, _)| pod).collect();
        for pod in listed {
            state.pair_mut(pod).hide_all();
        }
        for id in slices {
            let Slice { family, listed, .. } = &self.slices.slices[id];
            for Listed { pod, entry, .. } in listed {
                state.pair_mut(*pod).show(*family, *entry, published);
            }
        }
    }

    /// Carries what one slice shows otherwise than before into the union, and settles what that ends: `left` are entries that
    /// it had, `came` those that it has in their place.
    fn show_difference(
        &mut self,
        service: ServiceId,
        family: Family,
        mut left: Vec<(PodId, Entry)>,
        mut came: Vec<(PodId, Entry)>,
        shape_changed: bool,
        seen: Seen,
    ) {
        let published = self.services.get(service).publishes();
        left.sort_unstable();
        came.sort_unstable();
        let touched = touched_pods(&left, &came);
        for pod in &touched {
            let pair = self.services.get_mut(service).pair_mut(*pod);
            let before = pair.facts(published);
            for entry in entries_of(&came, *pod) {
                pair.show(family, entry, published);
            }
            for entry in entries_of(&left, *pod) {
                pair.hide(family, entry, published);
            }
            self.settle_pair(service, *pod, before, seen);
        }
        if shape_changed || !touched.is_empty() {
            // What the first lists show was there before.
            self.services.get_mut(service).last_slice = self.measuring.then_some(seen);
            self.check_edit(service, seen, true);
        }
        for (pod, _) in left {
            self.pods.release(pod);
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
