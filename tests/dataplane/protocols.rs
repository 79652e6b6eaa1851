//! Services over each protocol that Kubernetes has. kube-proxy writes different rules for them.

use super::agent::Agent;
use super::story::create_service;
use super::{MACHINE, shared_plane};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use testkit::controlplane::objects::Objects;
use testkit::node::{Mode, Node};

/// The target port of each protocol.
const PROTOCOLS: [(&str, u16); 3] = [("TCP", 8080), ("UDP", 8081), ("SCTP", 8082)];

#[tokio::test]
async fn nftables() -> Result<()> {
    endpoints_are_seen_over_each_protocol(Mode::Nftables).await
}

#[tokio::test]
async fn iptables() -> Result<()> {
    endpoints_are_seen_over_each_protocol(Mode::Iptables).await
}

async fn endpoints_are_seen_over_each_protocol(mode: Mode) -> Result<()> {
    let _machine = MACHINE.read().await;
    let plane = shared_plane().await?;
    let mut node = Node::create(plane).await?;
    let name = format!("protocols-{}", mode.name());
    let objects = Objects::create(plane.admin().await?, &name).await?;
    let ports = PROTOCOLS.map(|(protocol, target)| {
        json!({ "name": protocol.to_lowercase(), "protocol": protocol, "port": 80, "targetPort": target })
    });
    let target = create_service(plane, &objects, &name, json!({ "ports": ports })).await?;
    let pod = objects.create_pod("pod", &name).await?;
    objects.report(&pod, true).await?;
    // Some are in the first state, and others come while the agent runs.
    node.start_proxy(mode).await?;
    let mut agent = Agent::start(&node, &[]).await?;
    for (protocol, port) in PROTOCOLS {
        let endpoints = BTreeSet::from([SocketAddr::from((pod.ipv4(), port))]);
        agent.wait_over(protocol, target, &endpoints).await?;
    }
    objects.report(&pod, false).await?;
    for (protocol, _) in PROTOCOLS {
        agent.wait_over(protocol, target, &BTreeSet::new()).await?;
    }
    Ok(())
}
