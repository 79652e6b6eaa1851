//! Advice in the running daemon.

use super::manifests::{container, sound};
use super::rights::account;
use super::scene::Scene;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::daemon::Daemon;

/// Flags of a daemon that gives advice about the scene's namespace all the time.
fn flags(scene: &Scene, more: &[&str]) -> Vec<String> {
    let own = ["--advice", "--advice-interval=1s", "--namespace", scene.objects.namespace()];
    own.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
}

async fn start(scene: &Scene, more: &[&str]) -> Result<Daemon> {
    let daemon = Daemon::start(&scene.kubeconfig, scene.workspace.path(), &flags(scene, more)).await?;
    daemon.wait_until_ready().await?;
    Ok(daemon)
}

/// Waits until the answer of the API is as expected.
async fn advice(daemon: &Daemon, query: &str, expected: impl Fn(&Value) -> bool) -> Result<Value> {
    let parse = |body: &str| serde_json::from_str::<Value>(body).unwrap_or_default();
    let path = format!("/api/v1/advice?{query}");
    let page = daemon.wait_for_page(&path, |page| expected(&parse(&page.body))).await?;
    Ok(parse(&page.body))
}

fn checks(answer: &Value) -> Vec<&str> {
    let findings = answer["findings"].as_array().into_iter().flatten();
    findings.filter(|it| it["ignored"].is_null()).filter_map(|it| it["check"].as_str()).collect()
}

/// The checks of the series of a Service, sorted, each with its severity.
async fn series(daemon: &Daemon, namespace: &str, service: &str) -> Result<Vec<String>> {
    let metrics = daemon.metrics().await?;
    let of = [("namespace", namespace), ("service", service)];
    let of_one = metrics.matching("endpointlag_finding", &of);
    let mut found: Vec<_> = of_one.map(|(labels, _)| format!("{} {}", labels["check"], labels["severity"])).collect();
    found.sort();
    Ok(found)
}

/// A finding is there once its workload is, and goes when it is patched. What an annotation ignores has no series.
#[tokio::test]
async fn findings_come_and_go_with_what_is_set() -> Result<()> {
    let namespace = "advise-running";
    let scene = Scene::start(namespace).await?;
    scene.apply(&sound("web"))?;
    let daemon = start(&scene, &[]).await?;
    let answer = advice(&daemon, "", |answer| answer["evaluated"].is_string()).await?;
    ensure!(answer["enabled"] == true && answer["findings_total"] == 0, "{answer:#}");

    let mut objects = sound("shop");
    container(&mut objects[1])["readinessProbe"] = Value::Null;
    container(&mut objects[1])["lifecycle"] = Value::Null;
    objects[1]["metadata"]["annotations"] = json!({ "endpointlag.io/ignore-advice": "pre-stop=drains by itself" });
    scene.apply(&objects)?;
    let answer = advice(&daemon, "", |answer| checks(answer) == ["readiness-probe-missing"]).await?;
    ensure!(answer["summary"] == json!({ "error": 1, "warning": 0, "note": 0, "ignored": 1 }), "{answer:#}");
    let ignored = &answer["findings"][1];
    ensure!(ignored["check"] == "pre-stop-missing" && ignored["ignored"] == "drains by itself", "{answer:#}");
    ensure!(series(&daemon, namespace, "shop").await? == ["readiness-probe-missing error"]);
    let metrics = daemon.metrics().await?;
    let count = |severity| metrics.sum("endpointlag_findings", &[("severity", severity)]);
    ensure!([count("error"), count("ignored"), count("note")] == [1.0, 1.0, 0.0], "{answer:#}");
    ensure!(metrics.sum("endpointlag_findings_overflowed", &[]) < 0.5, "10,000 findings");

    // The filters, and the same JSON as that of the command.
    let with = async |query: &str| -> Result<u64> {
        let answer: Value = serde_json::from_str(&daemon.get(&format!("/api/v1/advice?{query}")).await?.body)?;
        answer["findings_total"].as_u64().with_context(|| format!("{answer:#}"))
    };
    let counts = [
        with("severity=error").await?,
        with("severity=note").await?,
        with("service=web").await?,
        with("namespace=advise-running&service=shop").await?,
    ];
    ensure!(counts == [1, 0, 0, 2], "{counts:?}");
    let url = format!("--daemon=http://{}", daemon.address());
    let found = scene.findings(&[&url]).await?;
    let by_check = |all: &[Value]| -> Vec<Value> {
        let mut all = all.to_vec();
        // How long was measured differs.
        all.iter_mut().for_each(|it| it["measured"] = Value::Null);
        all.sort_by_key(|it| it["check"].to_string());
        all
    };
    let command: Vec<_> = found.iter().map(|it| it.whole.clone()).collect();
    let of_daemon = answer["findings"].as_array().context("findings")?;
    ensure!(by_check(of_daemon) == by_check(&command), "{of_daemon:#?}\n{command:#?}");

    scene.apply(&sound("shop"))?;
    let patched = json!({ "metadata": { "annotations": { "endpointlag.io/ignore-advice": null } } }).to_string();
    scene.kubectl.run(&["patch", "deployment", "shop", "-n", namespace, "-p", &patched], "")?;
    advice(&daemon, "", |answer| answer["findings_total"] == 0).await?;
    ensure!(series(&daemon, namespace, "shop").await?.is_empty());
    Ok(())
}

