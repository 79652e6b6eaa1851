//! What the daemon does with its rights, and when they are not enough.

use super::changes::{counts, selecting};
use super::shared_plane;
use anyhow::Result;
use testkit::controlplane::access::{create_account, grant_cluster_role_to, grant_role_to};
use testkit::controlplane::objects::Objects;
use testkit::scene::{Scene, Setup};

/// With `--namespace` the daemon needs only a Role there.
#[tokio::test]
async fn a_role_is_enough_for_a_namespace() -> Result<()> {
    const NAMESPACE: &str = "with-role";
    let plane = shared_plane().await?;
    let objects = Objects::create(plane.admin().await?, NAMESPACE).await?;
    create_account(objects.client(), NAMESPACE).await?;
    grant_role_to(objects.client(), NAMESPACE, NAMESPACE).await?;
    let setup = Setup::cluster(plane).account(NAMESPACE).with(&["--namespace", NAMESPACE]);
    let mut scene = Scene::open(plane, objects, setup).await?;
    scene.daemon.wait_until_ready().await?;

    scene.create_service("web", selecting("web")).await?;
    let pod = scene.objects.create_pod("web-0", "web").await?;
    scene.objects.report(&pod, true).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 1]);
    scene.finish().await
}

/// The whole cluster except one namespace, which is in no series.
#[tokio::test]
async fn a_namespace_left_out() -> Result<()> {
    let plane = shared_plane().await?;
    let left_out = Objects::create(plane.admin().await?, "left-out").await?;
    let setup = Setup::cluster(plane).with(&["--exclude-namespace", "left-out"]);
    let mut scene = Scene::prepare(plane, "left-in", setup).await?;
    scene.daemon.wait_until_ready().await?;
    left_out.create_service("web", selecting("web")).await?;
    scene.create_service("web", selecting("web")).await?;
    for objects in [&left_out, &scene.objects] {
        let pod = objects.create_pod("web-0", "web").await?;
        objects.report(&pod, true).await?;
        objects
            .wait_for_slices("web", |slices| slices.iter().any(|it| it.endpoints.iter().flatten().count() == 1))
            .await?;
    }
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 1]);
    let metrics = scene.daemon.metrics().await?;
    let series = metrics.matching("endpointlag_changes_total", &[("namespace", "left-out")]).count();
    assert_eq!(series, 0, "series of the namespace that is left out");
    assert!(scene.daemon.samples()?.iter().all(|sample| sample.namespace != "left-out"));
    scene.finish().await
}

/// Without rights the daemon reports which watches it cannot open, keeps trying, and works once it has them.
#[tokio::test]
async fn rights_that_come_late() -> Result<()> {
    const NAMESPACE: &str = "late-rights";
    let plane = shared_plane().await?;
    let objects = Objects::create(plane.admin().await?, NAMESPACE).await?;
    create_account(objects.client(), NAMESPACE).await?;
    let setup = Setup::cluster(plane).account(NAMESPACE);
    let mut scene = Scene::open(plane, objects, setup).await?;

    let all_named = |body: &str| ["pods", "services", "endpointslices"].iter().all(|resource| body.contains(resource));
    let page = scene.daemon.wait_for_page("/readyz", |page| all_named(&page.body)).await?;
    assert_eq!(page.status.as_u16(), 503, "/readyz says {}", page.body);
    assert_eq!(scene.daemon.get("/healthz").await?.status.as_u16(), 200, "it is alive all the same");
    let metrics = scene.daemon.metrics().await?;
    for resource in ["pods", "services", "endpointslices"] {
        let of = [("resource", resource)];
        let synced: Vec<_> = metrics.matching("endpointlag_watch_synced", &of).map(|(_, value)| value).collect();
        assert_eq!(synced, [0.0], "{resource}");
    }

    grant_cluster_role_to(scene.objects.client(), NAMESPACE).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let pod = scene.objects.create_pod("web-0", "web").await?;
    scene.objects.report(&pod, true).await?;
    assert_eq!(counts(&scene.agree().await?), [1, 0, 0, 0, 1]);
    scene.finish().await
}
