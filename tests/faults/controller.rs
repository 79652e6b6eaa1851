//! The controller manager is stopped: no change is reflected, and none is forgotten.

use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::{Controllers, Options};
use testkit::scene::agreement::Pair;
use testkit::scene::{Scene, Setup};
use testkit::truth::{Change, Outcome};
use testkit::watching::Watching;
use testkit::workspace::Workspace;

const PODS: usize = 50;

/// Writes at the same time.
const AT_ONCE: usize = 8;

/// Longer than the pods' writes take on a busy machine, so that no change has missed it when all are made.
const OBJECTIVE: Duration = Duration::from_secs(4);

/// Ample time for what the daemon should show at the next scrape.
const SOON: Duration = Duration::from_secs(20);

/// Sums of the daemon's `ready` in one scrape.
#[derive(Debug)]
struct Scrape {
    pending: f64,
    oldest: f64,
    ended: f64,
    judged: f64,
    missed: f64,
}

async fn scrape(scene: &Scene) -> Result<Scrape> {
    let metrics = scene.daemon.metrics().await?;
    let sum = |name| metrics.sum(name, &[("change", "ready")]);
    Ok(Scrape {
        pending: sum("endpointlag_pending_changes"),
        oldest: sum("endpointlag_oldest_pending_seconds"),
        ended: sum("endpointlag_changes_total"),
        judged: sum("endpointlag_slo_changes_total"),
        missed: sum("endpointlag_slo_missed_total"),
    })
}

async fn wait_for_scrape(scene: &Scene, expected: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
    let started = Instant::now();
    loop {
        let found = scrape(scene).await?;
        if expected(&found) {
            return Ok(found);
        }
        ensure!(started.elapsed() < SOON, "still {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// While the controller is stopped, delays are not short: there are none, and the pending changes, their age and the SLO show it.
#[tokio::test]
async fn stopped_while_pods_turn_ready() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let setup = Setup::cluster(&plane).with(&["--namespace", "away", "--objective", "4s"]);
    let mut scene = Scene::prepare(&plane, "away", setup).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let objects = &scene.objects;
    let pods: Vec<_> = stream::iter(0..PODS)
        .map(|number| async move { objects.create_pod(&format!("web-{number}"), "web").await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    scene.settle().await?;

    plane.stop_controllers().await?;
    let objects = &scene.objects;
    stream::iter(&pods).map(Ok).try_for_each_concurrent(AT_ONCE, |pod| objects.report(pod, true)).await?;
    let all = PODS as f64;
    let first = wait_for_scrape(&scene, |it| it.pending == all).await?;
    assert_eq!((first.ended, first.judged), (0.0, 0.0), "nothing has resolved, nothing is late: {first:?}");
    assert!(first.oldest > 0.0 && first.oldest < OBJECTIVE.as_secs_f64(), "{first:?}");
    let pause = Duration::from_millis(300);
    tokio::time::sleep(pause).await;
    let second = scrape(&scene).await?;
    assert!(second.oldest >= first.oldest + pause.as_secs_f64(), "the age stands still: {first:?}, {second:?}");

    let missed = wait_for_scrape(&scene, |it| it.missed == all).await?;
    assert_eq!((missed.pending, missed.ended, missed.judged), (all, 0.0, all), "missed before it resolves: {missed:?}");
    assert!(missed.oldest >= OBJECTIVE.as_secs_f64(), "{missed:?}");

    plane.start_controllers(Controllers::default()).await?;
    let pairs = scene.agree().await?;
    let delays: Vec<_> =
        pairs.iter().filter(|it| it.record.change == Change::Ready).map(|it| it.sample.delay()).collect();
    assert_eq!(delays.len(), PODS);
    // On a busy machine the daemon may have censored some.
    let are_all_timed = delays.iter().all(Option::is_some) || scene.daemon.metrics().await?.has_doubts();
    assert!(are_all_timed && delays.iter().flatten().all(|delay| *delay > OBJECTIVE), "{delays:?}");
    let end = scrape(&scene).await?;
    assert_eq!((end.pending, end.oldest, end.judged, end.missed), (0.0, 0.0, all, all), "each is judged once: {end:?}");
    scene.finish().await
}

/// Services are created, edited and deleted before the controller has handled the earlier changes.
#[tokio::test]
async fn services_edited_while_changes_are_pending() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "edited").await?;
    let objects = &scene.objects;
    for service in ["selector", "ports", "doomed"] {
        scene.create_service(service, selecting("blue")).await?;
    }
    for (name, app) in [("blue-0", "blue"), ("green-0", "green")] {
        let pod = objects.create_pod(name, app).await?;
        objects.report(&pod, true).await?;
    }
    let pod = objects.create_pod("blue-1", "blue").await?;
    scene.told().await?;

    plane.stop_controllers().await?;
    let objects = &scene.objects;
    // Pending for all three Services, and seen before the next one is.
    objects.report(&pod, true).await?;
    wait_for_scrape(&scene, |it| it.pending == 3.0).await?;
    objects.create_service("late", selecting("blue")).await?;
    objects.edit_service("selector", json!({ "selector": { "app": "green" } })).await?;
    let ports = json!({ "ports": [{ "port": 80, "targetPort": 9090 }] });
    objects.edit_service("ports", ports.clone()).await?;
    objects.edit_service("doomed", ports).await?;
    objects.delete_service("doomed").await?;
    plane.start_controllers(Controllers::default()).await?;

    let pairs = scene.agree().await?;
    let ended = |service: &str, change, outcome: &str| {
        let is = |pair: &&Pair| pair.record.service == service && pair.record.change == change;
        let by = |pair: &&Pair| pair.record.outcome.map(Outcome::label) == Some(outcome);
        pairs.iter().filter(is).filter(by).count()
    };
    // The first pod's `ready` of each, and the Service itself; then the changes that were pending.
    assert_eq!(ended("ports", Change::Ready, "propagated"), 2);
    assert_eq!(ended("ports", Change::Service, "propagated"), 2);
    assert_eq!(ended("selector", Change::Ready, "withdrawn"), 1, "the edit excludes the pod");
    assert_eq!(ended("selector", Change::Service, "propagated"), 2);
    assert_eq!(ended("doomed", Change::Ready, "withdrawn"), 1);
    assert_eq!(ended("doomed", Change::Service, "withdrawn"), 1);
    assert_eq!(ended("late", Change::Service, "propagated"), 1);
    assert_eq!(ended("late", Change::Ready, "propagated"), 0, "its pods did not change");
    scene.finish().await
}

/// A pipeline that watches a rollout must fail although no change has ended.
#[tokio::test]
async fn a_watch_of_changes_that_hang_fails() -> Result<()> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    let workspace = Workspace::create("hanging")?;
    let objects = Objects::create(plane.admin().await?, "hanging").await?;
    objects.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, false).await?;
    objects.wait_for_endpoints("web", 1).await?;
    plane.stop_controllers().await?;

    let flags = ["--namespace=hanging", "--objective=500ms", "--for=5s"];
    let watching = Watching::start_synced(&plane.admin_kubeconfig()?, workspace.path(), &flags).await?;
    objects.report(&pod, true).await?;
    let ended = watching.end().await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    let words = [
        "1 pending change:\n  hanging/web web-0: ready for ",
        "1 endpoint out of sync:\n  hanging/web web-0: for ",
        "objective missed by 1 change: 1 of hanging/web (objective 500ms)",
    ];
    ensure!(words.iter().all(|words| ended.printed.contains(words)), "{}", ended.printed);
    Ok(())
}
