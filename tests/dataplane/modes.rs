//! kube-proxy changes its mode, and the agent continues.

use super::agent::{Agent, Plane};
use super::probe::Prober;
use super::story::create_service;
use super::{MACHINE, kernel, shared_plane};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use testkit::controlplane::objects::Objects;
use testkit::node::{Mode, Node};

/// Ample time until a client gets its answer on a busy machine.
const SOON: Duration = Duration::from_secs(30);

fn deciding(mode: &str, behind: Option<&str>) -> Plane {
    Plane { decides: Some(mode.to_owned()), behind: behind.map(str::to_owned) }
}

#[tokio::test]
async fn a_change_of_mode_is_followed() -> Result<()> {
    let _machine = MACHINE.read().await;
    let plane = shared_plane().await?;
    let mut node = Node::create(plane).await?;
    let objects = Objects::create(plane.admin().await?, "modes").await?;
    let target = create_service(plane, &objects, "modes", json!({ "sessionAffinity": "ClientIP" })).await?;
    let pod = objects.create_pod("pod", "modes").await?;
    objects.report(&pod, true).await?;
    objects.wait_for_endpoints("modes", 1).await?;
    let present = BTreeSet::from([SocketAddr::from((pod.ipv4(), 8080))]);

    // The agent starts before any kube-proxy.
    let mut agent = Agent::start(&node, &[]).await?;
    let (ipv4, ipv6, _) = agent.planes().context("planes")?;
    ensure!((&ipv4, &ipv6) == (&Plane::default(), &Plane::default()), "{ipv4:?}, {ipv6:?}");
    for mode in [Mode::Nftables, Mode::Iptables, Mode::Nftables] {
        node.start_proxy(mode).await?;
        agent.wait_for(target, &present).await?;
        agent
            .wait(mode.name(), |lines| {
                let planes = lines.iter().rev().find_map(|line| match line {
                    super::agent::Line::Planes { ipv4, ipv6, .. } => Some((ipv4, ipv6)),
                    _ => None,
                });
                planes == Some((&deciding(mode.name(), None), &deciding(mode.name(), None)))
            })
            .await?;
        let says = kernel::endpoints(&node.namespace, mode, target)?;
        ensure!(says == present, "{mode:?}: the kernel's tools say {says:?}, and not {present:?}");
        node.stop_proxy().await?;
    }

    // Rules of the other mode that were left behind, in a table newer than the one of kube-proxy: that table decides, as the client
    // confirms.
    let stale = SocketAddr::from((Ipv4Addr::new(10, 244, 77, 7), 8080));
    node.namespace.run("nft", &["delete", "table", "ip", "nat"])?;
    for line in [
        "-N KUBE-SERVICES",
        "-N KUBE-SVC-STALE",
        "-A PREROUTING -j KUBE-SERVICES",
        "-A OUTPUT -j KUBE-SERVICES",
        &format!("-A KUBE-SVC-STALE -p tcp -j DNAT --to-destination {stale}"),
        &format!("-A KUBE-SERVICES -d {}/32 -p tcp -m tcp --dport {} -j KUBE-SVC-STALE", target.ip(), target.port()),
    ] {
        node.namespace.run("iptables", &[&["-t", "nat"], &*line.split(' ').collect::<Vec<_>>()].concat())?;
    }
    agent.wait_for(target, &BTreeSet::from([stale])).await?;
    reaches(&node, target, stale).await?;
    let (ipv4, ..) = agent.planes().context("planes")?;
    ensure!(ipv4 == deciding("iptables", Some("nftables")), "{ipv4:?}");

    // After it was created again, the table of kube-proxy is the newer one.
    node.namespace.run("nft", &["delete", "table", "ip", "kube-proxy"])?;
    node.start_proxy(Mode::Nftables).await?;
    agent.wait_for(target, &present).await?;
    reaches(&node, target, *present.first().context("an endpoint")?).await?;
    ensure!(agent.losses().iter().all(|loss| loss == "not_running"), "{:?}", agent.losses());
    Ok(())
}

/// Checks that a client reaches this endpoint. On a busy machine a connection may get no answer in time, or the client does not run.
async fn reaches(node: &Node, target: SocketAddr, expected: SocketAddr) -> Result<()> {
    let started = Instant::now();
    loop {
        let prober = Prober::start(&node.namespace, target)?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let reached = prober.finish()?.last().and_then(|probe| probe.reached());
        if reached == Some(expected) {
            return Ok(());
        }
        ensure!(started.elapsed() < SOON, "a client reaches {reached:?}, and not {expected}");
    }
}
