//! The daemon itself ends and starts again.

use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use testkit::controlplane::plane::{Controllers, Options};
use testkit::daemon::samples::Outcome as Told;
use testkit::scene::Scene;
use testkit::truth::{Change, Outcome, Record};

/// How long the pending changes wait before the daemon ends, and afterwards.
const WAIT: Duration = Duration::from_secs(1);

/// Ample time for the daemon to report what it sees.
const SOON: Duration = Duration::from_secs(20);

/// Changes are pending when the daemon ends. The new one finds pods and slices that disagree. It does not know since when,
/// so it has no delay to report when they agree.
#[tokio::test]
async fn restarted_while_changes_are_pending() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "restarted").await?;
    let objects = &scene.objects;
    objects.create_service("web", selecting("web")).await?;
    let [starts, fails, leaves, later] = ["starts", "fails", "leaves", "later"];
    let mut pods = Vec::new();
    for name in [starts, fails, leaves, later] {
        pods.push(objects.create_pod(name, "web").await?);
    }
    objects.report(&pods[1], true).await?;
    objects.report(&pods[2], true).await?;
    scene.agree().await?;

    plane.stop_controllers().await?;
    scene.objects.report(&pods[0], true).await?;
    scene.objects.report(&pods[1], false).await?;
    scene.objects.finish(&pods[2]).await?;
    tokio::time::sleep(WAIT).await;
    let told_before = scene.daemon.samples()?.len();
    scene.restart_daemon().await?;
    scene.daemon.wait_until_ready().await?;
    let metrics = scene.daemon.metrics().await?;
    assert_eq!(metrics.sum("endpointlag_pending_changes", &[]), 3.0, "at first sight");
    tokio::time::sleep(WAIT).await;
    let metrics = scene.daemon.metrics().await?;
    assert!(metrics.sum("endpointlag_oldest_pending_seconds", &[("change", "ready")]) >= WAIT.as_secs_f64());
    plane.start_controllers(Controllers::default()).await?;
    scene.settle().await?;
    // The new daemon sees this change from its beginning to its end.
    scene.objects.report(&pods[3], true).await?;
    let records = scene.settle().await?;

    let started = Instant::now();
    let told = loop {
        let told = scene.daemon.samples()?.split_off(told_before);
        if told.len() >= 4 {
            break told;
        }
        ensure!(started.elapsed() < SOON, "not told: {told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let told: Vec<_> = told.into_iter().map(|it| (it.pod.unwrap_or_default(), it.change, it.outcome)).collect();
    let mut pending = told[..3].to_vec();
    pending.sort();
    let censored = |pod: &str, change| (pod.to_owned(), change, Told::Censored);
    let expected =
        [censored(fails, Change::Unready), censored(leaves, Change::Removed), censored(starts, Change::Ready)];
    assert_eq!(pending, expected, "without a delay each");
    assert_eq!(told[3..], [(later.to_owned(), Change::Ready, Told::Propagated)]);
    let waited = |record: &&Record| matches!(record.outcome, Some(Outcome::Propagated(delay)) if delay >= 2 * WAIT);
    assert!(records.iter().filter(waited).count() >= 3, "they were slow indeed: {records:?}");

    let metrics = scene.daemon.metrics().await?;
    assert_eq!(metrics.sum("endpointlag_propagation_seconds_count", &[]), 1.0);
    assert_eq!(metrics.sum("endpointlag_changes_total", &[]), 4.0);
    assert_eq!(metrics.sum("endpointlag_pending_changes", &[]), 0.0);
    scene.finish().await
}
