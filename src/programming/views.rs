//! What the watches of Services and EndpointSlices delivered, as far as kernels are concerned.

use super::{
    foreign::Foreign,
    nodes::Nodes,
    targets::{Listed, Member, Reach, Slice, Target, targets},
};
use crate::{
    ledger::Change,
    model::{
        Backend, Endpoint, EndpointSlice, EndpointsChange, EndpointsPart, Frontend, Resource, Service, ServicePort,
        Uid, VirtualIps,
    },
    propagation::ServiceName,
};
use std::{collections::HashMap, mem, sync::Arc, time::Duration};

/// Number of a Service. It is not used again, because steps may outlive the Service.
pub(super) type ServiceId = u64;

/// Index of a scope: the whole cluster, or one of several namespaces.
pub(super) type Scope = usize;

/// The Services and slices of all scopes.
#[derive(Debug, Default)]
pub(super) struct Views {
    services: HashMap<ServiceId, ServiceEntry>,
    by_uid: HashMap<Uid, ServiceId>,
    /// Services that exist, according to the Service watch.
    by_name: HashMap<Arc<ServiceName>, ServiceId>,
    next: ServiceId,
    slices: HashMap<Uid, SliceEntry>,
    lists: HashMap<(Scope, Resource), List>,
    /// Frontends of Services that exist.
    frontends: HashMap<Frontend, ServiceId>,
    foreign: Foreign,
}

/// One Service. It is kept while the Service watch or a slice names it.
#[derive(Debug)]
struct ServiceEntry {
    uid: Uid,
    name: Arc<ServiceName>,
    spec: Option<Spec>,
    slices: Vec<Uid>,
    targets: HashMap<Frontend, Target>,
    scope: Scope,
    list: u32,
}

/// The parts of a Service that kernels follow.
#[derive(Debug)]
struct Spec {
    /// `None` if it has none, or is not measured.
    virtual_ips: Option<Box<VirtualIps>>,
    ports: Vec<ServicePort>,
    objective: Option<Duration>,
    /// Whether kernels use pods that are not ready.
    publishes_all: bool,
}

#[derive(Debug)]
struct SliceEntry {
    service: ServiceId,
    slice: Slice,
    scope: Scope,
    list: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    number: u32,
    is_complete: bool,
}

/// A backend that a frontend gets or loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) frontend: Frontend,
    pub(super) backend: Backend,
    pub(super) adds: bool,
    pub(super) pod: Uid,
    /// The only node that must follow. `None` if all must.
    pub(super) only: Option<Option<Arc<str>>>,
}

/// How the targets of a Service changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) moves: Vec<Move>,
    /// Frontends for which other nodes must follow now, or it is not known which. Their earlier steps no longer apply.
    pub(super) reset: Vec<Frontend>,
}

// === impl Views ===

impl Views {
    /// Whether each watch of a scope has listed once. Before, a difference is no change.
    pub(super) fn is_measuring(&self, scope: Scope) -> bool {
        let has_listed = |resource| self.lists.get(&(scope, resource)).is_some_and(|list| list.is_complete);
        has_listed(Resource::Services) && has_listed(Resource::EndpointSlices)
    }

    /// A list begins.
    pub(super) fn begin_list(&mut self, scope: Scope, resource: Resource) {
        self.lists.entry((scope, resource)).or_default().number += 1;
    }

    /// A list is complete. Returns the Services that it affects: what the list did not contain is gone.
    pub(super) fn end_list(&mut self, scope: Scope, resource: Resource) -> Vec<ServiceId> {
        let list = self.lists.entry((scope, resource)).or_default();
        list.is_complete = true;
        let number = list.number;
        match resource {
            Resource::Pods => Vec::new(),
            Resource::Services => {
                let is_gone = |it: &ServiceEntry| it.scope == scope && it.spec.is_some() && it.list != number;
                let gone: Vec<_> = self.services.iter().filter(|(_, it)| is_gone(it)).map(|(id, _)| *id).collect();
                gone.iter().for_each(|id| self.set_spec(*id, None));
                gone
            }
            Resource::EndpointSlices => {
                let is_gone = |it: &SliceEntry| it.scope == scope && it.list != number;
                let gone: Vec<_> =
                    self.slices.iter().filter(|(_, it)| is_gone(it)).map(|(uid, _)| uid.clone()).collect();
                let left = gone.iter().flat_map(|uid| self.slice_gone(uid)).collect();
                let foreign = self.foreign.end_list(scope, number);
                [left, self.named(&foreign)].concat()
            }
        }
    }

