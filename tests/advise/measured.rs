//! Advice from measured figures: of a daemon, of the command itself, and of the starts of pods.

use super::manifests::{container, sound, unprepared};
use super::scene::{Found, Plane, Scene, has};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::controlplane::plane::{Controllers, Options};
use testkit::daemon::Daemon;
use testkit::watching::Watching;

/// More pods than the least number of samples.
const PODS: usize = 32;

/// How often they change at most, so that enough of it is seen.
const ROUNDS: usize = 8;

/// What is found in the workload below once enough was measured.
const NEEDED: [&str; 3] = ["pre-stop-missing", "min-ready-seconds-too-short", "readiness-probe-slow-detection"];

/// Pods of a Service turn ready, unready, ready again, and are deleted.
pub async fn changes(scene: &Scene, app: &str, round: usize) -> Result<()> {
    let objects = &scene.objects;
    let names: Vec<_> = (0..PODS).map(|number| format!("{app}-5d4f-{round}{number:02}")).collect();
    let pods = try_join_all(names.iter().map(|name| objects.create_pod(name, app))).await?;
    for ready in [true, false, true] {
        try_join_all(pods.iter().map(|pod| objects.report(pod, ready))).await?;
        let is_ready = |it: &&EndpointConditions| it.ready == Some(ready);
        objects.wait_for_slices(app, |slices| conditions(slices).filter(is_ready).count() == PODS).await?;
    }
    try_join_all(pods.iter().map(|pod| objects.terminate(pod))).await?;
    let is_terminating = |it: &EndpointConditions| it.terminating == Some(true);
    objects.wait_for_slices(app, |slices| conditions(slices).all(is_terminating)).await?;
    try_join_all(pods.iter().map(|pod| objects.finish(pod))).await?;
    objects.wait_for_endpoints(app, 0).await.map(drop)
}

fn conditions(slices: &[EndpointSlice]) -> impl Iterator<Item = &EndpointConditions> {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints.filter_map(|endpoint| endpoint.conditions.as_ref())
}

/// What a check found about the Service `web`.
fn finding<'a>(found: &'a [Found], check: &str) -> Result<&'a Value> {
    let finding = found.iter().find(|it| it.check == check && it.services.iter().any(|service| service == "web"));
    Ok(&finding.with_context(|| format!("{check} in {found:#?}"))?.whole)
}

#[tokio::test]
async fn a_daemons_figures_give_advice_whose_patches_help() -> Result<()> {
    let scene = Scene::start("advise-daemon").await?;
    scene.apply(&unprepared("web"))?;
    scene.apply(&unprepared("idle"))?;
    let flags = ["--namespace".to_owned(), "advise-daemon".to_owned()];
    let daemon = Daemon::start(&scene.kubeconfig, scene.workspace.path(), &flags).await?;
    daemon.wait_until_ready().await?;
    let url = format!("--daemon=http://{}", daemon.address());
    let elsewhere = scene.advise(&[&format!("{url}/elsewhere")]).await?;
    ensure!(elsewhere.code == Some(2) && elsewhere.messages.contains("404 Not Found"), "{elsewhere:?}");
    // On a busy machine the daemon may not see a round as it happens: then it has no delays of it.
    for round in 0..ROUNDS {
        changes(&scene, "web", round).await?;
        let found = scene.findings(&[&url, "web"]).await?;
        if NEEDED.iter().all(|check| finding(&found, check).is_ok_and(|it| it["measured"].is_string())) {
            break;
        }
    }
    let found = scene.findings(&[&url]).await?;
    let missing = finding(&found, "pre-stop-missing")?;
    let measured = missing["measured"].as_str().unwrap_or_default();
    ensure!(measured.contains("maximum of ") && measured.contains("from 1 rollout"), "{missing}");
    ensure!(
        missing["advice"].as_str().unwrap_or_default().starts_with("lifecycle.preStop.sleep.seconds:"),
        "{missing}"
    );
    for check in NEEDED {
        ensure!(has(&found, check, "web"), "{check}: {found:#?}");
    }
    // Nothing of it was measured, so there is no figure, and it says so.
    ensure!(!has(&found, "min-ready-seconds-too-short", "idle"), "{found:#?}");
    let text = scene.advise(&[&url, "idle"]).await?;
    ensure!(text.printed.contains("too few samples: 0 changes of kind terminating"), "{}", text.printed);

    println!("{}", scene.advise(&[&url, "web"]).await?.printed);
    let applied = scene.apply_patches(&[&url, "web"]).await?;
    ensure!(applied == 1, "{applied}");
    let after = scene.findings(&[&url, "web"]).await?;
    ensure!(after.iter().all(|finding| !finding.services.contains(&"web".to_owned())), "{after:#?}");
    Ok(())
}

