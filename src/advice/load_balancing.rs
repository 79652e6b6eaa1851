//! kube-proxy and the traffic policies: how connections get to endpoints.

use super::{
    Facts, Finding, Measured, Target, checks,
    finding::Findings,
    measured::ENOUGH,
    words::{counted, delay, window},
};
use crate::model::spec::ServiceSpec;
use std::{collections::BTreeMap, time::Duration};

/// In total less than this is not slow.
const SLOW: Duration = Duration::from_secs(1);

/// From this number of Services on, a full sync of iptables rules is slow.
const MANY_SERVICES: usize = 1_000;

pub(super) fn of_service(service: &ServiceSpec, measured: Option<&Measured>, findings: &mut Findings) {
    if let Some(measured) = measured {
        node_hop(service, measured, findings);
    }
    let mut by_node: BTreeMap<&str, usize> = BTreeMap::new();
    for place in &service.places {
        *by_node.entry(&place.node).or_default() += 1;
    }
    if !service.is_local_outside || by_node.is_empty() || by_node.values().any(|endpoints| *endpoints > 1) {
        return;
    }
    let nodes = counted(by_node.len() as u64, "node");
    let finding = Finding::new(
        checks::LOCAL_ONE_ENDPOINT,
        Target::of_service(service),
        format!("externalTrafficPolicy: Local, {nodes} with one ready endpoint each"),
    )
    .advice(
        "A preStop sleep longer than the load balancer's health check takes to fail, or \
         externalTrafficPolicy: Cluster.",
    )
    .cost("With Cluster the pods do not see the addresses of clients, and connections may take another hop.");
    findings.add(finding);
}

fn node_hop(service: &ServiceSpec, measured: &Measured, findings: &mut Findings) {
    let slow = measured.nodes.iter().filter_map(|(change, nodes)| {
        let slices = measured.changes.get(change)?.p50;
        let is_slow = nodes.count >= ENOUGH && slices + nodes.median >= SLOW && nodes.median >= slices;
        is_slow.then_some((change, slices, nodes))
    });
    let Some((change, slices, nodes)) = slow.max_by_key(|(_, _, nodes)| nodes.median) else { return };
    let share = 100.0 * nodes.median.as_secs_f64() / (slices + nodes.median).as_secs_f64();
    let finding = Finding::new(
        checks::NODE_HOP,
        Target::of_service(service),
        "not known from here: the \
         configuration of kube-proxy",
    )
    .measured(format!(
        "{change}: median {} until the slice, then {} until the last node ({share:.0} %), longest {}; {} \
         changes in {}",
        delay(slices),
        delay(nodes.median),
        delay(nodes.longest),
        nodes.count,
        window(measured.recent.unwrap_or(measured.window))
    ))
    .advice(
        "Look for nodes that are always last (endpointlag_stale_nodes, /api/v1/changes), then at \
         minSyncPeriod and the CPU of kube-proxy.",
    )
    .cost("A shorter minSyncPeriod costs CPU on each node.");
    findings.add(finding);
}

pub(super) fn of_cluster(facts: &Facts, findings: &mut Findings) {
    let Some(nodes) = facts.proxy_modes.get("iptables").filter(|_| facts.services >= MANY_SERVICES) else { return };
    let finding = Finding::new(
        checks::PROXY_MODE_SLOW,
        Target::cluster(),
        format!("mode iptables on {nodes} nodes, {} Services", facts.services),
    )
    .advice("Mode nftables, where the kernel of all nodes has version 5.13 or later.")
    .cost("A restart of kube-proxy on each node; programs that read iptables rules have to be changed.");
    findings.add(finding);
}
