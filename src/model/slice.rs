//! EndpointSlices.

use super::{Family, Uid};
use std::ops::Range;

/// What the measurement knows of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable with those of other slices only.
    pub resource_version: u64,
    /// The Service it belongs to; `None` if no Service owns it, it is not the EndpointSlice controller's or not of an IP family.
    pub owner: Option<SliceOwner>,
    /// Ports of all its endpoints, sorted.
    pub ports: Vec<EndpointPort>,
    /// In the order in which they came.
    pub endpoints: Vec<Endpoint>,
}

/// A new version of a slice that differs from the one told before in nothing but its endpoints. A slice is written whole whenever one
/// of them changes: this is what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointsChange {
    /// Identity of the slice.
    pub uid: Uid,
    /// Its name.
    pub name: String,
    /// The new version; comparable with those of other slices only.
    pub resource_version: u64,
    /// The endpoints of the new version, in their order. What is kept is in the order of the version before, and what is not kept of
    /// it has gone.
    pub endpoints: Vec<EndpointsPart>,
}

/// A part of the endpoints of a new version of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointsPart {
    /// Endpoints that are as they were, by their positions in the version told before.
    Kept(Range<usize>),
    /// One that is new, or otherwise than it was.
    New(Endpoint),
}

/// A version of a slice, as people find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceVersion {
    /// Identity of the slice.
    pub uid: Uid,
    /// Its name, in the namespace of its Service.
    pub name: Box<str>,
    /// The version.
    pub resource_version: u64,
}

/// What a slice is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceOwner {
    /// Identity of the Service. A Service that was deleted and made anew has another, and none of the old one's slices.
    pub uid: Uid,
    /// Name of the Service, in the slice's namespace.
    pub service: String,
    /// Family of its addresses.
    pub family: Family,
}

/// A port of a slice, nil semantics settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointPort {
    /// The Service port's name; empty where unset.
    pub name: String,
    /// `TCP` where unset.
    pub protocol: String,
    /// The number at the pod.
    pub number: Option<i32>,
    /// The Service port's hint.
    pub app_protocol: Option<String>,
}

/// An endpoint with a pod behind it, nil semantics settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// UID of the pod.
    pub pod: Uid,
    /// Name of the pod.
    pub name: String,
    /// Gets new connections. Unset counts as true.
    pub ready: bool,
    /// The pod is ready, terminating or not. Unset follows `ready`.
    pub serving: bool,
    /// The pod is going away. Unset counts as false.
    pub terminating: bool,
}
