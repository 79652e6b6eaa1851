//! Where kernels should send the connections of a Service, as `CategorizeEndpoints` of k8s.io/kubernetes/pkg/proxy decides it.

use crate::model::{Backend, EndpointPort, Family, Fingerprint, Frontend, Protocol, ServicePort, Uid, VirtualIps};
use core::net::IpAddr;
use std::{
    collections::{BTreeMap, btree_map::Entry as Place},
    sync::Arc,
};

/// An endpoint of a slice, as far as kernels are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) pod: Uid,
    /// `None` if kube-proxy cannot use it.
    pub(super) address: Option<IpAddr>,
    pub(super) node: Option<Arc<str>>,
    pub(super) has_hints: bool,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
}

/// A slice, as far as kernels are concerned.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) family: Family,
    pub(super) ports: Vec<EndpointPort>,
    /// In the order in which they arrived.
    pub(super) listed: Vec<Listed>,
}

/// Which nodes use the endpoints of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All nodes.
    Everywhere,
    /// Only the node of each endpoint.
    OwnNode,
    /// It depends on the zones or names of the nodes.
    Unknown,
}

/// The backends of one frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) reach: Reach,
    /// Of all its members.
    pub(super) fingerprint: Fingerprint,
    pub(super) members: BTreeMap<Backend, Member>,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pod: Uid,
    pub(super) node: Option<Arc<str>>,
}

/// A backend that the slices list, ready or not.
struct Candidate<'a> {
    listed: &'a Listed,
    ready: bool,
    /// Used if none is ready.
    fallback: bool,
}

/// The frontends of a Service, each with its target.
pub(super) fn targets<'a>(
    virtual_ips: &VirtualIps,
    ports: &[ServicePort],
    slices: impl Iterator<Item = &'a Slice> + Clone,
) -> Vec<(Frontend, Target)> {
    let mut all = Vec::new();
    for address in &virtual_ips.addresses {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        for (port, number) in ports.iter().zip(&virtual_ips.ports) {
            let Some(protocol) = Protocol::from_name(&port.protocol) else { continue };
            let frontend = Frontend { address: *address, protocol, port: *number };
            let slices = slices.clone().filter(|slice| slice.family == family);
            all.push((frontend, target(candidates(port, slices), virtual_ips.is_local)));
        }
    }
    all
}

/// The backends of a port. kube-proxy uses each address and port once, however many slices list it.
fn candidates<'a>(port: &ServicePort, slices: impl Iterator<Item = &'a Slice>) -> BTreeMap<Backend, Candidate<'a>> {
    let mut all = BTreeMap::new();
    for slice in slices {
        let is_same = |it: &&EndpointPort| it.name == port.name && it.protocol == port.protocol;
        let number = slice.ports.iter().find(is_same).and_then(|port| u16::try_from(port.number?).ok());
        let Some(number) = number else { continue };
        for listed in &slice.listed {
            let Some(address) = listed.address else { continue };
            let (ready, fallback) = (listed.ready, listed.serving && listed.terminating);
            match all.entry(Backend { address, port: number }) {
                Place::Vacant(free) => drop(free.insert(Candidate { listed, ready, fallback })),
                Place::Occupied(mut known) => {
                    let known: &mut Candidate = known.get_mut();
                    known.ready |= ready;
                    known.fallback |= fallback;
                }
            }
        }
    }
    all
}

fn target(candidates: BTreeMap<Backend, Candidate<'_>>, is_local: bool) -> Target {
    let reach = match is_local {
        true => Reach::OwnNode,
        false if candidates.values().any(|it| it.listed.has_hints) => Reach::Unknown,
        false => Reach::Everywhere,
    };
    // The endpoints that compete with each other: all of them, or those on one node.
    let group = |it: &Candidate<'_>| if is_local { it.listed.node.clone() } else { None };
    let mut has_ready: BTreeMap<Option<Arc<str>>, bool> = BTreeMap::new();
    for candidate in candidates.values() {
        *has_ready.entry(group(candidate)).or_default() |= candidate.ready;
    }
    let is_used = |it: &Candidate<'_>| if has_ready[&group(it)] { it.ready } else { it.fallback };
    let used = candidates.into_iter().filter(|(_, it)| is_used(it));
    let member = |it: &Candidate<'_>| Member { pod: it.listed.pod.clone(), node: it.listed.node.clone() };
    Target::new(reach, used.map(|(backend, it)| (backend, member(&it))).collect())
}

// === impl Target ===

impl Target {
    pub(super) fn new(reach: Reach, members: BTreeMap<Backend, Member>) -> Self {
        Self { reach, fingerprint: members.keys().collect(), members }
    }

    /// What a node should have; `None` if that is not known.
    pub(super) fn on(&self, node: &str) -> Option<Fingerprint> {
        let is_on = |member: &Member| member.node.as_deref() == Some(node);
        match self.reach {
            Reach::Everywhere => Some(self.fingerprint),
            Reach::OwnNode => {
                Some(self.members.iter().filter(|(_, it)| is_on(it)).map(|(backend, _)| backend).collect())
            }
            Reach::Unknown => None,
        }
    }
}
