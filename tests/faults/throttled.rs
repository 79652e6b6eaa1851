//! The daemon's container has a limit of CPU time that is far too low, as a LimitRange may set one.

use super::cgroup::CpuLimit;
use super::reckoning::{add_up, check_delays, measures};
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::controlplane::objects::PodHandle;
use testkit::controlplane::plane::Options;
use testkit::daemon::samples::Outcome;
use testkit::scene::Scene;
use tokio::time::MissedTickBehavior;

/// Its share: a hundredth of a CPU, one millisecond in each hundred.
const MILLICORES: u32 = 10;

/// Each pod changes once, so that each delay belongs to a known change.
const SERVICES: usize = 15;
const PODS: usize = 20;

/// Time between two changes.
const PACE: Duration = Duration::from_millis(10);

/// How many of a hundred changes may seem to take no time: a stall of less than 60 ms is not noticed.
const ZEROES: usize = 1;

/// The error that a delay may have: the daemon allows 60 ms, and the test shares its machine with others. What is left unread waits for
/// seconds.
const BOUND: Duration = Duration::from_millis(250);

/// How long stamps are not trusted after a stall, at most.
const DOUBT: Duration = Duration::from_secs(2);

/// Ample time to read what was left.
const SOON: Duration = Duration::from_secs(30);

async fn report_all(scene: &Scene, pods: &[PodHandle]) -> Result<()> {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for pod in pods {
        pace.tick().await;
        scene.objects.report(pod, true).await?;
    }
    Ok(())
}

/// What is read at the beginning of each period comes in one burst, and would seem to take no time.
#[tokio::test(flavor = "multi_thread")]
async fn throttled_to_a_hundredth_of_a_cpu() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "quota").await?;
    for service in 0..SERVICES {
        let app = format!("web-{service}");
        scene.create_service(&app, selecting(&app)).await?;
    }
    let mut pods = Vec::new();
    for number in 0..SERVICES * PODS {
        let app = format!("web-{}", number % SERVICES);
        pods.push(scene.objects.create_pod(&format!("pod-{number}"), &app).await?);
    }
    scene.agree().await?;
    let at_first = scene.daemon.samples()?.len();

    let limit = CpuLimit::apply(scene.daemon.process(), MILLICORES)?;
    // Its saved CPU time is used up.
    tokio::time::sleep(PACE * 50).await;
    report_all(&scene, &pods).await?;
    scene.settle().await?;
    drop(limit);
    let started = Instant::now();
    while scene.daemon.samples()?.len() < at_first + pods.len() {
        ensure!(started.elapsed() < SOON, "only {} of the changes are told", scene.daemon.samples()?.len() - at_first);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(DOUBT).await;
    // Without a limit it has delays again.
    measures(&scene, "web-0").await?;

    check_delays(&mut scene, BOUND).await?;
    let samples = scene.daemon.samples()?;
    let metrics = scene.daemon.metrics().await?;
    add_up(scene.objects.namespace(), &metrics, &samples).map_err(anyhow::Error::msg)?;
    let zeroes = samples.iter().filter(|it| it.delay() == Some(Duration::ZERO)).count();
    ensure!(zeroes * 100 <= samples.len() * ZEROES, "{zeroes} of {} changes took no time", samples.len());
    let uids: BTreeSet<_> = pods.iter().map(|pod| pod.uid.as_str()).collect();
    let count = |wanted: Outcome| {
        let throttled = samples.iter().filter(|it| it.uid.as_deref().is_some_and(|uid| uids.contains(uid)));
        throttled.filter(|it| it.outcome == wanted).count()
    };
    let (timed, censored) = (count(Outcome::Propagated), count(Outcome::Censored));
    ensure!(timed + censored == pods.len(), "{timed} timed and {censored} censored of {}", pods.len());
    ensure!(censored > pods.len() / 2, "it can't have seen {timed} of {} in time", pods.len());
    let stalled = metrics.sum("endpointlag_reader_stalled_seconds_total", &[]);
    ensure!(stalled > 1.0, "{stalled} s");
    scene.finish().await
}
