//! Each check of what is set, on a real API server: a workload that triggers it, one that does not, and its patch.

use super::manifests::{budget, container, deployment, service, sound};
use super::scene::{Found, Scene, has};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// A workload that is set well except for one thing.
struct Case {
    check: &'static str,
    objects: Vec<Value>,
    /// Whether kubectl can set it right.
    has_patch: bool,
}

/// Changes the objects of a sound workload: its Service, Deployment, budget and autoscaler.
fn case(check: &'static str, has_patch: bool, change: impl FnOnce(&mut Vec<Value>)) -> Case {
    let mut objects = sound(check).to_vec();
    change(&mut objects);
    Case { check, objects, has_patch }
}

fn cases() -> Vec<Case> {
    vec![
        case("readiness-probe-missing", true, |it| container(&mut it[1])["readinessProbe"] = Value::Null),
        case("readiness-probe-same-as-liveness", true, |it| {
            container(&mut it[1])["livenessProbe"] =
                json!({ "httpGet": { "path": "/ready", "port": "http" }, "periodSeconds": 3 });
        }),
        case("readiness-probe-fails-on-sigterm", false, |it| {
            container(&mut it[1])["readinessProbe"] = json!({ "exec": { "command": ["cat", "/tmp/ready"] } });
            let command = ["sh", "-c", "rm /tmp/ready; sleep 15"];
            container(&mut it[1])["lifecycle"]["preStop"] = json!({ "exec": { "command": command } });
        }),
        case("liveness-probe-missing", false, |it| container(&mut it[1])["livenessProbe"] = Value::Null),
        case("pre-stop-missing", false, |it| container(&mut it[1])["lifecycle"] = Value::Null),
        case("pre-stop-exec-sleep", true, |it| {
            let command = ["/bin/sh", "-c", "sleep 15"];
            container(&mut it[1])["lifecycle"]["preStop"] = json!({ "exec": { "command": command } });
            // A sleep action must not be longer than the grace period, a program may.
            let pre_stop = json!({ "exec": { "command": ["sleep", "90"] } });
            it[1]["spec"]["template"]["spec"]["containers"].as_array_mut().expect("a list").push(json!({
                "name": "log",
                "image": "registry.example.org/log:1",
                "lifecycle": { "preStop": pre_stop },
            }));
        }),
        case("grace-period-too-short", true, |it| {
            it[1]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(15);
        }),
        case("sidecar-stops-first", true, |it| {
            let proxy = json!({ "name": "istio-proxy", "image": "registry.example.org/proxy:1" });
            it[1]["spec"]["template"]["spec"]["containers"].as_array_mut().expect("a list").push(proxy);
        }),
        case("rollout-recreate", false, |it| it[1]["spec"]["strategy"] = json!({ "type": "Recreate" })),
        case("rollout-without-endpoints", true, |it| {
            it[1]["spec"]["strategy"]["rollingUpdate"] = json!({ "maxUnavailable": "100%", "maxSurge": 0 });
        }),
        case("pod-disruption-budget-missing", true, |it| drop(it.remove(2))),
        case("pod-disruption-budget-blocks", true, |it| {
            // With the three replicas of the autoscaler's minimum.
            it[1]["spec"]["replicas"] = json!(5);
            it[2]["spec"]["maxUnavailable"] = Value::Null;
            it[2]["spec"]["minAvailable"] = json!(3);
        }),
        case("pod-disruption-budgets-overlap", false, |it| {
            it.push(budget("second", "pod-disruption-budgets-overlap"));
        }),
        case("pod-disruption-budget-keeps-unhealthy", true, |it| {
            it[2]["spec"]["unhealthyPodEvictionPolicy"] = Value::Null;
        }),
        case("single-replica", false, |it| {
            it[1]["spec"]["replicas"] = json!(1);
            it.truncate(2);
        }),
        case("autoscaler-minimum-one", true, |it| it[3]["spec"]["minReplicas"] = json!(1)),
        case("autoscaler-missing", false, |it| drop(it.remove(3))),
        case("spread-not-set", true, |it| {
            it[1]["spec"]["template"]["spec"]["topologySpreadConstraints"] = Value::Null;
        }),
    ]
}

fn about<'a>(found: &'a [Found], service: &str) -> Vec<&'a str> {
    let of = found.iter().filter(|finding| finding.services.iter().any(|it| it == service));
    of.map(|finding| &*finding.check).collect()
}

#[tokio::test]
async fn each_is_found_and_its_patch_helps() -> Result<()> {
    let scene = Scene::start("advise-rows").await?;
    let cases = cases();
    for case in &cases {
        scene.apply(&case.objects)?;
    }
    scene.apply(&sound("sound"))?;
    let before = scene.findings(&["--for=0s"]).await?;
    ensure!(about(&before, "sound").is_empty(), "{before:#?}");
    for case in &cases {
        ensure!(has(&before, case.check, case.check), "{}: {:?}", case.check, about(&before, case.check));
    }
    let applied = scene.apply_patches(&["--for=0s"]).await?;
    ensure!(applied >= cases.iter().filter(|case| case.has_patch).count(), "{applied} patches");
    let after = scene.findings(&["--for=0s"]).await?;
    for case in cases {
        let is_left = has(&after, case.check, case.check);
        ensure!(is_left != case.has_patch, "{}: {:?}", case.check, about(&after, case.check));
    }
    // No patch made another finding, except what they cost: more pods than one.
    ensure!(about(&after, "sound").is_empty(), "{after:#?}");
    Ok(())
}

