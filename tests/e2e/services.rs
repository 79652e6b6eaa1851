//! Changes of Services, and the kinds of Service.

use super::changes::{counts, selecting};
use super::shared_plane;
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeSet;
use testkit::scene::Scene;

#[tokio::test]
async fn a_service_created_before_and_after_its_pods() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "created").await?;
    let objects = &scene.objects;
    scene.create_service("first", selecting("web")).await?;
    for name in ["web-0", "web-1"] {
        let pod = objects.create_pod(name, "web").await?;
        objects.report(&pod, true).await?;
    }
    scene.told().await?;
    // Its pods did not change when it was created: one `service` change for all of them.
    scene.create_service("second", selecting("web")).await?;

    let pairs = scene.agree().await?;
    let of = |service: &str| pairs.iter().filter(|pair| pair.record.service == service).cloned().collect::<Vec<_>>();
    assert_eq!(counts(&of("first")), [2, 0, 0, 0, 1]);
    assert_eq!(counts(&of("second")), [0, 0, 0, 0, 1]);
    scene.finish().await
}

#[tokio::test]
async fn an_edited_selector() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "selector").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("blue")).await?;
    for app in ["blue", "green"] {
        let pod = objects.create_pod(&format!("{app}-0"), app).await?;
        objects.report(&pod, true).await?;
    }
    scene.told().await?;
    scene.objects.edit_service("web", json!({ "selector": { "app": "green" } })).await?;
    // The blue pod's `ready` before, none for the green one: the edit is the change, the pods did not change.
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 2]);
    scene.finish().await
}

#[tokio::test]
async fn edited_ports() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "ports").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    scene.told().await?;
    scene.objects.edit_service("web", json!({ "ports": [{ "port": 80, "targetPort": 9090 }] })).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 2]);

    // The slices do not contain Service ports, so they agree with this edit before the controller has seen it.
    scene.objects.edit_service("web", json!({ "ports": [{ "port": 81, "targetPort": 9090 }] })).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 2]);
    scene.finish().await
}

/// An edit of anything else is no change.
#[tokio::test]
async fn an_edit_that_concerns_no_endpoint() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "affinity").await?;
    scene.create_service("web", selecting("web")).await?;
    scene.told().await?;
    scene.objects.edit_service("web", json!({ "sessionAffinity": "ClientIP" })).await?;
    assert_eq!(counts(&scene.agree().await?), [0, 0, 0, 0, 1]);
    scene.finish().await
}

/// Its endpoints are always `ready`; `serving` shows what the pod reports.
#[tokio::test]
async fn a_service_that_publishes_unready_addresses() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "publishing").await?;
    let objects = &scene.objects;
    let mut spec = selecting("db");
    spec["publishNotReadyAddresses"] = json!(true);
    scene.create_service("db", spec).await?;
    let pod = objects.create_pod("db-0", "db").await?;
    scene.told().await?;
    for ready in [true, false, true] {
        scene.objects.report(&pod, ready).await?;
        scene.told().await?;
    }
    scene.objects.terminate(&pod).await?;
    scene.told().await?;
    let slices = scene.objects.slices("db").await?;
    let conditions = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).map(|it| it.conditions.clone());
    assert!(
        conditions.flatten().all(|it| it.ready == Some(true) && it.terminating == Some(true)),
        "the case that this test is about: {slices:?}"
    );
    scene.objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [2, 1, 1, 1, 1]);
    scene.finish().await
}

#[tokio::test]
async fn a_headless_service_without_ports() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "headless").await?;
    let objects = &scene.objects;
    scene.create_service("db", json!({ "clusterIP": "None", "selector": { "app": "db" } })).await?;
    let pod = objects.create_pod("db-0", "db").await?;
    objects.report(&pod, true).await?;
    scene.told().await?;
    scene.objects.terminate(&pod).await?;
    scene.told().await?;
    scene.objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 1, 1, 1]);
    scene.finish().await
}

/// Pods that have different numbers for the name are in different slices of the Service.
#[tokio::test]
async fn named_ports() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "named-ports").await?;
    let objects = &scene.objects;
    let spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": "http" }] });
    scene.create_service("web", spec.clone()).await?;
    let old = objects.create_pod_with_ports("web-old", "web", &[("http", 8080), ("admin", 9090)]).await?;
    let new = objects.create_pod_with_ports("web-new", "web", &[("http", 8081), ("admin", 9090)]).await?;
    objects.report(&old, true).await?;
    objects.report(&new, true).await?;
    let slices = objects.wait_for_slices("web", |slices| slices.len() == 2).await?;
    let numbers: BTreeSet<_> = slices.iter().flat_map(|slice| slice.ports.iter().flatten()).map(|it| it.port).collect();
    assert_eq!(numbers, BTreeSet::from([Some(8080), Some(8081)]));
    scene.told().await?;

    // Created after its pods: reflected with the second slice.
    scene.create_service("late", spec).await?;
    scene.told().await?;
    // Both pods have the same number for the other name: they move into one slice.
    let admin = json!({ "ports": [{ "port": 80, "targetPort": "admin" }] });
    scene.objects.edit_service("web", admin).await?;
    scene.objects.wait_for_slices("web", |slices| slices.len() == 1).await?;
    scene.objects.terminate(&old).await?;
    scene.told().await?;
    scene.objects.finish(&old).await?;

    let pairs = scene.agree().await?;
    let of = |service: &str| pairs.iter().filter(|pair| pair.record.service == service).cloned().collect::<Vec<_>>();
    assert_eq!(counts(&of("web")), [2, 0, 1, 1, 2]);
    assert_eq!(counts(&of("late")), [0, 0, 1, 1, 1]);
    scene.finish().await
}

/// Without a selector the EndpointSlice controller does nothing, so there is no change.
#[tokio::test]
async fn services_without_selector() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "no-selector").await?;
    let objects = &scene.objects;
    objects.create_service("by-hand", json!({ "ports": [{ "port": 80 }] })).await?;
    objects.create_service("elsewhere", json!({ "type": "ExternalName", "externalName": "db.invalid" })).await?;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    let pairs = scene.agree().await?;
    assert_eq!(counts(&pairs), [1, 0, 0, 0, 1]);
    assert!(pairs.iter().all(|pair| pair.record.service == "web"));
    scene.finish().await
}

/// The Service and its changes are gone. Those that were reflected before stay counted.
#[tokio::test]
async fn a_deleted_service() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "deleted").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    scene.told().await?;
    scene.delete_service("web").await?;
    scene.objects.wait_for_slices("web", |slices| slices.is_empty()).await?;
    scene.objects.terminate(&pod).await?;
    scene.objects.finish(&pod).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 1]);
    scene.finish().await
}
