//! The lines after the header, as they stand in the file.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, ops::Range, time::Duration};

/// A line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and nearly all are events")]
pub(super) enum Line<'a> {
    /// What a watch delivered.
    Event(Event<'a>),
    /// Until when everything was delivered.
    Through(Through),
    /// CRC-32 of the lines since the last one of this kind.
    Check(u32),
    /// The recording was ended, at this time.
    End(u64),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Through {
    pub(super) at: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) scope: usize,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event<'a> {
    /// Nanoseconds since the start.
    pub(super) at: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) scope: usize,
    /// The time cannot be used to measure.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) late: bool,
    pub(super) is: What<'a>,
}

/// The events of the model.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What<'a> {
    WatchLost(Resource),
    WatchRestored(Resource),
    Init(Resource),
    InitDone(Resource),
    Pod(Pod<'a>),
    PodDeleted(Pod<'a>),
    Service(Service<'a>),
    ServiceDeleted(Service<'a>),
    EndpointSlice(Slice<'a>),
    EndpointsChanged(Changed<'a>),
    EndpointSliceDeleted(Slice<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Resource {
    Pods,
    Services,
    EndpointSlices,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Family {
    #[serde(rename = "IPv4")]
    V4,
    #[serde(rename = "IPv6")]
    V6,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pod<'a> {
    pub(super) namespace: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) uid: Cow<'a, str>,
    /// resourceVersion.
    pub(super) version: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) ready: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) terminating: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) terminal: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) families: Vec<Family>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<NamedPort<'a>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedPort<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) protocol: Cow<'a, str>,
    pub(super) number: i32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service<'a> {
    pub(super) namespace: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) uid: Cow<'a, str>,
    pub(super) version: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) terminating: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) selector: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) external_name: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) families: Vec<Family>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<ServicePort<'a>>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) publish_not_ready_addresses: bool,
    #[serde(default, skip_serializing_if = "Annotation::is_absent")]
    pub(super) objective: Annotation<Duration>,
    #[serde(default, skip_serializing_if = "Annotation::is_absent")]
    pub(super) ignore: Annotation<bool>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServicePort<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) protocol: Cow<'a, str>,
    pub(super) target: Target<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) app_protocol: Option<Cow<'a, str>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target<'a> {
    Number(i32),
    Name(Cow<'a, str>),
}

/// An annotation. The text of a malformed one is not kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Annotation<T> {
    #[default]
    Absent,
    Set(T),
    Malformed,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slice<'a> {
    pub(super) namespace: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) uid: Cow<'a, str>,
    pub(super) version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<Owner<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ports: Vec<EndpointPort<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) endpoints: Vec<Endpoint<'a>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owner<'a> {
    pub(super) uid: Cow<'a, str>,
    pub(super) service: Cow<'a, str>,
    pub(super) family: Family,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointPort<'a> {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(super) name: Cow<'a, str>,
    pub(super) protocol: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) app_protocol: Option<Cow<'a, str>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint<'a> {
    /// UID of the pod.
    pub(super) pod: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) ready: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) serving: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) terminating: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed<'a> {
    pub(super) uid: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) version: u64,
    pub(super) endpoints: Vec<Part<'a>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part<'a> {
    /// Positions in the version before.
    Kept(Range<usize>),
    New(Endpoint<'a>),
}

// === impl Annotation ===

impl<T> Annotation<T> {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}
