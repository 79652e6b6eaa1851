//! What the kernel of a node does with the connections of Services, in the terms that are reported.

use super::effective::EffectiveSets;
pub use crate::model::{Backend, Frontend, Protocol, SetChange};
use crate::model::{Families, Family, Stamp};

/// A change in what the kernel does with new connections, and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What changed.
    pub change: SetChange,
    /// When it changed.
    pub when: When,
}

/// When a change took effect. Stamps are nanoseconds of CLOCK_MONOTONIC_RAW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With a commit that was read when it came.
    Commit(Commit),
    /// At an unknown time in a gap in which no commits were read. It cannot be used for timing.
    Gap(Gap),
}

/// A transaction of the kernel's rules: all of it takes effect at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Receipt of its first datagram. The kernel sends datagrams after the commit took effect, so this is the tighter upper bound
    /// if `messages` is in the thousands.
    pub first: Stamp,
    /// Receipt of its end, the notification of the new generation.
    pub end: Stamp,
    /// Messages in it, without that notification.
    pub messages: u32,
    /// The kernel's number for the rules after it. It counts the commits of all programs in this network namespace.
    pub generation: u32,
}

/// A time in which commits were missed, or not read when they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When the rules were last known.
    pub since: Stamp,
    /// When they were known again.
    pub until: Stamp,
    /// Why they were unknown in between.
    pub loss: Loss,
}

/// Why commits were missed, or not read when they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The kernel sent more than the socket's buffer holds.
    SocketOverrun,
    /// More arrived than the queue holds until it is read.
    QueueOverflow,
    /// The generation increased by more than one.
    MissedGeneration,
    /// A message could not be read.
    Malformed,
    /// The receiving thread did not run: it was stopped, throttled or swapped out.
    NotRunning,
}

/// How kube-proxy writes rules, for the modes that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `--proxy-mode=nftables`: the table `kube-proxy`.
    Nftables,
    /// `--proxy-mode=iptables` with the nf_tables variant of iptables: the table `nat`.
    Iptables,
}

/// A data plane that does not use nf_tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unseen {
    /// Tables of the legacy variant of iptables.
    IptablesLegacy,
    /// kube-proxy in mode ipvs.
    Ipvs,
    /// Cilium.
    Cilium,
    /// Calico's eBPF data plane.
    CalicoEbpf,
}

/// Which rules for Services the kernel has for one address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyPlane {
    /// The rules that a new connection meets first.
    pub decides: Option<Mode>,
    /// The rules that it meets only for frontends that are not in the first ones: another mode of kube-proxy left them behind.
    pub behind: Option<Mode>,
}

/// Which data planes a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planes {
    /// Rules that are watched, for IPv4 and IPv6.
    pub families: [FamilyPlane; 2],
    /// What was found if neither family has such rules.
    pub unseen: Vec<Unseen>,
}

/// A report of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Everything that the kernel does now. This is the first report, and the only one of this kind: later ones contain changes.
    State {
        /// When this was the state.
        at: Stamp,
        /// The endpoints of each frontend.
        sets: EffectiveSets,
    },
    /// The kernel's behaviour changed.
    Changed(Observation),
    /// For a time, no commits were read. The changes that were found afterwards follow. Each has this gap as its time.
    Gap(Gap),
    /// The data planes of the node: after the state, and whenever they change.
    Planes(Planes),
}

// === impl Loss ===

impl Loss {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SocketOverrun, Self::QueueOverflow, Self::MissedGeneration, Self::Malformed, Self::NotRunning];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SocketOverrun => "socket_overrun",
            Self::QueueOverflow => "queue_overflow",
            Self::MissedGeneration => "missed_generation",
            Self::Malformed => "malformed",
            Self::NotRunning => "not_running",
        }
    }
}

// === impl Mode ===

impl Mode {
    /// The value of kube-proxy's flag.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

// === impl Unseen ===

impl Unseen {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IptablesLegacy => "iptables-legacy",
            Self::Ipvs => "ipvs",
            Self::Cilium => "cilium",
            Self::CalicoEbpf => "calico-ebpf",
        }
    }
}

// === impl Planes ===

impl Planes {
    /// Whether there are rules that can be watched.
    pub fn is_seen(&self) -> bool {
        !self.seen().is_empty()
    }

    /// The address families that have rules that can be watched.
    pub fn seen(&self) -> Families {
        let families = Family::ALL.into_iter().zip(&self.families);
        families.filter(|(_, plane)| plane.decides.is_some()).map(|(family, _)| family).collect()
    }
}
