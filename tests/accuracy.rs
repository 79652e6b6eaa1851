//! How accurate the delays are: many changes at once, and each delay of the daemon compared with the API server's own clock.
//!
//! This is a test binary of its own, so that nothing else runs at the same time. Even so the control plane, the load and the daemon
//! share the cores, and each of them adds to the error of a delay: the truth counts from answer to answer, the daemon from
//! watch event to watch event.

use anyhow::{Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::time::Duration;
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::progress::say;
use testkit::scene::Scene;
use testkit::scene::agreement::Pair;
use testkit::truth::{Change, Outcome};
use tokio::time::Instant;

const SERVICES: usize = 12;

/// Pods of each Service.
const PODS: usize = 20;

/// Time between two changes: 125 changes a second. Each pod changes every two seconds then, which is longer than the second that
/// the controller takes if its cache is stale.
const PACE: Duration = Duration::from_millis(8);

/// The lowest rate that counts as load.
const LEAST_RATE: f64 = 100.0;

/// Maximum number of writes at the same time.
const AT_ONCE: usize = 32;

/// How often it is measured. What else the machine does may spoil one measurement; an error of the daemon is in each.
const ATTEMPTS: usize = 3;

/// Bounds of the error that hold on a busy machine too. An idle one stays far below.
const MEDIAN: Duration = Duration::from_millis(10);
const PERCENTILE_99: Duration = Duration::from_millis(100);

#[tokio::test]
async fn delays_agree_with_the_audit_log() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let mut found = Vec::new();
    for attempt in 1..=ATTEMPTS {
        match measure(&plane, &format!("accuracy-{attempt}")).await? {
            Ok(()) => return Ok(()),
            Err(inexact) => found.push(inexact),
        }
    }
    bail!("{}", found.join("; "))
}

/// Drives the load in a new namespace. Returns an error within if the machine was too busy, or the delays are not exact.
async fn measure(plane: &ControlPlane, namespace: &str) -> Result<Result<(), String>> {
    let mut scene = Scene::start(plane, namespace).await?;
    let pods = create(&scene.objects).await?;
    scene.settle().await?;

    let objects = &scene.objects;
    let started = Instant::now();
    for ready in [true, false, true] {
        paced(&pods, |pod| objects.report(pod, ready)).await?;
    }
    paced(&pods, |pod| objects.terminate(pod)).await?;
    paced(&pods, |pod| objects.finish(pod)).await?;
    let rate = (5 * pods.len()) as f64 / started.elapsed().as_secs_f64();

    let pairs = scene.agree_on_outcomes().await?;
    say("accuracy", &format!("{} pods in {SERVICES} Services, {rate:.0} changes a second", pods.len()));
    for change in [Change::Ready, Change::Unready, Change::Terminating, Change::Removed] {
        report(change.label(), pairs.iter().filter(|pair| pair.record.change == change));
    }
    let error = report("all", pairs.iter().filter(|pair| pair.record.change != Change::Service));
    let of_pods = pairs.iter().filter(|pair| pair.record.pod.is_some()).count();
    scene.finish().await?;
    // A pod makes at most five changes that are not superseded. Superseded changes are not among these.
    ensure!(of_pods <= 5 * pods.len(), "{of_pods} changes of {} pods", pods.len());
    let inexact = [
        (rate < LEAST_RATE, format!("only {rate:.0} changes a second: the machine is too busy for this test")),
        (error.count <= 4 * pods.len(), format!("{of_pods} changes, {} delays", error.count)),
        (error.median >= MEDIAN, format!("the median error is {:?}", error.median)),
        (
            error.percentile_99 >= PERCENTILE_99,
            format!("the 99th percentile of the error is {:?}", error.percentile_99),
        ),
    ];
    Ok(inexact.into_iter().find(|(is_so, _)| *is_so).map_or(Ok(()), |(_, words)| Err(words)))
}

/// The Services with their pods, none of which has an address yet. Neighbours in the list belong to different Services.
async fn create(objects: &Objects) -> Result<Vec<PodHandle>> {
    for service in 0..SERVICES {
        let app = format!("app-{service}");
        let spec = json!({ "selector": { "app": app }, "ports": [{ "port": 80, "targetPort": 8080 }] });
        objects.create_service(&app, spec).await?;
    }
    let names = (0..PODS).flat_map(|pod| (0..SERVICES).map(move |service| (pod, format!("app-{service}"))));
    stream::iter(names)
        .map(async |(pod, app)| objects.create_pod(&format!("{app}-{pod}"), &app).await)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Calls a function for each pod, one every [`PACE`].
async fn paced<'a, F>(pods: &'a [PodHandle], action: impl Fn(&'a PodHandle) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let action = &action;
    let started = Instant::now();
    let times = (0..).map(|number| started + PACE * number);
    stream::iter(pods.iter().zip(times))
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, |(pod, time)| async move {
            tokio::time::sleep_until(time).await;
            action(pod).await
        })
        .await
}

/// Distribution of an error.
struct Error {
    count: usize,
    median: Duration,
    percentile_99: Duration,
}

/// Prints the figures of some changes, past libtest's capture, because this test is run for them.
fn report<'a>(name: &str, pairs: impl Iterator<Item = &'a Pair>) -> Error {
    let pairs: Vec<_> = pairs.collect();
    let mut delays: Vec<_> = pairs
        .iter()
        .filter_map(|pair| match pair.record.outcome {
            Some(Outcome::Propagated(delay)) => Some(delay),
            _ => None,
        })
        .collect();
    let mut errors: Vec<_> = pairs.iter().filter_map(|pair| pair.error()).collect();
    delays.sort_unstable();
    errors.sort_unstable();
    let [median, percentile_90, percentile_99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| quantile(&errors, share));
    say(
        "accuracy",
        &format!(
            "{name:>11}: {} delays (median {:.1?}, p99 {:.1?}), {} superseded; \
         error median {median:.1?}, p90 {percentile_90:.1?}, p99 {percentile_99:.1?}, max {max:.1?}",
            errors.len(),
            quantile(&delays, 0.5),
            quantile(&delays, 0.99),
            pairs.len() - errors.len(),
        ),
    );
    Error { count: errors.len(), median, percentile_99 }
}

/// The smallest value that at least this share of the values does not exceed; zero if there are no values.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
