//! A whole namespace is deleted.

use super::reckoning::add_up;
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::controlplane::plane::Options;
use testkit::daemon::samples::{Outcome, Sample};
use testkit::scene::{Scene, Setup};
use testkit::truth::Change;

const PODS: usize = 6;

/// Ample time for the namespace controller.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The namespace controller deletes pods, Services and slices in its own order, and the EndpointSlice controller may
/// no longer write there. If the slices never show something, no change stays pending for ever because of it.
#[tokio::test]
async fn namespace_deleted_with_all_in_it() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::prepare(&plane, "doomed", Setup::cluster(&plane)).await?;
    scene.daemon.wait_until_ready().await?;
    let objects = &scene.objects;
    for service in ["web", "web-canary"] {
        scene.create_service(service, selecting("web")).await?;
    }
    let mut pods = Vec::new();
    for number in 0..PODS {
        let pod = objects.create_pod(&format!("web-{number}"), "web").await?;
        // One has an address and never becomes Ready.
        objects.report(&pod, number > 0).await?;
        pods.push(pod);
    }
    scene.agree().await?;

    scene.objects.delete_namespace().await?;
    // The kubelet's part: pods stay until their containers have ended.
    for pod in &pods {
        wait_for_termination(&scene, &pod.name).await?;
        scene.objects.finish(pod).await?;
    }
    let started = Instant::now();
    let samples = loop {
        let metrics = scene.daemon.metrics().await?;
        let samples = scene.daemon.samples()?;
        let left = metrics.matching("endpointlag_objective_seconds", &[("namespace", "doomed")]).count();
        let sums = add_up("doomed", &metrics, &samples);
        if left == 0 && sums.is_ok() {
            break samples;
        }
        ensure!(started.elapsed() < TIMEOUT, "{left} Services left, {sums:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Services may go first or last, so a pod's end may be reported or not, but at most once for each Service.
    let of = |change: Change| samples.iter().filter(move |it| it.change == change);
    let identity = |it: &Sample| (it.service.clone(), it.uid.clone());
    for change in [Change::Ready, Change::Unready, Change::Terminating, Change::Removed, Change::Service] {
        let distinct: BTreeSet<_> = of(change).map(identity).collect();
        assert_eq!(distinct.len(), of(change).count(), "{} more than once", change.label());
    }
    assert_eq!((of(Change::Ready).count(), of(Change::Unready).count()), (2 * (PODS - 1), 0));
    let metrics = scene.daemon.metrics().await?;
    let doubts = metrics.has_doubts();
    let is_right = |it: &Sample| match it.outcome {
        Outcome::Propagated | Outcome::Withdrawn => true,
        outcome => doubts && outcome == Outcome::Censored,
    };
    assert!(samples.iter().all(is_right), "{samples:?}");
    assert_eq!(metrics.sum("endpointlag_oldest_pending_seconds", &[]), 0.0);
    scene.finish().await
}

async fn wait_for_termination(scene: &Scene, pod: &str) -> Result<()> {
    let started = Instant::now();
    while !scene.objects.is_terminating(pod).await? {
        ensure!(started.elapsed() < TIMEOUT, "nobody deletes pod {pod}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
