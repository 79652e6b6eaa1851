//! Several nodes and one daemon: what the daemon says of a change is what clients on all nodes see.

use super::fleet::{Fleet, Judged};
use super::node::{Mode, PORTS};
use super::story::Kind;
use anyhow::{Result, ensure};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::daemon::samples::Spread;
use testkit::progress::say;
use testkit::truth::Change;
use tokio::time::sleep;

/// How often the Service goes through all kinds of change.
const ROUNDS: usize = 4;

/// How far nine in ten moments may be outside of what the clients saw, beyond the stated error.
const BOUND: Duration = Duration::from_millis(5);

/// The same for all of them, on a busy machine: an agent's thread may wait for 20 ms before its stamps become unusable, and kube-proxy's
/// may wait as long before the kernel sends the notification.
const TOLERANCE: Duration = Duration::from_millis(40);

#[tokio::test]
async fn what_is_said_of_all_nodes_is_what_their_clients_see() -> Result<()> {
    let mut fleet = Fleet::begin("nodes", &[Mode::Nftables, Mode::Iptables, Mode::Nftables], &[]).await?;
    let (first, second) = (fleet.pod("first").await?, fleet.pod("second").await?);
    let [port, other_port] = PORTS;
    let mut said = Vec::new();
    for _ in 0..ROUNDS {
        said.push(fleet.report(Kind::First, &first, true, port).await?);
        said.push(fleet.report(Kind::Add, &second, true, port).await?);
        said.push(fleet.report(Kind::Remove, &first, false, port).await?);
        said.push(fleet.edit(other_port).await?);
        said.push(fleet.edit(port).await?);
        said.push(fleet.report(Kind::Last, &second, false, port).await?);
    }
    ensure!(said.iter().all(|spread| spread.nodes.total == 3), "{said:#?}");
    // On a busy machine a thread may not run for a while. What it finds afterwards has no time.
    let allowed = ["in_effect", "censored"];
    ensure!(said.iter().all(|it| it.nodes.outcomes.keys().all(|it| allowed.contains(&&**it))), "{said:#?}");

    let metrics = fleet.metrics().await?;
    let counted = metrics.sum("endpointlag_dataplane_changes_total", &[]);
    ensure!(counted == (3 * said.len()) as f64, "{counted} outcomes of {} changes on three nodes", said.len());
    let in_effect = metrics.sum("endpointlag_dataplane_changes_total", &[("outcome", "in_effect")]);
    ensure!(metrics.sum("endpointlag_dataplane_seconds_count", &[]) == in_effect, "one delay for each");
    ensure!(metrics.sum("endpointlag_dataplane_pending_changes", &[]) == 0.0, "nothing is pending");
    ensure!(
        metrics.sum("endpointlag_dataplane_unmatched_total", &[("reason", "no_change")]) == 0.0,
        "all was asked for"
    );

    let changes = said.len();
    let judged = fleet.judge()?;
    ensure!(judged.len() >= changes, "only {} shares of {changes} changes have a time", judged.len());
    for kind in [Kind::First, Kind::Add, Kind::Remove, Kind::Edit, Kind::Last] {
        report(&format!("{kind:?}"), judged.iter().filter(|it| it.kind == kind));
    }
    let [percentile_90, worst] = report("all", judged.iter());
    ensure!(percentile_90 < BOUND, "the 90th percentile is {percentile_90:?} off");
    ensure!(worst < TOLERANCE, "the worst is {worst:?} off");
    Ok(())
}

/// Prints the figures of some changes, bypassing libtest's capture. Returns the 90th percentile and the maximum.
fn report<'a>(name: &str, judged: impl Iterator<Item = &'a Judged>) -> [Duration; 2] {
    let judged: Vec<_> = judged.collect();
    let quantiles = |mut values: Vec<u64>| {
        values.sort_unstable();
        [0.5, 0.9, 1.0].map(|share: f64| {
            let rank = (values.len() as f64 * share).ceil() as usize;
            Duration::from_nanos(values.get(rank.saturating_sub(1)).copied().unwrap_or_default())
        })
    };
    let off = quantiles(judged.iter().map(|it| it.off).collect());
    let error = quantiles(judged.iter().map(|it| it.error).collect());
    say(
        "dataplane",
        &format!(
            "three nodes, {name}: {} shares; outside of what the clients saw, beyond the stated error: p50, p90, max {off:.1?}; \
             stated error {error:.1?}",
            judged.len()
        ),
    );
    [off[1], off[2]]
}

