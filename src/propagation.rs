//! The slice hop: compares what pods and Services want with what EndpointSlices show.
//!
//! Pure: no I/O, no clock, no client. The time comes from the events, so a test can cover a week.
//!
//! An event goes from the top to the bottom, and no file names a file above it (`tests/purity.rs`):
//!
//! ```text
//!   tracker     takes an event, passes its result on, and reports what happened, with names
//!      │
//!      ├──► views   the state of the watches: pods, membership (who selects whom), services, slices, ports
//!      │      │     a step of a pod, the previous state of a Service, the difference of a slice
//!      ▼      ▼
//!     join      where the two sides of a Service's endpoints are compared
//!      │
//!      ├──► pairs (Service, pod): desired | shown         ├──► edits: what the slices must show for an edited Service
//!      ▼                                                  ▼
//!   changes     the ledger of the slice hop, what was overtaken, what is out of sync ──► reports
//! ```
//!
//! A *pair* holds two views of one pod in one Service: what the pod watch says it should be, and what the slices show.
//! If the first view changes and the second does not show it, a change starts. When the second view shows it, the change ends. While
//! the two views differ, the pair is out of sync, whatever the outcome of the change.

mod changes;
mod edits;
mod intern;
mod join;
mod key;
mod membership;
mod overtaken;
mod pair;
mod pairs;
mod pods;
mod ports;
mod report;
mod services;
mod slices;
mod tracker;
mod views;
mod watches;

pub use self::{
    report::{Ended, OutOfSyncEndpoint, PendingChange, PodRef, Report, ServiceName, Size, Standing, Subject},
    tracker::{Tracker, TrackerSettings},
};

#[cfg(test)]
mod tests;
