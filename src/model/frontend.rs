//! Where connections of Services go: the terms in which slices and kernels are compared.

use super::Family;
use core::{fmt, net::IpAddr};

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
pub struct Backend {
    /// Address of the pod.
    pub address: IpAddr,
    /// Port of the pod.
    pub port: u16,
}

/// How the endpoints of one frontend changed. At least one was added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    /// The frontend of these endpoints.
    pub frontend: Frontend,
    /// Backends that new connections may go to now, and could not before; ascending.
    pub added: Vec<Backend>,
    /// Backends that new connections no longer go to; ascending.
    pub removed: Vec<Backend>,
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
    /// From the IP protocol number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }

    /// From the name in Service objects.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// The IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The name in Service objects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

// === impl Backend ===

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:{}", self.port),
            IpAddr::V6(address) => write!(f, "[{address}]:{}", self.port),
        }
    }
}
