//! One watch is lost, and the others continue.

use super::gateway::{Gateway, Odd};
use super::reckoning::{Gap, reckon};
use super::{selecting, start_plane};
use anyhow::Result;
use jiff::Timestamp;
use std::time::Duration;
use testkit::controlplane::plane::Options;
use testkit::scene::{Scene, Setup};

/// How much later events come through the tested watch. So the replay comes after the moment at which the daemon
/// knows which version was current when it connected: only the version distinguishes it from later events.
const REPLAY: Duration = Duration::from_millis(200);

/// A pod becomes Ready before the gap, others become Ready, become unready and leave in it, and one becomes Ready after it.
async fn changes_without(resource: &'static str, namespace: &str) -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let odd = Odd { resource, begins_late_by: Duration::ZERO, late_by: REPLAY };
    let gateway = Gateway::start(&plane, odd).await?;
    let setup = Setup { server: gateway.server(), ..Setup::cluster(&plane) };
    let mut scene = Scene::prepare(&plane, namespace, setup.with(&["--namespace", namespace])).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for name in ["starts", "fails", "leaves", "last"] {
        pods.push(scene.objects.create_pod(name, "web").await?);
    }
    for pod in &pods[1..3] {
        scene.objects.report(pod, true).await?;
    }
    scene.agree().await?;

    let from = Timestamp::now();
    gateway.keep_away(true);
    scene.daemon.wait_for_page("/readyz", |page| page.body.contains(resource)).await?;
    scene.objects.report(&pods[0], true).await?;
    scene.objects.report(&pods[1], false).await?;
    scene.objects.terminate(&pods[2]).await?;
    scene.settle().await?;
    let dark_until = Timestamp::now();
    gateway.keep_away(false);
    scene.daemon.wait_until_ready().await?;
    let until = Timestamp::now();
    scene.objects.report(&pods[3], true).await?;
    let tally = reckon(&mut scene, Gap { from, dark_until, until, relisted: false, crashed: false }).await?;
    let metrics = scene.daemon.metrics().await?;
    for other in ["pods", "services", "endpointslices"] {
        let restarts = metrics.sum("endpointlag_watch_restarts_total", &[("resource", other)]);
        assert_eq!(restarts > 0.0, other == resource, "{restarts} restarts of {other}");
    }
    // Timed: the Service and two pods before, one after. Censored: three in the gap.
    tally.check(&[1, 2, 1], 3, 0, 0)?;
    scene.finish().await
}

/// The changes are seen as they happen, and their reflection comes late because of the daemon: the delay would be the daemon's.
#[tokio::test(flavor = "multi_thread")]
async fn slices_replayed_to_changes_that_were_seen() -> Result<()> {
    changes_without("endpointslices", "without-slices").await
}

/// The reflection is seen as it happens, and the changes come after it: they would seem to take no time.
#[tokio::test(flavor = "multi_thread")]
async fn pods_replayed_to_slices_that_were_seen() -> Result<()> {
    changes_without("pods", "without-pods").await
}
