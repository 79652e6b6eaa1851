//! A thousand endpoints in one sync of kube-proxy: its notifications take long, and the error that is stated covers that.

use super::fleet::Fleet;
use super::probe::{Probe, now};
use super::story::is_on_time;
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;
use testkit::controlplane::objects::PodHandle;
use testkit::daemon::samples::Spread;
use testkit::node::{Mode, PORTS};
use testkit::progress::say;
use testkit::truth::Change;
use tokio::time::sleep;

const PODS: usize = 1_000;

/// Writes to the API server at the same time.
const WRITERS: usize = 8;

/// How often all is done again if the machine was too busy.
const ATTEMPTS: usize = 5;

/// How often it is tried again if no change has a time.
const ROUNDS: usize = 4;

/// Time in which the client surely sees a change, after it was told.
const SETTLE: Duration = Duration::from_secs(1);

/// How far beyond the stated error a moment may be if the client was on time, and if the machine let its thread wait, and perhaps those of
/// kube-proxy and the agent.
const TOLERANCE: Duration = Duration::from_millis(1);
const BUSY: Duration = Duration::from_millis(40);

#[tokio::test]
async fn nftables() -> Result<()> {
    the_stated_error_covers_a_thousand_endpoints(Mode::Nftables).await
}

#[tokio::test]
async fn iptables() -> Result<()> {
    the_stated_error_covers_a_thousand_endpoints(Mode::Iptables).await
}

/// Beside other programs that take both CPUs, single changes were up to 11 ms outside of the stated error, alone none by a millisecond. That looks
/// like the kernel's work between a commit and its notifications, which waits for a CPU then; no agent sees it. An error that is stated too small
/// would be so each time. So it must hold once when endpoints are added, and once when they are removed.
async fn the_stated_error_covers_a_thousand_endpoints(mode: Mode) -> Result<()> {
    let mut held = HashSet::new();
    let mut beyond = String::new();
    for attempt in 1..=ATTEMPTS {
        for (adds, is_held, times) in changes_and_their_errors(&format!("{}-{attempt}", mode.name()), mode).await? {
            held.extend(is_held.then_some(adds));
            beyond += &format!("{} {times}\n", if adds { "added:" } else { "removed:" });
        }
        if held.len() == 2 {
            return Ok(());
        }
    }
    anyhow::bail!("the stated error never held in {ATTEMPTS} attempts:\n{beyond}")
}

