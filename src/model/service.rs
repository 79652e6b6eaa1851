//! Services.

use super::{Families, Uid};
use std::{collections::BTreeMap, time::Duration};

/// Annotation of a Service: its objective, such as `2s`.
pub const OBJECTIVE_ANNOTATION: &str = "endpointlag.io/objective";
/// Annotation of a Service: `"true"` leaves it out.
pub const IGNORE_ANNOTATION: &str = "endpointlag.io/ignore";

/// What the measurement knows of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable with those of other Services only.
    pub resource_version: u64,
    /// deletionTimestamp is set: a finalizer holds it, and the controller makes no slices for it any more.
    pub terminating: bool,
    /// Labels a pod must have; empty where nobody but its owner writes endpoints.
    pub selector: BTreeMap<String, String>,
    /// Type ExternalName: no endpoints whatever the selector.
    pub external_name: bool,
    /// Families it wants slices of.
    pub families: Families,
    /// Ports as far as slices show them.
    pub ports: Vec<ServicePort>,
    /// Endpoints are published as ready whatever the pod's readiness.
    pub publish_not_ready_addresses: bool,
    /// [`OBJECTIVE_ANNOTATION`].
    pub objective: Annotation<Duration>,
    /// [`IGNORE_ANNOTATION`].
    pub ignore: Annotation<bool>,
}

/// A port of a Service, without the Service's own number: slices do not carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Empty where there is only one.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port at the pod.
    pub target: TargetPort,
    /// Hint carried into the slices.
    pub app_protocol: Option<String>,
}

/// The port at a pod, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// The same at every pod.
    Number(i32),
    /// What each pod calls so.
    Name(String),
}

/// A value that people write by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Annotation<T> {
    /// Not there.
    Absent,
    /// Understood.
    Set(T),
    /// Not understood: the text that stood there.
    Malformed(String),
}

// === impl Annotation ===

impl<T: Copy> Annotation<T> {
    /// The value, if there is one that was understood.
    pub fn value(&self) -> Option<T> {
        match self {
            Self::Set(value) => Some(*value),
            Self::Absent | Self::Malformed(_) => None,
        }
    }
}
