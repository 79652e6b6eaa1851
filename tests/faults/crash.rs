//! The API server dies and starts again.

use super::reckoning::{Gap, reckon};
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::Result;
use jiff::Timestamp;
use testkit::controlplane::plane::Options;
use testkit::scene::{Scene, Setup};

/// Pods that turn Ready before, in and after the outage.
const BEFORE: usize = 20;
const MEANWHILE: usize = 10;
const AFTER: usize = 5;

/// It is killed while pods change and the controller writes. It is back, and changes continue, before the daemon can reach
/// it again, because a relay is between them.
#[tokio::test(flavor = "multi_thread")]
async fn api_server_killed_during_changes() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) };
    let mut scene = Scene::prepare(&plane, "crash", setup.with(&["--namespace", "crash"])).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for number in 0..BEFORE + MEANWHILE + AFTER {
        pods.push(scene.objects.create_pod(&format!("web-{number}"), "web").await?);
    }
    scene.objects.report(&pods[0], true).await?;
    scene.agree().await?;

    // All of these writes are in the audit log, which is written after the answer. The controller has not written all of its own.
    for pod in &pods[1..BEFORE] {
        scene.objects.report(pod, true).await?;
    }
    scene.audited().await?;
    let from = Timestamp::now();
    plane.kill_api_server()?;
    relay.refuse();
    plane.start_api_server().await?;
    // One change first: until its own watches are back the controller fails at every change, and each failure doubles the time to
    // its next attempt, up to 1000 s.
    scene.objects.report(&pods[BEFORE], true).await?;
    scene.settle().await?;
    for pod in &pods[BEFORE + 1..BEFORE + MEANWHILE] {
        scene.objects.report(pod, true).await?;
    }
    scene.objects.report(&pods[0], false).await?;
    scene.settle().await?;

    let dark_until = Timestamp::now();
    relay.accept();
    scene.daemon.wait_until_ready().await?;
    let until = Timestamp::now();
    for pod in &pods[BEFORE + MEANWHILE..] {
        scene.objects.report(pod, true).await?;
    }
    let tally = reckon(&mut scene, Gap { from, dark_until, until, relisted: true, crashed: true }).await?;
    // The changes in the outage, and those that it found pending. Most earlier ones were reflected before.
    assert!(tally.censored > MEANWHILE, "{tally:?}");
    assert!(tally.timed > AFTER, "{tally:?}");
    assert_eq!(tally.unseen, 0, "no pod changed back: {tally:?}");

    let metrics = scene.daemon.metrics().await?;
    let dark = dark_until.duration_since(from).as_secs_f64();
    for resource in ["pods", "services", "endpointslices"] {
        let restarts =
            |reason| metrics.sum("endpointlag_watch_restarts_total", &[("resource", resource), ("reason", reason)]);
        assert_eq!(restarts("broken") + restarts("closed"), 1.0, "{resource}");
        assert!(restarts("unreachable") >= 1.0, "{resource}");
        let gap = metrics.sum("endpointlag_watch_gap_seconds_total", &[("resource", resource)]);
        assert!(gap > 0.9 * dark, "{resource}: {gap} s of {dark} s");
    }
    scene.finish().await
}
