//! The daemon's process does not run for a while: stopped, throttled, or on a machine that has no CPU time for it.

use super::reckoning::{Gap, check_delays, measures, reckon};
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use jiff::Timestamp;
use rustix::process::Signal;
use std::time::Duration;
use testkit::controlplane::objects::PodHandle;
use testkit::controlplane::plane::Options;
use testkit::daemon::samples::{Outcome, Sample};
use testkit::scene::Scene;
use testkit::truth::Change;

/// How long it is stopped; the controller needs some tens of milliseconds.
const STOPPED: Duration = Duration::from_millis(1500);

/// The error that a delay may have on a busy machine. The daemon itself allows 60 ms.
const BOUND: Duration = Duration::from_millis(150);

/// The same beside a stop of seconds, whose error would be far larger.
const LOOSE: Duration = Duration::from_millis(250);

/// How long stamps are not trusted after a stop, at most: half a second, and the extra time of a busy machine.
const DOUBT: Duration = Duration::from_secs(2);

async fn with_pods(scene: &Scene, number: usize) -> Result<Vec<PodHandle>> {
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for number in 0..number {
        pods.push(scene.objects.create_pod(&format!("web-{number}"), "web").await?);
    }
    Ok(pods)
}

/// How the changes of a kind of these pods ended.
fn of(samples: &[Sample], pods: &[PodHandle], change: Change) -> Vec<Outcome> {
    let is_of = |sample: &&Sample| pods.iter().any(|pod| sample.uid.as_ref() == Some(&pod.uid));
    samples.iter().filter(is_of).filter(|sample| sample.change == change).map(|sample| sample.outcome).collect()
}

/// What happens in this time comes in one burst and would seem to take no time. What began before would seem to take as long
/// as the daemon did not run.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_pods_change() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "stopped").await?;
    let pods = with_pods(&scene, 14).await?;
    scene.objects.report(&pods[0], true).await?;
    scene.agree().await?;

    // Some are on their way into the slices, others have not even reached the daemon.
    for pod in &pods[1..5] {
        scene.objects.report(pod, true).await?;
    }
    let from = Timestamp::now();
    scene.daemon.signal(Signal::STOP)?;
    for pod in &pods[5..10] {
        scene.objects.report(pod, true).await?;
    }
    scene.objects.report(&pods[0], false).await?;
    tokio::time::sleep(STOPPED).await;
    scene.settle().await?;
    let dark_until = Timestamp::now();
    scene.daemon.signal(Signal::CONT)?;
    tokio::time::sleep(DOUBT).await;
    let until = Timestamp::now();
    for pod in &pods[10..] {
        scene.objects.report(pod, true).await?;
    }
    let tally = reckon(&mut scene, Gap { from, dark_until, until, relisted: false, crashed: false }).await?;
    measures(&scene, "web").await?;
    check_delays(&mut scene, LOOSE).await?;
    ensure!(tally.other == 0 && tally.unseen == 0, "{tally:?}");
    let samples = scene.daemon.samples()?;
    let in_the_stop = [of(&samples, &pods[..1], Change::Unready), of(&samples, &pods[5..10], Change::Ready)].concat();
    ensure!(in_the_stop == [Outcome::Censored; 6], "five and one in the stop: {in_the_stop:?}");
    // Of those before and after it a busy machine may censor some. The four that it interrupts may be either.
    let outside = [of(&samples, &pods[..1], Change::Ready), of(&samples, &pods[10..], Change::Ready)].concat();
    let is_known = |outcome: &Outcome| matches!(outcome, Outcome::Propagated | Outcome::Censored);
    ensure!(outside.len() == 5 && outside.iter().all(is_known), "{outside:?}");
    // A stall of the busy machine that is too short to be noticed may have one change seem to take no time.
    let zeroes = samples.iter().filter(|it| it.delay() == Some(Duration::ZERO)).count();
    ensure!(zeroes <= 1, "{zeroes} changes took no time");

    let metrics = scene.daemon.metrics().await?;
    ensure!(metrics.sum("endpointlag_reader_stalls_total", &[]) >= 1.0);
    let stalled = metrics.sum("endpointlag_reader_stalled_seconds_total", &[]);
    ensure!(stalled >= 0.9 * STOPPED.as_secs_f64(), "{stalled} s");
    let log = scene.daemon.log()?;
    let lines = log.iter().filter(|line| line.field("message").contains("did not run")).count();
    // The busy machine may stop it again, and it is told once a minute.
    ensure!((1..=2).contains(&lines), "{lines} lines about it");
    ensure!(metrics.sum("endpointlag_watch_restarts_total", &[]) == 0.0, "the connection holds all the same");
    scene.finish().await
}

/// As in a container with a hundredth of a CPU: it runs for a tenth of the time, and sees nothing in time.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_most_of_the_time() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "throttled").await?;
    let pods = with_pods(&scene, 12).await?;
    scene.agree().await?;
    let throttle = async {
        loop {
            for (signal, millis) in [(Signal::STOP, 180), (Signal::CONT, 20)] {
                scene.daemon.signal(signal)?;
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
        }
    };
    let changes = async {
        tokio::time::sleep(DOUBT).await;
        for pod in &pods {
            scene.objects.report(pod, true).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(DOUBT).await;
        Ok(())
    };
    let stopped: Result<()> = tokio::select! {
        failed = throttle => failed,
        done = changes => done,
    };
    stopped?;
    scene.daemon.signal(Signal::CONT)?;
    tokio::time::sleep(DOUBT).await;
    check_delays(&mut scene, BOUND).await?;
    let outcomes = of(&scene.daemon.samples()?, &pods, Change::Ready);
    ensure!(outcomes == [Outcome::Censored; 12], "{outcomes:?}");
    scene.finish().await
}

/// Like the scheduler of a busy machine: no delay is lost because of that.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_a_moment_now_and_then() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let mut scene = Scene::start(&plane, "hiccups").await?;
    let pods = with_pods(&scene, 12).await?;
    scene.agree().await?;
    for pod in &pods {
        scene.objects.report(pod, true).await?;
        scene.daemon.signal(Signal::STOP)?;
        tokio::time::sleep(Duration::from_millis(25)).await;
        scene.daemon.signal(Signal::CONT)?;
        tokio::time::sleep(Duration::from_millis(75)).await;
    }
    scene.settle().await?;
    tokio::time::sleep(DOUBT).await;
    check_delays(&mut scene, BOUND).await?;
    // A busy machine may make some of the stops too long.
    let samples = scene.daemon.samples()?;
    let doubts = scene.daemon.metrics().await?.has_doubts();
    let censored = samples.iter().filter(|it| it.outcome == Outcome::Censored).count();
    ensure!(doubts || censored == 0, "{censored} censored without a reason");
    scene.finish().await
}
