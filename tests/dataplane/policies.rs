//! Changes of endpoints that are none for some kernels, and kernels that change without one: the client on each node is the truth.

use super::again::{Unseen, until_seen};
use super::fleet::Fleet;
use super::kernel;
use super::probe::{Probe, Prober, now};
use anyhow::{Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::controlplane::objects::PodHandle;
use testkit::daemon::metrics::Metrics;
use testkit::node::{Mode, PORTS};
use testkit::truth::Change;
use tokio::time::sleep;

/// A node of each mode.
const MODES: [Mode; 2] = [Mode::Nftables, Mode::Iptables];

/// Time in which a client surely sees what the kernel does.
const SETTLE: Duration = Duration::from_millis(500);

/// Nanoseconds before the end of [`SETTLE`] in which the client saw nothing but the present state. Almost all of it: a busy machine may keep
/// the client from connecting for a while.
const SETTLED: u64 = 450_000_000;

/// Ample time until kube-proxy writes its rules on a busy machine.
const WRITTEN: Duration = Duration::from_secs(60);

/// Waits until all changes of a kind so far have ended, and checks on how many nodes they ended how. On a busy machine a node that shows one
/// may be censored, and one that does not reach the nodes at all is [`Unseen`].
async fn ended(fleet: &Fleet, change: Change, shown: f64, not_applicable: f64) -> Result<()> {
    let count = |metrics: &Metrics, labels: &[(&str, &str)]| {
        let labels: Vec<_> = labels.iter().copied().chain([("change", change.label())]).collect();
        metrics.sum("endpointlag_dataplane_changes_total", &labels)
    };
    let all = shown + not_applicable;
    let is_unseen = |metrics: &Metrics| {
        let of = [("change", change.label()), ("outcome", "censored")];
        metrics.sum("endpointlag_changes_total", &of) > 0.0
    };
    let is_over = |metrics: &Metrics| {
        count(metrics, &[]) == all && metrics.sum("endpointlag_dataplane_pending_changes", &[]) == 0.0
    };
    let what = format!("{all} ends of {change:?}, and nothing pending");
    let metrics = fleet.wait(&what, |metrics| is_unseen(metrics) || is_over(metrics)).await?;
    ensure!(!is_unseen(&metrics), Unseen(change));
    let of = |outcome| count(&metrics, &[("outcome", outcome)]);
    let found = (of("in_effect") + of("censored"), of("not_applicable"));
    ensure!(found == (shown, not_applicable), "{change:?}: expected {shown} and {not_applicable}, found {found:?}");
    Ok(())
}

/// Waits until the kernels of all nodes send the Service to these pods, as their own tools show.
async fn written(fleet: &Fleet, pods: &[PodHandle]) -> Result<()> {
    let expected: BTreeSet<_> = pods.iter().map(|pod| SocketAddr::from((pod.ipv4(), PORTS[0]))).collect();
    let started = Instant::now();
    for (follower, mode) in fleet.followers.iter().zip(MODES) {
        loop {
            let found = kernel::endpoints(&follower.node.namespace, mode, fleet.target)?;
            if found == expected {
                break;
            }
            ensure!(started.elapsed() < WRITTEN, "{}: {found:?}, and not {expected:?}", follower.name);
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// How often a client reached a pod between two moments.
fn reached(probes: &[Probe], pod: &PodHandle, from: u64, to: u64) -> usize {
    let address = SocketAddr::from((pod.ipv4(), PORTS[0]));
    probes.iter().filter(|it| it.from > from && it.to < to && it.reached() == Some(address)).count()
}

#[tokio::test]
async fn a_local_service_changes_only_where_its_pod_is() -> Result<()> {
    until_seen("local", local).await
}

async fn local(name: &str) -> Result<()> {
    let only_local = json!({ "internalTrafficPolicy": "Local" });
    let fleet = Fleet::begin_with(name, &MODES, &[], only_local).await?;
    let mut moments = Vec::new();
    let pods = [fleet.pod_on("on-first", 0).await?, fleet.pod_on("on-second", 1).await?];
    for (ready, change) in [(true, Change::Ready), (false, Change::Unready)] {
        for (count, pod) in (1..).map(f64::from).zip(&pods) {
            fleet.objects.report(pod, ready).await?;
            // The other node is not asked at all.
            ended(&fleet, change, count, 0.0).await?;
        }
        sleep(SETTLE).await;
        moments.push(now());
    }
    let clients = fleet.finish()?;
    for (node, probes) in clients.iter().enumerate() {
        ensure!(reached(probes, &pods[node], 0, moments[0]) > 0, "node {node} does not reach its own pod");
        ensure!(reached(probes, &pods[1 - node], 0, u64::MAX) == 0, "node {node} reaches the pod of the other");
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_published_before_it_is_ready_changes_no_kernel_when_it_is() -> Result<()> {
    until_seen("published", published).await
}

async fn published(name: &str) -> Result<()> {
    let more = json!({ "publishNotReadyAddresses": true });
    let fleet = Fleet::begin_with(name, &MODES, &[], more).await?;
    let pod = fleet.pod("pod").await?;
    fleet.objects.report(&pod, false).await?;
    written(&fleet, std::slice::from_ref(&pod)).await?;
    sleep(SETTLE).await;
    let before = now();
    fleet.objects.report(&pod, true).await?;
    ended(&fleet, Change::Ready, 0.0, 2.0).await?;
    fleet.objects.terminate(&pod).await?;
    ended(&fleet, Change::Terminating, 0.0, 2.0).await?;
    sleep(SETTLE).await;
    let terminating = now();
    fleet.objects.finish(&pod).await?;
    ended(&fleet, Change::Removed, 2.0, 0.0).await?;
    sleep(SETTLE).await;
    let gone = now();
    sleep(SETTLE).await;
    for probes in fleet.finish()? {
        ensure!(reached(&probes, &pod, 0, before) > 0, "it is not reached before it is ready");
        ensure!(
            reached(&probes, &pod, terminating - SETTLED, terminating) > 0,
            "it is not reached while it terminates"
        );
        ensure!(reached(&probes, &pod, gone, u64::MAX) == 0, "it is reached when it is gone");
    }
    Ok(())
}

#[tokio::test]
async fn the_last_endpoint_is_used_while_it_terminates() -> Result<()> {
    until_seen("fallback", fallback).await
}

async fn fallback(name: &str) -> Result<()> {
    let fleet = Fleet::begin(name, &MODES, &[]).await?;
    let (last, next) = (fleet.pod("last").await?, fleet.pod("next").await?);
    fleet.objects.report(&last, true).await?;
    ended(&fleet, Change::Ready, 2.0, 0.0).await?;
    fleet.objects.terminate(&last).await?;
    ended(&fleet, Change::Terminating, 0.0, 2.0).await?;
    sleep(SETTLE).await;
    let terminating = now();
    // A ready endpoint ends the fallback: the kernels exchange one for the other.
    fleet.objects.report(&next, true).await?;
    ended(&fleet, Change::Ready, 4.0, 0.0).await?;
    sleep(SETTLE).await;
    let exchanged = now();
    fleet.objects.finish(&last).await?;
    ended(&fleet, Change::Removed, 0.0, 2.0).await?;
    sleep(SETTLE).await;
    let unmatched = fleet.metrics().await?.sum("endpointlag_dataplane_unmatched_total", &[("reason", "no_change")]);
    ensure!(unmatched == 0.0, "{unmatched} observations fit no change");
    for probes in fleet.finish()? {
        ensure!(reached(&probes, &last, terminating - SETTLED, terminating) > 0, "it is not used while it terminates");
        ensure!(reached(&probes, &last, exchanged, u64::MAX) == 0, "it is used beside a ready one");
        ensure!(reached(&probes, &next, exchanged, u64::MAX) > 0, "the next is not used");
    }
    Ok(())
}

/// No slice changes, so no change has a figure. Nodes that do not follow are stale.
#[tokio::test]
async fn a_service_that_listens_on_another_port_gives_no_figure() -> Result<()> {
    until_seen("own-port", own_port).await
}

async fn own_port(name: &str) -> Result<()> {
    let fleet = Fleet::begin(name, &MODES, &["--objective=2s"]).await?;
    let (pod, next) = (fleet.pod("pod").await?, fleet.pod("next").await?);
    fleet.objects.report(&pod, true).await?;
    ended(&fleet, Change::Ready, 2.0, 0.0).await?;
    let other = SocketAddr::new(fleet.target.ip(), 81);
    let clients: Vec<_> =
        fleet.followers.iter().map(|it| Prober::start(&it.node.namespace, other)).collect::<Result<_>>()?;
    fleet.followers[1].node.signal_proxy(Signal::STOP)?;
    let ports = json!([{ "port": other.port(), "targetPort": PORTS[0] }]);
    fleet.objects.edit_service(name, json!({ "ports": ports })).await?;
    let stale = |count: f64| move |metrics: &Metrics| metrics.sum("endpointlag_stale_nodes", &[]) == count;
    let metrics = fleet.wait("the node that stands still is stale", stale(1.0)).await?;
    ensure!(metrics.sum("endpointlag_dataplane_pending_changes", &[]) == 0.0, "nothing is pending");
    fleet.followers[1].node.signal_proxy(Signal::CONT)?;
    fleet.wait("no node is stale", stale(0.0)).await?;
    fleet.objects.report(&next, true).await?;
    ended(&fleet, Change::Ready, 4.0, 0.0).await?;
    sleep(SETTLE).await;
    let metrics = fleet.metrics().await?;
    ensure!(metrics.sum("endpointlag_dataplane_changes_total", &[]) == 4.0, "two changes on two nodes");
    // What is told late of the old port belongs to no Service any more.
    let unmatched = metrics.sum("endpointlag_dataplane_unmatched_total", &[("reason", "no_change")]);
    ensure!(unmatched == 0.0, "all was asked for, but for {unmatched}");
    for client in clients {
        let probes = client.finish()?;
        for pod in [&pod, &next] {
            ensure!(reached(&probes, pod, 0, u64::MAX) > 0, "the new port does not lead to {pod:?}");
        }
    }
    Ok(())
}

/// kube-proxy adds the endpoints of any slice that bears the name of the Service. The daemon measures those of the controller only.
#[tokio::test]
async fn with_slices_of_others_nothing_is_said_of_nodes() -> Result<()> {
    until_seen("custom", custom).await
}

async fn custom(name: &str) -> Result<()> {
    let mut fleet = Fleet::begin(name, &MODES, &["--objective=2s"]).await?;
    let pods = [fleet.pod("first").await?, fleet.pod("second").await?, fleet.pod("third").await?];
    fleet.objects.report(&pods[0], true).await?;
    ended(&fleet, Change::Ready, 2.0, 0.0).await?;
    // The address of a pod that never becomes ready.
    let by_hand = fleet.pod("by-hand").await?;
    let labels = json!({ "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "a-person" });
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": { "name": "by-hand", "labels": labels },
        "addressType": "IPv4",
        "ports": [{ "name": "", "protocol": "TCP", "port": PORTS[0] }],
        "endpoints": [{ "addresses": [by_hand.ipv4()], "conditions": { "ready": true } }],
    }))?;
    let api: Api<EndpointSlice> = Api::namespaced(fleet.objects.client().clone(), name);
    api.create(&PostParams::default(), &slice).await?;
    let unmatched =
        |metrics: &Metrics| metrics.sum("endpointlag_dataplane_unmatched_total", &[("reason", "no_change")]) == 2.0;
    fleet.wait("both nodes use it, and no change asked for it", unmatched).await?;
    // A change of the controller's slices comes into effect, and nothing is said of it. A new daemon finds no node that is behind.
    fleet.objects.report(&pods[1], true).await?;
    ended(&fleet, Change::Ready, 2.0, 2.0).await?;
    fleet.restart_daemon().await?;
    fleet.objects.report(&pods[2], true).await?;
    ended(&fleet, Change::Ready, 0.0, 2.0).await?;
    sleep(SETTLE * 8).await;
    let metrics = fleet.metrics().await?;
    ensure!(metrics.sum("endpointlag_stale_nodes", &[]) == 0.0, "no node is behind");
    // Without it, all is as before.
    api.delete("by-hand", &DeleteParams::default()).await?;
    written(&fleet, &pods).await?;
    fleet.objects.report(&pods[2], false).await?;
    ended(&fleet, Change::Unready, 2.0, 0.0).await?;
    ensure!(fleet.metrics().await?.sum("endpointlag_stale_nodes", &[]) == 0.0, "no node is behind");
    for probes in fleet.finish()? {
        for pod in pods.iter().chain([&by_hand]) {
            ensure!(reached(&probes, pod, 0, u64::MAX) > 0, "{pod:?} is not reached");
        }
    }
    Ok(())
}
