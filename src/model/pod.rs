//! Pods.

use super::{Families, Uid};
use std::collections::BTreeMap;

/// The data of a pod that the measurement uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Identity.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Version of this state; comparable only with those of other pods.
    pub resource_version: u64,
    /// The labels for selectors.
    pub labels: BTreeMap<String, String>,
    /// The condition `Ready` is `True`; the first of several counts.
    pub ready: bool,
    /// deletionTimestamp is set.
    pub terminating: bool,
    /// The phase is Succeeded or Failed. It never changes again.
    pub terminal: bool,
    /// Families of its valid addresses.
    pub families: Families,
    /// Container ports with a name, in the order in which the controller searches them.
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
