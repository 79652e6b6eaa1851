//! The EndpointSlice controller: it looks, and later writes what it saw, in whatever slices and order it likes.
//!
//! The real one keeps slices as they are where it can. This one repacks freely, and stops in the middle of its writes, since
//! the measurement must not depend on how endpoints are spread over slices, nor on when they move.

use super::cluster::{Cluster, Slot};
use endpointlag::cluster::object::{
    Endpoint, EndpointPort, EndpointSlice, Family, Pod, Service, SliceOwner, TargetPort, Uid,
};
use std::collections::BTreeMap;

/// What the controller last saw. It goes by this until it looks again.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    pods: BTreeMap<Slot, Pod>,
    services: BTreeMap<Slot, Service>,
}

/// How one reconciliation goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Chooses the size of slices, the order of endpoints in them and the order of writes.
    pub layout: u8,
    /// Writes before it is interrupted; 0 for all.
    pub writes: u8,
}

enum Write {
    Put(EndpointSlice),
    Delete(Uid),
}

impl Controller {
    pub fn look(&mut self, cluster: &Cluster) {
        self.pods.clone_from(&cluster.pods);
        self.services.clone_from(&cluster.services);
    }

    /// Brings the slices of one Service to what the controller has seen.
    pub fn reconcile(&self, cluster: &mut Cluster, slot: Slot, manner: Manner) {
        let mut writes = self.writes(cluster, slot, manner);
        if manner.layout & 4 != 0 {
            writes.reverse();
        }
        let most = if manner.writes == 0 { usize::MAX } else { usize::from(manner.writes) };
        for write in writes.into_iter().take(most) {
            match write {
                Write::Put(slice) => cluster.write_slice(slice),
                Write::Delete(uid) => cluster.delete_slice(&uid),
            }
        }
    }

    fn writes(&self, cluster: &mut Cluster, slot: Slot, manner: Manner) -> Vec<Write> {
        let (namespace, name) = (format!("ns-{}", slot.0), format!("svc-{}", slot.1));
        let mut wanted = Vec::new();
        if let Some(service) = self.services.get(&slot) {
            if service.selector.is_empty() || service.external_name {
                // Somebody else's affair from now on; slices that are there stay.
                return Vec::new();
            }
            for family in service.families.iter() {
                wanted.extend(self.wanted(service, family, manner).into_iter().map(|slice| (family, slice)));
            }
        }
        let mut mine: Vec<EndpointSlice> = cluster
            .slices
            .values()
            .filter(|slice| slice.namespace == namespace && slice.owner.as_ref().is_some_and(|o| o.service == name))
            .cloned()
            .collect();
        if manner.layout & 8 != 0 {
            mine.reverse();
        }
        let mut writes = Vec::new();
        for (family, (ports, endpoints)) in wanted {
            let uid = self.services[&slot].uid.clone();
            let owner = Some(SliceOwner { uid, service: name.clone(), family });
            let reusable = mine.iter().position(|slice| slice.owner == owner);
            let slice = match reusable.map(|at| mine.remove(at)) {
                Some(old) if old.ports == ports && old.endpoints == endpoints => continue,
                Some(old) => EndpointSlice { ports, endpoints, ..old },
                None => {
                    let uid = cluster.uid();
                    let name = format!("{name}-{uid}");
                    EndpointSlice {
                        uid,
                        namespace: namespace.clone(),
                        name,
                        resource_version: 0,
                        owner,
                        ports,
                        endpoints,
                    }
                }
            };
            writes.push(Write::Put(slice));
        }
        writes.extend(mine.into_iter().map(|left_over| Write::Delete(left_over.uid)));
        writes
    }

    /// The slices that a family of a Service should have.
    fn wanted(&self, service: &Service, family: Family, manner: Manner) -> Vec<(Vec<EndpointPort>, Vec<Endpoint>)> {
        let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Endpoint>> = BTreeMap::new();
        for pod in self.pods.values().filter(|pod| is_listed(service, pod, family)) {
            let endpoint = endpoint(pod, service.publish_not_ready_addresses);
            by_ports.entry(ports_at(service, pod)).or_default().push(endpoint);
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

/// How the controller lists a pod.
pub fn endpoint(pod: &Pod, publish_not_ready: bool) -> Endpoint {
    Endpoint {
        pod: pod.uid.clone(),
        name: pod.name.clone(),
        ready: publish_not_ready || pod.ready && !pod.terminating,
        serving: pod.ready,
        terminating: pod.terminating,
    }
}

fn ports_at(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut ports = Vec::new();
    for port in &service.ports {
        let number = match &port.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => pod.ports.iter().find(|port| port.name == *name).map(|port| port.number),
        };
        if number.is_some() {
            ports.push(EndpointPort {
                name: port.name.clone(),
                protocol: port.protocol.clone(),
                number,
                app_protocol: None,
            });
        }
    }
    ports.sort();
    ports
}
