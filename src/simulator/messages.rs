//! Messages that the simulator and tests write with prost: watch events, pods and slices. The daemon reads the same data field by
//! field, without these types.
//!
//! They contain only the fields that are read, with the same numbers as in [`wire`](crate::cluster::wire).

use crate::cluster::wire::{EndpointConditions, EndpointPort, ObjectMeta, ObjectReference, OwnerReference, Time};
use bytes::Bytes;

/// One frame of a watch in `application/vnd.kubernetes.protobuf;stream=watch`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchEvent {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The object: a pod, or a `Status` in an `ERROR` event.
    #[prost(message, required, tag = "2")]
    pub object: RawExtension,
}

/// Bytes of an object, [`MAGIC`](crate::cluster::wire::MAGIC) first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawExtension {
    /// [`MAGIC`](crate::cluster::wire::MAGIC), then an encoded [`Unknown`].
    #[prost(bytes = "bytes", tag = "1")]
    pub raw: Bytes,
}

/// The envelope of an object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Unknown {
    /// The type of `raw`.
    #[prost(message, optional, tag = "1")]
    pub type_meta: Option<TypeMeta>,
    /// The encoded object.
    #[prost(bytes = "bytes", tag = "2")]
    pub raw: Bytes,
}

/// API version and kind of an object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeMeta {
    /// Such as `v1` or `discovery.k8s.io/v1`.
    #[prost(string, tag = "1")]
    pub api_version: String,
    /// Such as `Pod`.
    #[prost(string, tag = "2")]
    pub kind: String,
}

/// `v1` Pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pod {
    /// Name, UID, labels, deletion.
    #[prost(message, required, tag = "1")]
    pub metadata: ObjectMeta,
    /// Named container ports, which the daemon reads, and the node.
    #[prost(message, optional, tag = "2")]
    pub spec: Option<PodSpec>,
    /// Phase, Ready and addresses.
    #[prost(message, optional, tag = "3")]
    pub status: Option<PodStatus>,
}

/// Spec of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSpec {
    /// Ordinary containers.
    #[prost(message, repeated, tag = "2")]
    pub containers: Vec<Container>,
    /// The node; empty until the pod is scheduled.
    #[prost(string, tag = "10")]
    pub node_name: String,
    /// Init containers; those with restart policy `Always` are sidecars, whose ports count.
    #[prost(message, repeated, tag = "20")]
    pub init_containers: Vec<Container>,
    /// Conditions that must be True too before the pod is Ready.
    #[prost(message, repeated, tag = "28")]
    pub readiness_gates: Vec<ReadinessGate>,
}

/// A condition that must be True too before the pod is Ready.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadinessGate {
    /// The type of the condition.
    #[prost(string, tag = "1")]
    pub condition_type: String,
}

/// A container's ports and probes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Container {
    /// Ports, named or not.
    #[prost(message, repeated, tag = "6")]
    pub ports: Vec<ContainerPort>,
    /// When it is ready.
    #[prost(message, optional, tag = "11")]
    pub readiness_probe: Option<Probe>,
    /// When it has started. The others wait for it.
    #[prost(message, optional, tag = "22")]
    pub startup_probe: Option<Probe>,
    /// `Always` makes an init container a sidecar.
    #[prost(string, optional, tag = "24")]
    pub restart_policy: Option<String>,
}

/// How often a probe runs.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Probe {
    /// It does not run before this.
    #[prost(int32, tag = "2")]
    pub initial_delay_seconds: i32,
    /// The time from one to the next.
    #[prost(int32, tag = "4")]
    pub period_seconds: i32,
    /// How many must succeed in a row.
    #[prost(int32, tag = "5")]
    pub success_threshold: i32,
}

/// A port a container declares.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerPort {
    /// The name that a Service's `targetPort` may use.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The port number.
    #[prost(int32, tag = "3")]
    pub container_port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    #[prost(string, tag = "4")]
    pub protocol: String,
}

/// Status of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    #[prost(string, tag = "1")]
    pub phase: String,
    /// Includes `Ready`.
    #[prost(message, repeated, tag = "2")]
    pub conditions: Vec<PodCondition>,
    /// The first address.
    #[prost(string, tag = "6")]
    pub pod_ip: String,
    /// The ordinary containers.
    #[prost(message, repeated, tag = "8")]
    pub container_statuses: Vec<ContainerStatus>,
    /// The init containers, sidecars among them.
    #[prost(message, repeated, tag = "10")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// All addresses, at most one for each family.
    #[prost(message, repeated, tag = "12")]
    pub pod_ips: Vec<PodIp>,
}

/// A condition of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodCondition {
    /// Such as `Ready`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[prost(string, tag = "2")]
    pub status: String,
    /// When the status last changed.
    #[prost(message, optional, tag = "4")]
    pub last_transition_time: Option<Time>,
}

/// The status of a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatus {
    /// What it does.
    #[prost(message, optional, tag = "2")]
    pub state: Option<ContainerState>,
    /// How often it was started again.
    #[prost(int32, tag = "5")]
    pub restart_count: i32,
}

/// What a container does. Only `running` is read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerState {
    /// It runs.
    #[prost(message, optional, tag = "2")]
    pub running: Option<Running>,
}

/// A container that runs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Running {
    /// Since when.
    #[prost(message, optional, tag = "1")]
    pub started_at: Option<Time>,
}

/// An address of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodIp {
    /// IPv4 or IPv6, as text.
    #[prost(string, tag = "1")]
    pub ip: String,
}

/// `discovery.k8s.io/v1` EndpointSlice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointSlice {
    /// Its labels name the Service and the manager.
    #[prost(message, required, tag = "1")]
    pub metadata: ObjectMeta,
    /// The endpoints, at most 100 by default.
    #[prost(message, repeated, tag = "2")]
    pub endpoints: Vec<Endpoint>,
    /// The ports of every endpoint in the slice.
    #[prost(message, repeated, tag = "3")]
    pub ports: Vec<EndpointPort>,
    /// `IPv4`, `IPv6` or `FQDN`.
    #[prost(string, tag = "4")]
    pub address_type: String,
}

/// One endpoint of a slice. The daemon reads it as two messages, [`wire::Endpoint`](crate::cluster::wire::Endpoint) and
/// [`wire::EndpointRoute`](crate::cluster::wire::EndpointRoute).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Endpoint {
    /// Addresses of the pod, of the slice's family.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
    /// Whether it gets traffic.
    #[prost(message, optional, tag = "2")]
    pub conditions: Option<EndpointConditions>,
    /// The endpoint's pod.
    #[prost(message, optional, tag = "4")]
    pub target_ref: Option<ObjectReference>,
    /// The node of the pod.
    #[prost(string, optional, tag = "6")]
    pub node_name: Option<String>,
}

// === impl OwnerReference ===

impl OwnerReference {
    /// The reference that the EndpointSlice controller gives the slices of this Service.
    pub fn to_service(name: &str, uid: &str) -> Self {
        Self {
            kind: "Service".to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            api_version: "v1".to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}
