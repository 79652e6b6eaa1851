//! The way to the API server is slow for a while, in one direction or for moments, and no connection breaks.

use super::reckoning::check_delays;
use super::relay::{Direction, Relay};
use super::{selecting, start_plane};
use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::daemon::samples::Outcome;
use testkit::scene::{Scene, Setup};

const PODS: usize = 10;

/// Time between two changes.
const PACE: Duration = Duration::from_millis(40);

/// The error that a delay may have besides the bound from the daemon's PINGs: the time between two PINGs, and a busy machine.
const SLACK: Duration = Duration::from_millis(75);

/// The same beside slow phases of a second and more.
const LOOSE: Duration = Duration::from_millis(250);

/// Slow phases of one direction. Each begins and ends while pods change. The first changes nothing, the others more than [`LOOSE`] allows.
const STEPS: [(Direction, Duration); 6] = [
    (Direction::ToClient, Duration::from_millis(10)),
    (Direction::ToClient, Duration::from_secs(1)),
    (Direction::ToServer, Duration::from_secs(1)),
    (Direction::ToClient, Duration::from_secs(2)),
    (Direction::ToServer, Duration::from_secs(2)),
    (Direction::ToClient, Duration::from_secs(10)),
];

/// How long each lasts.
const STEP: Duration = Duration::from_secs(3);

/// How long the way is frozen at most, and how long it carries data between.
const FROZEN: Range<u64> = 20..500;
const CARRIES: Range<u64> = 100..900;
const FREEZES: usize = 25;

/// A relay, and a daemon that watches some pods through it.
async fn start(plane: &ControlPlane, namespace: &str) -> Result<(Relay, Scene, Vec<PodHandle>)> {
    let relay = Relay::start(&plane.server()).await?;
    let setup = Setup { server: relay.server(), ..Setup::cluster(plane) };
    let scene = Scene::prepare(plane, namespace, setup.with(&["--namespace", namespace])).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    let mut pods = Vec::new();
    for number in 0..PODS {
        pods.push(scene.objects.create_pod(&format!("web-{number}"), "web").await?);
    }
    Ok((relay, scene, pods))
}

/// Makes pods ready and unready until it is dropped.
async fn change(objects: &Objects, pods: &[PodHandle]) -> Result<()> {
    for round in 0.. {
        for pod in pods {
            objects.report(pod, round % 2 == 0).await?;
            tokio::time::sleep(PACE).await;
        }
    }
    Ok(())
}

/// The longest time that a PING could take unnoticed, as the daemon reports it, until this is dropped.
async fn bound(scene: &Scene, longest: &Cell<Duration>) -> Result<()> {
    loop {
        let metrics = scene.daemon.metrics().await?;
        let bound = metrics.sum("endpointlag_watch_ping_bound_seconds", &[("resource", "pods")]);
        longest.set(longest.get().max(Duration::from_secs_f64(bound)));
        tokio::time::sleep(PACE).await;
    }
}

/// How many changes had this outcome.
fn count(scene: &Scene, outcome: Outcome) -> Result<usize> {
    Ok(scene.daemon.samples()?.iter().filter(|sample| sample.outcome == outcome).count())
}

/// Events on their way while it becomes slower or faster come too late, or too close together. None of that is reported as a delay.
#[tokio::test(flavor = "multi_thread")]
async fn slow_in_one_direction() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let (relay, mut scene, pods) = start(&plane, "delayed").await?;
    let steps = async {
        for (direction, delay) in STEPS {
            relay.delay(direction, delay);
            tokio::time::sleep(STEP).await;
            relay.delay(direction, Duration::ZERO);
            tokio::time::sleep(STEP).await;
        }
    };
    let longest = Cell::new(Duration::ZERO);
    tokio::select! {
        failed = change(&scene.objects, &pods) => failed?,
        failed = bound(&scene, &longest) => failed?,
        () = steps => {}
    }
    scene.daemon.wait_until_ready().await?;
    check_delays(&mut scene, longest.get() + LOOSE).await?;
    let (propagated, censored) = (count(&scene, Outcome::Propagated)?, count(&scene, Outcome::Censored)?);
    ensure!(propagated > 50, "{propagated} changes are measured between the slow times, and {censored} censored");
    ensure!(censored > 20, "{censored} changes are censored, of those that came seconds late");
    scene.finish().await
}

/// A freeze in which a PING is on its way is noticed, and a shorter one changes no delay by more than its own length.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_for_moments() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let (relay, mut scene, pods) = start(&plane, "moments").await?;
    let mut random = StdRng::seed_from_u64(1);
    let freezes = async {
        for _ in 0..FREEZES {
            relay.freeze(true);
            tokio::time::sleep(Duration::from_millis(random.random_range(FROZEN))).await;
            relay.freeze(false);
            tokio::time::sleep(Duration::from_millis(random.random_range(CARRIES))).await;
        }
    };
    let longest = Cell::new(Duration::ZERO);
    tokio::select! {
        failed = change(&scene.objects, &pods) => failed?,
        failed = bound(&scene, &longest) => failed?,
        () = freezes => {}
    }
    scene.daemon.wait_until_ready().await?;
    check_delays(&mut scene, longest.get() + SLACK).await?;
    let propagated = count(&scene, Outcome::Propagated)?;
    ensure!(propagated > 20, "{propagated} changes are measured between the freezes");
    let metrics = scene.daemon.metrics().await?;
    let slow = metrics.sum("endpointlag_watch_slow_pings_total", &[("resource", "pods")]);
    ensure!(slow >= 5.0, "{slow} PINGs were slow");
    scene.finish().await
}
