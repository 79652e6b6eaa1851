//! What the EndpointSlice watch delivered: the union of a Service's slices, updated by differences.

use super::{
    key::{ByService, PodId, ServiceId},
    pair::Entry,
    ports::PortSets,
};
use crate::model::{EndpointPort, Family, Uid};
use foldhash::fast::RandomState;
use std::{collections::HashMap, ops::Range, sync::Arc};

/// Index of a slice.
type SliceId = usize;

/// All slices that the EndpointSlice controller writes.
#[derive(Debug, Default)]
pub(super) struct Slices {
    slots: slab::Slab<Slice>,
    by_uid: HashMap<Uid, SliceId, RandomState>,
    unions: ByService<Union>,
}

/// One slice in its last version.
#[derive(Debug)]
struct Slice {
    uid: Uid,
    service: ServiceId,
    family: Family,
    /// Sorted.
    ports: Arc<[EndpointPort]>,
    /// In the order in which they arrived.
    listed: Box<[Listed]>,
    /// The list in which it was last seen.
    list: u32,
}

/// The slices of one Service.
#[derive(Debug, Default)]
struct Union {
    slices: Vec<SliceId>,
    /// Their ports.
    port_sets: PortSets,
}

/// One endpoint of a slice: the pod, and how it is shown.
pub(super) type Listed = (PodId, Entry);

/// A new version of a slice. It names its pods by their indices.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) service: ServiceId,
    pub(super) family: Family,
    pub(super) ports: Arc<[EndpointPort]>,
    pub(super) listed: Vec<Listed>,
}

/// A part of the endpoints of a new version of a slice.
#[derive(Debug)]
pub(super) enum Part {
    /// Those at these positions of the previous version.
    Kept(Range<usize>),
    New(Listed),
}

/// The difference between two versions of a slice.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) service: ServiceId,
    pub(super) family: Family,
    /// Entries that are no longer there, and the entries that replace them. One may be in both.
    pub(super) left: Vec<Listed>,
    pub(super) came: Vec<Listed>,
    /// It is new, gone, or has other ports.
    pub(super) is_reshaped: bool,
}

// === impl Slices ===

impl Slices {
    /// Number of slices.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Service and family of a known slice.
    pub(super) fn owner(&self, uid: &Uid) -> Option<(ServiceId, Family)> {
        let slice = &self.slots[*self.by_uid.get(uid)?];
        Some((slice.service, slice.family))
    }

    /// Stores a complete version of a slice that is new or has the same owner.
    pub(super) fn put(&mut self, uid: &Uid, version: Version, list: u32) -> Difference {
        let Version { service, family, ports, listed: came } = version;
        let listed = came.clone().into_boxed_slice();
        let union = self.unions.get_mut(service);
        let (left, old_ports) = match self.by_uid.get(uid) {
            Some(id) => {
                let known = &mut self.slots[*id];
                known.list = list;
                let left = std::mem::replace(&mut known.listed, listed).into_vec();
                (left, Some(std::mem::replace(&mut known.ports, ports.clone())))
            }
            None => {
                let new = Slice { uid: uid.clone(), service, family, ports: ports.clone(), listed, list };
                let id = self.slots.insert(new);
                self.by_uid.insert(uid.clone(), id);
                union.slices.push(id);
                (Vec::new(), None)
            }
        };
        let is_reshaped = old_ports.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &ports));
        if is_reshaped {
            union.port_sets.add(&ports);
            if let Some(old) = &old_ports {
                union.port_sets.remove(old);
            }
        }
        Difference { service, family, left, came, is_reshaped }
    }

    /// Stores a version of a slice in which only endpoints changed. Returns nothing for an unknown slice.
    ///
    /// # Panics
    /// If the parts do not refer to the previous version: then it is not known what is kept, and the counts would be wrong.
    pub(super) fn change(&mut self, uid: &Uid, parts: impl Iterator<Item = Part>) -> Option<Difference> {
        let slice = &mut self.slots[*self.by_uid.get(uid)?];
        let old = &slice.listed;
        let (mut listed, mut left, mut came) = (Vec::with_capacity(old.len() + 1), Vec::new(), Vec::new());
        let mut next = 0;
        for part in parts {
            match part {
                Part::Kept(kept) => {
                    left.extend_from_slice(&old[next..kept.start]);
                    next = kept.end;
                    listed.extend_from_slice(&old[kept]);
                }
                Part::New(new) => {
                    came.push(new);
                    listed.push(new);
                }
            }
        }
        left.extend_from_slice(&old[next..]);
        slice.listed = listed.into_boxed_slice();
        Some(Difference { service: slice.service, family: slice.family, left, came, is_reshaped: false })
    }

    /// A slice was deleted, or no longer belongs to this Service.
    pub(super) fn remove(&mut self, uid: &Uid) -> Option<Difference> {
        let id = self.by_uid.remove(uid)?;
        let Slice { service, family, listed, ports, .. } = self.slots.remove(id);
        let union = self.unions.get_mut(service);
        union.slices.retain(|slice| *slice != id);
        union.port_sets.remove(&ports);
        Some(Difference { service, family, left: listed.into_vec(), came: Vec::new(), is_reshaped: true })
    }

    /// Slices that this list did not contain.
    pub(super) fn unlisted(&self, list: u32) -> Vec<Uid> {
        self.slots.iter().filter(|(_, slice)| slice.list != list).map(|(_, slice)| slice.uid.clone()).collect()
    }

    /// Whether the Service has a slice.
    pub(super) fn has_any(&self, service: ServiceId) -> bool {
        self.of(service).next().is_some()
    }

    /// Whether the Service has a slice of this family.
    pub(super) fn has(&self, service: ServiceId, family: Family) -> bool {
        self.of(service).any(|slice| slice.family == family)
    }

    /// Everything that the slices of a Service list.
    pub(super) fn listed(&self, service: ServiceId) -> impl Iterator<Item = (Family, Listed)> {
        self.of(service).flat_map(|slice| slice.listed.iter().map(|listed| (slice.family, *listed)))
    }

    /// Whether a slice of the Service lists the pod with other ports than these.
    pub(super) fn list_with_others(&self, service: ServiceId, pod: PodId, ports: &Arc<[EndpointPort]>) -> bool {
        if self.unions.get(service).is_none_or(|union| union.port_sets.are_all(ports)) {
            return false;
        }
        let lists = |slice: &Slice| slice.listed.iter().any(|(listed, _)| *listed == pod);
        self.of(service).any(|slice| !Arc::ptr_eq(&slice.ports, ports) && lists(slice))
    }

    fn of(&self, service: ServiceId) -> impl Iterator<Item = &Slice> {
        self.unions.get(service).into_iter().flat_map(|union| &union.slices).map(|id| &self.slots[*id])
    }
}
