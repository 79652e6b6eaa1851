//! The way to the API server carries nothing for a while, or never again, and no error is reported.

use super::reckoning::{Gap, check_delays, measures, reckon};
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use testkit::controlplane::plane::Options;
use testkit::scene::{Scene, Setup};

const RESOURCES: [&str; 3] = ["pods", "services", "endpointslices"];

/// How long it is frozen: longer than the time between two PINGs, so that one is on its way, and less than the limit for a connection.
const FROZEN: Duration = Duration::from_millis(2500);

/// The error that a delay may have on a busy machine: a tenth of the freeze.
const BOUND: Duration = Duration::from_millis(250);

/// Much more than a PING may take, for a busy machine, and far less than `--watch-idle-timeout`.
const NOTICED: Duration = Duration::from_secs(20);

/// How long before the silence a connection may have proven for the last time that it delivers: two PINGs, on a busy machine.
const BEFORE: Duration = Duration::from_secs(5);

/// Ample time until a connection is trusted again.
const DOUBT: Duration = Duration::from_secs(2);

/// What the server sent in the freeze comes in one burst: a pod and its slice at the same moment, or the slice seconds after the
/// pod. None of that is reported as a delay.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_for_some_seconds() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) };
    let mut scene = Scene::prepare(&plane, "frozen", setup.with(&["--namespace", "frozen"])).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for number in 0..10 {
        pods.push(scene.objects.create_pod(&format!("web-{number}"), "web").await?);
    }
    scene.objects.report(&pods[0], true).await?;
    scene.agree().await?;

    let from = Timestamp::now();
    relay.freeze(true);
    for pod in &pods[1..6] {
        scene.objects.report(pod, true).await?;
    }
    scene.objects.report(&pods[0], false).await?;
    tokio::time::sleep(FROZEN).await;
    scene.settle().await?;
    let dark_until = Timestamp::now();
    relay.freeze(false);
    tokio::time::sleep(DOUBT).await;
    let until = Timestamp::now();
    for pod in &pods[6..] {
        scene.objects.report(pod, true).await?;
    }
    let tally = reckon(&mut scene, Gap { from, dark_until, until, relisted: false, crashed: false }).await?;
    measures(&scene, "web").await?;
    check_delays(&mut scene, BOUND).await?;
    // Timed: the Service, one before and four after. Censored: five and one in the freeze.
    tally.check(&[1, 1, 4], 6, 0, 0)?;
    let metrics = scene.daemon.metrics().await?;
    ensure!(metrics.sum("endpointlag_watch_restarts_total", &[]) == 0.0, "the connection was good all the same");
    scene.finish().await
}

/// A connection that a firewall has forgotten is dropped within seconds: all three watches together, with one gap.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_for_ever() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) };
    let mut scene = Scene::prepare(&plane, "forgotten", setup.with(&["--namespace", "forgotten"])).await?;
    scene.daemon.wait_until_ready().await?;
    let metrics = scene.daemon.metrics().await?;
    for resource in RESOURCES {
        let shared = [("resource", resource), ("protocol", "http2")];
        ensure!(metrics.sum("endpointlag_watch_protocol", &shared) == 1.0, "{resource} has a connection of its own");
    }
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for name in ["before", "meanwhile", "after"] {
        pods.push(scene.objects.create_pod(name, "web").await?);
    }
    scene.objects.report(&pods[0], true).await?;
    scene.agree().await?;

    let (from, silent) = (Timestamp::now(), Instant::now());
    relay.fall_silent();
    scene.objects.report(&pods[1], true).await?;
    let dark_until = Timestamp::now();
    let (gaps, noticed) = loop {
        let metrics = scene.daemon.metrics().await?;
        let of =
            |resource| metrics.sum("endpointlag_watch_restarts_total", &[("resource", resource), ("reason", "idle")]);
        let gap = |resource| metrics.sum("endpointlag_watch_gap_seconds_total", &[("resource", resource)]);
        let gaps = RESOURCES.map(gap);
        if RESOURCES.iter().all(|resource| of(resource) == 1.0) && gaps.iter().all(|gap| *gap > 0.0) {
            break (gaps, silent.elapsed());
        }
        ensure!(silent.elapsed() < NOTICED, "the silence is not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // One connection, one gap: it began when nothing came any more, not much before that, and each watch was dropped only once.
    let longest = (noticed + BEFORE).as_secs_f64();
    ensure!(gaps.iter().all(|gap| *gap <= longest), "in {longest} s: {gaps:?}");
    scene.daemon.wait_until_ready().await?;
    let until = Timestamp::now();
    scene.objects.report(&pods[2], true).await?;
    reckon(&mut scene, Gap { from, dark_until, until, relisted: false, crashed: false }).await?.check(
        &[1, 1, 1],
        1,
        0,
        0,
    )?;
    scene.finish().await
}

/// A server without HTTP/2: the daemon still measures, and logs that it notices less.
#[tokio::test(flavor = "multi_thread")]
async fn without_http2() -> Result<()> {
    let (_permit, plane) = start_plane(Options { without_http2: true, ..Options::default() }).await?;
    let mut scene = Scene::start(&plane, "http1").await?;
    scene.create_service("web", selecting("web")).await?;
    let pod = scene.objects.create_pod("web-0", "web").await?;
    scene.objects.report(&pod, true).await?;
    scene.agree().await?;
    let metrics = scene.daemon.metrics().await?;
    for resource in RESOURCES {
        let own = [("resource", resource), ("protocol", "http1")];
        ensure!(metrics.sum("endpointlag_watch_protocol", &own) == 1.0, "{resource}");
    }
    let log = scene.daemon.log()?;
    let said = log.iter().filter(|line| line.level == "WARN" && line.field("message").contains("HTTP/1.1")).count();
    ensure!(said == 1, "{said} lines about it");
    scene.finish().await
}