/// Checks that a change is in effect on all of this number of nodes. On a busy machine some are censored: if the agent or the daemon did not
/// run in time, and says so.
async fn is_in_effect(fleet: &Fleet, spread: &Spread, nodes: u32) -> Result<()> {
    let of = |outcome| outcomes(spread).get(outcome).copied().unwrap_or_default();
    ensure!(spread.nodes.total == nodes && of("in_effect") + of("censored") == nodes, "{spread:#?}");
    let metrics = fleet.metrics().await?;
    let gaps = metrics.sum("endpointlag_agent_gaps_total", &[("reason", "not_running")]);
    let untimed = metrics.sum("endpointlag_agent_observations_total", &[("outcome", "untimed")]);
    let reasons = gaps + untimed + metrics.sum("endpointlag_reader_stalls_total", &[]);
    ensure!(of("censored") == 0 || reasons > 0.0, "censored without a reason: {spread:#?}");
    Ok(())
}

fn outcomes(spread: &Spread) -> BTreeMap<&str, u32> {
    spread.nodes.outcomes.iter().map(|(outcome, nodes)| (&**outcome, *nodes)).collect()
}

#[tokio::test]
async fn a_node_that_lags_is_named() -> Result<()> {
    let mut fleet = Fleet::begin("lagging", &[Mode::Nftables, Mode::Nftables], &["--objective=2s"]).await?;
    let pod = fleet.pod("pod").await?;
    let lagging = fleet.followers[1].name.clone();
    let proxy = |fleet: &Fleet, signal| fleet.followers[1].node.signal_proxy(signal);
    proxy(&fleet, Signal::STOP)?;
    fleet.objects.report(&pod, true).await?;
    let stale = |count: f64| {
        move |metrics: &testkit::daemon::metrics::Metrics| {
            metrics.sum("endpointlag_stale_nodes", &[("namespace", "lagging"), ("service", "lagging")]) == count
        }
    };
    let metrics = fleet.wait("it is stale", stale(1.0)).await?;
    ensure!(metrics.sum("endpointlag_dataplane_pending_changes", &[("change", "ready")]) == 1.0, "on one node");
    proxy(&fleet, Signal::CONT)?;
    let spread = fleet.spread("ready", |it| it.change == Change::Ready).await?;
    is_in_effect(&fleet, &spread, 2).await?;
    if let Some(all) = spread.nodes.all_seconds {
        ensure!(spread.nodes.last.as_deref() == Some(&*lagging), "{spread:#?}");
        ensure!(all > 2.0 && spread.nodes.p50_seconds < Some(all), "{spread:#?}");
    }
    fleet.wait("it is not stale any more", stale(0.0)).await.map(drop)
}

/// The state that agents send shows what happened before the daemon started.
#[tokio::test]
async fn a_restarted_daemon_finds_the_node_that_is_behind() -> Result<()> {
    let mut fleet = Fleet::begin("behind", &[Mode::Nftables, Mode::Iptables], &["--objective=2s"]).await?;
    let pod = fleet.pod("pod").await?;
    fleet.followers[1].node.signal_proxy(Signal::STOP)?;
    fleet.objects.report(&pod, true).await?;
    fleet.wait("it is stale", |metrics| metrics.sum("endpointlag_stale_nodes", &[]) == 1.0).await?;
    fleet.restart_daemon().await?;
    fleet.wait("it is still stale", |metrics| metrics.sum("endpointlag_stale_nodes", &[]) == 1.0).await?;
    fleet.followers[1].node.signal_proxy(Signal::CONT)?;
    fleet.wait("it is not stale any more", |metrics| metrics.sum("endpointlag_stale_nodes", &[]) == 0.0).await?;
    fleet.objects.report(&pod, false).await?;
    let spread = fleet.spread("unready", |it| it.change == Change::Unready).await?;
    is_in_effect(&fleet, &spread, 2).await?;
    Ok(())
}

