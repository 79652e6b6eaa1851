//! Services.

use super::{Families, Uid};
use core::net::IpAddr;
use std::{collections::BTreeMap, time::Duration};

/// Annotation of a Service: its objective, such as `2s`.
pub const OBJECTIVE_ANNOTATION: &str = "endpointlag.io/objective";
/// Annotation of a Service: `"true"` excludes it.
pub const IGNORE_ANNOTATION: &str = "endpointlag.io/ignore";

/// The data of a Service that the measurement uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable only with those of other Services.
    pub resource_version: u64,
    /// deletionTimestamp is set: a finalizer holds it, and the controller makes no slices for it.
    pub terminating: bool,
    /// Labels that a pod must have; empty if only its owner writes endpoints.
    pub selector: BTreeMap<String, String>,
    /// Type ExternalName: no endpoints, independent of the selector.
    pub external_name: bool,
    /// Families for which it needs slices.
    pub families: Families,
    /// Ports, with only the fields that slices need.
    pub ports: Vec<ServicePort>,
    /// Where clients connect to; `None` if it has no clusterIP.
    pub virtual_ips: Option<Box<VirtualIps>>,
    /// Endpoints are published as ready, independent of the pod's readiness.
    pub publish_not_ready_addresses: bool,
    /// [`OBJECTIVE_ANNOTATION`].
    pub objective: Annotation<Duration>,
    /// [`IGNORE_ANNOTATION`].
    pub ignore: Annotation<bool>,
}

/// A port of a Service, without the Service's own number: slices do not have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// May be empty if there is only one port.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port at the pod.
    pub target: TargetPort,
    /// Hint that is copied into the slices.
    pub app_protocol: Option<String>,
}

/// The clusterIPs of a Service, and its own ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualIps {
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// The Service's own number of each port, in the order of [`Service::ports`].
    pub ports: Vec<u16>,
    /// internalTrafficPolicy is Local: each node uses only the endpoints on it.
    pub is_local: bool,
}

/// The port at a pod, as a number or a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// The same for every pod.
    Number(i32),
    /// The port with this name.
    Name(String),
}

/// A value that people write by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Annotation<T> {
    /// Not set.
    Absent,
    /// Valid.
    Set(T),
    /// Not valid. The text is kept.
    Malformed(String),
}

// === impl Annotation ===

impl<T: Copy> Annotation<T> {
    /// The value, if it is set and valid.
    pub fn value(&self) -> Option<T> {
        match self {
            Self::Set(value) => Some(*value),
            Self::Absent | Self::Malformed(_) => None,
        }
    }
}
