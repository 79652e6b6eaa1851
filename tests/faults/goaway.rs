//! The API server sends its clients away now and then, as one of several servers does to spread the clients.

use super::reckoning::{check_delays, measures};
use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use std::time::Duration;
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::Options;
use testkit::scene::{Scene, Setup};

/// Each namespace has its own connection and begins with six requests. One request in fifty is answered with a GOAWAY. The chance
/// that none of them is, is one in two million.
const NAMESPACES: usize = 120;

const PODS: usize = 6;

/// How often each pod changes.
const ROUNDS: usize = 10;

/// Time between two changes.
const PACE: Duration = Duration::from_millis(50);

/// The error that a delay may have on a busy machine.
const BOUND: Duration = Duration::from_millis(250);

/// The watches leave the connection in an orderly way, and what is measured in that time is right.
#[tokio::test(flavor = "multi_thread")]
async fn sent_away_now_and_then() -> Result<()> {
    let (_permit, plane) = start_plane(Options { sends_away: true, ..Options::default() }).await?;
    let objects = Objects::create(plane.admin().await?, "goaway").await?;
    objects.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for number in 0..PODS {
        pods.push(objects.create_pod(&format!("web-{number}"), "web").await?);
    }
    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) }.with(&["--namespace", "goaway"]);
    let others: Vec<_> = (1..NAMESPACES).map(|number| format!("--namespace=other-{number}")).collect();
    let setup = setup.with(&others.iter().map(String::as_str).collect::<Vec<_>>());
    let mut scene = Scene::open(&plane, objects, setup).await?;
    for round in 0..ROUNDS {
        for pod in &pods {
            scene.objects.report(pod, round % 2 == 0).await?;
            tokio::time::sleep(PACE).await;
        }
    }
    scene.settle().await?;
    scene.daemon.wait_until_ready().await?;
    // A watch that is sent away meanwhile hides only what happens at that moment.
    measures(&scene, "web").await?;
    check_delays(&mut scene, BOUND).await?;
    let again = relay.connections() - NAMESPACES;
    let metrics = scene.daemon.metrics().await?;
    let restarts = |reason| metrics.sum("endpointlag_watch_restarts_total", &[("reason", reason)]);
    let all = metrics.sum("endpointlag_watch_restarts_total", &[]);
    let closed = restarts("closed");
    ensure!(again > 0, "the daemon was not sent away");
    ensure!(closed > 0.0 && closed == all, "{closed} of {all} restarts are in good order");
    scene.finish().await
}
