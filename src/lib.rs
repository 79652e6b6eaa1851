//! endpointlag measures how long Kubernetes takes to carry a pod's readiness into a Service's endpoints, and how long a pod
//! that is going away stays there.
//!
//! Data goes one way:
//!
//! ```text
//! cluster ──► propagation ──► ledger ──► stats ──► exposition ──► server
//! stamps,     what pods and   changes    delays    Prometheus     HTTP
//! decodes     Services want   and their  and       text, JSON
//!             and slices show outcomes   counts    lines
//!
//! model: stamps, events, pods, Services, slices; what all of them speak
//! ```
//!
//! [`cluster`] reads the watches of the API server, stamps what it reads and decodes it into the [`model`]. [`propagation`] joins what
//! pods and Services want with what the slices show, and [`ledger`] keeps each change from its start to its outcome, and what is out of
//! sync. [`stats`] counts. These last three and the model are pure: no I/O, no clock, no client. [`exposition`] turns counts into what
//! others read, and [`server`] lets them read it.
//! [`pipeline`] is the thread on which everything between socket and histogram happens, [`daemon`] puts the parts together,
//! [`config`] is what a user can choose ([`flags`] reads single values), [`logging`] what the daemon says about itself,
//! [`signals`] what it is asked from outside. [`dataplane`] sees what a node's kernel does with Services, [`agent`] tells a daemon, and
//! [`collector`] is the daemon's end of that. [`simulator`] is a simulated cluster that speaks the same protocol, and [`demo`] shows
//! the daemon beside it.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod agent;
pub mod cluster;
pub mod collector;
pub mod config;
pub mod daemon;
pub mod dataplane;
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
