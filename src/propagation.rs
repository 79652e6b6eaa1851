//! The measurement itself: stamped events of three watches in, outcomes of changes out.
//!
//! Pure: no I/O, no clock, no client. Time is what the events carry, so a week fits into a test.
//!
//! ```text
//!   pods ──► membership: which Services select this pod ──┐
//!                                                         ▼
//!   Services ──► what is expected, and of whom ──► pairs (Service, pod): desired | shown ──► changes ──► reports
//!                                                         ▲                         │
//!   EndpointSlices ──► union of a Service's slices ───────┘             pending, with deadlines
//! ```
//!
//! A *pair* holds two views of one pod in one Service: what the pod watch says it should be, and what the slices show.
//! A move of the first view that the second does not show starts a change; the move of the second that shows it ends it.

mod change;
mod intern;
mod membership;
mod pair;
mod pending;
mod tracker;

pub use self::{
    change::{Change, Ended, Outcome, PodRef, Report, ServiceName},
    tracker::{OutOfSyncEndpoint, OutOfSyncService, PendingChange, PendingView, Settings, Size, Tracker},
};

#[cfg(test)]
mod tests;
