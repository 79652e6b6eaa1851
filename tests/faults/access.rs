//! The daemon's rights are revoked and granted again.

use super::reckoning::{Gap, reckon};
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use jiff::Timestamp;
use std::fs;
use std::time::{Duration, Instant};
use testkit::controlplane::access::{
    account_token, create_account, delete_account, grant_cluster_role_to, revoke_cluster_role_of,
};
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::scene::{Scene, Setup};

const RESOURCES: [&str; 3] = ["pods", "services", "endpointslices"];

/// The daemon reads its token file again after 50 s. This is the rule of kube's client, for tokens that live an
/// hour and are replaced after 48 minutes.
const TOKEN_KEPT: Duration = Duration::from_secs(50);

/// A scene behind a relay, with its own account that has the shipped role.
async fn scene_of_account(plane: &ControlPlane, relay: &Relay, name: &str) -> Result<Scene> {
    let objects = Objects::create(plane.admin().await?, name).await?;
    create_account(objects.client(), name).await?;
    grant_cluster_role_to(objects.client(), name).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(plane) }.account(name);
    let scene = Scene::open(plane, objects, setup).await?;
    scene.daemon.wait_until_ready().await?;
    Ok(scene)
}

/// Cuts the watches until the API server refuses them. By then its cached authorization has expired. Waits until the
/// daemon reports that for each.
async fn cut_until_refused(scene: &Scene, relay: &Relay, status: &str) -> Result<()> {
    relay.cut();
    let refused = |body: &str| {
        let of = |resource: &&str| body.lines().any(|line| line.starts_with(*resource) && line.contains(status));
        RESOURCES.iter().all(of)
    };
    let page = scene.daemon.wait_for_page("/readyz", |page| refused(&page.body)).await?;
    ensure!(page.status.as_u16() == 503, "/readyz answers {}", page.status);
    ensure!(scene.daemon.get("/healthz").await?.status.is_success(), "it is alive all the same");
    Ok(())
}

/// One warning for each watch that the API server refuses, however often it is tried, and one line when it has recovered.
fn check_log(scene: &Scene, status: &str) -> Result<()> {
    let log = scene.daemon.log()?;
    for resource in RESOURCES {
        let of_watch = || log.iter().filter(|line| line.field("watch") == resource);
        let refused: Vec<_> = of_watch().filter(|line| line.field("message").contains(status)).collect();
        ensure!(refused.len() == 1 && refused[0].level == "WARN", "{resource}: {refused:?}");
        let recovered = of_watch().filter(|line| line.field("message") == "recovered").count();
        ensure!(recovered == 1, "{resource} recovered {recovered} times");
    }
    Ok(())
}

/// What happens while the daemon has no access is censored; then it measures as before.
async fn changes_across(
    scene: &mut Scene,
    relay: &Relay,
    status: &str,
    give_back: impl AsyncFn(&Scene) -> Result<()>,
) -> Result<()> {
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for name in ["before", "meanwhile", "after"] {
        pods.push(scene.objects.create_pod(name, "web").await?);
    }
    scene.objects.report(&pods[0], true).await?;
    scene.agree().await?;

    let from = Timestamp::now();
    cut_until_refused(scene, relay, status).await?;
    scene.objects.report(&pods[1], true).await?;
    let dark_until = Timestamp::now();
    give_back(scene).await?;
    scene.daemon.wait_until_ready().await?;
    let until = Timestamp::now();
    scene.objects.report(&pods[2], true).await?;
    reckon(scene, Gap { from, dark_until, until, relisted: false, crashed: false }).await?.check(
        &[1, 1, 1],
        1,
        0,
        0,
    )?;

    check_log(scene, status)?;
    let metrics = scene.daemon.metrics().await?;
    for resource in RESOURCES {
        let refused = [("resource", resource), ("reason", "refused")];
        ensure!(metrics.sum("endpointlag_watch_restarts_total", &refused) >= 1.0, "{resource}");
    }
    Ok(())
}

/// The role is revoked. Existing watches continue until they are cut.
#[tokio::test(flavor = "multi_thread")]
async fn rights_taken_away_and_given_back() -> Result<()> {
    const ACCOUNT: &str = "rights";
    let (_permit, plane) = start_plane(Options::default()).await?;
    let relay = Relay::start(&plane.server()).await?;
    let mut scene = scene_of_account(&plane, &relay, ACCOUNT).await?;
    revoke_cluster_role_of(scene.objects.client(), ACCOUNT).await?;
    let give_back = async |scene: &Scene| grant_cluster_role_to(scene.objects.client(), ACCOUNT).await;
    changes_across(&mut scene, &relay, "403", give_back).await?;
    scene.finish().await
}

/// The token is refused, like an expired one, and a good one is already in its file: the daemon uses it the next
/// time it reads the file. The API server issues no token for less than ten minutes, so this one ends with its account.
#[tokio::test(flavor = "multi_thread")]
async fn token_replaced_in_its_file() -> Result<()> {
    const ACCOUNT: &str = "token";
    let (_permit, plane) = start_plane(Options::default()).await?;
    let relay = Relay::start(&plane.server()).await?;
    let read = Instant::now();
    let mut scene = scene_of_account(&plane, &relay, ACCOUNT).await?;
    let client = scene.objects.client();
    delete_account(client, ACCOUNT).await?;
    create_account(client, ACCOUNT).await?;
    fs::write(scene.token_file(), account_token(client, ACCOUNT).await?)?;
    // Pauses between two attempts grow. They must still be short when the daemon reads the file. By now the API server's
    // cached authentication of the token has expired, too.
    tokio::time::sleep((TOKEN_KEPT - Duration::from_secs(8)).saturating_sub(read.elapsed())).await;
    changes_across(&mut scene, &relay, "401", async |_| Ok(())).await?;
    scene.finish().await
}
