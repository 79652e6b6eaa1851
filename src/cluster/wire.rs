//! The Kubernetes protobuf wire format, cut down to the fields that are read.
//!
//! Field numbers are those of the `generated.proto` files beside the Go types: `k8s.io/apimachinery/pkg/apis/meta/v1`,
//! `k8s.io/apimachinery/pkg/runtime`, `k8s.io/api/core/v1` and `k8s.io/api/discovery/v1`. They are API and never reused.
//! These are the messages as prost reads and writes them. What comes thousands of times a second, pods and slices, is read by
//! [`fields`] instead, where it lies.

pub mod fields;

use bytes::Bytes;
use std::collections::BTreeMap;

/// Magic number before every protobuf object that stands alone (a list body, the object of a watch event).
pub const MAGIC: &[u8; 4] = b"k8s\0";

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

/// Bytes of an object, [`MAGIC`] first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RawExtension {
    /// [`MAGIC`], then an encoded [`Unknown`].
    #[prost(bytes = "bytes", tag = "1")]
    pub raw: Bytes,
}

/// The envelope of an object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Unknown {
    /// Which type `raw` is of.
    #[prost(message, optional, tag = "1")]
    pub type_meta: Option<TypeMeta>,
    /// The encoded object itself.
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

/// Metadata of a list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListMeta {
    /// The version of the whole list.
    #[prost(string, tag = "2")]
    pub resource_version: String,
    /// Token of the next page; empty on the last.
    #[prost(string, tag = "3")]
    pub r#continue: String,
}

/// Why a request failed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    /// For people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// For machines, such as `Expired`.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// The HTTP status, such as 410.
    #[prost(int32, tag = "6")]
    pub code: i32,
}

/// Metadata of an object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ObjectMeta {
    /// Unique in its namespace at one time.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Empty for cluster-scoped objects.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// Unique over all time.
    #[prost(string, tag = "5")]
    pub uid: String,
    /// Changes with every write.
    #[prost(string, tag = "6")]
    pub resource_version: String,
    /// Set once deletion was asked for. Only its presence is read: the value lies in the future by the grace period.
    #[prost(message, optional, tag = "9")]
    pub deletion_timestamp: Option<Time>,
    /// What selectors match.
    #[prost(btree_map = "string, string", tag = "11")]
    pub labels: BTreeMap<String, String>,
    /// Free-form.
    #[prost(btree_map = "string, string", tag = "12")]
    pub annotations: BTreeMap<String, String>,
    /// Objects it goes with: of a slice, its Service.
    #[prost(message, repeated, tag = "13")]
    pub owner_references: Vec<OwnerReference>,
}

/// An object that another goes with. The garbage collector deletes what has no owner left.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OwnerReference {
    /// Such as `Service`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The owner's name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The owner's UID.
    #[prost(string, tag = "4")]
    pub uid: String,
    /// Such as `v1`.
    #[prost(string, tag = "5")]
    pub api_version: String,
    /// Whether the owner is the one that writes it.
    #[prost(bool, optional, tag = "6")]
    pub controller: Option<bool>,
    /// Whether the owner's deletion in the foreground waits for it.
    #[prost(bool, optional, tag = "7")]
    pub block_owner_deletion: Option<bool>,
}

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

/// A point in time, in whole seconds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Time {
    /// Seconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}

/// `v1` Pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pod {
    /// Name, UID, labels, deletion.
    #[prost(message, required, tag = "1")]
    pub metadata: LabelledMeta,
    /// Only named container ports are read.
    #[prost(message, optional, tag = "2")]
    pub spec: Option<PodSpec>,
    /// Phase, Ready and addresses.
    #[prost(message, optional, tag = "3")]
    pub status: Option<PodStatus>,
}

/// [`ObjectMeta`] without annotations: nothing reads those of pods and slices, and they can be large.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LabelledMeta {
    /// Unique in its namespace at one time.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The object's namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// Unique over all time.
    #[prost(string, tag = "5")]
    pub uid: String,
    /// Changes with every write.
    #[prost(string, tag = "6")]
    pub resource_version: String,
    /// Set once deletion was asked for.
    #[prost(message, optional, tag = "9")]
    pub deletion_timestamp: Option<Time>,
    /// What selectors match.
    #[prost(btree_map = "string, string", tag = "11")]
    pub labels: BTreeMap<String, String>,
}

/// Spec of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodSpec {
    /// Ordinary containers.
    #[prost(message, repeated, tag = "2")]
    pub containers: Vec<Container>,
    /// Init containers; those with restart policy `Always` are sidecars, whose ports count.
    #[prost(message, repeated, tag = "20")]
    pub init_containers: Vec<Container>,
}

/// A container's ports.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Container {
    /// Ports, named or not.
    #[prost(message, repeated, tag = "6")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    #[prost(string, optional, tag = "24")]
    pub restart_policy: Option<String>,
}