    /// A Service was created or changed, or is in a list.
    pub(super) fn service_seen(&mut self, scope: Scope, service: &Service) -> ServiceId {
        let id = self.intern(scope, &service.uid, &service.namespace, &service.name);
        // kube-proxy also uses slices that others write, which are not measured. So without a selector it is not known what it should do.
        let is_measured =
            service.ignore.value() != Some(true) && !service.external_name && !service.selector.is_empty();
        let list = self.lists.get(&(scope, Resource::Services)).map_or(0, |list| list.number);
        if let Some(entry) = self.services.get_mut(&id) {
            entry.list = list;
        }
        let spec = Spec {
            virtual_ips: service.virtual_ips.clone().filter(|_| is_measured),
            ports: service.ports.clone(),
            objective: service.objective.value(),
            publishes_all: service.publish_not_ready_addresses,
        };
        self.set_spec(id, Some(spec));
        id
    }

    /// A Service was deleted.
    pub(super) fn service_gone(&mut self, uid: &Uid) -> Option<ServiceId> {
        let id = *self.by_uid.get(uid)?;
        self.set_spec(id, None);
        Some(id)
    }

    /// A complete slice. Returns the Services that it affects: its owner, and a previous owner.
    pub(super) fn slice_seen(&mut self, scope: Scope, slice: &EndpointSlice, nodes: &mut Nodes) -> Vec<ServiceId> {
        let known = self.slices.get(&slice.uid).map(|entry| entry.service);
        let list = self.lists.get(&(scope, Resource::EndpointSlices)).map_or(0, |list| list.number);
        let Some(owner) = &slice.owner else {
            let Some(service) = &slice.foreign_to else { return self.slice_gone(&slice.uid) };
            let left = known.map(|_| self.slice_gone(&slice.uid)).unwrap_or_default();
            let service = ServiceName { namespace: slice.namespace.as_str().into(), name: service.clone() };
            let affected = self.foreign.seen(&slice.uid, service, scope, list);
            return [left, self.named(&affected)].concat();
        };
        let service = self.intern(scope, &owner.uid, &slice.namespace, &owner.service);
        let is_another = known.is_none_or(|known| known != service);
        let left = if is_another { self.slice_gone(&slice.uid) } else { Vec::new() };
        let listed = slice.endpoints.iter().map(|endpoint| listed(endpoint, nodes)).collect();
        let entry = SliceEntry {
            service,
            slice: Slice { family: owner.family, ports: slice.ports.clone(), listed },
            scope,
            list,
        };
        if self.slices.insert(slice.uid.clone(), entry).is_none() {
            self.services.entry(service).and_modify(|entry| entry.slices.push(slice.uid.clone()));
        }
        [left, vec![service]].concat()
    }

    /// Endpoints of a slice changed.
    pub(super) fn endpoints_changed(&mut self, change: &EndpointsChange, nodes: &mut Nodes) -> Option<ServiceId> {
        let entry = self.slices.get_mut(&change.uid)?;
        let old = mem::take(&mut entry.slice.listed);
        for part in &change.endpoints {
            match part {
                EndpointsPart::Kept(kept) => {
                    entry.slice.listed.extend(old.get(kept.clone()).into_iter().flatten().cloned());
                }
                EndpointsPart::New(endpoint) => entry.slice.listed.push(listed(endpoint, nodes)),
            }
        }
        Some(entry.service)
    }

