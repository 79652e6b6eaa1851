//! What is set: the settings of workloads and Services that decide about availability. [`advice`](crate::advice) judges them.
//!
//! ```text
//! ServiceSpec ──► Backing ──► Workload ──► PodTemplate ──► Container ──► Probe, Hook
//!     │              └──► Budget, Autoscaler: what else acts on its pods
//!     │              └──► RolloutStatus: how far its rollout is
//!     └──► Place: where its ready pods are;  Beyond: where the path of traffic goes on after the kernel
//! ```
//!
//! Defaults of the API server are resolved: an object that was read has them, except where a field says otherwise.

mod container;
mod guard;
mod rollout;
mod service;
mod sleep;
mod workload;

pub use self::{
    container::{Container, ContainerPort, Handler, Hook, HttpGet, MESH_PROXIES, Probe, Transport},
    guard::{Autoscaler, Budget, Limit, Scaled},
    rollout::RolloutStatus,
    service::{Beyond, Place, ServiceSpec},
    workload::{Backing, Obstacle, PodTemplate, StartSource, StartTimes, Strategy, Workload, WorkloadKind},
};

/// The annotation with which the owner of a Service or a workload ignores advice: `CHECK=REASON`, several separated by semicolons.
pub const IGNORE_ADVICE_ANNOTATION: &str = "endpointlag.io/ignore-advice";

/// A number of pods, or a share of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// This many pods.
    Number(u32),
    /// This percentage of all pods.
    Percent(u32),
}

// === impl Amount ===

impl Amount {
    /// The number of pods of `total`, rounded down where it is a share.
    pub fn rounded_down(&self, total: u32) -> u32 {
        match *self {
            Self::Number(number) => number,
            Self::Percent(percent) => clamp(u64::from(total) * u64::from(percent) / 100),
        }
    }

    /// The number of pods of `total`, rounded up where it is a share.
    pub fn rounded_up(&self, total: u32) -> u32 {
        match *self {
            Self::Number(number) => number,
            Self::Percent(percent) => clamp((u64::from(total) * u64::from(percent)).div_ceil(100)),
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

fn clamp(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
