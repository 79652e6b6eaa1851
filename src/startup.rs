//! The start of each pod in phases, and the report hop: from the kubelet's status to the watch.
//!
//! Pure: no I/O, no clock, no client. The times come from the pods' own conditions and containers, and from the arrival of events.
//!
//! ```text
//!  a pod is new ──► waiting: its first Ready ─────────► settling: its Services list it ──► finished: a timeline each
//!                      ▲                                  Report::Ended of the slice hop      │
//!  a ready pod turns unready: what it was before          of each Service                     ▼ programming's Spread: in effect
//! ```
//!
//! Most times in a pod are whole seconds of other machines' clocks. They are named as such wherever they are shown. Only the pod's
//! first start has phases. What happens later is told apart and counted: a container was restarted, all were, the pod got a new
//! sandbox as after a reboot of its node, or only the readiness probe failed for a while. What was not seen is not guessed: a pod
//! that a list showed for the first time has no phases, and neither has one that a list showed again.

mod classify;
mod finished;
mod phase;
mod phases;
mod report;
mod waiting;
mod watcher;

pub use self::{
    classify::Kind,
    finished::{Finished, KEPT, Timeline},
    phase::Phase,
    phases::Phases,
    report::{Report, Standing},
    watcher::{Startup, StartupSettings, Transition},
};

#[cfg(test)]
mod tests;
