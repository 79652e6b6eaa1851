//! The decisions of the EndpointSlice controller: from a Service, its pods and its slices to the necessary writes.
//!
//! The semantics follow `k8s.io/endpointslice` v0.37 (`reconciler.go`, `utils.go`, `util/controller_utils.go`), including the way
//! endpoints are packed into slices. A slice is found by the label with the name of its Service, and belongs to the Service whose
//! UID is in its owner reference. Slices of an old Service with the same name are deleted, and never written again. For a Service
//! that is being deleted no slice is created.
//!
//! Zones and hints are missing, because the reduced messages do not have them, and there are no Node objects. So a pod whose Node is
//! gone keeps its endpoint here, while the real controller removes it. This controller identifies an endpoint by its pod's UID, the real one
//! by address and pod name. So a pod that comes back with the same name and address is a new endpoint here, and an update of the
//! old one in the real controller.

use crate::simulator::object::{addresses, fresh_uid, is_ready, name_suffix};
use crate::{
    cluster::{
        object::parse_address,
        wire::{EndpointConditions, EndpointPort, ObjectReference, OwnerReference, Service, ServicePort},
    },
    simulator::messages::{Endpoint, EndpointSlice, Pod},
};
use rand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// Label of a slice with the name of its Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label of a slice with the name of its writer.
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The value of that label for this controller.
pub(super) const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Label of the slices of a headless Service.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// A write that makes the slices match the pods better.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    /// Create or update.
    Put(Box<EndpointSlice>),
    /// Delete the slice of this namespace and name.
    Delete(String, String),
}

/// An address family of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// Endpoints of a slice, or of a Service, by pod UID.
type Endpoints = BTreeMap<String, Endpoint>;

/// The slices to write, before it is decided how.
#[derive(Default)]
struct Changes {
    /// The slice without name and UID.
    create: Vec<EndpointSlice>,
    update: Vec<EndpointSlice>,
    delete: Vec<Arc<EndpointSlice>>,
}

/// One address family of one Service.
struct Packing<'a> {
    service: &'a Service,
    family: Family,
    /// Maximum number of endpoints in a slice.
    max_endpoints: usize,
}

/// Whether this controller writes slices for the Service.
pub(super) fn is_managed(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|s| s.kind != "ExternalName" && !s.selector.is_empty())
}

/// Whether the pod belongs into slices at all.
pub(super) fn has_endpoint(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().map(|s| s.phase.as_str());
    !matches!(phase, Some("Succeeded" | "Failed")) && addresses(pod).next().is_some()
}

/// The writes after which `existing`, all slices with the Service's name, show `pods`, all pods that its selector matches.
///
/// In the order of the real controller: create, update, delete. The names and UIDs of new slices come from `rng`.
pub(super) fn reconcile(
    service: &Service,
    pods: &[Arc<Pod>],
    existing: &[Arc<EndpointSlice>],
    max_endpoints: usize,
    rng: &mut impl Rng,
) -> Vec<Write> {
    let families = families(service);
    let mut writes = Vec::new();
    for &family in &families {
        let of_family = existing.iter().filter(|s| s.address_type == family.name());
        let packing = Packing { service, family, max_endpoints };
        let changes = packing.changes(pods, of_family.cloned().collect());
        writes.extend(changes.into_writes(service, rng));
    }
    // A family that the Service no longer has.
    let kept: Vec<_> = families.iter().map(|f| f.name()).collect();
    let stray = existing.iter().filter(|s| !kept.contains(&s.address_type.as_str()));
    writes.extend(stray.map(|s| Write::delete(s)));
    writes
}

/// The families for which a Service needs slices, as in `getAddressTypesForService`.
fn families(service: &Service) -> BTreeSet<Family> {
    let Some(spec) = &service.spec else {
        return BTreeSet::new();
    };
    let named: BTreeSet<_> =
        [Family::V4, Family::V6].into_iter().filter(|f| spec.ip_families.iter().any(|name| name == f.name())).collect();
    if !named.is_empty() {
        return named;
    }
    if is_headless(service) {
        return BTreeSet::from([Family::V4, Family::V6]);
    }
    match parse_address(&spec.cluster_ip) {
        Some(IpAddr::V6(_)) => BTreeSet::from([Family::V6]),
        _ => BTreeSet::from([Family::V4]),
    }
}

