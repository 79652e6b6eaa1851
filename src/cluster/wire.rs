//! The Kubernetes protobuf wire format, cut down to what is read of it.
//!
//! Field numbers are those of the `generated.proto` files beside the Go types: `k8s.io/apimachinery/pkg/apis/meta/v1`,
//! `k8s.io/apimachinery/pkg/runtime`, `k8s.io/api/core/v1` and `k8s.io/api/discovery/v1`. They are API and never reused.
//! These are the messages that prost reads. What comes thousands of times a second, pods and slices, is read by [`fields`] instead,
//! where it lies; the simulator has the [`messages`](crate::simulator::messages) of those, which nothing here reads.

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