    /// A slice is gone. Returns the Services that it affects.
    pub(super) fn slice_gone(&mut self, uid: &Uid) -> Vec<ServiceId> {
        let foreign = self.foreign.gone(uid);
        let Some(entry) = self.slices.remove(uid) else { return self.named(foreign.as_slice()) };
        self.services.entry(entry.service).and_modify(|of| of.slices.retain(|slice| slice != uid));
        vec![entry.service]
    }

    /// Computes the targets of a Service anew, and returns how they differ from the old ones. Forgets the Service if nothing names it.
    pub(super) fn refresh(&mut self, id: ServiceId) -> Difference {
        let Some(entry) = self.services.get(&id) else { return Difference::default() };
        let slices = entry.slices.iter().filter_map(|uid| self.slices.get(uid)).map(|entry| &entry.slice);
        let new: HashMap<_, _> = match &entry.spec {
            Some(Spec { virtual_ips: Some(virtual_ips), ports, .. }) => {
                let is_known = !self.foreign.has(&entry.name);
                let known =
                    |target: Target| if is_known { target } else { Target::new(Reach::Unknown, target.members) };
                targets(virtual_ips, ports, slices).into_iter().map(|(it, target)| (it, known(target))).collect()
            }
            _ => HashMap::new(),
        };
        let difference = compare(&entry.targets, &new);
        for frontend in entry.targets.keys() {
            // Another Service may have got the clusterIP in the meantime.
            if self.frontends.get(frontend) == Some(&id) {
                self.frontends.remove(frontend);
            }
        }
        self.frontends.extend(new.keys().map(|frontend| (*frontend, id)));
        if entry.spec.is_none() && entry.slices.is_empty() {
            self.by_uid.remove(&entry.uid);
            self.services.remove(&id);
        } else {
            self.services.entry(id).and_modify(|entry| entry.targets = new);
        }
        difference
    }

    /// The Service that owns a slice. If the slice is gone, the Service that has this name now.
    pub(super) fn owner(&self, slice: &Uid, name: &ServiceName) -> Option<ServiceId> {
        self.slices.get(slice).map(|entry| entry.service).or_else(|| self.by_name.get(name).copied())
    }

    /// The Service's own objective.
    pub(super) fn objective(&self, id: ServiceId) -> Option<Duration> {
        self.services.get(&id)?.spec.as_ref()?.objective
    }

    /// Whether several slices show a change of this kind, so that one may do so before the change itself arrives: those of each address family,
    /// or all of an edited Service. With publishNotReadyAddresses a pod is listed some time before it turns ready: that is another change.
    pub(super) fn is_shown_by_several(&self, id: ServiceId, change: Change) -> bool {
        let Some(spec) = self.services.get(&id).and_then(|entry| entry.spec.as_ref()) else { return false };
        let families = spec.virtual_ips.as_ref().map_or(0, |it| it.addresses.len());
        change == Change::Service || (families > 1 && !spec.publishes_all)
    }

    /// Whether nodes would have to follow a change that no slice shows.
    pub(super) fn would_follow(&self, service: &ServiceName, change: Change) -> bool {
        let Some(entry) = self.by_name.get(service).and_then(|id| self.services.get(id)) else { return false };
        let Some(spec) = entry.spec.as_ref().filter(|spec| spec.virtual_ips.is_some()) else { return false };
        let is_unknown = entry.targets.values().any(|target| target.reach == Reach::Unknown);
        let is_of_readiness = matches!(change, Change::Ready | Change::Unready | Change::Terminating);
        let is_used_anyway = spec.publishes_all && is_of_readiness;
        !is_unknown && !is_used_anyway
    }

    /// The name of a Service that exists.
    pub(super) fn name(&self, id: ServiceId) -> Option<&Arc<ServiceName>> {
        self.services.get(&id).filter(|entry| entry.spec.is_some()).map(|entry| &entry.name)
    }

