//! One watch has a longer way than the others.

use super::gateway::{Gateway, Odd};
use super::{selecting, start_plane};
use anyhow::Result;
use std::time::Duration;
use testkit::controlplane::plane::Options;
use testkit::daemon::metrics::Metrics;
use testkit::scene::agreement::Pair;
use testkit::scene::{Scene, Setup};
use testkit::truth::Outcome;

/// How much longer the way is.
const DETOUR: Duration = Duration::from_millis(300);

/// The error that a busy machine may add or subtract. The delays themselves are some tens of milliseconds.
const SLACK: Duration = Duration::from_millis(250);

const PODS: usize = 4;

/// Several changes of pods, one after the other, which the daemon in `namespace` sees through `slow`.
async fn changes_seen_through(slow: Odd, namespace: &str) -> Result<(Vec<Pair>, Metrics)> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let gateway = Gateway::start(&plane, slow).await?;
    let setup = Setup { server: gateway.server(), ..Setup::cluster(&plane) };
    let mut scene = Scene::prepare(&plane, namespace, setup.with(&["--namespace", namespace])).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    scene.settle().await?;
    for number in 0..PODS {
        let pod = scene.objects.create_pod(&format!("web-{number}"), "web").await?;
        scene.objects.report(&pod, false).await?;
        scene.objects.report(&pod, true).await?;
        // The daemon must see this by both ways before it ends. If one way reverses a change before the other has delivered it,
        // it is superseded, as far as the daemon can know.
        scene.agree_on_outcomes().await?;
        scene.objects.terminate(&pod).await?;
        scene.settle().await?;
        // Now one way is two changes ahead of the other.
        scene.objects.finish(&pod).await?;
        scene.agree_on_outcomes().await?;
    }
    let pairs = scene.agree_on_outcomes().await?;
    let metrics = scene.daemon.metrics().await?;
    let connect = |resource| metrics.sum("endpointlag_watch_connect_seconds", &[("resource", resource)]);
    let [pods, services, slices] = ["pods", "services", "endpointslices"].map(connect);
    let (took, slowest) = (connect(slow.resource), pods.max(services).max(slices));
    assert!(took >= DETOUR.as_secs_f64() && took == slowest, "{pods}, {services} and {slices} s to begin");
    scene.finish().await?;
    Ok((pairs, metrics))
}

/// Each delay is too long by the detour, which `endpointlag_watch_connect_seconds` shows.
#[tokio::test(flavor = "multi_thread")]
async fn slow_slices_add_to_every_delay() -> Result<()> {
    let slow = Odd { resource: "endpointslices", begins_late_by: DETOUR, late_by: DETOUR };
    let (pairs, metrics) = changes_seen_through(slow, "slow-slices").await?;
    assert_eq!(pairs.len(), 1 + 3 * PODS);
    for Pair { record, sample } in &pairs {
        // If there is no delay, the daemon does not trust it.
        let (Some(Outcome::Propagated(truth)), Some(delay)) = (record.outcome, sample.delay()) else { continue };
        assert!(delay + SLACK > truth + DETOUR && delay < truth + DETOUR + SLACK, "{record} is measured as {delay:?}");
    }
    assert_eq!(metrics.sum("endpointlag_reordered_total", &[]), 0.0);
    Ok(())
}

/// The slices come before their cause: the delay is zero, the number of changes is right, and metrics show the reason.
#[tokio::test(flavor = "multi_thread")]
async fn slow_pods_are_overtaken_by_their_slices() -> Result<()> {
    let slow = Odd { resource: "pods", begins_late_by: DETOUR, late_by: DETOUR };
    let (pairs, metrics) = changes_seen_through(slow, "slow-pods").await?;
    assert_eq!(pairs.len(), 1 + 3 * PODS);
    // The Service's event may be late as well: its watch has its own connection, and neither is always faster.
    let overtaken = pairs.iter().filter(|it| it.sample.delay() == Some(Duration::ZERO)).count();
    // If the controller took longer than the detour, as with a stale cache, the slices did not come before their cause. What a busy machine
    // censors has no delay.
    let timed = pairs.iter().filter(|it| it.sample.pod.is_some() && it.sample.delay().is_some()).count();
    assert!(timed == 3 * PODS || (metrics.has_doubts() && timed >= PODS), "{timed} are timed: {pairs:?}");
    assert!(3 * overtaken >= 2 * timed, "{overtaken} of {timed}: {pairs:?}");
    let names = ["endpointlag_reordered_total", "endpointlag_reorder_seconds_count", "endpointlag_reorder_seconds_sum"];
    let [reordered, count, sum] = names.map(|name| metrics.sum(name, &[]));
    assert_eq!((reordered, count), (overtaken as f64, overtaken as f64));
    let mean = sum / count;
    assert!(mean > 0.0 && mean < (DETOUR + SLACK).as_secs_f64(), "the slices came {mean} s early");
    Ok(())
}
