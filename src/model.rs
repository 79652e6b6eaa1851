//! The data types of the pure parts of the crate: plain data, nil values resolved, and only what the measurement needs.
//!
//! ```text
//! Stamp ──► Seen (a stamp, and whether to measure with it)      when
//! Event ──► a Pod, a Service, an EndpointSlice, or how the      what
//!           watch of a Resource stands
//! PodTimes ──► when the steps of a pod's start happened         when, as others say
//! Uid, Family ──► how these are distinguished                   who
//! Frontend, Backend ──► where connections go                     where
//! spec ──► what workloads and Services set, for advice           how
//! ```
//!
//! [`cluster`](crate::cluster) decodes into these types. They have no bytes and no decoding errors. This module knows no other part
//! of the crate, and no client, runtime or clock.

mod event;
mod family;
mod fingerprint;
mod frontend;
mod interval;
mod pod;
mod service;
mod slice;
pub mod spec;
mod stamp;
mod times;
mod uid;

pub use self::{
    event::{Event, Resource},
    family::{Families, Family},
    fingerprint::Fingerprint,
    frontend::{Backend, Frontend, Protocol, SetChange},
    interval::Interval,
    pod::{NamedPort, Pod},
    service::{Annotation, IGNORE_ANNOTATION, OBJECTIVE_ANNOTATION, Service, ServicePort, TargetPort, VirtualIps},
    slice::{Endpoint, EndpointPort, EndpointSlice, EndpointsChange, EndpointsPart, Route, SliceOwner, SliceVersion},
    stamp::{Arrival, Seen, Stamp},
    times::{ContainerTimes, PodTimes, Probe, Probes, WholeSecond},
    uid::Uid,
};
