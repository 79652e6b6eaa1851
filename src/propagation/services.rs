//! What the Service watch delivered.

use super::{key::ServiceId, pair::Desired, report::ServiceName};
use crate::model::{Families, Service, Uid};
use foldhash::fast::RandomState;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// All Services that the Service watch delivered or a slice names, by UID. A Service that was deleted and created again
/// under the same name is another one, and owns none of the old slices.
#[derive(Debug)]
pub(super) struct Services {
    entries: slab::Slab<ServiceEntry>,
    by_uid: HashMap<Uid, ServiceId, RandomState>,
    /// Services that exist, according to the Service watch.
    by_name: HashMap<Arc<ServiceName>, ServiceId>,
    /// Of Services without an annotation for it.
    objective: Duration,
}

/// One Service. It is kept while the Service watch or a slice names it.
#[derive(Debug)]
struct ServiceEntry {
    uid: Uid,
    /// From the Service watch; before its first event, from the slices.
    name: Arc<ServiceName>,
    /// Its last state in the Service watch; `None` while only slices name it.
    spec: Option<Service>,
    /// The list in which it was last seen.
    list: u32,
}

/// How a Service's endpoints are measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Whether the controller writes them, and they are not ignored.
    pub(super) is_measured: bool,
    /// Whether it publishes its pods independent of their readiness.
    pub(super) published: bool,
    /// The delay within which a change that starts now should be reflected.
    pub(super) objective: Duration,
    /// Its families; none if it is not measured.
    families: Families,
}

// === impl Terms ===

impl Terms {
    /// What a pod that the Service selects should be in its endpoints, and in which families.
    pub(super) fn expectation(&self, desired: Desired, families: Families) -> (Desired, Families) {
        let expected = families.intersection(self.families);
        if desired == Desired::Out || expected.is_empty() {
            (Desired::Out, Families::NONE)
        } else {
            (desired, expected)
        }
    }
}

// === impl Services ===

impl Services {
    /// No Services. `objective` applies if an annotation does not.
    pub(super) fn new(objective: Duration) -> Self {
        Self { entries: slab::Slab::new(), by_uid: HashMap::default(), by_name: HashMap::new(), objective }
    }

    /// The index of a Service. A new Service gets one now.
    pub(super) fn intern(&mut self, uid: &Uid, namespace: &str, name: &str) -> ServiceId {
        if let Some(id) = self.by_uid.get(uid) {
            return *id;
        }
        let name = Arc::new(ServiceName { namespace: namespace.into(), name: name.into() });
        let id = self.entries.insert(ServiceEntry { uid: uid.clone(), name, spec: None, list: 0 });
        self.by_uid.insert(uid.clone(), id);
        id
    }

    /// The Service that now has the name of this one, according to the Service watch, and whether it is the same Service.
    pub(super) fn namesake(&self, of: &Service) -> Option<(ServiceId, bool)> {
        let name = ServiceName { namespace: of.namespace.as_str().into(), name: of.name.as_str().into() };
        let id = *self.by_name.get(&name)?;
        Some((id, self.entries[id].uid == of.uid))
    }

    /// Stores the state of a Service in the Service watch. Returns the previous state.
    pub(super) fn learn(&mut self, id: ServiceId, spec: Service, list: u32) -> Option<Service> {
        let entry = &mut self.entries[id];
        entry.list = list;
        let old = entry.spec.replace(spec);
        if let (None, Some(spec)) = (&old, &entry.spec) {
            if *entry.name.namespace != *spec.namespace || *entry.name.name != *spec.name {
                // A slice with a wrong label came first.
                let (namespace, name) = (spec.namespace.as_str().into(), spec.name.as_str().into());
                entry.name = Arc::new(ServiceName { namespace, name });
            }
            self.by_name.insert(entry.name.clone(), id);
        }
        old
    }

    /// The Service watch no longer knows a Service.
    pub(super) fn unlearn(&mut self, id: ServiceId) {
        let entry = &mut self.entries[id];
        entry.spec = None;
        self.by_name.remove(&entry.name);
    }

    /// Forgets a Service, if the Service watch does not know it. Says whether it did.
    pub(super) fn drop_if_unknown(&mut self, id: ServiceId) -> bool {
        let is_unknown = self.entries[id].spec.is_none();
        if is_unknown {
            let ServiceEntry { uid, .. } = self.entries.remove(id);
            self.by_uid.remove(&uid);
        }
        is_unknown
    }

    /// Services that the Service watch knows and this list did not contain.
    pub(super) fn unlisted(&self, list: u32) -> Vec<ServiceId> {
        let is_unlisted = |entry: &ServiceEntry| entry.spec.is_some() && entry.list != list;
        self.entries.iter().filter(|(_, entry)| is_unlisted(entry)).map(|(id, _)| id).collect()
    }

    /// Number of Services.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Its name.
    pub(super) fn name(&self, id: ServiceId) -> &Arc<ServiceName> {
        &self.entries[id].name
    }

    /// Whether it has this UID.
    pub(super) fn has_uid(&self, id: ServiceId, uid: &Uid) -> bool {
        self.entries[id].uid == *uid
    }

    /// Its last state in the Service watch.
    pub(super) fn spec(&self, id: ServiceId) -> Option<&Service> {
        self.entries[id].spec.as_ref()
    }

    /// How its endpoints are measured.
    pub(super) fn terms(&self, id: ServiceId) -> Terms {
        let spec = self.spec(id);
        let measured = spec.filter(|spec| is_measured(spec));
        Terms {
            is_measured: measured.is_some(),
            published: spec.is_some_and(|spec| spec.publish_not_ready_addresses),
            objective: spec.and_then(|spec| spec.objective.value()).unwrap_or(self.objective),
            families: measured.map_or(Families::NONE, |spec| spec.families),
        }
    }

    /// The measured Services.
    pub(super) fn measured(&self) -> impl Iterator<Item = ServiceId> {
        self.entries.iter().filter(|(_, entry)| entry.spec.as_ref().is_some_and(is_measured)).map(|(id, _)| id)
    }

    /// Whether the Service that now has this name is measured.
    pub(super) fn is_measured(&self, name: &ServiceName) -> bool {
        self.by_name.get(name).is_some_and(|id| self.terms(*id).is_measured)
    }
}

/// Whether the controller writes a Service's endpoints, and they are not ignored.
pub(super) fn is_measured(spec: &Service) -> bool {
    // The controller makes no slices for a Service that is held in deletion by a finalizer.
    !spec.selector.is_empty() && !spec.external_name && !spec.terminating && !is_ignored(spec)
}

/// Whether its owner excluded it.
pub(super) fn is_ignored(spec: &Service) -> bool {
    spec.ignore.value() == Some(true)
}
