//! The data-plane hop: compares what EndpointSlices say with what the kernel of each node does, change by change.
//!
//! Pure: no I/O, no clock, no client. The time comes from the events and from the agents' observations.
//!
//! ```text
//!  events of Services and slices                               observations of the agents
//!     │                                                                 │
//!     ▼                                                                 ▼
//!   views ── targets: where kernels should send each frontend        nodes: who follows, who is silent
//!     │      a difference of targets                                    │
//!     ▼                                                                 ▼
//!   steps (frontend, backend, added or removed) ◄── ended node by node by an observation, or by time
//!     │
//!     ▼
//!   changes: the slice hop's changes, each with its steps ──► reports: each node's outcome, shares of nodes, the last node
//! ```
//!
//! A *step* is one backend that a frontend gets or loses, at the arrival of the event that says so. Each node that must
//! follow has a mark in it. A change of the slice hop has one step for each port and address family. It is in effect on a node when all its
//! steps are.
//!
//! The daemon does not keep the kernel's full state of each node: that would be all Services times all nodes. When an agent comes, its state is
//! compared in short with what the slices say, and only differences are kept. From then on, a node's observations of one backend alternate:
//! added, removed, added. So an observation always belongs to the oldest step that the node has not shown, or to a later one in the
//! same direction, if kube-proxy has merged the steps in between.

mod changes;
mod divergences;
mod early;
mod foreign;
mod hop;
mod known;
mod mark;
mod nodes;
mod report;
mod steps;
mod targets;
mod verdict;
mod views;

pub use self::{
    hop::{Programming, ProgrammingSettings},
    report::{NodeOutcome, Report, Share, Spread, Stale, Standing, Unmatched},
};

#[cfg(test)]
mod tests;
