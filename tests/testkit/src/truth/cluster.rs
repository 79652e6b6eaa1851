//! The state of a namespace between two writes, and what a Service expects of a pod in this state.

use super::audit::Written;
use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};

/// All objects of the namespace.
#[derive(Debug, Default)]
pub struct Cluster {
    /// By UID, because names are used again.
    pub pods: BTreeMap<String, Pod>,
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// By name.
    pub slices: BTreeMap<String, EndpointSlice>,
}

impl Cluster {
    /// Applies a write.
    pub fn apply(&mut self, written: &Written) {
        match written {
            Written::Pod { pod, gone: false } => drop(self.pods.insert(uid(pod), (**pod).clone())),
            Written::Pod { pod, gone: true } => drop(self.pods.remove(&uid(pod))),
            Written::Service { service, gone: false } => {
                self.services.insert(service_name(service), (**service).clone());
            }
            Written::Service { service, gone: true } => drop(self.services.remove(&service_name(service))),
            Written::Slice(slice) => {
                self.slices.insert(slice.metadata.name.clone().unwrap_or_default(), (**slice).clone());
            }
            Written::SliceGone(name) => drop(self.slices.remove(name)),
        }
    }

    /// Pods that a Service's slices must list now.
    pub fn members<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Pod> {
        self.pods.values().filter(move |pod| is_member(service, pod))
    }
}

/// A pod's UID.
pub fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

/// A Service's name.
pub fn service_name(service: &Service) -> String {
    service.metadata.name.clone().unwrap_or_default()
}

/// The standing of a pod in a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None: it does not exist, has ended, or is not selected.
    Out,
    /// Selected, but should not get traffic.
    Unservable,
    /// Should get traffic.
    Servable,
    /// Being deleted.
    Terminating,
}

/// The standing of a pod, which may not exist.
pub fn standing(service: &Service, pod: Option<&Pod>) -> Standing {
    match pod {
        Some(pod) if expects(service, pod) && !has_ended(pod) => {
            if pod.metadata.deletion_timestamp.is_some() {
                Standing::Terminating
            } else if is_ready(pod) && !shared_families(service, pod).is_empty() {
                Standing::Servable
            } else {
                Standing::Unservable
            }
        }
        _ => Standing::Out,
    }
}

/// Whether changes apply to this Service at all: the EndpointSlice controller writes its endpoints. For a Service in
/// deletion it creates no slices.
pub fn is_expecting(service: &Service) -> bool {
    let spec = spec(service);
    service.metadata.deletion_timestamp.is_none()
        && spec.type_.as_deref() != Some("ExternalName")
        && spec.selector.as_ref().is_some_and(|selector| !selector.is_empty())
}

/// Whether changes of this pod apply to this Service.
pub fn expects(service: &Service, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let selector = spec(service).selector.as_ref();
    is_expecting(service)
        && selector.into_iter().flatten().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether the Service's slices must list this pod.
pub fn is_member(service: &Service, pod: &Pod) -> bool {
    expects(service, pod) && !has_ended(pod) && !shared_families(service, pod).is_empty()
}

/// Address families of the Service, `IPv4` and `IPv6`: the address types of its slices.
pub fn families(service: &Service) -> BTreeSet<String> {
    spec(service).ip_families.iter().flatten().cloned().collect()
}

/// Families in which the Service's slices must list this pod. An address is classified as the controller does it.
pub fn shared_families(service: &Service, pod: &Pod) -> BTreeSet<String> {
    let status = pod.status.as_ref();
    let addresses = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten().map(|address| &address.ip);
    let is_v6 = |ip: &str| ip.contains(':') && !ip.starts_with("::ffff:");
    let own: BTreeSet<_> = addresses.map(|ip| if is_v6(ip) { "IPv6" } else { "IPv4" }.to_owned()).collect();
    families(service).intersection(&own).cloned().collect()
}

/// Whether the Service's `ready` is always true, so that `serving` decides.
pub fn publishes_not_ready(service: &Service) -> bool {
    spec(service).publish_not_ready_addresses.unwrap_or(false)
}

/// The part of a Service whose edit is a change: selector, ports, families.
pub fn shape(service: &Service) -> (Option<BTreeMap<String, String>>, Vec<ServicePort>, BTreeSet<String>) {
    let spec = spec(service);
    (spec.selector.clone(), spec.ports.clone().unwrap_or_default(), families(service))
}

/// A port as a slice shows it: name, protocol, number.
pub type Port = (String, String, i32);

/// The ports of a Service on a pod. A named port that the pod does not have is left out.
pub fn ports_on(service: &Service, pod: &Pod) -> BTreeSet<Port> {
    let ports = spec(service).ports.iter().flatten();
    ports
        .filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            let number = match &port.target_port {
                Some(IntOrString::Int(0)) | None => port.port,
                Some(IntOrString::Int(number)) => *number,
                Some(IntOrString::String(name)) => container_port(pod, name, &protocol)?,
            };
            Some((port.name.clone().unwrap_or_default(), protocol, number))
        })
        .collect()
}

fn container_port(pod: &Pod, name: &str, protocol: &str) -> Option<i32> {
    let spec = pod.spec.as_ref()?;
    // An init container that always restarts is a sidecar, and its ports count.
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let mut matching = ports
        .filter(|port| port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol);
    matching.next().map(|port| port.container_port)
}

fn spec(service: &Service) -> &ServiceSpec {
    // The API server does not accept a Service without one.
    service.spec.as_ref().unwrap_or_else(|| unreachable!("a Service without spec: {service:?}"))
}

fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// If there are several Ready conditions, the first counts.
fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == "Ready").is_some_and(|condition| condition.status == "True")
}
