//! What the kernel of a node does with the connections of Services, in the words in which it is told to others.

use super::effective::EffectiveSets;
use crate::model::{Family, Stamp};
use std::{fmt, net::IpAddr};

/// What a client connects to: a clusterIP, a protocol and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// The clusterIP.
    pub address: IpAddr,
    /// Protocol of the port.
    pub protocol: Protocol,
    /// Port of the Service, not of its pods.
    pub port: u16,
}

/// A protocol that a Service can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Where new connections of a frontend may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address of the pod.
    pub address: IpAddr,
    /// Port of the pod.
    pub port: u16,
}

/// How the endpoints of one frontend changed. At least one was added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// Whose endpoints.
    pub frontend: Frontend,
    /// Those that new connections may go to now, and could not before; ascending.
    pub added: Vec<Endpoint>,
    /// Those that new connections no longer go to; ascending.
    pub removed: Vec<Endpoint>,
}

/// A change of what the kernel does with new connections, and when that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What changed.
    pub change: SetChange,
    /// When.
    pub when: When,
}

/// When a change took effect. Stamps are nanoseconds of CLOCK_MONOTONIC_RAW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// With a commit that was read as it came.
    Commit(Commit),
    /// Somewhen in a time in which nobody listened. Nothing can be timed by it.
    Gap(Gap),
}

/// A transaction of the kernel's rules: all of it takes effect at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Receipt of its first datagram. The kernel sends datagrams after the commit took effect, so this is the tighter bound from
    /// above where `messages` are thousands.
    pub first: Stamp,
    /// Receipt of its end, the notice of the new generation.
    pub end: Stamp,
    /// Messages in it, without that notice.
    pub messages: u32,
    /// The kernel's number for the rules after it. It counts every program's commits in this network namespace.
    pub generation: u32,
}

/// A time in which commits were missed, or not read when they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When the rules were last known.
    pub since: Stamp,
    /// When they were known again.
    pub until: Stamp,
    /// Why they were not in between.
    pub loss: Loss,
}

/// Why commits were missed, or not read when they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The kernel had more to tell than the socket's buffer holds.
    SocketOverrun,
    /// More was told than is kept until it is looked at.
    QueueOverflow,
    /// The generation went on by more than one.
    MissedGeneration,
    /// A message could not be read.
    Malformed,
    /// The thread that receives did not run: it was stopped, throttled or swapped out.
    NotRunning,
}

/// How kube-proxy writes rules that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `--proxy-mode=nftables`: the table `kube-proxy`.
    Nftables,
    /// `--proxy-mode=iptables` with the nf_tables variant of iptables: the table `nat`.
    Iptables,
}

/// A data plane that does not tell what it does through nf_tables.
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
    /// Those that a new connection meets first.
    pub decides: Option<Mode>,
    /// Those that it meets only for frontends that the first leave alone: what another mode of kube-proxy left behind.
    pub behind: Option<Mode>,
}

/// Which data planes a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planes {
    /// Rules that are watched, for IPv4 and IPv6.
    pub families: [FamilyPlane; 2],
    /// What was found where there are none for either family.
    pub unseen: Vec<Unseen>,
}

/// What a reader tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// All that the kernel does now. The first report, and the only one of its kind: later ones say what changes.
    State {
        /// When it was so.
        at: Stamp,
        /// The endpoints of each frontend.
        sets: EffectiveSets,
    },
    /// What the kernel does changed.
    Changed(Observation),
    /// Nobody listened for a time. The changes that were found afterwards follow, each with this gap as its time.
    Gap(Gap),
    /// The data planes of the node, after the state and whenever they differ.
    Planes(Planes),
}

// === impl Frontend ===

impl Frontend {
    /// Address family of the clusterIP.
    pub fn family(&self) -> Family {
        if self.address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

// === impl Protocol ===

impl Protocol {
    /// From the number that IP has for it.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }

    /// The number that IP has for it.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// As Services write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

// === impl Endpoint ===

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

// === impl Loss ===

impl Loss {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SocketOverrun, Self::QueueOverflow, Self::MissedGeneration, Self::Malformed, Self::NotRunning];

    /// A word for it.
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
    /// As kube-proxy's flag has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

// === impl Unseen ===

impl Unseen {
    /// A word for it.
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
    /// Whether any rules are there to watch.
    pub fn is_seen(&self) -> bool {
        self.families.iter().any(|family| family.decides.is_some())
    }
}
