//! A large cluster that changes only on request, one change at a time. It is for load tests, in which life would change too much
//! and the simulated controller would be too slow.

use super::{
    body::{CREATED, REAL},
    frame::{self, EventKind},
    store::{Store, Stored},
};
use crate::{
    cluster::{
        object::{CONTROLLER, MANAGED_BY_LABEL, SERVICE_NAME_LABEL},
        wire::{EndpointConditions, EndpointPort, ObjectReference, OwnerReference, Service, ServicePort},
    },
    model::Resource,
    simulator::messages::{Endpoint, EndpointSlice, Pod, PodCondition, PodIp, PodStatus},
};
use bytes::Bytes;
use std::sync::Arc;

/// Endpoints in a slice, the default of the EndpointSlice controller.
const PER_SLICE: usize = 100;

/// The size of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetSize {
    /// Namespaces. The Services are divided between them.
    pub namespaces: usize,
    /// Services. The pods are divided between them.
    pub services: usize,
    /// Pods. Each belongs to one Service.
    pub pods: usize,
}

/// The pods of these Services, with slices that the fleet writes itself. The simulated controller must be paused.
///
/// Every object is identified by its number: pod `n` belongs to Service `n % services`, as its pod number `n / services`.
#[derive(Debug)]
pub struct Fleet {
    store: Store,
    size: FleetSize,
    ready: Vec<bool>,
}

/// A pod whose readiness changed, and the slice that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// The pod's resourceVersion.
    pub pod: u64,
    /// The slice's resourceVersion.
    pub slice: u64,
}

// === impl Fleet ===

impl Fleet {
    /// Fills a store. All pods are ready.
    pub fn new(store: Store, size: FleetSize) -> Self {
        let fleet = Self { store, size, ready: vec![true; size.pods] };
        for service in 0..size.services {
            fleet.store.apply(fleet.service(service));
        }
        for pod in 0..size.pods {
            fleet.store.apply(fleet.pod(pod));
        }
        for service in 0..size.services {
            for slice in 0..fleet.pods_of(service).div_ceil(PER_SLICE) {
                fleet.store.apply(fleet.slice(service, slice));
            }
        }
        fleet
    }

    /// The size of the cluster.
    pub fn size(&self) -> FleetSize {
        self.size
    }

    /// The UID of a pod.
    pub fn uid(pod: usize) -> String {
        uid(2, pod)
    }

    /// Flips the readiness of a pod, then writes the slice that shows it.
    pub fn flip(&mut self, pod: usize) -> Flip {
        let version = self.report(pod);
        Flip { pod: version, slice: self.reflect(pod) }
    }

    /// The first events of a watch of a resource: every object in real size, and the bookmark that ends the list.
    pub fn initial_frames(&self, resource: Resource) -> Vec<Bytes> {
        match resource {
            Resource::Pods => self.all::<Pod>(),
            Resource::Services => self.all::<Service>(),
            Resource::EndpointSlices => self.all::<EndpointSlice>(),
        }
    }

    /// The events that the watches of pods and of slices send when a pod is flipped.
    pub fn flip_frames(&mut self, pod: usize) -> [Bytes; 2] {
        let (pod, slice) = (self.write_pod(pod), self.write_slice(pod));
        [modified(&*pod), modified(&*slice)]
    }

    fn all<O: Stored>(&self) -> Vec<Bytes> {
        let objects = self.store.select::<O>(None, |_| true);
        let added = objects.iter().map(|object| frame::event(EventKind::Added, &**object, Some(&REAL)));
        added.chain([frame::bookmark::<O>(self.store.version(), true)]).collect()
    }

    /// Flips the readiness of a pod, and does not change the slices. Returns the pod's resourceVersion.
    pub fn report(&mut self, pod: usize) -> u64 {
        version(&self.write_pod(pod).metadata.resource_version)
    }

    /// Writes the slice of a pod in its correct state. Returns its resourceVersion.
    pub fn reflect(&mut self, pod: usize) -> u64 {
        version(&self.write_slice(pod).metadata.resource_version)
    }

    fn write_pod(&mut self, pod: usize) -> Arc<Pod> {
        self.ready[pod] = !self.ready[pod];
        self.store.apply(self.pod(pod))
    }

    fn write_slice(&self, pod: usize) -> Arc<EndpointSlice> {
        self.store.apply(self.slice(pod % self.size.services, pod / self.size.services / PER_SLICE))
    }

    fn pods_of(&self, service: usize) -> usize {
        (self.size.pods + self.size.services - 1 - service) / self.size.services
    }

    fn namespace(&self, service: usize) -> String {
        format!("team-{}", service % self.size.namespaces)
    }

    fn service(&self, number: usize) -> Service {
        let mut service = Service::default();
        service.metadata.name = service_name(number);
        service.metadata.namespace = self.namespace(number);
        service.metadata.uid = uid(1, number);
        let spec = service.spec.get_or_insert_default();
        spec.selector.insert("app.kubernetes.io/name".to_owned(), service_name(number));
        spec.ip_families.push("IPv4".to_owned());
        spec.ports.push(ServicePort {
            name: "http".to_owned(),
            protocol: "TCP".to_owned(),
            port: 80,
            ..Default::default()
        });
        service
    }