    /// Whether a measured Service has this frontend.
    pub(super) fn has_frontend(&self, frontend: &Frontend) -> bool {
        self.frontends.contains_key(frontend)
    }

    /// The Service of a frontend.
    pub(super) fn service_of(&self, frontend: &Frontend) -> Option<ServiceId> {
        self.frontends.get(frontend).copied()
    }

    /// The target of a frontend.
    pub(super) fn target(&self, frontend: &Frontend) -> Option<&Target> {
        self.services.get(self.frontends.get(frontend)?)?.targets.get(frontend)
    }

    /// The frontends with their targets, of all measured Services.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&Frontend, &Target)> {
        self.services.values().flat_map(|entry| &entry.targets)
    }

    /// The Services that have these names now.
    fn named(&self, names: &[Arc<ServiceName>]) -> Vec<ServiceId> {
        names.iter().filter_map(|name| self.by_name.get(name)).copied().collect()
    }

    fn set_spec(&mut self, id: ServiceId, spec: Option<Spec>) {
        let Some(entry) = self.services.get_mut(&id) else { return };
        if spec.is_some() {
            self.by_name.insert(entry.name.clone(), id);
        } else if self.by_name.get(&entry.name) == Some(&id) {
            self.by_name.remove(&entry.name);
        }
        entry.spec = spec;
    }

    fn intern(&mut self, scope: Scope, uid: &Uid, namespace: &str, name: &str) -> ServiceId {
        if let Some(id) = self.by_uid.get(uid) {
            return *id;
        }
        let name = Arc::new(ServiceName { namespace: namespace.into(), name: name.into() });
        let id = self.next;
        self.next += 1;
        let (slices, targets) = (Vec::new(), HashMap::new());
        let entry = ServiceEntry { uid: uid.clone(), name, spec: None, slices, targets, scope, list: 0 };
        self.services.insert(id, entry);
        self.by_uid.insert(uid.clone(), id);
        id
    }
}

fn listed(endpoint: &Endpoint, nodes: &mut Nodes) -> Listed {
    let route = endpoint.route.as_deref();
    Listed {
        pod: endpoint.pod.clone(),
        address: route.map(|route| route.address),
        node: route.and_then(|route| route.node.as_deref()).map(|node| nodes.name(node)),
        has_hints: route.is_some_and(|route| route.has_hints),
        ready: endpoint.ready,
        serving: endpoint.serving,
        terminating: endpoint.terminating,
    }
}

/// How the targets of a Service differ. A frontend without a target has no backends.
fn compare(old: &HashMap<Frontend, Target>, new: &HashMap<Frontend, Target>) -> Difference {
    let nothing = |reach| Target::new(reach, Default::default());
    let mut difference = Difference::default();
    let mut frontends: Vec<_> = old.keys().chain(new.keys()).collect();
    frontends.sort_unstable();
    frontends.dedup();
    for frontend in frontends {
        let (before, after) = (old.get(frontend), new.get(frontend));
        let Some(reach) = after.or(before).map(|target| target.reach) else { continue };
        let (empty_before, empty_after) = (nothing(reach), nothing(reach));
        let (before, after) = (before.unwrap_or(&empty_before), after.unwrap_or(&empty_after));
        if before.reach != after.reach && !(before.members.is_empty() && before.reach != Reach::Unknown) {
            difference.reset.push(*frontend);
            continue;
        }
        if after.reach == Reach::Unknown {
            continue;
        }
        let mut step = |backend: &Backend, member: &Member, adds| {
            let only = (after.reach == Reach::OwnNode).then(|| member.node.clone());
            let pod = member.pod.clone();
            difference.moves.push(Move { frontend: *frontend, backend: *backend, adds, pod, only });
        };
        let gone = before.members.iter().filter(|(backend, _)| !after.members.contains_key(backend));
        gone.for_each(|(backend, member)| step(backend, member, false));
        let came = after.members.iter().filter(|(backend, _)| !before.members.contains_key(backend));
        came.for_each(|(backend, member)| step(backend, member, true));
    }
    difference
}