/// The command measures by itself. The controller collects changes for half a second, which it finds.
#[tokio::test]
async fn without_a_daemon_it_measures_itself() -> Result<()> {
    let controllers = Controllers { batch_period: Duration::from_millis(500), ..Controllers::default() };
    let plane = Plane::start(Options { controllers, ..Options::default() }).await?;
    let scene = Scene::on(&plane, "advise-session").await?;
    scene.apply(&unprepared("web"))?;
    let flags = ["--namespace=advise-session", "--output=json", "--fail-on=never"];
    let running = Watching::start_as("advise", &scene.kubeconfig, scene.workspace.path(), &flags)?;
    running.wait_for_message("measuring 1 Service in advise-session for 10m").await?;
    for round in 0..ROUNDS {
        changes(&scene, "web", round).await?;
    }
    // Ctrl-C ends the measurement, and not the advice.
    running.signal(Signal::INT)?;
    let ran = running.end().await?;
    ensure!(ran.code == Some(0), "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.printed)?;
    let findings = answer["findings"].as_array().context("has findings")?;
    let checks: Vec<_> = findings.iter().filter_map(|it| it["check"].as_str()).collect();
    for check in ["controller-batches", "pre-stop-missing", "min-ready-seconds-too-short"] {
        ensure!(checks.contains(&check), "{check}: {}", ran.printed);
    }
    ensure!(ran.printed.contains("from 1 rollout"), "{}", ran.printed);
    Ok(())
}

/// Kubelets write when containers started and when pods turned ready.
#[tokio::test]
async fn slow_starts_are_found_without_measuring() -> Result<()> {
    let scene = Scene::start("advise-starts").await?;
    let headers = json!([{ "name": "Host", "value": "shop.example.org" }]);
    let asked =
        json!({ "path": "/live", "port": "http", "scheme": "HTTPS", "host": "10.0.0.9", "httpHeaders": headers });
    for (name, seconds) in [("slow", 70), ("fast", 5)] {
        let mut objects = sound(name);
        objects[1]["spec"]["strategy"]["rollingUpdate"] = json!({ "maxUnavailable": 1, "maxSurge": 0 });
        container(&mut objects[1])["livenessProbe"]["httpGet"] = asked.clone();
        // It lets 70 s pass at most, and 60 s at least: pods that took 70 s have just got through.
        container(&mut objects[1])["livenessProbe"]["failureThreshold"] = json!(7);
        scene.apply(&objects)?;
        for number in 0..3 {
            scene.place(name, &format!("{name}-{number}"), &format!("advise-start-{number}"), seconds).await?;
        }
    }
    let found = scene.findings(&["--for=0s"]).await?;
    ensure!(!found.iter().any(|finding| finding.services.contains(&"fast".to_owned())), "{found:#?}");
    for check in ["liveness-probe-eager", "rollout-without-surge", "autoscaler-lags"] {
        ensure!(has(&found, check, "slow"), "{check}: {found:#?}");
    }
    scene.apply_patches(&["--for=0s"]).await?;
    let after = scene.findings(&["--for=0s"]).await?;
    // A faster start is nothing that a patch can set.
    ensure!(after.len() == 1 && has(&after, "autoscaler-lags", "slow"), "{after:#?}");
    // The startup probe asks as the liveness probe does.
    let probe = "jsonpath={.spec.template.spec.containers[0].startupProbe.httpGet}";
    let set = scene.kubectl.run(&["get", "deployment", "slow", "-n", "advise-starts", "-o", probe], "")?;
    ensure!(serde_json::from_str::<Value>(&set)? == asked, "{set}");
    Ok(())
}
