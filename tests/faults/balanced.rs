//! Two API servers behind a balancer. One of them stops again and again.

use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use testkit::controlplane::plane::Options;
use testkit::scene::{Scene, Setup};

const PODS: usize = 6;
const ROUNDS: usize = 14;

/// How long the slow server is stopped each time, and how long it runs between.
const STILL: Duration = Duration::from_millis(300);
const RUNS: Duration = Duration::from_millis(1000);

/// How often both are compared. On a busy machine a slice may come before its cause over one connection too.
const ATTEMPTS: usize = 2;

/// Time between two changes.
const PACE: Duration = Duration::from_millis(60);

/// By how much, in seconds, the slices came before their cause in total, and how many did. The daemon's first connection goes to the
/// slow server: over HTTP/2 this connection has all of its watches, and over HTTP/1.1 that of pods.
async fn leads_over(protocol: &str) -> Result<(f64, f64)> {
    let (_permit, mut plane) = start_plane(Options::default()).await?;
    plane.start_second_api_server().await?;
    let relay = Relay::balance(&plane.second_server(), &plane.server()).await?;
    let name = format!("balanced-{protocol}");
    let setup = Setup { server: relay.server(), ..Setup::cluster(&plane) };
    let setup = setup.with(&["--namespace", &name, "--watch-protocol", protocol]);
    let mut scene = Scene::prepare(&plane, &name, setup).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for number in 0..PODS {
        pods.push(scene.objects.create_pod(&format!("web-{number}"), "web").await?);
    }
    scene.settle().await?;
    let timed_before = timed(&scene).await?;

    let slow = plane.second_api_server_process().context("it runs")?;
    let slow = Pid::from_raw(slow.try_into()?).context("a process")?;
    let stand_still = async {
        loop {
            for (signal, time) in [(Signal::STOP, STILL), (Signal::CONT, RUNS)] {
                kill_process(slow, signal)?;
                tokio::time::sleep(time).await;
            }
        }
    };
    let changes = async {
        for round in 0..ROUNDS {
            for pod in &pods {
                scene.objects.report(pod, round % 2 == 0).await?;
                tokio::time::sleep(PACE).await;
            }
        }
        Ok(())
    };
    let done: Result<()> = tokio::select! {
        failed = stand_still => failed,
        done = changes => done,
    };
    kill_process(slow, Signal::CONT)?;
    done?;
    scene.settle().await?;
    tokio::time::sleep(2 * STILL).await;
    let metrics = scene.daemon.metrics().await?;
    let leads = ["endpointlag_reorder_seconds_sum", "endpointlag_reorder_seconds_count"];
    let [sum, count] = leads.map(|name| metrics.sum(name, &[]));
    let timed = timed(&scene).await? - timed_before;
    ensure!(timed >= 5.0, "{timed} changes are measured all the same");
    scene.finish().await?;
    Ok((sum, count))
}

/// How many changes have a delay.
async fn timed(scene: &Scene) -> Result<f64> {
    Ok(scene.daemon.metrics().await?.sum("endpointlag_propagation_seconds_count", &[]))
}

/// If one server serves both pods and slices, both stop at the same time, and no slice comes before its cause. With two servers,
/// the pause is missing from every delay.
#[tokio::test(flavor = "multi_thread")]
async fn one_server_for_all_watches_has_no_bias() -> Result<()> {
    let mut found = Vec::new();
    for _ in 0..ATTEMPTS {
        let (http1, of_http1) = leads_over("http1").await?;
        let (http2, of_http2) = leads_over("auto").await?;
        if of_http1 >= 3.0 && http1 >= 0.3 && http2 <= http1 / 10.0 {
            return Ok(());
        }
        found.push(format!("{of_http1} of {http1} s over HTTP/1.1, {of_http2} of {http2} s over HTTP/2"));
    }
    bail!("slices before their cause: {}", found.join("; "))
}