/// Without its rights there is no advice of what may not be read. The daemon measures all the same.
#[tokio::test]
async fn missing_rights_are_named_and_measuring_goes_on() -> Result<()> {
    let namespace = "advise-less";
    let scene = Scene::start(namespace).await?;
    let [service, mut deployment, ..] = sound("web");
    deployment["spec"]["strategy"] = json!({ "type": "Recreate" });
    scene.apply(&[service, deployment])?;
    let apps = json!([{ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"] }]);
    let config = account(&scene, apps).await?;
    let daemon = Daemon::start(&config, scene.workspace.path(), &flags(&scene, &[])).await?;
    daemon.wait_until_ready().await?;
    let answer = advice(&daemon, "", |answer| answer["evaluated"].is_string()).await?;
    // Neither a missing budget nor a missing autoscaler is claimed.
    ensure!(checks(&answer) == ["rollout-recreate"], "{answer:#}");
    let skipped = answer["skipped"].as_array().context("skipped")?;
    let words = "no permission to list poddisruptionbudgets.policy in namespace advise-less";
    let named = skipped.iter().find(|it| it["why"] == words).with_context(|| format!("{answer:#}"))?;
    ensure!(named["checks"] == json!(["pod-disruption-budget"]), "{named}");
    let metrics = daemon.metrics().await?;
    let missing = |resource| metrics.sum("endpointlag_advice_missing_rights", &[("resource", resource)]);
    ensure!([missing("poddisruptionbudgets.policy"), missing("nodes"), missing("deployments.apps")] == [1.0, 1.0, 0.0]);
    let lines = daemon.log()?;
    let logged = lines.iter().filter(|line| line.field("message").contains(words)).count();
    ensure!(logged == 1, "{logged} times: {}", daemon.log_tail());

    let pod = scene.objects.create_pod("web-0", "web").await?;
    scene.objects.report(&pod, true).await?;
    let ended = r#"endpointlag_changes_total{change="ready",namespace="advise-less""#;
    let counted = |line: &str| line.starts_with(ended) && !line.ends_with(" 0");
    daemon.wait_for_page("/metrics", |page| page.body.lines().any(counted)).await?;
    Ok(())
}

/// An account that may not even read what the daemon measures gets no advice, and the failure is shown.
#[tokio::test]
async fn a_failure_is_shown_and_the_daemon_stays() -> Result<()> {
    let scene = Scene::start("advise-fails").await?;
    scene.apply(&sound("web"))?;
    let config = account(&scene, json!([])).await?;
    let daemon = Daemon::start(&config, scene.workspace.path(), &flags(&scene, &[])).await?;
    daemon.wait_until_ready().await?;
    advice(&daemon, "", |answer| answer["evaluated"].is_string()).await?;
    // Watches that were opened go on for a while.
    scene.kubectl.run(&["delete", "rolebindings", "--all", "-n", "advise-fails"], "")?;
    let failed = |answer: &Value| answer["failure"].as_str().is_some_and(|it| it.contains("may not list"));
    let answer = advice(&daemon, "", failed).await?;
    ensure!(answer["evaluated"].is_string(), "{answer:#}");
    ensure!(daemon.metrics().await?.sum("endpointlag_advice_failures_total", &[]) > 0.5, "{answer:#}");
    ensure!(daemon.get("/healthz").await?.status.is_success());
    Ok(())
}

#[tokio::test]
async fn without_the_flag_there_is_none() -> Result<()> {
    let scene = Scene::start("advise-off").await?;
    let flags = ["--namespace".to_owned(), "advise-off".to_owned()];
    let daemon = Daemon::start(&scene.kubeconfig, scene.workspace.path(), &flags).await?;
    daemon.wait_until_ready().await?;
    let page = daemon.get("/api/v1/advice").await?;
    let answer: Value = serde_json::from_str(&page.body)?;
    ensure!(page.status.is_success() && answer["enabled"] == false, "{answer:#}");
    let metrics = daemon.get("/metrics").await?.body;
    ensure!(!metrics.contains("endpointlag_finding") && !metrics.contains("endpointlag_advice_"), "{metrics}");
    Ok(())
}
