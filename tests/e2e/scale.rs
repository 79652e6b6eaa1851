//! Services larger than a slice: the controller spreads them over several slices and moves endpoints between them.

use super::changes::{counts, selecting};
use super::shared_plane;
use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use testkit::scene::Scene;

/// Endpoints of the test, in slices of at most 100.
const PODS: usize = 250;

/// Pods that are removed.
const LEAVING: usize = 120;

/// Writes at the same time.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn scaled_up_and_down_over_three_slices() -> Result<()> {
    let mut scene = Scene::start(shared_plane().await?, "scaled").await?;
    scene.create_service("web", selecting("web")).await?;
    let objects = &scene.objects;
    let pods: Vec<_> = stream::iter(0..PODS)
        .map(async |number| {
            let pod = objects.create_pod(&format!("web-{number}"), "web").await?;
            objects.report(&pod, true).await?;
            anyhow::Ok(pod)
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    scene.told().await?;
    let slices = scene.objects.slices("web").await?;
    let sizes: Vec<_> = slices.iter().map(|slice| slice.endpoints.iter().flatten().count()).collect();
    assert!(sizes.len() >= 3 && sizes.iter().sum::<usize>() == PODS, "slices of {sizes:?}");
    assert_eq!(counts(&scene.agree().await?), [PODS, 0, 0, 0, 1]);

    let leaving = || stream::iter(&pods[..LEAVING]).map(Ok);
    let objects = &scene.objects;
    leaving().try_for_each_concurrent(AT_ONCE, |pod| objects.terminate(pod)).await?;
    scene.told().await?;
    let objects = &scene.objects;
    leaving().try_for_each_concurrent(AT_ONCE, |pod| objects.finish(pod)).await?;
    assert_eq!(counts(&scene.agree().await?), [PODS, 0, LEAVING, LEAVING, 1]);
    scene.finish().await
}
