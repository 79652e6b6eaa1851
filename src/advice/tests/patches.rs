//! The patches, and several of them for one object.

use super::super::{Action, merged};
use super::*;
use serde_json::json;

#[test]
fn a_sleep_action_replaces_a_program_and_brings_the_grace_period() {
    let finding = Scene::with(|scene| {
        scene.container().pre_stop = Some(exec("nginx; sleep 2"));
        scene.backing.workload.template.grace_seconds = 5;
    });
    // The program does more than sleep, so its owner has to change it.
    assert_eq!(finding.found(), ["pre-stop-too-short", "grace-period-too-short"]);
    assert!(finding.advice().findings[0].patch.is_none());

    let scene = Scene::with(|scene| {
        scene.container().pre_stop = Some(exec("sleep 2"));
        scene.backing.workload.template.grace_seconds = 5;
    });
    assert_eq!(scene.found(), ["pre-stop-too-short", "grace-period-too-short", "pre-stop-exec-sleep"]);
    let advice = scene.advice();
    let patches = merged(&advice.findings);
    let [(patch, checks)] = &*patches else { panic!("{patches:?}") };
    assert_eq!(checks.len(), 3);
    let expected = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "template": { "spec": {
            "terminationGracePeriodSeconds": 13,
            "containers": [{ "name": "web", "lifecycle": { "preStop": { "exec": null, "sleep": { "seconds": 3 } } } }],
        } } },
    });
    assert_eq!(patch.document(), expected);
}

/// The API server refuses a sleep that is longer than the grace period, which no other finding is about here.
#[test]
fn each_sleep_brings_its_grace_period() {
    let patched = |scene: Scene| {
        let patch = scene.finding().patch.expect("has one").spec.tree()["template"]["spec"].clone();
        let sleep = patch["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].clone();
        (sleep, patch["terminationGracePeriodSeconds"].clone())
    };
    let of_other = |grace| {
        Scene::with(|scene| {
            let pre_stop = Some(exec("sleep 45"));
            let other = Container { name: "log".to_owned(), pre_stop, ..Container::default() };
            scene.backing.workload.template.containers.push(other);
            scene.backing.workload.template.grace_seconds = grace;
        })
    };
    assert_eq!(patched(of_other(30)), (json!(45), json!(55)));
    assert!(of_other(30).finding().advice.ends_with("instead of exec, and terminationGracePeriodSeconds: 55."));
    assert_eq!(patched(of_other(55)), (json!(45), json!(null)));

    let scene = Scene::with(|scene| {
        // What it does besides is for its owner to change, so only the proxy gets a patch.
        scene.container().pre_stop = Some(exec("nginx -s quit; sleep 2"));
        scene.sample(Change::Terminating).max = millis(20_000);
        scene.backing.workload.template.grace_seconds = 12;
        let proxy = Container { name: "istio-proxy".to_owned(), ..Container::default() };
        scene.backing.workload.template.containers.push(proxy);
    });
    let advice = scene.advice();
    let [(patch, checks)] = &*merged(&advice.findings) else { panic!("{:?}", scene.found()) };
    assert_eq!((&**checks, scene.found().len()), (&["sidecar-stops-first"][..], 2));
    assert_eq!(patch.spec.tree()["template"]["spec"]["terminationGracePeriodSeconds"], 38);
}

#[test]
fn a_budget_has_one_limit_and_a_missing_one_is_created() {
    let blocks = Scene::with(|scene| {
        let limit = Limit::MinAvailable(Amount::Number(3));
        scene.backing.budgets = Some(vec![Budget { lets_unhealthy_go: false, ..budget(limit) }]);
    });
    let advice = blocks.advice();
    let patches = merged(&advice.findings);
    let [(patch, _)] = &*patches else { panic!("{patches:?}") };
    let spec = json!({ "minAvailable": null, "maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow" });
    assert_eq!((patch.action, patch.spec.tree()), (Action::Merge, spec));

    let missing = Scene::with(|scene| scene.backing.budgets = Some(Vec::new())).finding();
    let patch = missing.patch.expect("has one");
    assert_eq!((patch.action, patch.kind, &*patch.name), (Action::Create, "PodDisruptionBudget", "web"));
    assert_eq!(patch.spec.tree()["selector"]["matchLabels"], json!({ "app": "web" }));
}

/// A Deployment and a StatefulSet may have one name, and a budget may have it already.
#[test]
fn new_budgets_are_never_one_object() {
    let without = |kind, is_name_taken| {
        let scene = Scene::with(|scene| {
            scene.backing.workload.kind = kind;
            scene.backing.budgets = Some(Vec::new());
            scene.backing.is_name_taken = is_name_taken;
        });
        scene.finding()
    };
    let (deployment, stateful_set) = (WorkloadKind::Deployment, WorkloadKind::StatefulSet);
    let names = |findings: &[Finding]| merged(findings).into_iter().map(|(patch, _)| patch.name).collect::<Vec<_>>();
    assert_eq!(names(&[without(deployment, true), without(stateful_set, true)]), ["web-deployment", "web-statefulset"]);
    assert_eq!(names(&[without(deployment, false), without(stateful_set, false)]), ["web", "web"]);
}

#[test]
fn what_is_ignored_is_not_patched() {
    let advice = Scene::with(|scene| {
        scene.backing.budgets = Some(Vec::new());
        scene.backing.workload.ignored = Some("pod-disruption-budget=may stop".to_owned());
    })
    .advice();
    assert!(merged(&advice.findings).is_empty() && advice.findings.len() == 1);
}

/// A named port stays a name, and a number a number, because the API server takes no number for a name.
#[test]
fn a_startup_probe_asks_what_the_liveness_probe_asks() {
    let asked = |handler: Handler| {
        let scene = Scene::with(|scene| {
            scene.container().liveness = Some(probe(handler, 1, 3));
        });
        scene.finding().patch.expect("has one").spec.tree()["template"]["spec"]["containers"][0]["startupProbe"].clone()
    };
    assert_eq!(asked(http("/live"))["httpGet"], json!({ "path": "/live", "port": "http" }));
    let https = Handler::Http(HttpGet {
        path: "/live".to_owned(),
        port: "8443".to_owned(),
        is_https: true,
        host: Some("10.0.0.9".to_owned()),
        headers: ["Host", "Accept"].map(|name| (name.to_owned(), "shop".to_owned())).to_vec(),
    });
    let headers = json!([{ "name": "Host", "value": "shop" }, { "name": "Accept", "value": "shop" }]);
    let whole = json!({ "path": "/live", "port": 8443, "scheme": "HTTPS", "host": "10.0.0.9", "httpHeaders": headers });
    assert_eq!(asked(https)["httpGet"], whole);
    let tcp = |host: Option<&str>| Handler::Tcp { port: "8080".to_owned(), host: host.map(str::to_owned) };
    assert_eq!(asked(tcp(None))["tcpSocket"], json!({ "port": 8080 }));
    assert_eq!(asked(tcp(Some("10.0.0.9")))["tcpSocket"], json!({ "port": 8080, "host": "10.0.0.9" }));
    let grpc = Handler::Grpc { port: "8080".to_owned(), service: String::new() };
    assert_eq!(asked(grpc)["grpc"], json!({ "port": 8080 }));
}
