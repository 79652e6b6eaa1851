//! Where kernels should send the connections of each Service, as kube-proxy decides it: to its ready endpoints, and if there is none, to
//! those that are terminating and still serving.
//!
//! The Services of the simulated cluster have neither traffic policies nor hints, so all nodes do the same.

use crate::{
    cluster::{
        object::{SERVICE_NAME_LABEL, parse_address},
        wire::{Service, ServicePort},
    },
    dataplane::{Backend, EffectiveSets, Frontend, Protocol},
    simulator::{
        messages::{Endpoint, EndpointSlice},
        store::Store,
    },
};
use std::net::IpAddr;

/// The endpoints of each frontend, according to the Services and slices in the store.
pub(super) fn wanted(store: &Store) -> EffectiveSets {
    let slices = store.select::<EndpointSlice>(None, |_| true);
    let mut sets = Vec::new();
    for service in store.select::<Service>(None, |_| true) {
        let Some(spec) = &service.spec else { continue };
        let metadata = &service.metadata;
        let is_own = |slice: &&EndpointSlice| {
            slice.metadata.namespace == metadata.namespace
                && slice.metadata.labels.get(SERVICE_NAME_LABEL) == Some(&metadata.name)
        };
        let own: Vec<_> = slices.iter().map(|slice| &**slice).filter(is_own).collect();
        for address in spec.cluster_ips.iter().filter_map(|text| parse_address(text)) {
            for port in &spec.ports {
                if let (Some(protocol), Ok(number)) = (Protocol::from_name(&port.protocol), u16::try_from(port.port)) {
                    sets.push((Frontend { address, protocol, port: number }, backends(&own, address, port)));
                }
            }
        }
    }
    sets.into_iter().collect()
}

/// The endpoints of one port of a Service, of the family of this clusterIP.
fn backends(slices: &[&EndpointSlice], cluster_ip: IpAddr, port: &ServicePort) -> Vec<Backend> {
    let (mut ready, mut fallback) = (Vec::new(), Vec::new());
    for slice in slices {
        let of_port = slice.ports.iter().find(|it| {
            it.name.as_deref().unwrap_or_default() == port.name
                && it.protocol.as_deref().unwrap_or("TCP") == port.protocol
        });
        let Some(number) = of_port.and_then(|it| u16::try_from(it.port?).ok()) else { continue };
        for endpoint in &slice.endpoints {
            let Some(backend) = backend(endpoint, number) else { continue };
            if backend.address.is_ipv4() != cluster_ip.is_ipv4() {
                continue;
            }
            let conditions = endpoint.conditions.unwrap_or_default();
            let is_ready = conditions.ready.unwrap_or(true);
            if is_ready {
                ready.push(backend);
            } else if conditions.serving.unwrap_or(is_ready) && conditions.terminating.unwrap_or(false) {
                fallback.push(backend);
            }
        }
    }
    if ready.is_empty() { fallback } else { ready }
}

fn backend(endpoint: &Endpoint, port: u16) -> Option<Backend> {
    Some(Backend { address: parse_address(endpoint.addresses.first()?)?, port })
}
