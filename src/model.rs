//! What the pure parts of the crate speak: plain data, nil semantics settled, nothing kept that the measurement does not need.
//!
//! ```text
//! Stamp ──► Seen (a stamp, and whether to measure with it)      when
//! Event ──► a Pod, a Service, an EndpointSlice, or how the      what
//!           watch of a Resource stands
//! Uid, Family ──► what these are told apart by                  who
//! ```
//!
//! [`cluster`](crate::cluster) decodes into it. No bytes and no errors of decoding are in here. It knows no other part of the crate,
//! and no client, runtime or clock.

mod event;
mod family;
mod pod;
mod service;
mod slice;
mod stamp;
mod uid;

pub use self::{
    event::{Event, Resource},
    family::{Families, Family},
    pod::{NamedPort, Pod},
    service::{Annotation, IGNORE_ANNOTATION, OBJECTIVE_ANNOTATION, Service, ServicePort, TargetPort},
    slice::{Endpoint, EndpointPort, EndpointSlice, EndpointsChange, EndpointsPart, SliceOwner, SliceVersion},
    stamp::{Arrival, Seen, Stamp},
    uid::Uid,
};
