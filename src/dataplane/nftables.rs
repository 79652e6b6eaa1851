//! How kube-proxy writes Services in mode nftables: the table `kube-proxy` of its `pkg/proxy/nftables`.
//!
//! A packet for a clusterIP finds a chain in the map `service-ips`. The rule of that chain picks an endpoint from an anonymous
//! map, or names the only endpoint; with sessionAffinity it leads to a chain for each endpoint. The map `no-endpoint-services` is
//! not read: the commit that adds a frontend there also removes it from `service-ips`.

use super::{
    observation::{Backend, Frontend, Protocol},
    rule::{address, port},
    table::Entrance,
};
use crate::model::Family;

/// Name of the table.
pub(crate) const TABLE: &str = "kube-proxy";

/// Where packets from other nodes and from pods enter.
pub(crate) const ENTRY: Entrance = Entrance { from: "nat-prerouting", to: "services" };

/// The map from frontends to chains.
pub(crate) const SERVICES: &str = "service-ips";

/// The chain that only marks packets.
pub(crate) const MASQUERADE: &str = "mark-for-masquerade";

/// Whether a chain of the map `service-ips` is for clusterIPs, with either traffic policy. `external-...` is for all other addresses of
/// Services.
pub(crate) fn is_of_cluster_ip(chain: &str) -> bool {
    chain.starts_with("service-") || chain.starts_with("local-")
}

/// The frontend of a key of the map `service-ips`. Each part of the key is padded to whole 32-bit words.
pub(crate) fn frontend(family: Family, key: &[u8]) -> Option<Frontend> {
    let (address, rest) = split(family, key)?;
    let [protocol, _, _, _, rest @ ..] = rest else { return None };
    Some(Frontend { address, protocol: Protocol::from_number(*protocol)?, port: port(rest)? })
}

/// The endpoint of an element of an anonymous map.
pub(crate) fn endpoint(family: Family, value: &[u8]) -> Option<Backend> {
    let (address, rest) = split(family, value)?;
    Some(Backend { address, port: port(rest)? })
}

fn split(family: Family, bytes: &[u8]) -> Option<(std::net::IpAddr, &[u8])> {
    let length = if family == Family::V4 { 4 } else { 16 };
    let (first, rest) = bytes.split_at_checked(length)?;
    Some((address(family, first)?, rest))
}
