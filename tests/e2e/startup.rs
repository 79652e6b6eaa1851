//! The start of a pod in phases, and what is no first start.

use super::{changes::selecting, shared_plane};
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;
use std::time::Duration;
use testkit::controlplane::objects::{PodHandle, kubelet::Report};
use testkit::scene::{Scene, Setup};

/// A namespace with a Service `web`, and a daemon that follows starts.
async fn start(namespace: &str) -> Result<Scene> {
    let plane = shared_plane().await?;
    let setup = Setup::cluster(plane).with(&["--namespace", namespace, "--pod-startup"]);
    let scene = Scene::prepare(plane, namespace, setup).await?;
    scene.daemon.wait_until_ready().await?;
    scene.create_service("web", selecting("web")).await?;
    Ok(scene)
}

/// A pod that its node has just got. Its container was not started yet.
async fn create(scene: &Scene, name: &str) -> Result<(PodHandle, Report)> {
    let pod = scene.objects.create_gated_pod(name, "web", 10).await?;
    let created = scene.objects.created(&pod).await?;
    let report = Report {
        created,
        sandbox: created,
        started: None,
        restarts: 0,
        containers_ready: None,
        ready: false,
        ready_changed: created,
    };
    scene.objects.report_times(&pod, report).await?;
    Ok((pod, report))
}

