//! States that no event ends, and events that change nothing.

use super::changes::{counts, selecting};
use super::shared_plane;
use anyhow::{Result, ensure};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::controlplane::objects::create_node;
use testkit::controlplane::objects::unusual::delete_node;
use testkit::scene::{Scene, Setup};
use testkit::truth::Change;

const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a state is tried again that the controller may end for a reason of its own.
const ATTEMPTS: usize = 5;

/// The sum of a gauge over the Services of the scene's namespace.
async fn gauge(scene: &Scene, name: &str) -> Result<f64> {
    Ok(scene.daemon.metrics().await?.sum(name, &[("namespace", scene.objects.namespace())]))
}

async fn wait_for_gauge(scene: &Scene, name: &str, expected: f64) -> Result<()> {
    let started = Instant::now();
    loop {
        let found = gauge(scene, name).await?;
        if found == expected {
            return Ok(());
        }
        ensure!(started.elapsed() < TIMEOUT, "{name} is still {found}, not {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const OUT_OF_SYNC: &str = "endpointlag_out_of_sync_endpoints";
const TRAFFIC: &str = "endpointlag_oldest_out_of_sync_traffic_seconds";
const MISSED: &str = "endpointlag_slo_missed_total";

/// Names of the pods that the slices list.
fn listed(slices: &[EndpointSlice]) -> Vec<&str> {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints.filter_map(|it| it.target_ref.as_ref()?.name.as_deref()).collect()
}

/// The API server takes a status with two Ready conditions, and the controller looks at the first.
#[tokio::test]
async fn a_pod_with_two_ready_conditions() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "two-conditions").await?;
    scene.create_service("web", selecting("web")).await?;
    let pod = scene.objects.create_pod("web-0", "web").await?;
    scene.objects.report_conditions(&pod, &["False", "True"]).await?;
    let slices = scene.objects.wait_for_endpoints("web", 1).await?;
    let conditions = slices[0].endpoints.iter().flatten().next().and_then(|it| it.conditions.clone());
    ensure!(conditions.is_some_and(|it| it.ready == Some(false)), "the case that this test is about: {slices:?}");
    assert_eq!(counts(&scene.agree().await?), [0, 0, 0, 0, 1]);
    wait_for_gauge(&scene, OUT_OF_SYNC, 0.0).await?;

    scene.objects.report_conditions(&pod, &["True", "False"]).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 1]);
    scene.finish().await
}

/// The controller drops the pods of a deleted Node when it next writes the Service. When these pods change, seconds later,
/// the slices already show that for another reason: it is no change, and no fast one.
#[tokio::test]
async fn pods_of_a_deleted_node() -> Result<()> {
    const NODE: &str = "node-of-states";
    /// More than the possible difference between two watches.
    const LATER: Duration = Duration::from_millis(1500);
    let mut scene = Scene::start(shared_plane().await?, "deleted-node").await?;
    create_node(scene.objects.client(), NODE).await?;
    scene.create_service("web", selecting("web")).await?;
    let goes = scene.objects.create_pod_on(NODE, "goes", "web").await?;
    let fails = scene.objects.create_pod_on(NODE, "fails", "web").await?;
    let stays = scene.objects.create_pod("stays", "web").await?;
    for pod in [&goes, &fails, &stays] {
        scene.objects.report(pod, true).await?;
    }
    assert_eq!(counts(&scene.agree().await?), [3, 0, 0, 0, 1]);

    delete_node(scene.objects.client(), NODE).await?;
    let mut ready = true;
    let started = Instant::now();
    while listed(&scene.objects.slices("web").await?) != ["stays"] {
        ensure!(started.elapsed() < TIMEOUT, "the pods of the deleted node are still listed");
        // The controller may have acted before it knew that the Node was deleted.
        ready = !ready;
        scene.objects.report(&stays, ready).await?;
        // Before the next one, so that none is superseded.
        scene.told().await?;
    }
    // They are ready and get no traffic, and no change of theirs caused this.
    wait_for_gauge(&scene, OUT_OF_SYNC, 2.0).await?;
    ensure!(gauge(&scene, TRAFFIC).await? > 0.0, "no traffic is lost");
    tokio::time::sleep(LATER).await;
    scene.objects.finish(&goes).await?;
    scene.objects.report(&fails, false).await?;
    let pairs = scene.agree().await?;
    let others = pairs.iter().filter(|pair| pair.sample.pod.as_deref().is_some_and(|pod| pod != "stays"));
    assert_eq!(counts(&others.cloned().collect::<Vec<_>>()), [2, 0, 0, 0, 0]);
    wait_for_gauge(&scene, OUT_OF_SYNC, 0.0).await?;
    scene.finish().await
}

