//! The ports that slices have, and the ports that they must have for a pod.

use super::{
    intern::Interner,
    key::{ByService, ServiceId},
};
use crate::model::{EndpointPort, NamedPort, Service, TargetPort};
use std::sync::Arc;

/// How many resolved port lists are kept for a Service. Pods of one workload share their named ports, and a Service selects few
/// workloads.
const KEPT: usize = 8;

/// One copy of each list of ports, so that equal lists are the same allocation; and the ports of Services at their pods.
#[derive(Debug, Default)]
pub(super) struct Ports {
    sets: Interner<[EndpointPort]>,
    resolved: ByService<Vec<Resolved>>,
}

/// The ports of a Service for pods with these named ports.
#[derive(Debug)]
struct Resolved {
    named: Arc<[NamedPort]>,
    ports: Arc<[EndpointPort]>,
}

/// The different port lists in the slices of a Service, and the number of slices with each. Most Services have only one, so one
/// comparison shows whether a slice differs.
#[derive(Debug, Default)]
pub(super) struct PortSets(Vec<(Arc<[EndpointPort]>, u32)>);

// === impl Ports ===

impl Ports {
    /// The shared copy of these ports.
    pub(super) fn intern(&mut self, ports: &[EndpointPort]) -> Arc<[EndpointPort]> {
        self.sets.intern(ports)
    }

    /// The ports that slices must show for a pod with these named ports, in the shared copy that such slices also use.
    pub(super) fn at_pod(&mut self, id: ServiceId, service: &Service, named: &Arc<[NamedPort]>) -> Arc<[EndpointPort]> {
        let resolved = self.resolved.get_mut(id);
        if let Some(known) = resolved.iter().find(|known| Arc::ptr_eq(&known.named, named)) {
            return known.ports.clone();
        }
        let ports = self.sets.intern(&endpoint_ports(service, named));
        if resolved.len() >= KEPT {
            resolved.clear();
        }
        resolved.push(Resolved { named: named.clone(), ports: ports.clone() });
        ports
    }

    /// The Service was edited, or is gone.
    pub(super) fn forget(&mut self, service: ServiceId) {
        self.resolved.take(service);
    }
}

// === impl PortSets ===

impl PortSets {
    /// One more slice has these ports.
    pub(super) fn add(&mut self, ports: &Arc<[EndpointPort]>) {
        match self.0.iter_mut().find(|(other, _)| Arc::ptr_eq(other, ports)) {
            Some((_, slices)) => *slices += 1,
            None => self.0.push((ports.clone(), 1)),
        }
    }

    /// One slice less has these ports.
    pub(super) fn remove(&mut self, ports: &Arc<[EndpointPort]>) {
        if let Some(at) = self.0.iter().position(|(other, _)| Arc::ptr_eq(other, ports)) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.swap_remove(at);
            }
        }
    }

    /// Whether all slices have these ports.
    pub(super) fn are_all(&self, ports: &Arc<[EndpointPort]>) -> bool {
        self.0.iter().all(|(other, _)| Arc::ptr_eq(other, ports))
    }
}

/// The ports that a slice shows for a pod, sorted, as in `getEndpointPorts` of k8s.io/endpointslice: a port is left out if
/// the pod does not have its name.
pub(super) fn endpoint_ports(service: &Service, named: &[NamedPort]) -> Vec<EndpointPort> {
    let mut ports: Vec<_> = service
        .ports
        .iter()
        .filter_map(|port| {
            let number = match &port.target {
                TargetPort::Number(number) => *number,
                TargetPort::Name(name) => {
                    let same = |candidate: &&NamedPort| candidate.name == *name && candidate.protocol == port.protocol;
                    named.iter().find(same)?.number
                }
            };
            Some(EndpointPort {
                name: port.name.clone(),
                protocol: port.protocol.clone(),
                number: Some(number),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_unstable();
    ports
}
