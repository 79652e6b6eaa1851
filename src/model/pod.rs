//! Pods.

use super::{Families, Uid};
use std::collections::BTreeMap;

/// What the measurement knows of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable with those of other pods only.
    pub resource_version: u64,
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// The condition `Ready` is `True`; of several, the first.
    pub ready: bool,
    /// deletionTimestamp is set.
    pub terminating: bool,
    /// The phase is Succeeded or Failed, from which nothing comes back.
    pub terminal: bool,
    /// Families it has an address of, as far as they can be read.
    pub families: Families,
    /// Container ports with a name, in the order in which the controller looks them up.
    pub ports: Vec<NamedPort>,
}

/// A container port that a Service may name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Its number.
    pub number: i32,
}
