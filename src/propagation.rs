//! The slice hop: joins what pods and Services want with what EndpointSlices show.
//!
//! Pure: no I/O, no clock, no client. Time is what the events carry, so a week fits into a test.
//!
//! ```text
//!   pods ──► membership: which Services select this pod ──┐
//!                                                         ▼
//!   Services ──► what is expected, and of whom ──► pairs (Service, pod): desired | shown ──► ledger ──► reports
//!                                                         ▲                                    │
//!   EndpointSlices ──► union of a Service's slices ───────┘         pending, with deadlines; out of sync
//! ```
//!
//! A *pair* holds two views of one pod in one Service: what the pod watch says it should be, and what the slices show.
//! A move of the first view that the second does not show starts a change; the move of the second that shows it ends it. While the
//! two views differ the pair is out of sync, whatever became of the change.

mod intern;
mod membership;
mod overtaken;
mod pair;
mod report;
mod subject;
mod tracker;

pub use self::{
    report::{Ended, PodRef, Report, ServiceName},
    tracker::{OutOfSyncEndpoint, OutOfSyncService, PendingChange, PendingView, Size, Tracker, TrackerSettings},
};

#[cfg(test)]
mod tests;
