//! The phases of a pod's start.

use std::fmt;

/// A phase of a pod's first start. Each but the last begins where the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// From its creation until the scheduler gave it a node.
    Scheduled,
    /// From then until its init containers had succeeded and its sidecars had started. The images of both are pulled in this time.
    Initialized,
    /// From then until the last of its containers was started. The images of the containers are pulled in this time.
    Started,
    /// From then until all its containers were ready: the cold start of the application, and the granularity of the probes.
    ContainersReady,
    /// From then until it was Ready. Only of pods with readiness gates.
    ReadinessGates,
    /// From then until the watch delivered it: the report hop.
    Reported,
    /// From then until the EndpointSlices of a Service listed it as ready: the slice hop. Both times are the daemon's own.
    Listed,
    /// From then until it was in effect on all nodes that have to follow. Only with agents.
    InEffect,
    /// From its creation until the EndpointSlices listed it as ready: all phases but the one before.
    Total,
}

// === impl Phase ===

impl Phase {
    /// All, in the order of [`Phase::index`].
    pub const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Initialized,
        Self::Started,
        Self::ContainersReady,
        Self::ReadinessGates,
        Self::Reported,
        Self::Listed,
        Self::InEffect,
        Self::Total,
    ];

    /// The value of the label `phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Initialized => "initialized",
            Self::Started => "started",
            Self::ContainersReady => "containers_ready",
            Self::ReadinessGates => "readiness_gates",
            Self::Reported => "reported",
            Self::Listed => "listed",
            Self::InEffect => "in_effect",
            Self::Total => "total",
        }
    }

    /// Position in [`Phase::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