/// Whether the Service owns the slice, as in `ownedBy`. An older Service may have had the same name.
fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    let uid = &service.metadata.uid;
    slice.metadata.owner_references.iter().any(|it| it.kind == "Service" && it.api_version == "v1" && it.uid == *uid)
}

fn is_headless(service: &Service) -> bool {
    let cluster_ip = service.spec.as_ref().map(|s| s.cluster_ip.as_str());
    matches!(cluster_ip.unwrap_or_default(), "" | "None")
}

/// Labels of the Service's slices: the Service's own labels, overridden by the reserved ones.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    labels
}

fn endpoint(pod: &Pod, service: &Service, family: Family) -> Endpoint {
    let spec = service.spec.as_ref();
    let published = spec.is_some_and(|s| s.publish_not_ready_addresses);
    let serving = is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let node = pod.spec.as_ref().map(|spec| spec.node_name.clone());
    Endpoint {
        addresses: addresses(pod).filter(|address| family.holds(*address)).map(|address| address.to_string()).collect(),
        node_name: node.filter(|node| !node.is_empty()),
        conditions: Some(EndpointConditions {
            ready: Some(published || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        target_ref: Some(ObjectReference {
            kind: "Pod".to_owned(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        }),
    }
}

/// The ports of the Service for this pod, in order. A named port that the pod does not have is left out.
fn endpoint_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().map(|s| s.ports.as_slice());
    let mut ports: Vec<_> = ports
        .unwrap_or_default()
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone()),
                protocol: Some(port.protocol.clone()),
                port: Some(target_port(port, pod)?),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports
}

fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    // The API server sets a target port if there is none. A store that a test writes may have none.
    let Some(target) = &port.target_port else {
        return Some(port.port);
    };
    if target.kind == 0 {
        return Some(target.int);
    }
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut declared = spec.containers.iter().chain(sidecars).flat_map(|c| &c.ports);
    let found = declared.find(|p| p.name == target.string && p.protocol == port.protocol);
    found.map(|p| p.container_port)
}

fn uid_of(endpoint: &Endpoint) -> &str {
    endpoint.target_ref.as_ref().map_or("", |t| t.uid.as_str())
}

// === impl Family ===

impl Family {
    /// The name in a Service's `ipFamilies` and in a slice's `addressType`.
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn holds(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

// === impl Write ===

impl Write {
    /// Deletes a slice.
    pub(super) fn delete(slice: &EndpointSlice) -> Self {
        let metadata = &slice.metadata;
        Self::Delete(metadata.namespace.clone(), metadata.name.clone())
    }
}

// === impl Packing ===

impl Packing<'_> {
    fn changes(&self, pods: &[Arc<Pod>], existing: Vec<Arc<EndpointSlice>>) -> Changes {
        // Endpoints with different ports cannot share a slice.
        let mut desired: BTreeMap<Vec<EndpointPort>, Endpoints> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| has_endpoint(pod)) {
            let group = desired.entry(endpoint_ports(self.service, pod)).or_default();
            if addresses(pod).any(|address| self.family.holds(address)) {
                group.insert(pod.metadata.uid.clone(), endpoint(pod, self.service, self.family));
            }
        }
        let mut changes = Changes::default();
        let count = existing.len();
        let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<_>> = BTreeMap::new();
        for slice in existing {
            if !is_owned(&slice, self.service) {
                changes.delete.push(slice);
                continue;
            }
            let mut ports = slice.ports.clone();
            ports.sort();
            by_ports.entry(ports).or_default().push(slice);
        }

        for (ports, endpoints) in desired {
            let existing = by_ports.remove(&ports).unwrap_or_default();
            self.pack(ports, endpoints, existing, &mut changes);
        }
        changes.delete.extend(by_ports.into_values().flatten());

        // A Service always has a slice, so that watchers can distinguish "no endpoints" from "not seen yet".
        if changes.delete.len() == count && changes.create.is_empty() {
            let placeholder = self.new_slice(Vec::new());
            match changes.delete.as_slice() {
                // Whatever its owner: a slice of an old Service stays until the garbage collector deletes it.
                [only] if is_same_but_for_identity(only, &placeholder) => changes.delete.clear(),
                _ => changes.create.push(placeholder),
            }
        }
        changes
    }

    /// Packs the endpoints with one set of ports: first into the slices that already list them, then into slices that are
    /// rewritten anyway, then into one slice with room for the rest, and finally into new slices.
    fn pack(
        &self,
        ports: Vec<EndpointPort>,
        mut desired: Endpoints,
        existing: Vec<Arc<EndpointSlice>>,
        changes: &mut Changes,
    ) {
        let labels = labels(self.service);
        let mut rewritten = Vec::new();
        let mut unchanged = Vec::new();
        for slice in existing {
            let kept: Vec<_> = slice.endpoints.iter().filter_map(|e| desired.remove(uid_of(e))).collect();
            if kept.is_empty() && !slice.endpoints.is_empty() {
                changes.delete.push(slice);
            } else if kept != slice.endpoints || slice.metadata.labels != labels {
                let mut slice = EndpointSlice::clone(&slice);
                slice.endpoints = kept;
                slice.metadata.labels.clone_from(&labels);
                rewritten.push(slice);
            } else {
                unchanged.push(slice);
            }
        }

        rewritten.sort_by_key(|slice| std::cmp::Reverse(slice.endpoints.len()));
        for slice in &mut rewritten {
            self.fill(slice, &mut desired);
        }
        while !desired.is_empty() {
            match self.closest_fit(&unchanged, desired.len()) {
                Some(index) => {
                    let mut slice = EndpointSlice::clone(&unchanged.swap_remove(index));
                    self.fill(&mut slice, &mut desired);
                    rewritten.push(slice);
                }
                None => {
                    let mut slice = self.new_slice(ports.clone());
                    self.fill(&mut slice, &mut desired);
                    changes.create.push(slice);
                }
            }
        }
        changes.update.append(&mut rewritten);
    }

    fn fill(&self, slice: &mut EndpointSlice, desired: &mut Endpoints) {
        while slice.endpoints.len() < self.max_endpoints {
            let Some((_, endpoint)) = desired.pop_first() else {
                return;
            };
            slice.endpoints.push(endpoint);
        }
    }

    /// The slice that `count` more endpoints would fill most. `None` if they do not fit into any.
    fn closest_fit(&self, slices: &[Arc<EndpointSlice>], count: usize) -> Option<usize> {
        let fits = slices
            .iter()
            .enumerate()
            .filter(|(_, slice)| count < self.max_endpoints && slice.endpoints.len() + count <= self.max_endpoints);
        let fullest = fits.max_by_key(|(_, slice)| slice.endpoints.len());
        fullest.map(|(index, _)| index)
    }

    fn new_slice(&self, ports: Vec<EndpointPort>) -> EndpointSlice {
        let mut slice =
            EndpointSlice { ports, address_type: self.family.name().to_owned(), ..EndpointSlice::default() };
        let service = &self.service.metadata;
        slice.metadata.namespace.clone_from(&service.namespace);
        slice.metadata.labels = labels(self.service);
        slice.metadata.owner_references = vec![OwnerReference::to_service(&service.name, &service.uid)];
        // Completed later, if it becomes a separate slice.
        slice.metadata.name = format!("{}-", service.name);
        slice
    }
}

fn is_same_but_for_identity(a: &EndpointSlice, b: &EndpointSlice) -> bool {
    a.metadata.labels == b.metadata.labels && a.endpoints == b.endpoints && a.ports == b.ports
}

// === impl Changes ===

impl Changes {
    /// Names the new slices. If a slice of the Service is to be deleted and another to be created, the first becomes the second.
    fn into_writes(mut self, service: &Service, rng: &mut impl Rng) -> Vec<Write> {
        let mut delete = Vec::new();
        for old in self.delete {
            if is_owned(&old, service)
                && let Some(mut slice) = self.create.pop()
            {
                slice.metadata.name.clone_from(&old.metadata.name);
                slice.metadata.uid.clone_from(&old.metadata.uid);
                self.update.push(slice);
            } else {
                delete.push(old);
            }
        }
        if service.metadata.deletion_timestamp.is_some() {
            // The garbage collector may already be deleting its slices.
            self.create.clear();
        }
        for slice in &mut self.create {
            slice.metadata.name += &name_suffix(rng, 5);
            slice.metadata.uid = fresh_uid(rng);
        }
        let puts = self.create.into_iter().chain(self.update).map(|slice| Write::Put(Box::new(slice)));
        let deletes = delete.iter().map(|slice| Write::delete(slice));
        puts.chain(deletes).collect()
    }
}

#[cfg(test)]
mod tests;
