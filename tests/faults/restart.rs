//! The daemon itself ends and starts again.

use super::{selecting, start_plane};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use testkit::controlplane::plane::{Controllers, Options};
use testkit::daemon::samples::{Outcome as Told, Sample};
use testkit::scene::Scene;
use testkit::truth::{Change, Outcome, Record};

/// How long the pending changes wait before the daemon ends, and afterwards.
const WAIT: Duration = Duration::from_secs(1);

/// How many changes a busy machine may censor, one after the other.
const ATTEMPTS: usize = 20;

/// Ample time for the daemon to report what it sees.
const SOON: Duration = Duration::from_secs(20);

/// Changes are pending when the daemon ends. The new one finds pods and slices that disagree. It does not know since when,
/// so it has no delay to report when they agree.
#[tokio::test]
async fn restarted_while_changes_are_pending() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "restarted").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let [starts, fails, leaves] = ["starts", "fails", "leaves"];
    let mut pods = Vec::new();
    for name in [starts, fails, leaves] {
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
    let told = told(&scene, told_before, 3).await?;
    let mut pending = told.iter().map(|it| (it.pod.as_deref(), it.change, it.outcome)).collect::<Vec<_>>();
    pending.sort();
    let censored = |pod, change| (Some(pod), change, Told::Censored);
    let expected =
        [censored(fails, Change::Unready), censored(leaves, Change::Removed), censored(starts, Change::Ready)];
    assert_eq!(pending, expected, "without a delay each");
    // The new daemon sees these changes from their beginning to their end, unless the machine is too busy.
    let later = measured(&scene, told_before + 3).await?;
    let records = scene.settle().await?;
    let waited = |record: &&Record| matches!(record.outcome, Some(Outcome::Propagated(delay)) if delay >= 2 * WAIT);
    assert!(records.iter().filter(waited).count() >= 3, "they were slow indeed: {records:?}");

    let metrics = scene.daemon.metrics().await?;
    assert_eq!(metrics.sum("endpointlag_propagation_seconds_count", &[]), 1.0);
    assert_eq!(metrics.sum("endpointlag_changes_total", &[]), (3 + later) as f64);
    assert_eq!(metrics.sum("endpointlag_pending_changes", &[]), 0.0);
    scene.finish().await
}

/// The samples after those that were told before, once this number of them is there.
async fn told(scene: &Scene, before: usize, number: usize) -> Result<Vec<Sample>> {
    let started = Instant::now();
    loop {
        let told = scene.daemon.samples()?.split_off(before);
        if told.len() >= number {
            ensure!(told.len() == number, "not {number}: {told:?}");
            return Ok(told);
        }
        ensure!(started.elapsed() < SOON, "not told: {told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes new pods ready until the delay of one is told. Returns how many it took.
async fn measured(scene: &Scene, before: usize) -> Result<usize> {
    for number in 1..=ATTEMPTS {
        let pod = scene.objects.create_pod(&format!("later-{number}"), "web").await?;
        scene.objects.report(&pod, true).await?;
        let told = told(scene, before, number).await?;
        let last = told.last().context("a sample")?;
        ensure!(last.uid.as_ref() == Some(&pod.uid) && last.change == Change::Ready, "{told:?}");
        match last.outcome {
            Told::Propagated => return Ok(number),
            Told::Censored if scene.daemon.metrics().await?.has_doubts() => {}
            _ => anyhow::bail!("not measured: {told:?}"),
        }
    }
    anyhow::bail!("all of {ATTEMPTS} changes are censored")
}