/// Waits until the clock has reached a second: what a kubelet reports is not in the future.
async fn until(second: i64) {
    while Timestamp::now().as_second() < second {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The answer of the API, once this many starts are told.
async fn starts(scene: &Scene, count: usize) -> Result<Value> {
    let is_told = |body: &str| -> Option<Value> {
        let answer: Value = serde_json::from_str(body).ok()?;
        (answer["pods_total"].as_u64()? >= count as u64).then_some(answer)
    };
    let page = scene.daemon.wait_for_page("/api/v1/startup", |page| is_told(&page.body).is_some()).await?;
    let answer = is_told(&page.body).context("starts")?;
    ensure!(answer["pods_total"] == count, "more starts than there were: {answer}");
    Ok(answer)
}

/// How many pods became Ready, by what came before: the kinds that occurred.
async fn kinds(scene: &Scene) -> Result<Vec<(String, f64)>> {
    let metrics = scene.daemon.metrics().await?;
    let counted = metrics.matching("endpointlag_pod_starts_total", &[]).filter(|(_, count)| *count > 0.0);
    Ok(counted.map(|(labels, count)| (labels["kind"].clone(), count)).collect())
}

fn phase(pod: &Value, name: &str) -> Option<f64> {
    let phases = pod["phases"].as_array().into_iter().flatten();
    phases.filter(|it| it["phase"] == name).find_map(|it| it["seconds"].as_f64())
}

/// Reports the pod as Ready since `second`, and its containers a second before.
async fn become_ready(scene: &Scene, pod: &PodHandle, report: &mut Report, second: i64) -> Result<()> {
    until(second).await;
    (report.containers_ready, report.ready, report.ready_changed) = (Some(second - 1), true, second);
    scene.objects.report_times(pod, *report).await
}

async fn become_unready(scene: &Scene, pod: &PodHandle, report: &mut Report) -> Result<()> {
    let now = Timestamp::now().as_second();
    (report.containers_ready, report.ready, report.ready_changed) = (None, false, now);
    scene.objects.report_times(pod, *report).await
}

#[tokio::test]
async fn a_start_is_told_phase_by_phase_with_its_readiness_gate() -> Result<()> {
    let mut scene = start("startup-phases").await?;
    let (pod, mut report) = create(&scene, "web-0").await?;
    report.started = Some(report.created + 1);
    let ready = report.created + 3;
    become_ready(&scene, &pod, &mut report, ready).await?;
    scene.told().await?;

    let answer = starts(&scene, 1).await?;
    let told = &answer["pods"][0];
    assert_eq!((told["pod"].as_str(), told["service"].as_str()), (Some("web-0"), Some("web")));
    assert_eq!(told["uid"], pod.uid);
    let whole = ["scheduled", "initialized", "started", "containers_ready", "readiness_gates"];
    assert_eq!(whole.map(|name| phase(told, name)), [0.0, 0.0, 1.0, 1.0, 1.0].map(Some), "{told}");
    assert_eq!(told["probe_granularity_seconds"], 1.0, "it may have been ready at once: {told}");
    // Nothing is known of nodes.
    assert_eq!(phase(told, "in_effect"), None);
    if !scene.daemon.metrics().await?.has_doubts() {
        let [reported, listed] = ["reported", "listed"].map(|name| phase(told, name).unwrap_or(-1.0));
        assert!(reported >= 0.0 && listed >= 0.0, "{told}");
        let total = told["total_seconds"].as_f64().context("a total")?;
        assert!((total - (3.0 + reported + listed)).abs() < 1e-6, "{told}");
        let metrics = scene.daemon.metrics().await?;
        assert_eq!(metrics.sum("endpointlag_pod_startup_seconds_count", &[("phase", "total")]), 1.0);
        assert_eq!(metrics.sum("endpointlag_report_seconds_count", &[("change", "ready")]), 1.0);
    }
    let metrics = scene.daemon.metrics().await?;
    let gates = [("phase", "readiness_gates"), ("service", "_all")];
    assert_eq!(metrics.sum("endpointlag_pod_startup_seconds_sum", &gates), 1.0);
    assert_eq!(metrics.sum("endpointlag_pods_starting", &[]), 0.0, "nothing is kept of it");
    assert_eq!(kinds(&scene).await?, [("first_start".to_owned(), 1.0)]);
    scene.agree().await?;
    scene.finish().await
}

#[tokio::test]
async fn what_comes_after_the_first_start_is_none() -> Result<()> {
    let mut scene = start("startup-again").await?;
    let (pod, mut report) = create(&scene, "web-0").await?;
    report.started = Some(report.created);
    let ready = report.created + 1;
    become_ready(&scene, &pod, &mut report, ready).await?;
    scene.told().await?;
    starts(&scene, 1).await?;

    // The probe fails for a while.
    become_unready(&scene, &pod, &mut report).await?;
    scene.told().await?;
    let ready = report.ready_changed + 1;
    become_ready(&scene, &pod, &mut report, ready).await?;
    scene.told().await?;
    // The container ends, and is started again.
    until(report.ready_changed + 1).await;
    become_unready(&scene, &pod, &mut report).await?;
    scene.told().await?;
    let ready = report.ready_changed + 2;
    (report.started, report.restarts) = (Some(ready - 1), 1);
    become_ready(&scene, &pod, &mut report, ready).await?;
    scene.told().await?;
    // Its node is rebooted.
    until(report.ready_changed + 1).await;
    become_unready(&scene, &pod, &mut report).await?;
    scene.told().await?;
    let ready = report.ready_changed + 2;
    (report.sandbox, report.started, report.restarts) = (ready - 1, Some(ready - 1), 2);
    become_ready(&scene, &pod, &mut report, ready).await?;
    scene.told().await?;

    let expected = ["container_restart", "first_start", "new_sandbox", "readiness"].map(|kind| (kind.to_owned(), 1.0));
    assert_eq!(kinds(&scene).await?, expected);
    starts(&scene, 1).await?;
    // A container that failed before the first Ready.
    let (other, mut report) = create(&scene, "web-1").await?;
    (report.started, report.restarts) = (Some(report.created), 1);
    let ready = report.created + 1;
    become_ready(&scene, &other, &mut report, ready).await?;
    scene.told().await?;
    assert!(kinds(&scene).await?.contains(&("first_start_with_restarts".to_owned(), 1.0)));
    starts(&scene, 1).await?;
    scene.finish().await
}

#[tokio::test]
async fn a_restarted_daemon_guesses_nothing_of_what_it_finds() -> Result<()> {
    let mut scene = start("startup-found").await?;
    let (pod, mut report) = create(&scene, "web-0").await?;
    scene.restart_daemon().await?;
    scene.daemon.wait_until_ready().await?;
    report.started = Some(report.created);
    let ready = report.created + 1;
    become_ready(&scene, &pod, &mut report, ready).await?;
    scene.objects.wait_for_endpoints("web", 1).await?;
    let page = scene.daemon.wait_for_page("/api/v1/startup", |page| page.body.contains("\"unseen\":1")).await?;
    let answer: Value = serde_json::from_str(&page.body)?;
    assert_eq!((&answer["pods_total"], &answer["kinds"]["first_start"]), (&0.into(), &0.into()), "{answer}");
    scene.finish().await
}