/// A port a container declares.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerPort {
    /// What a Service's `targetPort` may name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The number behind the name.
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
    /// Among them `Ready`.
    #[prost(message, repeated, tag = "2")]
    pub conditions: Vec<PodCondition>,
    /// The first address.
    #[prost(string, tag = "6")]
    pub pod_ip: String,
    /// All addresses, at most one a family.
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
}

/// An address of a pod.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PodIp {
    /// IPv4 or IPv6, as text.
    #[prost(string, tag = "1")]
    pub ip: String,
}

/// `v1` Service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Service {
    /// Name, UID, annotations, deletion.
    #[prost(message, required, tag = "1")]
    pub metadata: ObjectMeta,
    /// Selector, ports, families.
    #[prost(message, optional, tag = "2")]
    pub spec: Option<ServiceSpec>,
}

/// Spec of a Service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServiceSpec {
    /// What the Service offers.
    #[prost(message, repeated, tag = "1")]
    pub ports: Vec<ServicePort>,
    /// Labels of its pods; empty where somebody else writes its endpoints.
    #[prost(btree_map = "string, string", tag = "2")]
    pub selector: BTreeMap<String, String>,
    /// An address, or `None` for a headless Service.
    #[prost(string, tag = "3")]
    pub cluster_ip: String,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[prost(string, tag = "4")]
    pub kind: String,
    /// Endpoints count as ready whatever the pod's readiness.
    #[prost(bool, tag = "13")]
    pub publish_not_ready_addresses: bool,
    /// `IPv4`, `IPv6`: the address families it wants slices of.
    #[prost(string, repeated, tag = "19")]
    pub ip_families: Vec<String>,
}

/// A port of a Service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServicePort {
    /// Empty where there is only one.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    #[prost(string, tag = "2")]
    pub protocol: String,
    /// The Service's own port, which slices do not carry.
    #[prost(int32, tag = "3")]
    pub port: i32,
    /// The pod's port, by number or name.
    #[prost(message, optional, tag = "4")]
    pub target_port: Option<IntOrString>,
    /// A hint that slices carry on.
    #[prost(string, optional, tag = "6")]
    pub app_protocol: Option<String>,
}

/// A number or a name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntOrString {
    /// 0 for a number, 1 for a string.
    #[prost(int64, tag = "1")]
    pub kind: i64,
    /// The number.
    #[prost(int32, tag = "2")]
    pub int: i32,
    /// The string.
    #[prost(string, tag = "3")]
    pub string: String,
}

/// `discovery.k8s.io/v1` EndpointSlice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointSlice {
    /// Its labels name the Service and the manager.
    #[prost(message, required, tag = "1")]
    pub metadata: ObjectMeta,
    /// The endpoints, 100 at most by default.
    #[prost(message, repeated, tag = "2")]
    pub endpoints: Vec<Endpoint>,
    /// The ports every endpoint in it has.
    #[prost(message, repeated, tag = "3")]
    pub ports: Vec<EndpointPort>,
    /// `IPv4`, `IPv6` or `FQDN`.
    #[prost(string, tag = "4")]
    pub address_type: String,
}

/// One endpoint of a slice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Endpoint {
    /// Whether it gets traffic.
    #[prost(message, optional, tag = "2")]
    pub conditions: Option<EndpointConditions>,
    /// The pod behind it.
    #[prost(message, optional, tag = "4")]
    pub target_ref: Option<ObjectReference>,
}

/// Conditions of an endpoint; each may be unset.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct EndpointConditions {
    /// Unset counts as true.
    #[prost(bool, optional, tag = "1")]
    pub ready: Option<bool>,
    /// Unset follows `ready`.
    #[prost(bool, optional, tag = "2")]
    pub serving: Option<bool>,
    /// Unset counts as false.
    #[prost(bool, optional, tag = "3")]
    pub terminating: Option<bool>,
}

/// A reference to another object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ObjectReference {
    /// `Pod` here.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The pod's name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The pod's UID.
    #[prost(string, tag = "4")]
    pub uid: String,
}

/// A port of a slice; each field may be unset.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct EndpointPort {
    /// The Service port's name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Unset counts as `TCP`.
    #[prost(string, optional, tag = "2")]
    pub protocol: Option<String>,
    /// The number at the pod.
    #[prost(int32, optional, tag = "3")]
    pub port: Option<i32>,
    /// The Service port's hint.
    #[prost(string, optional, tag = "4")]
    pub app_protocol: Option<String>,
}

/// A list of any kind, its items still encoded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct List {
    /// Version and next page.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ListMeta>,
    /// Each an encoded object, without [`MAGIC`] and envelope.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub items: Vec<Bytes>,
}
