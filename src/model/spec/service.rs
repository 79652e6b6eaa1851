//! Services, where their pods are, and where the path of their traffic goes on.

use std::{fmt, sync::Arc};

/// A Service with a selector, as far as it is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Numbers or names of the ports of its pods.
    pub target_ports: Vec<String>,
    /// publishNotReadyAddresses: its endpoints count as ready whatever the pods say.
    pub publishes_not_ready: bool,
    /// externalTrafficPolicy Local: nodes without an endpoint take no traffic from outside.
    pub is_local_outside: bool,
    /// The ready pods.
    pub places: Vec<Place>,
    /// Where the path of its traffic goes on after the kernel of a node, or does not go through it.
    pub beyond: Vec<Beyond>,
    /// The annotation with which its owner ignores advice.
    pub ignored: Option<String>,
}

/// Where a ready pod is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its node.
    pub node: Arc<str>,
    /// The zone of its node; `None` if the node has none, or may not be read.
    pub zone: Option<Arc<str>>,
}

/// Something that learns of endpoints by itself, so that the kernels of the nodes are not the end of the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beyond {
    /// An Ingress names the Service.
    Ingress(String),
    /// An HTTPRoute names it.
    HttpRoute(String),
    /// Google's network endpoint groups follow it.
    Neg,
    /// A TargetGroupBinding names it: a load balancer of AWS sends to pods.
    TargetGroupBinding(String),
    /// A proxy in its pods belongs to a mesh, which sends endpoints to its proxies.
    Mesh(String),
    /// It has no clusterIP: clients resolve its name, and remember addresses.
    Headless,
    /// Objects of this kind may not be read, so one of them may name it.
    Unread(&'static str),
}

// === impl Beyond ===

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ingress(name) => write!(f, "Ingress {name}"),
            Self::HttpRoute(name) => write!(f, "HTTPRoute {name}"),
            Self::Neg => write!(f, "network endpoint groups (cloud.google.com/neg)"),
            Self::TargetGroupBinding(name) => write!(f, "TargetGroupBinding {name}"),
            Self::Mesh(proxy) => write!(f, "the mesh of {proxy}"),
            Self::Unread(kind) => write!(f, "perhaps {kind}, which may not be read"),
            Self::Headless => write!(f, "DNS, as the Service is headless"),
        }
    }
}