/// Adds and removes a thousand endpoints. Returns for each time whether they were added, whether the stated error covers what the client saw,
/// and the worst times.
async fn changes_and_their_errors(name: &str, mode: Mode) -> Result<Vec<(bool, bool, String)>> {
    let mut fleet = Fleet::begin_alone(&format!("thousand-{name}"), &[mode], &["--expiry=5m"]).await?;
    let first = fleet.pod("first").await?;
    fleet.spread("first", &first, true).await?;
    let of = &fleet;
    let names = (0..PODS).map(|number| format!("pod-{number}"));
    let pods: Vec<_> =
        stream::iter(names).map(|name| async move { of.pod(&name).await }).buffered(WRITERS).try_collect().await?;
    let (mut told, mut timed) = (Vec::new(), HashSet::new());
    for round in 0.. {
        for ready in [true, false] {
            let (from, spreads) = all_at_once(&mut fleet, mode, &pods, ready).await?;
            timed.extend(spreads.iter().any(|it| it.nodes.all_seconds.is_some()).then_some(ready));
            told.push((ready, (from, spreads)));
        }
        // On a busy machine the agent's thread may not run while the commit comes. Then none of its thousand endpoints has a time.
        ensure!(timed.len() == 2 || round < ROUNDS, "no change has a time");
        if timed.len() == 2 {
            break;
        }
    }
    sleep(SETTLE).await;
    // Both clocks now: nothing sets the clock of this machine during the test.
    let wall_of_raw_zero = Timestamp::now().as_nanosecond() - i128::from(now());
    let probes = fleet.finish()?.pop().context("the only node")?;
    let many: HashSet<_> = pods.iter().map(|pod| SocketAddr::from((pod.ipv4(), PORTS[0]))).collect();
    let mut judged = Vec::new();
    for (number, (ready, (from, spreads))) in told.iter().enumerate() {
        let until = told.get(number + 1).map_or(u64::MAX, |(_, (next, _))| *next);
        let window = window(&probes, &many, *ready, [*from, until]);
        let [before, after] = window.context("the client sees the change")?;
        let mut beyond = Vec::new();
        for spread in spreads {
            // On a busy machine a thread may not run for a while. What it finds afterwards has no time.
            let Some(seconds) = spread.nodes.all_seconds else { continue };
            let shown = u64::try_from(spread.shown()?.as_nanosecond() - wall_of_raw_zero)?;
            let (moment, error) = (shown + (seconds * 1e9) as u64, (spread.nodes.error_seconds * 1e9) as u64);
            let (late, early) = (moment.saturating_sub(after), before.saturating_sub(moment));
            let off = late.max(early);
            beyond.push((off.saturating_sub(error), off, error, late > 0));
        }
        beyond.sort_unstable();
        let (worst, off, error, is_late) = beyond.last().copied().unwrap_or_default();
        let side = if is_late { "too late" } else { "too early" };
        let times = format!("{:?} {side}, stated {:?}", Duration::from_nanos(off), Duration::from_nanos(error));
        let width = Duration::from_nanos(after - before);
        let what = if *ready { "added" } else { "removed" };
        say(
            "dataplane",
            &format!(
                "{}, {PODS} endpoints {what} at once: {} of them with a time, the worst {times}; what the client saw is {width:?} wide",
                mode.name(),
                beyond.len()
            ),
        );
        let tolerance = if is_on_time(&probes, after) { TOLERANCE } else { BUSY };
        judged.push((*ready, !beyond.is_empty() && Duration::from_nanos(worst) <= tolerance, times));
    }
    Ok(judged)
}

/// All pods become ready, or unready, in one sync of kube-proxy. Returns how the changes spread, and when this was asked for.
async fn all_at_once(fleet: &mut Fleet, mode: Mode, pods: &[PodHandle], ready: bool) -> Result<(u64, Vec<Spread>)> {
    // Before its first sync it has read all slices.
    fleet.followers[0].node.stop_proxy().await?;
    let before = fleet.ended()?;
    let objects = &fleet.objects;
    stream::iter(pods).map(|pod| objects.report(pod, ready)).buffer_unordered(WRITERS).try_collect::<()>().await?;
    let expected = if ready { PODS + 1 } else { 1 };
    objects.wait_for_slices(objects.namespace(), |slices| ready_of(slices) == expected).await?;
    let from = now();
    fleet.followers[0].node.start_proxy(mode).await?;
    let change = if ready { Change::Ready } else { Change::Unready };
    let spreads = fleet.spreads("all", &[change; PODS], before).await?.into_iter().flatten().collect();
    sleep(SETTLE).await;
    Ok((from, spreads))
}

fn ready_of(slices: &[EndpointSlice]) -> usize {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints.filter(|it| it.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))).count()
}

/// Start of the last connection before the change, and end of the first one after it, of those between two moments. With the thousand, one
/// connection of a thousand reaches the other endpoint.
fn window(probes: &[Probe], many: &HashSet<SocketAddr>, adds: bool, [from, until]: [u64; 2]) -> Option<[u64; 2]> {
    let is_of_many = |probe: &&Probe| probe.reached().is_some_and(|reached| many.contains(&reached));
    let begin = probes.partition_point(|probe| probe.from <= from);
    let near = &probes[begin..probes.partition_point(|probe| probe.from < until)];
    let near: Vec<_> = near.iter().filter(|probe| probe.reached().is_some()).collect();
    let after = if adds { near.iter().position(is_of_many)? } else { near.iter().rposition(is_of_many)? + 1 };
    Some([near.get(after.checked_sub(1)?)?.from, near.get(after)?.to])
}
