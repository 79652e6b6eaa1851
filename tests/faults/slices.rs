//! Unusual ways of writing slices: late, small, in two families, and by another writer.

use super::{selecting, start_plane};
use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;
use std::time::Duration;
use testkit::controlplane::plane::{Controllers, Options};
use testkit::scene::Scene;
use testkit::scene::agreement::Pair;
use testkit::truth::{Change, Outcome};

/// How many changes of each pod kind ended `propagated` and `superseded`: ready, unready, terminating, removed.
fn outcomes(pairs: &[Pair]) -> [[usize; 2]; 4] {
    [Change::Ready, Change::Unready, Change::Terminating, Change::Removed].map(|change| {
        ["propagated", "superseded"].map(|outcome| {
            let is = |it: &&Pair| it.record.change == change && it.record.outcome.map(Outcome::label) == Some(outcome);
            pairs.iter().filter(is).count()
        })
    })
}

fn endpoints(slices: &[EndpointSlice]) -> usize {
    slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).sum()
}

/// The controller writes once for everything that happened in three seconds. What it never wrote was superseded, and the write
/// reflects only the last change.
#[tokio::test]
async fn flaps_inside_a_batch() -> Result<()> {
    const BATCH: Duration = Duration::from_secs(3);
    let controllers = Controllers { batch_period: BATCH, ..Controllers::default() };
    let (_permit, plane) = start_plane(Options { controllers, ..Options::default() }).await?;
    let mut scene = Scene::start(&plane, "batches").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    let stays = objects.create_pod("stays", "web").await?;
    let ends_ready = objects.create_pod("ends-ready", "web").await?;
    let ends_unready = objects.create_pod("ends-unready", "web").await?;
    let dies = objects.create_pod("dies", "web").await?;
    scene.settle().await?;

    let objects = &scene.objects;
    objects.report(&stays, true).await?;
    for ready in [true, false, true] {
        objects.report(&ends_ready, ready).await?;
    }
    for ready in [true, false, true, false] {
        objects.report(&ends_unready, ready).await?;
    }
    // It was never listed, so its end needs no reflection.
    objects.report(&dies, true).await?;
    objects.finish(&dies).await?;
    let pairs = scene.agree().await?;
    assert_eq!(outcomes(&pairs), [[2, 4], [0, 0], [0, 0], [0, 0]]);

    // The slices list them as ready, so they already show it when the pods become ready again: no change.
    for ready in [false, true, false] {
        scene.objects.report(&stays, ready).await?;
    }
    scene.objects.report(&ends_ready, false).await?;
    scene.objects.report(&ends_ready, true).await?;
    let pairs = scene.agree().await?;
    // `stays`: unready superseded because the slices still show ready, then unready written. `ends-ready`: only the first.
    assert_eq!(outcomes(&pairs), [[2, 4], [1, 2], [0, 0], [0, 0]]);
    scene.finish().await
}

