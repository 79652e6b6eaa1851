//! Connections that deliver nothing any longer, and do not end.

use super::reckoning::{Gap, reckon};
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::Options;
use testkit::daemon::metrics::Metrics;
use testkit::scene::{Scene, Setup};

/// The bound under test. A real one is above the minute between two bookmarks; here all three watches receive
/// something every [`PULSE`].
const IDLE: Duration = Duration::from_secs(3);
const PULSE: Duration = Duration::from_millis(300);

/// Much more than the bound, for a busy machine, and less than TCP takes to give up.
const NOTICED: Duration = Duration::from_secs(12);

/// As much again for the recovery.
const RECOVERED: Duration = Duration::from_secs(24);

const RESOURCES: [&str; 3] = ["pods", "services", "endpointslices"];

/// Changes an object of each resource again and again.
async fn pulse(objects: &Objects, pod: &PodHandle) -> Result<()> {
    for number in 0.. {
        objects.report(pod, number % 2 == 0).await?;
        let affinity = if number % 2 == 0 { "ClientIP" } else { "None" };
        objects.edit_service("pulse", json!({ "sessionAffinity": affinity })).await?;
        tokio::time::sleep(PULSE).await;
    }
    Ok(())
}

/// Only the bound on silence can notice this. What happened in the silence comes in one burst at the reconnect, without a delay.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_dropped() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let beat = Objects::create(plane.admin().await?, "pulse").await?;
    beat.create_service("pulse", selecting("pulse")).await?;
    let beating = beat.create_pod("pulse-0", "pulse").await?;
    let pulse = tokio::spawn(async move { pulse(&beat, &beating).await });

    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) };
    let mut scene = Scene::prepare(&plane, "silence", setup.with(&["--watch-idle-timeout", "3s"])).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let [before, meanwhile, after] = ["before", "meanwhile", "after"];
    let mut pods = Vec::new();
    for name in [before, meanwhile, after] {
        pods.push(scene.objects.create_pod(name, "web").await?);
    }
    scene.objects.report(&pods[0], true).await?;
    scene.settle().await?;
    // Longer than the bound: the pulse alone keeps the watches alive.
    tokio::time::sleep(IDLE + PULSE).await;
    let restarts = |metrics: &Metrics, resource| {
        metrics.sum("endpointlag_watch_restarts_total", &[("resource", resource), ("reason", "idle")])
    };
    let metrics = scene.daemon.metrics().await?;
    assert!(RESOURCES.iter().all(|resource| restarts(&metrics, resource) == 0.0), "dropped before they fell silent");

    let from = Timestamp::now();
    let silent = Instant::now();
    relay.fall_silent();
    scene.objects.report(&pods[1], true).await?;
    scene.objects.report(&pods[0], false).await?;
    let dark_until = Timestamp::now();
    loop {
        let metrics = scene.daemon.metrics().await?;
        if RESOURCES.iter().all(|resource| restarts(&metrics, resource) == 1.0) {
            break;
        }
        ensure!(silent.elapsed() < NOTICED, "the silence is not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scene.daemon.wait_until_ready().await?;
    let until = Timestamp::now();
    // No request may wait on a connection that fell silent together with the watches.
    ensure!(silent.elapsed() < RECOVERED, "well again only after {:?}", silent.elapsed());
    scene.objects.report(&pods[2], true).await?;

    let tally = reckon(&mut scene, Gap { from, dark_until, until, relisted: false, crashed: false }).await?;
    // Timed: the Service, `before`, `after`. Censored: `meanwhile`, and the end of `before`.
    tally.check(&[1, 1, 1], 2, 0, 0)?;
    let metrics = scene.daemon.metrics().await?;
    for resource in RESOURCES {
        let gap = metrics.sum("endpointlag_watch_gap_seconds_total", &[("resource", resource)]);
        // From the last data that came: at least the bound, and up to one pulse more.
        assert!(gap >= IDLE.as_secs_f64(), "{resource}: {gap} s");
    }
    assert!(!pulse.is_finished(), "the pulse stopped: {:?}", pulse.await);
    pulse.abort();
    scene.finish().await
}
