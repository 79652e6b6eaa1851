//! The EndpointSlice controller: it looks, and later writes what it saw, in any slices and any order.
//!
//! It writes for the Service that it has seen, by UID. It deletes slices with that Service's name and another owner
//! (`reconcileByAddressType` and `ownedBy` of k8s.io/endpointslice). It leaves the slices of a deleted Service to the
//! garbage collector. For a Service in deletion it creates none (`finalize`).
//!
//! The real controller keeps slices as they are where it can. This one repacks freely, and can stop in the middle of its writes:
//! the measurement must not depend on how endpoints are spread over slices, nor on when they move.

use super::cluster::{Cluster, Slot};
use crate::kubernetes::{endpoint_ports, pod_to_endpoint};
use endpointlag::model::{Endpoint, EndpointPort, EndpointSlice, Family, Pod, Service, SliceOwner, Uid};
use std::collections::BTreeMap;

/// What the controller last saw. It uses this until it looks again.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    pods: BTreeMap<Slot, Pod>,
    services: BTreeMap<Slot, Service>,
    node_gone: bool,
}

/// How one reconciliation is done.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Chooses the size of slices, the order of endpoints in them and the order of writes.
    pub layout: u8,
    /// How many writes it does before it is interrupted; 0 for all.
    pub writes: u8,
}

enum Write {
    Put(Box<EndpointSlice>),
    Delete(Uid),
}

impl Controller {
    pub fn look(&mut self, cluster: &Cluster) {
        self.pods.clone_from(&cluster.pods);
        self.services.clone_from(&cluster.services);
        self.node_gone = cluster.node_gone;
    }

    /// Writes the slices of one Service as the controller has seen it.
    pub fn reconcile(&self, cluster: &mut Cluster, slot: Slot, manner: Manner) {
        let mut writes = self.writes(cluster, slot, manner);
        if manner.layout & 4 != 0 {
            writes.reverse();
        }
        let most = if manner.writes == 0 { usize::MAX } else { usize::from(manner.writes) };
        for write in writes.into_iter().take(most) {
            match write {
                Write::Put(slice) => cluster.write_slice(*slice),
                Write::Delete(uid) => cluster.delete_slice(&uid),
            }
        }
    }

    fn writes(&self, cluster: &mut Cluster, slot: Slot, manner: Manner) -> Vec<Write> {
        let Some(service) = self.services.get(&slot) else { return Vec::new() };
        if service.selector.is_empty() || service.external_name {
            // The controller no longer writes for it; its slices stay.
            return Vec::new();
        }
        let bears_the_name = |slice: &&EndpointSlice| {
            slice.namespace == service.namespace && slice.owner.as_ref().is_some_and(|o| o.service == service.name)
        };
        let mut existing: Vec<_> = cluster.slices.values().filter(bears_the_name).cloned().collect();
        if manner.layout & 8 != 0 {
            existing.reverse();
        }
        let mut writes = Vec::new();
        for family in service.families.iter() {
            for (ports, endpoints) in self.wanted(service, family, manner) {
                let owner = Some(SliceOwner { uid: service.uid.clone(), service: service.name.clone(), family });
                let reusable = existing.iter().position(|slice| slice.owner == owner);
                match reusable.map(|at| existing.remove(at)) {
                    Some(old) if old.ports == ports && old.endpoints == endpoints => {}
                    Some(old) => writes.push(Write::Put(Box::new(EndpointSlice { ports, endpoints, ..old }))),
                    None if service.terminating => {}
                    None => {
                        let uid = cluster.uid();
                        writes.push(Write::Put(Box::new(EndpointSlice {
                            name: format!("{}-{uid}", service.name),
                            uid,
                            namespace: service.namespace.clone(),
                            resource_version: 0,
                            owner,
                            foreign_to: None,
                            ports,
                            endpoints,
                        })));
                    }
                }
            }
        }
        writes.extend(existing.into_iter().map(|left_over| Write::Delete(left_over.uid)));
        writes
    }

    /// The slices that a family of a Service should have.
    fn wanted(&self, service: &Service, family: Family, manner: Manner) -> Vec<(Vec<EndpointPort>, Vec<Endpoint>)> {
        let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Endpoint>> = BTreeMap::new();
        for (slot, pod) in &self.pods {
            let on_lost_node = self.node_gone && slot.1 % 2 == 1 && !service.publish_not_ready_addresses;
            if is_listed(service, pod, family) && !on_lost_node {
                let endpoint = pod_to_endpoint(pod, service.publish_not_ready_addresses);
                by_ports.entry(endpoint_ports(service, pod)).or_default().push(endpoint);
            }
        }
        if by_ports.is_empty() {
            return vec![(Vec::new(), Vec::new())];
        }
        let size = 1 + usize::from(manner.layout % 4);
        let mut slices = Vec::new();
        for (ports, mut endpoints) in by_ports {
            let shift = usize::from(manner.layout >> 4) % endpoints.len();
            endpoints.rotate_left(shift);
            slices.extend(endpoints.chunks(size).map(|chunk| (ports.clone(), chunk.to_vec())));
        }
        slices
    }
}

fn is_listed(service: &Service, pod: &Pod, family: Family) -> bool {
    pod.namespace == service.namespace
        && !pod.terminal
        && pod.families.contains(family)
        && service.selector.iter().all(|label| pod.labels.get_key_value(label.0) == Some(label))
}