/// Endpoints move between slices of five as pods come and go, and no such move counts as a change.
#[tokio::test]
async fn endpoints_move_between_small_slices() -> Result<()> {
    const PODS: usize = 60;
    const AT_ONCE: usize = 8;
    let controllers = Controllers { max_endpoints_per_slice: 5, ..Controllers::default() };
    let (_permit, plane) = start_plane(Options { controllers, ..Options::default() }).await?;
    let mut scene = Scene::start(&plane, "small").await?;
    scene.create_service("web", selecting("web")).await?;
    let mut expected = [[0, 0]; 4];
    let mut pods = Vec::new();
    for (round, arriving) in [PODS, PODS / 2].into_iter().enumerate() {
        let objects = &scene.objects;
        let arrived: Vec<_> = stream::iter(0..arriving)
            .map(|number| async move {
                let pod = objects.create_pod(&format!("web-{round}-{number}"), "web").await?;
                objects.report(&pod, true).await?;
                anyhow::Ok(pod)
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        pods.extend(arrived);
        expected[0][0] += arriving;
        assert_eq!(outcomes(&scene.agree().await?), expected, "round {round}");

        // Every second one, so that every slice becomes half empty and the next pods are put into the free places.
        let leaving: Vec<_> = pods.iter().step_by(2).cloned().collect();
        pods = pods.into_iter().skip(1).step_by(2).collect();
        let objects = &scene.objects;
        stream::iter(&leaving).map(Ok).try_for_each_concurrent(AT_ONCE, |pod| objects.finish(pod)).await?;
        expected[2][0] += leaving.len();
        expected[3][0] += leaving.len();
        assert_eq!(outcomes(&scene.agree().await?), expected, "round {round}");
    }
    let slices = scene.objects.slices("web").await?;
    assert!(slices.len() > 1 && endpoints(&slices) == pods.len(), "{} slices", slices.len());
    scene.finish().await
}

/// Each family has its own slices, written one after the other. A change counts once, and ends with the last family.
#[tokio::test]
async fn two_families() -> Result<()> {
    let (_permit, plane) = start_plane(Options { dual_stack: true, ..Options::default() }).await?;
    let mut scene = Scene::start(&plane, "families").await?;
    let mut spec = selecting("web");
    spec["ipFamilyPolicy"] = json!("RequireDualStack");
    let objects = &scene.objects;
    scene.create_service("web", spec).await?;
    scene.create_service("single", selecting("web")).await?;
    let both = objects.create_pod("both", "web").await?;
    let one = objects.create_pod("one", "web").await?;
    scene.settle().await?;
    for ready in [true, false, true] {
        scene.objects.report_dual_stack(&both, ready).await?;
        scene.objects.report(&one, ready).await?;
        scene.agree().await?;
    }
    let slices = scene.objects.slices("web").await?;
    assert_eq!((slices.len(), endpoints(&slices)), (2, 3), "two families, of which one pod has one");
    // The families may be added and dropped while pods stay.
    for policy in ["RequireDualStack", "SingleStack", "RequireDualStack"] {
        scene.objects.edit_service("single", json!({ "ipFamilyPolicy": policy })).await?;
        scene.agree().await?;
    }
    for pod in [&both, &one] {
        scene.objects.finish(pod).await?;
    }
    let pairs = scene.agree().await?;
    // Two pods in two Services.
    assert_eq!(outcomes(&pairs), [[8, 0], [4, 0], [4, 0], [4, 0]]);
    let services =
        |name: &str| pairs.iter().filter(|it| it.record.change == Change::Service && it.record.service == name).count();
    assert_eq!((services("web"), services("single")), (1, 4));
    scene.finish().await
}

/// Slices from a person, another controller and the mirroring controller show nothing, although they name the
/// Service and its pods.
#[tokio::test]
async fn slices_of_others() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "others").await?;
    let objects = &scene.objects;
    scene.create_service("web", selecting("web")).await?;
    objects.create_service("by-hand", json!({ "ports": [{ "port": 80 }] })).await?;
    let pod = objects.create_pod("web-0", "web").await?;
    scene.settle().await?;
    let objects = &scene.objects;
    for (service, manager) in [("web", Some("somebody.example")), ("web", None), ("by-hand", None)] {
        let mut labels = json!({ "kubernetes.io/service-name": service });
        if let Some(manager) = manager {
            labels["endpointslice.kubernetes.io/managed-by"] = json!(manager);
        }
        objects
            .create_slice(json!({
                "metadata": { "generateName": "others-", "labels": labels },
                "addressType": "IPv4",
                "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
                "endpoints": [{
                    "addresses": [pod.ipv4()],
                    "conditions": { "ready": true },
                    "targetRef": { "kind": "Pod", "name": pod.name, "namespace": objects.namespace(), "uid": pod.uid },
                }],
            }))
            .await?;
    }
    // The mirroring controller makes slices of this.
    objects.create_endpoints("by-hand", &pod).await?;
    let mirrored = |slices: &[EndpointSlice]| slices.len() == 2;
    objects.wait_for_slices("by-hand", mirrored).await?;

    objects.report(&pod, true).await?;
    scene.agree().await?;
    scene.objects.finish(&pod).await?;
    let pairs = scene.agree().await?;
    assert_eq!(outcomes(&pairs), [[1, 0], [0, 0], [1, 0], [1, 0]]);
    assert!(pairs.iter().all(|pair| pair.record.service == "web"));
    let metrics = scene.daemon.metrics().await?;
    assert_eq!(metrics.matching("endpointlag_objective_seconds", &[("service", "by-hand")]).count(), 0);
    scene.finish().await
}
