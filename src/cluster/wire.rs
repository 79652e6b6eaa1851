//! The Kubernetes protobuf wire format, reduced to the fields that are read.
//!
//! Field numbers are those of the `generated.proto` files beside the Go types: `k8s.io/apimachinery/pkg/apis/meta/v1`,
//! `k8s.io/apimachinery/pkg/runtime`, `k8s.io/api/core/v1` and `k8s.io/api/discovery/v1`. They are API and never reused.
//! These are the messages that prost decodes. Pods and slices, which arrive thousands of times a second, are read in place by
//! [`fields`]. Their [`messages`](crate::simulator::messages) are in the simulator, and nothing here uses them.

pub mod fields;

use bytes::Bytes;
use std::collections::BTreeMap;

/// Magic number before every protobuf object that stands alone (a list body, the object of a watch event).
pub const MAGIC: &[u8; 4] = b"k8s\0";

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
    /// A message for people.
    #[prost(string, tag = "3")]
    pub message: String,
    /// A reason for programs, such as `Expired`.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// The HTTP status, such as 410.
    #[prost(int32, tag = "6")]
    pub code: i32,
}

/// Metadata of an object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ObjectMeta {
    /// Unique in its namespace at any time.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Empty for cluster-scoped objects.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// Never reused.
    #[prost(string, tag = "5")]
    pub uid: String,
    /// Changes with every write.
    #[prost(string, tag = "6")]
    pub resource_version: String,
    /// When the object was created, in whole seconds.
    #[prost(message, optional, tag = "8")]
    pub creation_timestamp: Option<Time>,
    /// Set when deletion is requested. Only its presence is read: its value is in the future by the grace period.
    #[prost(message, optional, tag = "9")]
    pub deletion_timestamp: Option<Time>,
    /// Labels, which selectors match.
    #[prost(btree_map = "string, string", tag = "11")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[prost(btree_map = "string, string", tag = "12")]
    pub annotations: BTreeMap<String, String>,
    /// Owners of the object. The owner of a slice is its Service.
    #[prost(message, repeated, tag = "13")]
    pub owner_references: Vec<OwnerReference>,
}

/// A reference to the owner of an object. The garbage collector deletes objects that have no owner left.
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
    /// Whether the owner is the controller that writes the object.
    #[prost(bool, optional, tag = "6")]
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for this object.
    #[prost(bool, optional, tag = "7")]
    pub block_owner_deletion: Option<bool>,
}

/// A point in time, in whole seconds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Time {
    /// Seconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
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
    /// The Service's ports.
    #[prost(message, repeated, tag = "1")]
    pub ports: Vec<ServicePort>,
    /// Labels of its pods; empty if something else writes its endpoints.
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
    /// One address of each family; `None` as the only one for a headless Service.
    #[prost(string, repeated, tag = "18")]
    pub cluster_ips: Vec<String>,
    /// `IPv4`, `IPv6`: the address families for which it needs slices.
    #[prost(string, repeated, tag = "19")]
    pub ip_families: Vec<String>,
    /// `Cluster` or `Local`.
    #[prost(string, optional, tag = "22")]
    pub internal_traffic_policy: Option<String>,
}

/// A port of a Service.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServicePort {
    /// Empty only if there is one port.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    #[prost(string, tag = "2")]
    pub protocol: String,
    /// The Service's own port. Slices do not contain it.
    #[prost(int32, tag = "3")]
    pub port: i32,
    /// The pod's port, by number or name.
    #[prost(message, optional, tag = "4")]
    pub target_port: Option<IntOrString>,
    /// The application protocol, which slices copy.
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

/// One endpoint of a slice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Endpoint {
    /// Whether it gets traffic.
    #[prost(message, optional, tag = "2")]
    pub conditions: Option<EndpointConditions>,
    /// The endpoint's pod.
    #[prost(message, optional, tag = "4")]
    pub target_ref: Option<ObjectReference>,
}

/// The rest of an endpoint: where connections go. It is decoded only if it is needed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointRoute {
    /// Only the first one has a meaning.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
    /// The node of the pod.
    #[prost(string, optional, tag = "6")]
    pub node_name: Option<String>,
    /// Which zones or nodes should use the endpoint.
    #[prost(message, optional, tag = "8")]
    pub hints: Option<EndpointHints>,
}

/// Hints of an endpoint. Only whether there are any is used.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointHints {
    /// The zones.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub for_zones: Vec<Bytes>,
    /// The nodes.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub for_nodes: Vec<Bytes>,
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
    /// The port number of the pod.
    #[prost(int32, optional, tag = "3")]
    pub port: Option<i32>,
    /// The Service port's application protocol.
    #[prost(string, optional, tag = "4")]
    pub app_protocol: Option<String>,
}

/// A list of any kind, with encoded items.
#[derive(Clone, PartialEq, prost::Message)]
pub struct List {
    /// Version and next page.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ListMeta>,
    /// Encoded objects, without [`MAGIC`] and envelope.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub items: Vec<Bytes>,
}
