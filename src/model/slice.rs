//! EndpointSlices.

use super::{Family, Uid};
use std::{convert::Infallible, hash::Hash};

/// What the measurement knows of an EndpointSlice, its endpoints read or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice<E = Endpoint> {
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
    pub endpoints: Vec<E>,
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

/// An endpoint of a slice that may not be read yet. A slice is written whole whenever one of its endpoints changes: the others are
/// known again by their hash, which all that is read of them must go into, and are not read again.
pub trait SliceEndpoint: Hash {
    /// Why it cannot be read.
    type Error;

    /// Reads it. `None` if there is no pod behind it.
    ///
    /// # Errors
    /// If it is no endpoint.
    fn read(&self) -> Result<Option<Endpoint>, Self::Error>;
}

// === impl Endpoint ===

impl SliceEndpoint for Endpoint {
    type Error = Infallible;

    fn read(&self) -> Result<Option<Endpoint>, Infallible> {
        Ok(Some(self.clone()))
    }
}
