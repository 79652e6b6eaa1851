//! The hops of a change, and what starts it.

/// A hop on the way of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// From the API server to the EndpointSlice: the EndpointSlice controller writes.
    Slice,
    /// From the EndpointSlice to a node: kube-proxy, or its replacement, programs the kernel.
    DataPlane,
}

/// What started a change. On a later hop it is still the cause on the first hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An event of the pod.
    Pod,
    /// The Service was created or edited.
    Service,
    /// Both sides were seen for the first time, and differed. The change began earlier, unseen.
    FirstSight,
    /// It was reflected at once, but an earlier change that it overtook was written after it.
    LateWrite,
}

// === impl Hop ===

impl Hop {
    /// Its name in samples and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slice => "slice",
            Self::DataPlane => "data-plane",
        }
    }
}

// === impl Cause ===

impl Cause {
    /// Its name in samples and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Service => "service",
            Self::FirstSight => "first-sight",
            Self::LateWrite => "late-write",
        }
    }
}
