//! The ports that slices must show for a pod, and whether they do.

use super::{Tracker, slices::SliceId};
use crate::{
    model::{EndpointPort, NamedPort, Service, TargetPort},
    propagation::membership::{PodId, ServiceId},
};
use std::sync::Arc;

/// Ports by pod that are kept resolved of a Service. Pods of one workload share their named ports, and a Service selects few
/// workloads.
const KEPT: usize = 8;

/// Ports of a Service as slices must show them, resolved once for all pods with the same named ports.
#[derive(Debug, Default)]
pub(super) struct ResolvedPorts(Vec<Resolved>);

/// The ports for pods with these named ports.
#[derive(Debug)]
struct Resolved {
    named: Arc<[NamedPort]>,
    ports: Arc<[EndpointPort]>,
}

/// The different ports that the slices of a Service have, and how many slices have them. Most have but one kind, so that whether a
/// slice differs takes one look.
#[derive(Debug, Default)]
pub(super) struct PortSets(Vec<(Arc<[EndpointPort]>, u32)>);

// === impl ResolvedPorts ===

impl ResolvedPorts {
    fn get(&self, named: &Arc<[NamedPort]>) -> Option<&Arc<[EndpointPort]>> {
        self.0.iter().find(|known| Arc::ptr_eq(&known.named, named)).map(|known| &known.ports)
    }

    fn keep(&mut self, named: Arc<[NamedPort]>, ports: Arc<[EndpointPort]>) {
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.push(Resolved { named, ports });
    }

    /// The Service was edited.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

// === impl PortSets ===

impl PortSets {
    /// One slice more has these ports.
    pub(super) fn add(&mut self, ports: &Arc<[EndpointPort]>) {
        match self.0.iter_mut().find(|(other, _)| Arc::ptr_eq(other, ports)) {
            Some((_, slices)) => *slices += 1,
            None => self.0.push((ports.clone(), 1)),
        }
    }

    /// One slice fewer has these ports.
    pub(super) fn remove(&mut self, ports: &Arc<[EndpointPort]>) {
        if let Some(at) = self.0.iter().position(|(other, _)| Arc::ptr_eq(other, ports)) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.swap_remove(at);
            }
        }
    }

    fn are_all(&self, ports: &Arc<[EndpointPort]>) -> bool {
        self.0.iter().all(|(other, _)| Arc::ptr_eq(other, ports))
    }
}

// === impl Tracker ===

impl Tracker {
    /// Whether a slice lists a pod, which the Service expects, with other ports than the Service has at that pod.
    pub(super) fn is_listed_with_other_ports(&mut self, service: ServiceId, pod: PodId) -> bool {
        let Some(ports) = self.resolved_ports(service, pod) else { return false };
        let state = self.services.get(service);
        if state.port_sets.are_all(&ports) {
            return false;
        }
        let differs = |id: &SliceId| {
            let slice = self.slices.get(*id);
            !Arc::ptr_eq(&slice.ports, &ports) && slice.lists(pod)
        };
        state.slices.iter().any(differs)
    }

    /// The ports that slices must show for a pod: the same allocation as a slice has that shows them.
    fn resolved_ports(&mut self, service: ServiceId, pod: PodId) -> Option<Arc<[EndpointPort]>> {
        let named = &self.pods.known(pod)?.ports;
        let state = self.services.get(service);
        if let Some(ports) = state.resolved_ports.get(named) {
            return Some(ports.clone());
        }
        let named = named.clone();
        let ports = self.slices.intern_ports(&endpoint_ports(state.spec()?, &named));
        self.services.get_mut(service).resolved_ports.keep(named, ports.clone());
        Some(ports)
    }
}

/// The ports that a slice shows for a pod, sorted, as `getEndpointPorts` of k8s.io/endpointslice finds them: a port whose
/// name the pod does not have is left out.
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
