//! EndpointSlices.

use super::{Family, Uid};
use core::net::IpAddr;
use std::ops::Range;

/// The data of an EndpointSlice that the measurement uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable only with those of other slices.
    pub resource_version: u64,
    /// The Service that owns it; `None` if there is none, if another controller writes it, or if its addresses are not IP addresses.
    pub owner: Option<SliceOwner>,
    /// Name of the Service for which another writer than the controller has made it. kube-proxy uses such slices too, as far as their
    /// addresses are IP addresses.
    pub foreign_to: Option<Box<str>>,
    /// Ports of all its endpoints, sorted.
    pub ports: Vec<EndpointPort>,
    /// In the order in which they arrived.
    pub endpoints: Vec<Endpoint>,
}

/// A new version of a slice that differs from the previous one only in its endpoints. The API server sends a complete slice for each
/// change; this is only the difference. The previous version is the last one from the same watch, since its last list began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointsChange {
    /// Identity of the slice.
    pub uid: Uid,
    /// Its name.
    pub name: String,
    /// The new version; comparable only with those of other slices.
    pub resource_version: u64,
    /// The endpoints of the new version, in their order. Kept endpoints have the order of the previous version. Its other endpoints are
    /// gone.
    pub endpoints: Vec<EndpointsPart>,
}

/// A part of the endpoints of a new version of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointsPart {
    /// Unchanged endpoints, by their positions in the previous version.
    Kept(Range<usize>),
    /// An endpoint that is new or changed.
    New(Endpoint),
}

/// A version of a slice, as people can find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceVersion {
    /// Identity of the slice.
    pub uid: Uid,
    /// Its name, in the namespace of its Service.
    pub name: Box<str>,
    /// The version.
    pub resource_version: u64,
}

/// The Service of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceOwner {
    /// Identity of the Service. A Service that is created again has another identity, and none of the old slices.
    pub uid: Uid,
    /// Name of the Service, in the slice's namespace.
    pub service: String,
    /// Family of its addresses.
    pub family: Family,
}

/// A port of a slice, with nil values resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointPort {
    /// The Service port's name; empty if unset.
    pub name: String,
    /// `TCP` if unset.
    pub protocol: String,
    /// The port number at the pod.
    pub number: Option<i32>,
    /// The Service port's hint.
    pub app_protocol: Option<String>,
}

/// An endpoint with a pod, with nil values resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// UID of the pod.
    pub pod: Uid,
    /// Name of the pod.
    pub name: String,
    /// It gets new connections. Unset means true.
    pub ready: bool,
    /// The pod is ready, terminating or not. Unset means the same as `ready`.
    pub serving: bool,
    /// The pod is terminating. Unset means false.
    pub terminating: bool,
    /// Where connections go. Only if the decoder was asked for it: the slice hop does not need it.
    pub route: Option<Box<Route>>,
}

/// Where and on which nodes connections to an endpoint go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Address of the pod.
    pub address: IpAddr,
    /// Node of the pod, if it is known.
    pub node: Option<Box<str>>,
    /// The endpoint has hints: each kube-proxy decides by its zone or node whether it uses the endpoint.
    pub has_hints: bool,
}
