//! endpointlag measures how long Kubernetes takes to carry a pod's readiness into a Service's endpoints, and how long a pod
//! that is going away stays there.
//!
//! Data goes one way:
//!
//! ```text
//!  daemon: starts all of this and ends it
//!  ┌───────────────────────────────────────────────────────────────────────────────────┐
//!  │             pipeline: the thread that measures                                    │
//!  │            ┌────────────────────────────────────────┐                             │
//!  │ cluster ──►│ propagation ──► ledger ──► stats       │──► exposition ──► server    │
//!  │ stamps,    │ what pods and   changes    delays      │    Prometheus     HTTP      │
//!  │ decodes    │ Services want   and their  and         │    text, JSON               │
//!  │            │ and slices show outcomes   counts      │    lines                    │
//!  │            └────────────────────────────────────────┘                             │
//!  └───────────────────────────────────────────────────────────────────────────────────┘
//!  model: stamps, events, pods, Services, slices; what all of them speak
//! ```
//!
//! [`cluster`] reads the watches of the API server, stamps what it reads and decodes it into the [`model`]. [`propagation`] joins what
//! pods and Services want with what the slices show, and [`ledger`] keeps each change from its start to its outcome, and what is out of
//! sync. [`stats`] counts. These last three and the model are pure: no I/O, no clock, no client. [`exposition`] turns counts into what
//! others read, and [`server`] lets them read it.
//! [`pipeline`] owns the trackers and the counts on a thread of its own, and answers queries about them; [`daemon`] puts the parts
//! together. [`config`] is what a user can choose ([`flags`] reads single values), [`logging`] what the daemon says about itself,
//! [`signals`] what it is asked from outside. [`simulator`] is a simulated cluster that speaks the same protocol, and [`demo`] shows
//! the daemon beside it.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod cluster;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod exposition;
pub mod flags;
pub mod ledger;
pub mod logging;
pub mod model;
pub mod pipeline;
pub mod propagation;
pub mod server;
pub mod signals;
pub mod simulator;
pub mod stats;

/// Version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Revision of the source of this build.
pub const REVISION: &str = env!("ENDPOINTLAG_BUILD_REVISION");
