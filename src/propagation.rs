//! The slice hop: joins what pods and Services want with what EndpointSlices show.
//!
//! Pure: no I/O, no clock, no client. Time is what the events carry, so a week fits into a test.
//!
//! An event goes one way, from the top to the bottom, and no file calls one that stands above it:
//!
//! ```text
//!   tracker     takes an event, passes what it comes to along, and names what became of it
//!      │
//!      ├──► views   what the watches have told: pods, membership (who selects whom), services, slices, ports
//!      │      │     a step of a pod, what a Service said before, what a slice shows otherwise
//!      ▼      ▼
//!     join      where the two sides of a Service's endpoints meet
//!      │
//!      ├──► pairs (Service, pod): desired | shown         ├──► edits: what the slices owe an edited Service
//!      ▼                                                  ▼
//!   changes     the ledger of the slice hop, what was overtaken, what is out of sync ──► reports
//! ```
//!
//! A *pair* holds two views of one pod in one Service: what the pod watch says it should be, and what the slices show.
//! A move of the first view that the second does not show starts a change; the move of the second that shows it ends it. While the
//! two views differ the pair is out of sync, whatever became of the change.

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