/// The controller does not reconcile a Service when only the phase of a pod changes. The pod stays listed, and gets no
/// traffic.
#[tokio::test]
async fn a_pod_that_fails_and_wakes_nobody() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "failed").await?;
    scene.create_service("web", selecting("web")).await?;
    let mut failed = 0;
    loop {
        ensure!(failed < ATTEMPTS, "the controller was woken each of {failed} times: the case that this test is about");
        let name = format!("web-{failed}");
        let pod = scene.objects.create_pod(&name, "web").await?;
        for ready in [true, false] {
            scene.objects.report(&pod, ready).await?;
            scene.told().await?;
        }
        assert_eq!(counts(&scene.agree().await?), [failed + 1, failed + 1, 0, failed, 1]);
        // If the controller sees its own write before it has recorded it, it reconciles the Service once more, a second later, and later
        // than that on a busy machine. Then it drops the pod.
        tokio::time::sleep(Duration::from_millis(1300)).await;
        scene.objects.report_failed(&pod).await?;
        failed += 1;
        let started = Instant::now();
        let mut is_listed = true;
        while is_listed && gauge(&scene, OUT_OF_SYNC).await? != 1.0 {
            ensure!(started.elapsed() < TIMEOUT, "the daemon does not show it");
            tokio::time::sleep(Duration::from_millis(50)).await;
            is_listed = listed(&scene.objects.slices("web").await?) == [&*name];
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let shown = [OUT_OF_SYNC, "endpointlag_pending_changes", TRAFFIC];
        let shown = [gauge(&scene, shown[0]).await?, gauge(&scene, shown[1]).await?, gauge(&scene, shown[2]).await?];
        // Read after the figures: it was listed when they were read.
        if listed(&scene.objects.slices("web").await?) == [&*name] {
            assert_eq!(
                shown,
                [1.0, 1.0, 0.0],
                "out of sync, pending, and an endpoint that is not ready gets no traffic"
            );
            break;
        }
        scene.told().await?;
    }

    let other = scene.objects.create_pod("other", "web").await?;
    scene.objects.report(&other, true).await?;
    assert_eq!(counts(&scene.agree_on_outcomes().await?), [failed + 1, failed, 0, failed, 1]);
    wait_for_gauge(&scene, OUT_OF_SYNC, 0.0).await?;
    scene.finish().await
}

/// The controller creates no slices for a Service that a finalizer holds in deletion.
#[tokio::test]
async fn a_service_held_in_deletion() -> Result<()> {
    const OBJECTIVE: Duration = Duration::from_millis(500);
    let plane = shared_plane().await?;
    let setup = Setup::cluster(plane).with(&["--namespace", "held", "--objective", "500ms"]);
    let mut scene = Scene::prepare(plane, "held", setup).await?;
    scene.daemon.wait_until_ready().await?;
    let objects = &scene.objects;
    let spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": "http" }] });
    scene.create_service("web", spec).await?;
    objects.hold_service("web").await?;
    let listed_one = objects.create_pod_with_ports("web-0", "web", &[("http", 8080)]).await?;
    objects.report(&listed_one, true).await?;
    assert_eq!(counts(&scene.agree_on_outcomes().await?), [1, 0, 0, 0, 1]);
    let missed = gauge(&scene, MISSED).await?;

    let objects = &scene.objects;
    scene.delete_service("web").await?;
    // Another number for the name: it would need its own slice.
    let other = objects.create_pod_with_ports("web-1", "web", &[("http", 8081)]).await?;
    objects.report(&other, true).await?;
    tokio::time::sleep(2 * OBJECTIVE + Duration::from_millis(200)).await;
    assert_eq!(listed(&objects.slices("web").await?), ["web-0"], "the case that this test is about");
    assert_eq!(gauge(&scene, MISSED).await?, missed);
    assert_eq!(gauge(&scene, OUT_OF_SYNC).await?, 0.0);
    scene.objects.release_service("web").await?;
    scene.objects.wait_for_slices("web", |slices| slices.is_empty()).await?;
    assert_eq!(counts(&scene.agree_on_outcomes().await?), [1, 0, 0, 0, 1]);
    scene.finish().await
}

/// What the slices of the deleted Service show does not count for the Service that has its name now.
#[tokio::test]
async fn a_service_made_anew() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "anew").await?;
    scene.create_service("web", selecting("web")).await?;
    let pod = scene.objects.create_pod("web-0", "web").await?;
    scene.objects.report(&pod, true).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 1]);
    for made in 2..5 {
        scene.objects.delete_service("web").await?;
        scene.create_service("web", selecting("web")).await?;
        let pairs = scene.agree().await?;
        assert_eq!(counts(&pairs), [1, 0, 0, 0, made]);
        let services = pairs.iter().filter(|pair| pair.record.change == Change::Service);
        // A busy machine may have censored some.
        let are_timed = services.clone().all(|pair| pair.sample.delay().is_some());
        let doubts = scene.daemon.metrics().await?.has_doubts();
        ensure!(are_timed || doubts, "{:?}", services.collect::<Vec<_>>());
    }
    wait_for_gauge(&scene, OUT_OF_SYNC, 0.0).await?;
    scene.finish().await
}
