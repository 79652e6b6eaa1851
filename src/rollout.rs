//! One rollout of one workload: what happened to each of its pods, in each Service that selects them, and how many endpoints served
//! meanwhile.
//!
//! ```text
//! model::Event (pods, Services, slices) ──► Follower ──► Report ──► advice: which setting would have helped
//!                     facts: when each pod turned            pods: ready, leaving, gone
//!                     ready or left, and when the            Services: listed, unlisted, Serving
//!                     slices listed it
//!                     a daemon's Spreading ──────────────────┘   visible, withdrawn
//! RolloutStatus ──► progress: whether it is over
//! ```
//!
//! An endpoint *serves* while the slices list it as ready, and its pod is ready and not being deleted. A pod that is *waiting* is ready and
//! not listed yet. A pod that is *lingering* is listed, and is not ready any more or is being deleted. States are computed from what both
//! watches said, by the times of arrival: the order in which events were processed does not matter.
//!
//! This module is pure: no I/O, no clock, no client.

mod facts;
mod follower;
mod nodes;
mod own;
mod progress;
mod report;
mod serving;
mod slices;

pub use self::{
    facts::Moment,
    follower::Follower,
    nodes::{InEffect, Spreading},
    own::is_made_by,
    progress::{Progress, progress, under_way},
    report::{EndpointReport, HopDelay, Leg, PodReport, Report, ServiceReport},
    serving::Serving,
};

#[cfg(test)]
mod tests;
