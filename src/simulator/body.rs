//! The parts of real objects that the daemon does not read. They are most of the bytes.
//!
//! They are the same for every object of a kind, stored once, and inserted when an object is sent. So a cluster of 150,000 pods
//! of real size needs memory only for the differences between its pods.

use crate::{
    cluster::wire::{Service, Time},
    simulator::messages::{ContainerState, Endpoint, EndpointSlice, Pod, PodCondition, Running},
};
use bytes::Bytes;
use prost::Message;
use std::sync::LazyLock;

/// When all these objects were created. No clock is read for them.
pub(super) const CREATED: Time = Time { seconds: 1_700_000_000 };

/// The parts of every object that are not read.
#[derive(Debug)]
pub(super) struct Bodies {
    pod: [Bytes; 3],
    service: Bytes,
    slice: Bytes,
    endpoint: Bytes,
}

/// Parts of realistic size: a pod has about 12.5 KB.
pub(super) static REAL: LazyLock<Bodies> = LazyLock::new(|| {
    let status = Status { conditions: conditions(), host_ip: "10.0.17.4".to_owned(), containers: statuses() };
    Bodies {
        pod: [encoded(&metadata(9)), encoded(&Spec { containers: containers() }), encoded(&status)],
        service: encoded(&metadata(1)),
        slice: encoded(&metadata(1)),
        endpoint: encoded(&Address {
            addresses: vec!["10.244.117.133".to_owned()],
            node: "worker-eu-west-1a-0417".to_owned(),
            zone: "eu-west-1a".to_owned(),
        }),
    }
});

/// An object that can be sent with realistic size.
pub trait Embodied: Message {
    /// Encodes the object, with the parts that are not read, if there are any.
    #[allow(private_interfaces, reason = "the trait itself is not named outside the simulator")]
    fn encode_with(&self, bodies: Option<&Bodies>) -> Vec<u8>;
}

// === impl Embodied ===

// In protobuf a nested message is encoded like a byte string, and fields may be in any order. So the encoded parts that are read
// and those that are not can simply follow each other.

