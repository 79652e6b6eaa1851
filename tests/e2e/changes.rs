//! Each kind of change of a pod.

use super::shared_plane;
use anyhow::Result;
use serde_json::{Value, json};
use testkit::scene::Scene;
use testkit::scene::agreement::Pair;
use testkit::truth::Change;

/// The spec of an ordinary Service.
pub fn selecting(app: &str) -> Value {
    json!({ "selector": { "app": app }, "ports": [{ "port": 80, "targetPort": 8080 }] })
}

/// How many changes of each kind there were, in the order of [`Change`]: ready, unready, terminating, removed, service.
pub fn counts(pairs: &[Pair]) -> [usize; 5] {
    [Change::Ready, Change::Unready, Change::Terminating, Change::Removed, Change::Service]
        .map(|change| pairs.iter().filter(|pair| pair.record.change == change).count())
}

#[tokio::test]
async fn a_pod_through_its_life() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "life").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    scene.told().await?;
    for ready in [true, false, true] {
        scene.objects.report(&pod, ready).await?;
        scene.told().await?;
    }
    scene.objects.terminate(&pod).await?;
    scene.told().await?;
    scene.objects.finish(&pod).await?;

    assert_eq!(counts(&scene.agree().await?), [2, 1, 1, 1, 1]);
    scene.finish().await
}

/// A pod that has an address but fails its probe is listed as not ready. That alone is no change.
#[tokio::test]
async fn a_pod_that_was_never_ready() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "never-ready").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, false).await?;
    objects
        .wait_for_slices("web", |slices| slices.iter().any(|slice| slice.endpoints.iter().flatten().count() == 1))
        .await?;
    assert_eq!(counts(&scene.agree().await?), [0, 0, 0, 0, 1]);

    scene.objects.terminate(&pod).await?;
    scene.told().await?;
    scene.objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [0, 0, 1, 1, 1]);
    scene.finish().await
}

/// A pod without an address is in no slice, so there is no change to propagate.
#[tokio::test]
async fn a_pod_that_was_never_listed() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "never-listed").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.terminate(&pod).await?;
    objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [0, 0, 0, 0, 1]);
    scene.finish().await
}

/// The watch shows a deletionTimestamp and the deletion within a moment.
#[tokio::test]
async fn a_pod_deleted_without_grace() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "no-grace").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    scene.told().await?;
    scene.objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 1, 1, 1]);
    scene.finish().await
}

#[tokio::test]
async fn a_pod_that_ends_by_itself() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "succeeded").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    scene.told().await?;
    scene.objects.report_succeeded(&pod).await?;
    scene.told().await?;
    // It left the slices when it ended. The later deletion of its object is no change.
    scene.objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 1, 1]);
    scene.finish().await
}

#[tokio::test]
async fn a_pod_that_leaves_by_its_labels_and_returns() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "relabelled").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    scene.told().await?;
    scene.objects.relabel(&pod, "quarantine").await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 1, 1]);
    scene.objects.relabel(&pod, "web").await?;
    assert_eq!(counts(&scene.agree().await?), [2, 0, 0, 1, 1]);
    scene.finish().await
}

/// StatefulSets reuse names: the new pod's changes are not the old one's.
#[tokio::test]
async fn a_pod_replaced_under_its_name() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "replaced").await?;
    scene.create_service("db", selecting("db")).await?;
    for _ in 0..2 {
        let pod = scene.objects.create_pod("db-0", "db").await?;
        scene.objects.report(&pod, true).await?;
        scene.told().await?;
        scene.objects.terminate(&pod).await?;
        scene.told().await?;
        scene.objects.finish(&pod).await?;
        scene.told().await?;
    }
    let pairs = scene.agree().await?;
    assert_eq!(counts(&pairs), [2, 0, 2, 2, 1]);
    let uids: std::collections::BTreeSet<_> = pairs.iter().filter_map(|pair| pair.sample.uid.as_deref()).collect();
    assert_eq!(uids.len(), 2);
    scene.finish().await
}

/// A pod that no Service selects makes no change, whatever happens to it.
#[tokio::test]
async fn a_pod_in_no_service() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "nobodys").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("job-0", "job").await?;
    objects.report(&pod, true).await?;
    objects.report(&pod, false).await?;
    objects.terminate(&pod).await?;
    objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [0, 0, 0, 0, 1]);
    scene.finish().await
}

/// One change of a pod is one change for each Service that selects it.
#[tokio::test]
async fn a_pod_in_several_services() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "several").await?;
    let objects = &scene.objects;
    for service in ["web", "web-canary", "web-metrics"] {
        scene.create_service(service, selecting("web")).await?;
    }
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    scene.told().await?;
    scene.objects.terminate(&pod).await?;
    scene.told().await?;
    scene.objects.finish(&pod).await?;

    let pairs = scene.agree().await?;
    assert_eq!(counts(&pairs), [3, 0, 3, 3, 3]);
    for service in ["web", "web-canary", "web-metrics"] {
        let own: Vec<_> = pairs.iter().filter(|pair| pair.record.service == service).cloned().collect();
        assert_eq!(counts(&own), [1, 0, 1, 1, 1], "{service}");
    }
    scene.finish().await
}
