//! Where the path of a connection goes on after the kernel: custom kinds that a cluster may have.

use super::manifests::unprepared;
use super::measured::changes;
use super::scene::{Found, Plane, Scene, has};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::controlplane::plane::Options;
use testkit::daemon::Daemon;

/// How often pods change, so that enough of it is seen on a busy machine.
const ROUNDS: usize = 8;

/// Checks whose advice has a figure once enough was seen.
const MEASURED: [&str; 2] = ["pre-stop-missing", "min-ready-seconds-too-short"];

/// A kind that takes any object.
fn custom_kind(group: &str, version: &str, kind: &str, plural: &str) -> Value {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            // Groups of k8s.io need it.
            "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" },
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
            "versions": [
                { "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } },
            ],
        },
    })
}

/// What a check found about a Service.
fn of<'a>(found: &'a [Found], check: &str, service: &str) -> Option<&'a Value> {
    let about = |it: &&Found| it.check == check && it.services.iter().any(|name| name == service);
    found.iter().find(about).map(|it| &it.whole)
}

/// Kinds and objects as of the Gateway API and of the AWS Load Balancer Controller.
#[tokio::test]
async fn behind_a_route_or_a_binding_figures_are_lower_bounds() -> Result<()> {
    // A control plane of its own: the other tests have none of these kinds.
    let plane = Plane::start(Options::default()).await?;
    let scene = Scene::on(&plane, "advise-paths").await?;
    scene.apply(&[
        custom_kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
        custom_kind("elbv2.k8s.aws", "v1beta1", "TargetGroupBinding", "targetgroupbindings"),
    ])?;
    scene.kubectl.run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"], "")?;
    let services = [("routed", "HTTPRoute front"), ("bound", "TargetGroupBinding pods"), ("direct", "")];
    for (name, _) in services {
        scene.apply(&unprepared(name))?;
    }
    scene.apply(&[
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": { "name": "front" },
            "spec": { "rules": [{ "backendRefs": [{ "name": "routed", "port": 80 }] }] },
        }),
        json!({
            "apiVersion": "elbv2.k8s.aws/v1beta1",
            "kind": "TargetGroupBinding",
            "metadata": { "name": "pods" },
            "spec": { "serviceRef": { "name": "bound", "port": 80 }, "targetGroupARN": "none" },
        }),
    ])?;
    let flags = ["--namespace".to_owned(), "advise-paths".to_owned()];
    let daemon = Daemon::start(&scene.kubeconfig, scene.workspace.path(), &flags).await?;
    daemon.wait_until_ready().await?;
    let url = format!("--daemon=http://{}", daemon.address());
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        for (name, _) in services {
            changes(&scene, name, round).await?;
        }
        found = scene.findings(&[&url]).await?;
        let is_measured = |check, service| of(&found, check, service).is_some_and(|it| it["measured"].is_string());
        let is_enough = |name| MEASURED.iter().all(|check| is_measured(check, name));
        if services.iter().all(|(name, _)| is_enough(name)) && has(&found, "readiness-probe-slow-detection", "direct") {
            break;
        }
    }
    for (name, beyond) in services {
        for check in MEASURED {
            let finding = of(&found, check, name).with_context(|| format!("{check} of {name} in {found:#?}"))?;
            let advice = finding["advice"].as_str().context("its advice")?;
            if beyond.is_empty() {
                ensure!(!advice.contains("lower bound"), "{check} of {name}: {advice}");
            } else {
                let words = format!("This is a lower bound, because the path goes on: {beyond}.");
                ensure!(advice.contains(&words), "{check} of {name}: {advice}");
            }
        }
        // Where the rest is not known, nothing is said to be the larger part.
        ensure!(has(&found, "readiness-probe-slow-detection", name) == beyond.is_empty(), "{name}: {found:#?}");
    }
    Ok(())
}
