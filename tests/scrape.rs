//! What a real Prometheus computes from the daemon's metrics: the same counts in classic and native histograms, and the quantiles
//! of the samples.

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::io::Write;
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::daemon::samples::Sample;
use testkit::http;
use testkit::prometheus::{Prometheus, promtool};
use testkit::scene::Scene;
use testkit::truth::Change;

const NAMESPACE: &str = "scrape";
const SERVICE: &str = "web";

/// Pods of a burst, and how many bursts there may be.
const PODS: usize = 40;
const BURSTS: usize = 5;

/// A bucket of schema 3 is nine percent wide, and Prometheus interpolates within it.
const SCHEMA_ERROR: f64 = 0.09;

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_native_and_classic_histograms_that_agree_with_the_samples() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let mut scene = Scene::start(&plane, NAMESPACE).await?;
    let prometheus = Prometheus::scraping(scene.daemon.address()).await?;
    let delays = drive(&mut scene).await?;
    let timed = delays.len();
    let selector = format!("{{namespace=\"{NAMESPACE}\",service=\"{SERVICE}\",change=\"ready\"}}");
    let native = format!("endpointlag_propagation_seconds{selector}");
    let complete = format!("histogram_count({native}) == {timed}");
    prometheus.until(&complete).await?;

    let classic = prometheus.query(&format!("endpointlag_propagation_seconds_count{selector}")).await?;
    ensure!(classic.len() == 1 && classic[0].value == timed as f64, "classic count: {classic:?}");
    for q in [0.5, 0.9, 0.99] {
        let shown = prometheus.query(&format!("histogram_quantile({q}, {native})")).await?;
        let shown = shown.first().context("no quantile")?.value;
        // Prometheus counts ranks by another rule: the true value is between the neighbouring ranks.
        let rank = q * delays.len() as f64;
        let (below, above) =
            (delays[(rank.floor() as usize).max(1) - 1], delays[(rank.ceil() as usize).min(timed - 1)]);
        ensure!(
            shown >= below / (1.0 + SCHEMA_ERROR) && shown <= above * (1.0 + SCHEMA_ERROR),
            "p{q}: Prometheus says {shown}, the samples say {below} to {above}"
        );
    }
    let sum = prometheus.query(&format!("histogram_sum({native})")).await?[0].value;
    let truth: f64 = delays.iter().sum();
    ensure!((sum - truth).abs() < 1e-6, "sum: Prometheus says {sum}, the samples say {truth}");

    let exemplars = prometheus.exemplars(&native).await?;
    let slowest = delays.last().context("delays")?;
    let names_slowest = |exemplar: &serde_json::Value| {
        let value: f64 = exemplar["value"].as_str().and_then(|value| value.parse().ok()).unwrap_or_default();
        (value - slowest).abs() < 1e-9 && exemplar["labels"]["pod"].as_str().is_some_and(|pod| pod.starts_with("pod-"))
    };
    ensure!(exemplars.iter().any(names_slowest), "no exemplar of {slowest} s in {exemplars:?}");
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_counts_the_first_changes_of_a_service_where_it_takes_start_timestamps() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let mut scene = Scene::start(&plane, "created").await?;
    let timed = drive(&mut scene).await?.len();
    // Everything happened before the first scrape: the increase shows only if the query knows that the counter began at zero.
    let changes = "endpointlag_changes_total{change=\"ready\", outcome=\"propagated\"}";
    let risen = format!("sum(max_over_time({changes}[10m]) - min_over_time({changes}[10m]))");
    for (aware, seen) in [(true, timed), (false, 0)] {
        let prometheus = match aware {
            true => Prometheus::counting_from_the_start(scene.daemon.address()).await?,
            false => Prometheus::scraping(scene.daemon.address()).await?,
        };
        prometheus.until(&format!("sum({changes}) == {timed}")).await?;
        let risen = prometheus.query(&risen).await?;
        ensure!(risen.len() == 1 && risen[0].value == seen as f64, "aware: {aware}, seen to rise: {risen:?}");
    }
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_no_fault_with_the_metrics() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let mut scene = Scene::start(&plane, "promtool").await?;
    drive(&mut scene).await?;
    let page = http::get(scene.daemon.address(), "/metrics").await?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(page.body.as_bytes())?;
    promtool(&["check", "metrics"], file.path())?;
    scene.finish().await
}

/// A Service whose pods become Ready. Returns the delays of these changes in seconds, sorted. On a busy machine the daemon may have censored
/// some, and one stall censors a whole burst: more pods follow until most have a delay.
async fn drive(scene: &mut Scene) -> Result<Vec<f64>> {
    scene.create_service(SERVICE, json!({"selector": {"app": SERVICE}, "ports": [{"port": 80}]})).await?;
    let mut least = 0;
    for burst in 0..BURSTS {
        for number in 0..PODS {
            let pod = scene.objects.create_pod(&format!("pod-{burst}-{number}"), SERVICE).await?;
            scene.objects.report(&pod, true).await?;
        }
        scene.agree().await?;
        let delays = ready(scene)?;
        if delays.len() > least + PODS / 2 {
            return Ok(delays);
        }
        least = delays.len();
    }
    bail!("only {least} of {} changes to Ready have a delay", BURSTS * PODS)
}

/// Delays of the changes to Ready in seconds, sorted.
fn ready(scene: &Scene) -> Result<Vec<f64>> {
    let samples = scene.daemon.samples()?;
    let of_kind = samples.iter().filter(|sample| sample.change == Change::Ready);
    let mut delays: Vec<f64> = of_kind.filter_map(Sample::delay).map(|delay| delay.as_secs_f64()).collect();
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}
