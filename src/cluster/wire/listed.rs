//! EndpointSlices as they are read: what names a pod stays a part of the bytes that came.
//!
//! A slice of a hundred endpoints is written whole whenever one of them changes. To copy the names of the other ninety-nine would
//! be most of what it costs to read it. The bytes are on the wire what [`wire::EndpointSlice`](super::EndpointSlice) is.

use super::{EndpointConditions, EndpointPort, ObjectMeta};
use bytes::Bytes;

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

/// A reference to another object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ObjectReference {
    /// `Pod` here.
    #[prost(bytes = "bytes", tag = "1")]
    pub kind: Bytes,
    /// The pod's name.
    #[prost(bytes = "bytes", tag = "3")]
    pub name: Bytes,
    /// The pod's UID.
    #[prost(bytes = "bytes", tag = "4")]
    pub uid: Bytes,
}