#[tokio::test]
async fn kube_proxy_merges_a_flap_into_one_sync() -> Result<()> {
    let mut fleet =
        Fleet::begin("merged", &[Mode::Nftables, Mode::Iptables], &["--objective=2s", "--expiry=15s"]).await?;
    let (pod, other) = (fleet.pod("pod").await?, fleet.pod("other").await?);
    for (pod, name) in [(&pod, "pod"), (&other, "other")] {
        fleet.objects.report(pod, true).await?;
        fleet.spread(name, |it| it.change == Change::Ready).await?;
    }
    fleet.followers[1].node.signal_proxy(Signal::STOP)?;
    for ready in [false, true] {
        fleet.objects.report(&pod, ready).await?;
        // The slice shows it before the next one.
        sleep(Duration::from_secs(2)).await;
    }
    fleet.followers[1].node.signal_proxy(Signal::CONT)?;
    // The node that has not shown anything does what the slices say.
    fleet
        .wait("nothing is pending", |metrics| metrics.sum("endpointlag_dataplane_pending_changes", &[]) == 0.0)
        .await?;
    for change in [Change::Unready, Change::Ready] {
        let spread = fleet.spread("after the expiry", |it| it.change == change).await?;
        ensure!(outcomes(&spread) == BTreeMap::from([("in_effect", 1), ("superseded", 1)]), "{spread:#?}");
    }
    Ok(())
}

/// Each part of the way from the kernel to the daemon ends once, and no figure is wrong for it.
#[tokio::test]
async fn what_breaks_on_the_way_gives_no_wrong_figure() -> Result<()> {
    let mut fleet = Fleet::begin("broken", &[Mode::Nftables, Mode::Nftables], &[]).await?;
    let pod = fleet.pod("pod").await?;
    // The stream is cut. The agent keeps what it sees, and tells it later.
    fleet.followers[0].relay.cut();
    fleet.objects.report(&pod, true).await?;
    sleep(Duration::from_secs(5)).await;
    fleet.followers[0].relay.mend();
    let spread = fleet.spread("ready while the stream is cut", |it| it.change == Change::Ready).await?;
    is_in_effect(&fleet, &spread, 2).await?;
    ensure!(spread.nodes.all_seconds.is_none_or(|all| all < 4.0), "the cut is not in the delay: {spread:#?}");

    // The agent dies before it can tell what it saw.
    fleet.followers[0].relay.cut();
    fleet.objects.report(&pod, false).await?;
    fleet
        .wait("the other node has told", |metrics| {
            metrics.sum("endpointlag_dataplane_changes_total", &[("change", "unready"), ("outcome", "in_effect")])
                == 1.0
        })
        .await?;
    fleet.kill_agent(0);
    fleet.followers[0].relay.mend();
    fleet.start_agent(0).await?;
    let spread = fleet.spread("unready while the agent dies", |it| it.change == Change::Unready).await?;
    ensure!(outcomes(&spread) == BTreeMap::from([("in_effect", 1), ("censored", 1)]), "{spread:#?}");
    ensure!(spread.nodes.all_seconds.is_none() && spread.nodes.p50_seconds.is_some(), "{spread:#?}");

    // kube-proxy is restarted, and writes everything anew.
    let node = &mut fleet.followers[1].node;
    node.stop_proxy().await?;
    node.start_proxy(Mode::Nftables).await?;
    fleet.objects.report(&pod, true).await?;
    let spread = fleet.spread("ready after kube-proxy's restart", |it| it.change == Change::Ready).await?;
    is_in_effect(&fleet, &spread, 2).await?;

    // The daemon is restarted. It knows nothing of what was before.
    fleet.restart_daemon().await?;
    fleet.objects.report(&pod, false).await?;
    let spread = fleet.spread("unready after the daemon's restart", |it| it.change == Change::Unready).await?;
    is_in_effect(&fleet, &spread, 2).await?;

    // A node joins.
    fleet.join(Mode::Iptables).await?;
    fleet.objects.report(&pod, true).await?;
    let spread = fleet.spread("ready with one more node", |it| it.change == Change::Ready).await?;
    is_in_effect(&fleet, &spread, 3).await?;
    let metrics = fleet.metrics().await?;
    let all = metrics.sum("endpointlag_dataplane_changes_total", &[]);
    ensure!(all == 5.0, "two changes since the restart, on two and on three nodes: {all}");
    let answer = fleet.api("/api/v1/changes?change=ready").await?;
    let nodes = &answer["ended"][0]["nodes"];
    ensure!(nodes["total"] == 3 && nodes["p50_seconds"].is_number(), "{answer:#}");
    Ok(())
}