/// Which pods a budget counts, what it lets go, and what a new one is called.
#[tokio::test]
async fn budgets_are_judged_by_all_that_they_select() -> Result<()> {
    let scene = Scene::start("advise-budgets").await?;
    // A canary behind the Service and the budget of the others.
    let mut canary = deployment("shared");
    canary["metadata"]["name"] = json!("shared-canary");
    canary["spec"]["replicas"] = json!(1);
    for part in ["selector", "template"] {
        let labels = if part == "selector" { "/matchLabels" } else { "/metadata/labels" };
        canary["spec"][part].pointer_mut(labels).expect("there are some")["track"] = json!("canary");
    }
    let mut shared = sound("shared");
    shared[2]["spec"]["maxUnavailable"] = Value::Null;
    shared[2]["spec"]["minAvailable"] = json!(2);
    scene.apply(&shared)?;
    scene.apply(&[canary])?;
    let mut unset = sound("unset");
    unset[2]["spec"]["maxUnavailable"] = Value::Null;
    scene.apply(&unset)?;
    let mut single = sound("single");
    single[1]["spec"]["replicas"] = json!(1);
    single[2]["spec"]["maxUnavailable"] = json!(0);
    scene.apply(&single[..3])?;
    // A Deployment and a StatefulSet with one name, and no budgets.
    let mut store = deployment("store");
    store["kind"] = json!("StatefulSet");
    store["metadata"]["name"] = json!("cache");
    store["spec"]["serviceName"] = json!("store");
    store["spec"]["strategy"] = Value::Null;
    let [cache_service, cache, _, scaler] = sound("cache");
    scene.apply(&[cache_service, cache, scaler, service("store"), store])?;

    let before = scene.findings(&["--for=0s"]).await?;
    let budgets = |found: &[Found], service: &str| -> Vec<String> {
        let own = about(found, service).into_iter().filter(|check| check.starts_with("pod-disruption-budget"));
        own.map(str::to_owned).collect()
    };
    let all = ["shared", "unset", "single", "cache", "store"];
    let (blocks, missing) = ("pod-disruption-budget-blocks", "pod-disruption-budget-missing");
    let expected: [&[&str]; 5] = [&[], &[blocks], &[blocks], &[missing], &[missing]];
    for (service, expected) in all.into_iter().zip(expected) {
        ensure!(budgets(&before, service) == expected, "{service}: {before:#?}");
    }
    scene.apply_patches(&["--for=0s"]).await?;
    // One that keeps the only pod stays as it is.
    let names = ["get", "poddisruptionbudgets", "-n", "advise-budgets", "-o", "jsonpath={.items[*].metadata.name}"];
    let names = scene.kubectl.run(&names, "")?;
    ensure!(names == "cache-deployment cache-statefulset shared single unset", "{names}");
    let kept =
        ["get", "poddisruptionbudget", "single", "-n", "advise-budgets", "-o", "jsonpath={.spec.maxUnavailable}"];
    ensure!(scene.kubectl.run(&kept, "")? == "0");
    let after = scene.findings(&["--for=0s"]).await?;
    for service in ["shared", "unset", "cache", "store"] {
        ensure!(budgets(&after, service).is_empty(), "{service}: {after:#?}");
    }
    Ok(())
}

/// Pods where they are now, and by whom they are owned.
#[tokio::test]
async fn endpoints_are_seen_where_they_are() -> Result<()> {
    let scene = Scene::start("advise-places").await?;
    let node = |name: &str, zone: &str| {
        let labels = json!({ "topology.kubernetes.io/zone": zone });
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels } })
    };
    scene.apply(&[node("advise-a", "1"), node("advise-b", "1"), node("advise-c", "2")])?;
    let placed = [
        ("one-node", &["advise-a", "advise-a"][..]),
        ("one-zone", &["advise-a", "advise-b"]),
        ("spread", &["advise-a", "advise-c"]),
        ("local", &["advise-a", "advise-c"]),
    ];
    for (name, nodes) in placed {
        scene.apply(&sound(name))?;
        for (number, node) in nodes.iter().enumerate() {
            scene.place(name, &format!("{name}-{number}"), node, 5).await?;
        }
    }
    let local = json!({ "type": "NodePort", "externalTrafficPolicy": "Local" });
    scene.objects.edit_service("local", local).await?;
    let found = scene.findings(&["--for=0s"]).await?;
    ensure!(about(&found, "one-node") == ["endpoints-on-one-node"], "{found:#?}");
    ensure!(about(&found, "one-zone") == ["endpoints-in-one-zone"], "{found:#?}");
    ensure!(about(&found, "local") == ["local-policy-one-endpoint"], "{found:#?}");
    ensure!(about(&found, "spread").is_empty(), "{found:#?}");
    Ok(())
}