#[derive(Clone, PartialEq, prost::Message)]
struct Parts {
    #[prost(bytes = "bytes", tag = "1")]
    metadata: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    spec: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    status: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SliceParts {
    #[prost(bytes = "bytes", tag = "1")]
    metadata: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    endpoints: Vec<Bytes>,
}

impl Embodied for Pod {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn encode_with(&self, bodies: Option<&Bodies>) -> Vec<u8> {
        let Some(Bodies { pod: [metadata, spec, status], .. }) = bodies else { return self.encode_to_vec() };
        let own_spec = self.spec.as_ref().map(Message::encode_to_vec).unwrap_or_default();
        let own_status = self.status.as_ref().map(Message::encode_to_vec).unwrap_or_default();
        Parts {
            metadata: joined(self.metadata.encode_to_vec(), metadata),
            spec: joined(own_spec, spec),
            status: joined(own_status, status),
        }
        .encode_to_vec()
    }
}

impl Embodied for Service {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn encode_with(&self, bodies: Option<&Bodies>) -> Vec<u8> {
        let Some(bodies) = bodies else { return self.encode_to_vec() };
        Parts {
            metadata: joined(self.metadata.encode_to_vec(), &bodies.service),
            spec: self.spec.as_ref().map(Message::encode_to_vec).unwrap_or_default().into(),
            status: Bytes::new(),
        }
        .encode_to_vec()
    }
}

impl Embodied for EndpointSlice {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn encode_with(&self, bodies: Option<&Bodies>) -> Vec<u8> {
        let Some(bodies) = bodies else { return self.encode_to_vec() };
        // The last value of a field counts, so a body must not follow an endpoint that has a node.
        let embodied = |endpoint: &Endpoint| match endpoint.addresses.is_empty() {
            true => joined(endpoint.encode_to_vec(), &bodies.endpoint),
            false => endpoint.encode_to_vec().into(),
        };
        let parts = SliceParts {
            metadata: joined(self.metadata.encode_to_vec(), &bodies.slice),
            endpoints: self.endpoints.iter().map(embodied).collect(),
        };
        let mut out = parts.encode_to_vec();
        let rest = EndpointSlice {
            ports: self.ports.clone(),
            address_type: self.address_type.clone(),
            ..EndpointSlice::default()
        };
        out.extend(rest.encode_to_vec());
        out
    }
}

fn joined(mut own: Vec<u8>, body: &[u8]) -> Bytes {
    own.extend_from_slice(body);
    own.into()
}

fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

// === What is not read ===

// Field numbers are those of the `generated.proto` files that `cluster::wire` names.

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = "2")]
    generate_name: String,
    #[prost(message, repeated, tag = "17")]
    managed_fields: Vec<ManagedFields>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ManagedFields {
    #[prost(string, tag = "1")]
    manager: String,
    #[prost(string, tag = "2")]
    operation: String,
    #[prost(string, tag = "6")]
    fields_type: String,
    #[prost(message, optional, tag = "7")]
    fields: Option<Fields>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Fields {
    #[prost(bytes = "bytes", tag = "1")]
    raw: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Spec {
    #[prost(message, repeated, tag = "2")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    image: String,
    #[prost(string, repeated, tag = "4")]
    args: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    env: Vec<EnvVar>,
    #[prost(message, repeated, tag = "9")]
    mounts: Vec<VolumeMount>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EnvVar {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VolumeMount {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    read_only: bool,
    #[prost(string, tag = "3")]
    path: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(message, repeated, tag = "2")]
    conditions: Vec<PodCondition>,
    #[prost(string, tag = "5")]
    host_ip: String,
    #[prost(message, repeated, tag = "8")]
    containers: Vec<ContainerStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerStatus {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    state: Option<ContainerState>,
    #[prost(bool, tag = "4")]
    ready: bool,
    #[prost(string, tag = "6")]
    image: String,
    #[prost(string, tag = "7")]
    image_id: String,
    #[prost(string, tag = "8")]
    container_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Address {
    #[prost(string, repeated, tag = "1")]
    addresses: Vec<String>,
    #[prost(string, tag = "6")]
    node: String,
    #[prost(string, tag = "7")]
    zone: String,
}

/// Metadata with this number of managed fields, 450 bytes each.
fn metadata(length: usize) -> Metadata {
    let field = r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"k:{\"name\":\"main\"}":{"f:image":{}}}},"#;
    let entry = |manager: &str, times: usize| ManagedFields {
        manager: manager.to_owned(),
        operation: "Update".to_owned(),
        fields_type: "FieldsV1".to_owned(),
        fields: Some(Fields { raw: field.repeat(4 * times).into() }),
    };
    Metadata {
        generate_name: "workload-7d9c6b5f44-".to_owned(),
        managed_fields: vec![entry("kube-controller-manager", length)],
    }
}

/// An application with many environment variables, and a sidecar proxy.
fn containers() -> Vec<Container> {
    let container = |name: &str, variables: usize| Container {
        name: name.to_owned(),
        image: format!("registry.example.org/platform/{name}:2026.11.3"),
        args: (0..6).map(|number| format!("--feature-{number}=enabled")).collect(),
        env: (0..variables)
            .map(|number| EnvVar {
                name: format!("SETTING_{number:03}"),
                value: format!("value-of-setting-{number:03}-as-people-write-them"),
            })
            .collect(),
        mounts: (0..6)
            .map(|number| VolumeMount {
                name: format!("volume-{number}"),
                read_only: true,
                path: format!("/etc/{name}/configuration/{number}"),
            })
            .collect(),
    };
    vec![container("application", 100), container("proxy", 32)]
}

fn statuses() -> Vec<ContainerStatus> {
    let digest = "0123456789abcdef".repeat(4);
    let status = |name: &str| ContainerStatus {
        name: name.to_owned(),
        state: Some(ContainerState { running: Some(Running { started_at: Some(CREATED) }) }),
        ready: true,
        image: format!("registry.example.org/platform/{name}:2026.11.3"),
        image_id: format!("registry.example.org/platform/{name}@sha256:{digest}"),
        container_id: format!("containerd://{digest}"),
    };
    ["application", "proxy"].map(status).into()
}

/// The conditions other than Ready.
fn conditions() -> Vec<PodCondition> {
    let of = |kind: &str| PodCondition {
        kind: kind.to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(CREATED),
    };
    ["PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled"].map(of).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::messages::{PodIp, PodStatus};

    #[test]
    fn a_body_makes_an_object_as_long_as_a_real_one_and_changes_nothing_that_is_read() {
        let mut pod = Pod::default();
        pod.metadata.name = "cart-1".to_owned();
        pod.status = Some(PodStatus {
            conditions: vec![PodCondition {
                kind: "Ready".to_owned(),
                status: "False".to_owned(),
                last_transition_time: None,
            }],
            pod_ips: vec![PodIp { ip: "10.0.0.1".to_owned() }],
            ..PodStatus::default()
        });
        let sent = pod.encode_with(Some(&REAL));
        assert!((11_000..14_000).contains(&sent.len()), "{} bytes", sent.len());
        let mut read = Pod::decode(&*sent).expect("a pod");
        let status = read.status.as_mut().expect("a status");
        assert_eq!(status.conditions.split_off(1), conditions());
        assert_eq!(std::mem::take(&mut status.container_statuses).len(), 2);
        read.spec = None;
        assert_eq!(read, pod);
    }

    #[test]
    fn slices_and_services_stay_what_they_are() {
        let mut slice = EndpointSlice { address_type: "IPv4".to_owned(), ..EndpointSlice::default() };
        let (addresses, node_name) = (vec!["10.244.0.1".to_owned()], Some("simulated-node-01".to_owned()));
        slice.endpoints = vec![Endpoint::default(), Endpoint { addresses, node_name, ..Endpoint::default() }];
        slice.ports.push(Default::default());
        let mut read = EndpointSlice::decode(&*slice.encode_with(Some(&REAL))).expect("a slice");
        let first = std::mem::take(&mut read.endpoints[0]);
        assert!(first.addresses.len() == 1 && first.node_name.is_some(), "{first:?}");
        assert_eq!(read, slice);
        let mut service = Service::default();
        service.spec.get_or_insert_default().cluster_ip = "10.96.0.7".to_owned();
        assert_eq!(Service::decode(&*service.encode_with(Some(&REAL))), Ok(service));
    }
}
