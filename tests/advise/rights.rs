//! What may not be read, and what is not known, is named.

use super::manifests::{service, sound};
use super::scene::{Plane, Scene};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testkit::controlplane::access::{account_kubeconfig, create_account, grant_role_to};
use testkit::running::{Ran, run};

/// A kubeconfig of an account with the daemon's Role in the scene's namespace, and with these rules in addition.
pub async fn account(scene: &Scene, rules: Value) -> Result<PathBuf> {
    let plane = &Plane::shared().await?.plane;
    let (client, namespace) = (scene.objects.client(), scene.objects.namespace());
    create_account(client, namespace).await?;
    grant_role_to(client, namespace, namespace).await?;
    let rbac = "rbac.authorization.k8s.io";
    scene.apply(&[
        json!({ "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": { "name": "more" }, "rules": rules }),
        json!({
            "apiVersion": format!("{rbac}/v1"),
            "kind": "RoleBinding",
            "metadata": { "name": "more" },
            "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "more" },
            "subjects": [{ "kind": "ServiceAccount", "name": namespace, "namespace": "endpointlag" }],
        }),
    ])?;
    account_kubeconfig(client, namespace, &plane.server(), &plane.authority(), &scene.workspace).await
}

async fn advise(config: &Path, namespace: &str) -> Result<Ran> {
    run(config, &["advise", "--for=0s", "--fail-on=never", "-n", namespace]).await
}

#[tokio::test]
async fn a_right_that_is_missing_leaves_out_its_checks_by_name() -> Result<()> {
    let scene = Scene::start("advise-rights").await?;
    let [service, mut deployment, ..] = sound("web");
    deployment["spec"]["strategy"] = json!({ "type": "Recreate" });
    scene.apply(&[service, deployment])?;
    let apps = json!([{ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"] }]);
    let config = account(&scene, apps).await?;
    let ran = advise(&config, "advise-rights").await?;
    ensure!(ran.code == Some(0), "{ran:?}");
    // Neither a missing budget nor a missing autoscaler is claimed.
    ensure!(ran.printed.contains("rollout-recreate"), "{}", ran.printed);
    ensure!(!ran.printed.contains("pod-disruption-budget-missing"), "{}", ran.printed);
    ensure!(ran.printed.contains("1 warning,"), "{}", ran.printed);
    let text = ran.printed.split_whitespace().collect::<Vec<_>>().join(" ");
    let named = [
        "no permission to list poddisruptionbudgets.policy in namespace advise-rights (pod-disruption-budget)",
        "no permission to list horizontalpodautoscalers.autoscaling in namespace advise-rights (autoscaling)",
        "no permission to list ingresses.networking.k8s.io in namespace advise-rights (readiness-probe-slow-detection)",
        "no permission to list nodes (endpoints-in-one-zone)",
        "no permission to list statefulsets.apps in namespace advise-rights",
        "nothing was measured (--for 0s)",
    ];
    for words in named {
        ensure!(text.contains(words), "{words}: {}", ran.printed);
    }
    // Kinds that the cluster does not have need no right.
    ensure!(!text.contains("httproutes") && !text.contains("targetgroupbindings"), "{}", ran.printed);
    Ok(())
}

#[tokio::test]
async fn without_services_or_pods_there_is_no_advice() -> Result<()> {
    let scene = Scene::start("advise-denied").await?;
    let config = account(&scene, json!([])).await?;
    let denied = advise(&config, "default").await?;
    let words = "may not list services in namespace default";
    ensure!(denied.code == Some(2) && denied.messages.contains(words), "{denied:?}");
    let missing = run(&scene.kubeconfig, &["advise", "--for=0s", "-n", "advise-denied", "checkout"]).await?;
    let words = "no Service checkout with a selector in advise-denied";
    ensure!(missing.code == Some(2) && missing.messages.contains(words), "{missing:?}");
    Ok(())
}

/// Bare pods, and pods of a controller that is not known here.
#[tokio::test]
async fn owners_that_are_not_known_are_named() -> Result<()> {
    let scene = Scene::start("advise-owners").await?;
    scene.apply(&[service("bare"), service("rollout")])?;
    let owner = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "name": "checkout",
        "uid": "11111111-1111-1111-1111-111111111111",
        "controller": true,
    });
    let pod = |app: &str, owners: Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": app, "labels": { "app": app }, "ownerReferences": owners },
            "spec": { "containers": [{ "name": "main", "image": "registry.example.org/main:1" }] },
        })
    };
    scene.apply(&[pod("bare", json!([])), pod("rollout", json!([owner]))])?;
    let ran = scene.advise(&["--for=0s"]).await?;
    let text = ran.printed.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(text.contains("advise-owners/bare: bare pods: no workload makes them again"), "{}", ran.printed);
    ensure!(
        text.contains("advise-owners/rollout: Rollout checkout: the kind Rollout is not known here"),
        "{}",
        ran.printed
    );
    ensure!(ran.code == Some(0), "{ran:?}");
    Ok(())
}
