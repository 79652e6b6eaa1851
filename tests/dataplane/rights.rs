//! The capabilities that the agent needs, and its messages if they are missing or if there is nothing to see.

use super::agent::Agent;
use super::{MACHINE, shared_plane};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use testkit::namespace::Namespace;
use testkit::node::Node;

/// The agent with only some of root's capabilities.
fn with_capabilities(namespace: &Namespace, kept: &str) -> Command {
    let mut command = namespace.command("setpriv");
    command.arg(format!("--bounding-set={kept}")).arg(format!("--inh-caps={kept}"));
    command.arg(env!("CARGO_BIN_EXE_endpointlag")).arg("node");
    command
}

#[tokio::test]
async fn without_cap_net_admin_it_says_what_to_do() -> Result<()> {
    let _machine = MACHINE.read().await;
    let namespace = Namespace::create()?;
    let output = with_capabilities(&namespace, "-net_admin").output()?;
    let says = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    ensure!(says.contains("CAP_NET_ADMIN") && says.contains("hostNetwork"), "{says}");
    Ok(())
}

#[tokio::test]
async fn cap_net_admin_is_all_that_it_needs() -> Result<()> {
    let _machine = MACHINE.read().await;
    let node = Node::create(shared_plane().await?).await?;
    let command = with_capabilities(&node.namespace, "-all,+net_admin");
    let agent = Agent::start_command(&node, command).await?;
    ensure!(agent.sets().is_empty(), "{:?}", agent.sets());
    Ok(())
}

#[tokio::test]
async fn what_it_cannot_see_is_named() -> Result<()> {
    let _machine = MACHINE.read().await;
    let node = Node::create(shared_plane().await?).await?;
    node.namespace.run("iptables-legacy", &["-t", "nat", "-L"])?;
    node.namespace.run("ip", &["link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "ipvs-peer"])?;
    let mut agent = Agent::start(&node, &[]).await?;
    let (ipv4, ipv6, unseen) = agent.planes().context("planes")?;
    ensure!(ipv4.decides.is_none() && ipv6.decides.is_none(), "{ipv4:?}, {ipv6:?}");
    ensure!(unseen == ["iptables-legacy", "ipvs"], "{unseen:?}");
    // It continues to look.
    node.namespace.run("ip", &["link", "add", "cilium_host", "type", "veth", "peer", "name", "cilium-peer"])?;
    agent
        .wait("cilium", |lines| {
            let is_cilium = |unseen: &Vec<String>| unseen.iter().any(|it| it == "cilium");
            lines.iter().any(|line| matches!(line, super::agent::Line::Planes { unseen, .. } if is_cilium(unseen)))
        })
        .await
}
