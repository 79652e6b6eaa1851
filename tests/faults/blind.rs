//! The daemon cannot see the slices: a change that passes its objective in this time is no miss of the cluster.

use super::gateway::{Gateway, Odd};
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use testkit::controlplane::access::{
    create_account, grant_cluster_role_to, grant_cluster_role_without, revoke_cluster_role_of,
};
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::daemon::metrics::Metrics;
use testkit::daemon::samples::{Outcome, Sample};
use testkit::scene::{Scene, Setup};
use testkit::truth::Change;

const SLICES: &str = "endpointslices";

/// How long the daemon stays blind: several objectives.
const BLIND: Duration = Duration::from_millis(1500);
const OBJECTIVE: [&str; 2] = ["--objective", "500ms"];

/// Ample time for what the daemon should show.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A scene with two pods that the slices show as ready.
struct Blinded {
    scene: Scene,
    pods: Vec<PodHandle>,
    /// Misses until then: a busy machine may have needed too long.
    missed: f64,
}

impl Blinded {
    async fn prepare(mut scene: Scene) -> Result<Self> {
        scene.daemon.wait_until_ready().await?;
        scene.create_service("web", selecting("web")).await?;
        let mut pods = Vec::new();
        for name in ["web-0", "web-1"] {
            let pod = scene.objects.create_pod(name, "web").await?;
            scene.objects.report(&pod, true).await?;
            pods.push(pod);
        }
        scene.agree_on_outcomes().await?;
        let missed = missed(&scene).await?;
        Ok(Self { scene, pods, missed })
    }

    fn unready(&self, metrics: &Metrics, name: &str) -> f64 {
        metrics.sum(name, &[("namespace", self.scene.objects.namespace()), ("change", "unready")])
    }

    /// Both pods become unready while the daemon is blind. It sees that, but does not see that the slices show it.
    async fn play(&self) -> Result<()> {
        let missed = |metrics: &Metrics| self.unready(metrics, "endpointlag_slo_missed_total");
        let before = missed(&self.scene.daemon.metrics().await?);
        for pod in &self.pods {
            self.scene.objects.report(pod, false).await?;
        }
        let started = Instant::now();
        while self.unready(&self.scene.daemon.metrics().await?, "endpointlag_pending_changes") < 2.0 {
            ensure!(started.elapsed() < TIMEOUT, "the changes are not seen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let until = Instant::now() + BLIND;
        while Instant::now() < until {
            let metrics = self.scene.daemon.metrics().await?;
            ensure!(missed(&metrics) == before, "a miss of the daemon's own blindness");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// It sees again, and reports nothing about the time between.
    async fn end(self) -> Result<()> {
        let scene = self.scene;
        scene.daemon.wait_until_ready().await?;
        let started = Instant::now();
        let unready = loop {
            let is_unready = |it: &Sample| it.namespace == scene.objects.namespace() && it.change == Change::Unready;
            let unready: Vec<_> = scene.daemon.samples()?.into_iter().filter(is_unready).collect();
            if unready.len() == 2 {
                break unready;
            }
            ensure!(started.elapsed() < TIMEOUT, "still {unready:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        ensure!(unready.iter().all(|sample| sample.outcome == Outcome::Censored), "{unready:?}");
        let metrics = scene.daemon.metrics().await?;
        let of = [("namespace", scene.objects.namespace())];
        ensure!(missed(&scene).await? == self.missed, "a miss");
        ensure!(metrics.sum("endpointlag_out_of_sync_endpoints", &of) == 0.0, "all is right");
        scene.finish().await
    }
}

/// Misses of all kinds in the namespace.
async fn missed(scene: &Scene) -> Result<f64> {
    let metrics = scene.daemon.metrics().await?;
    Ok(metrics.sum("endpointlag_slo_missed_total", &[("namespace", scene.objects.namespace())]))
}

/// The right to watch slices is revoked.
async fn without_rights(plane: &ControlPlane) -> Result<()> {
    const ACCOUNT: &str = "without-slices";
    let relay = Relay::start(&plane.server()).await?;
    let objects = Objects::create(plane.admin().await?, ACCOUNT).await?;
    create_account(objects.client(), ACCOUNT).await?;
    grant_cluster_role_to(objects.client(), ACCOUNT).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(plane) }.account(ACCOUNT).with(&OBJECTIVE);
    let blinded = Blinded::prepare(Scene::open(plane, objects, setup).await?).await?;
    let client = blinded.scene.objects.client();
    grant_cluster_role_without(client, ACCOUNT, SLICES).await?;
    revoke_cluster_role_of(client, ACCOUNT).await?;
    // Existing watches continue, and the API server's cached authorization expires after a while.
    let started = Instant::now();
    loop {
        relay.cut();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let page = blinded.scene.daemon.wait_for_page("/readyz", |page| settled(&page.body)).await?;
        if page.status.as_u16() == 503 {
            break;
        }
        ensure!(started.elapsed() < TIMEOUT, "the API server still lets it in");
    }
    blinded.play().await?;
    grant_cluster_role_to(client, ACCOUNT).await?;
    blinded.end().await
}

/// Whether the pods are watched, and the slices are watched or refused.
fn settled(readyz: &str) -> bool {
    let lines = || readyz.lines();
    !lines().any(|line| line.starts_with("pods") || line.starts_with("services"))
        && (readyz.trim() == "ok" || lines().any(|line| line.starts_with(SLICES) && line.contains("403")))
}

/// No answer comes about slices.
async fn without_answers(plane: &ControlPlane) -> Result<()> {
    let odd = Odd { resource: SLICES, begins_late_by: Duration::ZERO, late_by: Duration::ZERO };
    let gateway = Gateway::start(plane, odd).await?;
    let setup = Setup { server: gateway.server(), ..Setup::cluster(plane) };
    let blinded = Blinded::prepare(Scene::prepare(plane, "without-answers", setup.with(&OBJECTIVE)).await?).await?;
    gateway.keep_away(true);
    blinded.scene.daemon.wait_for_page("/readyz", |page| page.body.contains(SLICES)).await?;
    blinded.play().await?;
    gateway.keep_away(false);
    blinded.end().await
}

/// One control plane for both tests: neither breaks it.
#[tokio::test(flavor = "multi_thread")]
async fn no_miss_while_slices_are_not_seen() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    tokio::try_join!(without_rights(&plane), without_answers(&plane))?;
    Ok(())
}
