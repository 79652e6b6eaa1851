//! endpointlag measures how long Kubernetes takes to carry a pod's readiness into a Service's endpoints, and how long the
//! endpoints still list a pod that is going away.
//!
//! Data flows one way:
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
//!  model: stamps, events, pods, Services, slices; the data types of all modules
//! ```
//!
//! [`cluster`] reads the watches of the API server, stamps the data and decodes them into the [`model`]. [`propagation`] joins what
//! pods and Services require with what the slices show. [`ledger`] keeps each change from its start to its outcome on one hop, and the
//! endpoints that are out of sync. What one hop has carried is what the next hop [starts from](ledger::Carried): [`programming`] follows
//! each change to the nodes, with what their agents observe. [`startup`] divides the start of each pod into phases. [`rollout`] follows the
//! pods of one workload through its Services. [`stats`] counts. [`advice`] says which settings to change, judged by what is set and what was
//! counted. These seven and the model are pure: no I/O, no clock, no client. [`exposition`] turns the counts into output, and [`server`] serves it.
//! [`pipeline`] owns the trackers and the counts on a separate thread, and answers queries about them. [`daemon`] starts all parts and
//! ends them. [`config`] has the settings ([`flags`] parses single values), [`logging`] the log, [`errors`] prints errors with their
//! causes, and [`signals`] handles signals. [`adviser`] gives advice in the running daemon. [`dataplane`] sees what a node's kernel does with Services, [`agent`] runs it on
//! a node and reports to a daemon, and [`collector`] is the daemon's end of that. [`simulator`] is a simulated cluster with the same
//! protocol, and [`demo`] runs the daemon with it. [`commands`] measure without a daemon, for people and pipelines: they start
//! [`cluster`] and [`pipeline`] alone, and print. [`recording`] keeps what reaches the trackers in a file, to measure it again.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod advice;
pub mod adviser;
pub mod agent;
pub mod cluster;
pub mod collector;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod demo;
pub mod errors;
pub mod exposition;
pub mod flags;
pub mod ledger;
pub mod logging;
pub mod model;
pub mod pipeline;
pub mod programming;
pub mod propagation;
pub mod recording;
pub mod rollout;
pub mod server;
pub mod signals;
pub mod simulator;
pub mod startup;
pub mod stats;

/// Version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Revision of the source of this build.
pub const REVISION: &str = env!("ENDPOINTLAG_BUILD_REVISION");
