//! The hops of a change, and what starts it.

/// A hop on the way of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// From the API server to the EndpointSlice: the EndpointSlice controller writes.
    Slice,
    /// From the EndpointSlice to a node: kube-proxy, or what stands in its place, programs the kernel.
    DataPlane,
}

/// What started a change. On a later hop it is what started it on the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An event of the pod.
    Pod,
    /// The Service was created or edited.
    Service,
    /// Both sides were seen for the first time, and differed: it began before, unseen.
    FirstSight,
    /// It was reflected at once, and an earlier change that it had overtaken was written after it.
    LateWrite,
}

// === impl Hop ===

impl Hop {
    /// The word for it in samples and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slice => "slice",
            Self::DataPlane => "data-plane",
        }
    }
}

// === impl Cause ===

impl Cause {
    /// The word for it in samples and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Service => "service",
            Self::FirstSight => "first-sight",
            Self::LateWrite => "late-write",
        }
    }
}
