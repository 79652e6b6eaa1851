//! How kube-proxy writes Services in mode iptables: chains of its `pkg/proxy/iptables` in the table `nat`.
//!
//! A packet for a clusterIP matches a rule in `KUBE-SERVICES`, which leads to a chain `KUBE-SVC-...`, or `KUBE-SVL-...` with
//! internalTrafficPolicy Local. That chain picks one of the chains `KUBE-SEP-...`, each with the address of an endpoint. The table
//! `filter` is not read: a frontend that is rejected there has no rule here.

use super::table::Entrance;

/// Name of the table.
pub(crate) const TABLE: &str = "nat";

/// Where packets from other nodes and from pods enter.
pub(crate) const ENTRY: Entrance = Entrance { from: "PREROUTING", to: SERVICES };

/// The chain with a rule for each frontend.
pub(crate) const SERVICES: &str = "KUBE-SERVICES";

/// The chain that only marks packets. Each `KUBE-SEP-...` has a jump there.
pub(crate) const MASQUERADE: &str = "KUBE-MARK-MASQ";

/// Whether a chain is kept. The table has other owners as well.
pub(crate) fn is_kept(chain: &str) -> bool {
    chain.starts_with("KUBE-") || chain == ENTRY.from
}

/// Whether a chain that `KUBE-SERVICES` leads to is for clusterIPs, with either traffic policy. `KUBE-EXT-...` and `KUBE-FW-...` are for
/// all other addresses of Services.
pub(crate) fn is_of_cluster_ip(chain: &str) -> bool {
    chain.starts_with("KUBE-SVC-") || chain.starts_with("KUBE-SVL-")
}