    fn pod(&self, number: usize) -> Pod {
        let service = number % self.size.services;
        let mut pod = Pod::default();
        pod.metadata.name = pod_name(service, number);
        pod.metadata.namespace = self.namespace(service);
        pod.metadata.uid = Self::uid(number);
        pod.metadata.creation_timestamp = Some(CREATED);
        for (key, value) in [
            ("app.kubernetes.io/name", service_name(service)),
            ("app.kubernetes.io/part-of", "platform".to_owned()),
            ("pod-template-hash", "7d9c6b5f44".to_owned()),
        ] {
            pod.metadata.labels.insert(key.to_owned(), value);
        }
        let status = if self.ready[number] { "True" } else { "False" };
        let ip = format!("10.{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff);
        pod.status = Some(PodStatus {
            phase: "Running".to_owned(),
            conditions: vec![PodCondition {
                kind: "Ready".to_owned(),
                status: status.to_owned(),
                last_transition_time: Some(CREATED),
            }],
            pod_ip: ip.clone(),
            pod_ips: vec![PodIp { ip }],
            ..PodStatus::default()
        });
        pod
    }

    fn slice(&self, service: usize, number: usize) -> EndpointSlice {
        let mut slice = EndpointSlice { address_type: "IPv4".to_owned(), ..EndpointSlice::default() };
        slice.metadata.name = format!("{}-{number}", service_name(service));
        slice.metadata.namespace = self.namespace(service);
        slice.metadata.uid = uid(3, number * self.size.services + service);
        slice.metadata.owner_references = vec![OwnerReference::to_service(&service_name(service), &uid(1, service))];
        slice.metadata.labels.insert(SERVICE_NAME_LABEL.to_owned(), service_name(service));
        slice.metadata.labels.insert(MANAGED_BY_LABEL.to_owned(), CONTROLLER.to_owned());
        let port = EndpointPort {
            name: Some("http".to_owned()),
            protocol: Some("TCP".to_owned()),
            port: Some(80),
            app_protocol: None,
        };
        slice.ports.push(port);
        let of_slice = (number * PER_SLICE..self.pods_of(service)).take(PER_SLICE);
        slice.endpoints = of_slice.map(|at| self.endpoint(service, at * self.size.services + service)).collect();
        slice
    }

    fn endpoint(&self, service: usize, pod: usize) -> Endpoint {
        let ready = Some(self.ready[pod]);
        Endpoint {
            // The body of an object in real size has an address and a node. Here they would use memory in each version of a slice.
            addresses: Vec::new(),
            node_name: None,
            conditions: Some(EndpointConditions { ready, serving: ready, terminating: Some(false) }),
            target_ref: Some(ObjectReference {
                kind: "Pod".to_owned(),
                name: pod_name(service, pod),
                uid: Self::uid(pod),
            }),
        }
    }
}

fn modified<O: Stored>(object: &O) -> Bytes {
    frame::event(EventKind::Modified, object, Some(&REAL))
}

fn service_name(number: usize) -> String {
    format!("service-{number}")
}

fn pod_name(service: usize, number: usize) -> String {
    format!("service-{service}-7d9c6b5f44-{number:05}")
}

fn uid(kind: u8, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

fn version(text: &str) -> u64 {
    // The store sets the resourceVersion from its counter.
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_stands_in_one_slice_and_a_flip_shows_there() {
        let store = Store::new(10);
        let mut fleet = Fleet::new(store.clone(), FleetSize { namespaces: 2, services: 3, pods: 1_000 });
        let listed = |ready: bool| -> Vec<String> {
            let slices = store.select::<EndpointSlice>(None, |_| true);
            let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
            let of_state = endpoints.filter(|it| it.conditions.is_some_and(|is| is.ready == Some(ready)));
            let mut uids: Vec<_> = of_state.filter_map(|it| Some(it.target_ref.as_ref()?.uid.clone())).collect();
            uids.sort_unstable();
            uids
        };
        let slices = store.select::<EndpointSlice>(None, |_| true);
        assert_eq!(slices.len(), 3 * 4);
        for slice in slices {
            let name = &slice.metadata.labels[SERVICE_NAME_LABEL];
            let service = store.get::<Service>(&slice.metadata.namespace, name).expect("a Service");
            let owner = OwnerReference::to_service(name, &service.metadata.uid);
            assert_eq!(slice.metadata.owner_references, [owner]);
        }
        assert_eq!(listed(true), (0..1_000).map(Fleet::uid).collect::<Vec<_>>());
        let Flip { pod, slice } = fleet.flip(999);
        assert_eq!((pod + 1, slice), (slice, store.version()));
        assert_eq!(listed(false), [Fleet::uid(999)]);
    }
}
