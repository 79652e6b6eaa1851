//! What the variants render.

use super::process::Container;
use super::variants::{RELEASE, VARIANTS};
use anyhow::{Context, Result, bail, ensure};
use clap::{CommandFactory, Parser};
use endpointlag::config::{Cli, Command};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use testkit::helm::{CHART, Helm};
use testkit::root;

/// The labels that Kubernetes recommends for each object.
const LABELS: [&str; 5] = ["name", "instance", "version", "part-of", "managed-by"];

#[test]
fn both_helms_render_the_same() -> Result<()> {
    for variant in VARIANTS {
        let sorted = |helm| -> Result<Vec<Value>> {
            let mut objects = variant.objects(helm)?;
            objects.sort_by_key(ToString::to_string);
            Ok(objects)
        };
        ensure!(sorted(Helm::Three)? == sorted(Helm::Four)?, "{}", variant.name);
    }
    Ok(())
}

/// The daemon accepts the arguments and variables of each variant, and every flag can be set.
#[test]
fn the_daemon_takes_the_arguments_and_has_no_others() -> Result<()> {
    let mut reached = BTreeSet::new();
    for variant in VARIANTS {
        let arguments = Container::of(&variant.daemon(Helm::Four)?, 2)?.flags();
        let cli = Cli::try_parse_from(["endpointlag"].into_iter().chain(arguments.iter().map(String::as_str)))
            .with_context(|| variant.name)?;
        let Some(Command::Run(run)) = cli.command else { bail!("{}: not `run`", variant.name) };
        let settings = run.settings().with_context(|| variant.name)?;
        let sharded = variant.name == "shards";
        ensure!((settings.scope.shard.to_string() == "2/3") == sharded, "{}: {}", variant.name, settings.scope.shard);
        let names = arguments.iter().filter_map(|it| it.strip_prefix("--")?.split('=').next());
        reached.extend(names.map(str::to_owned));
    }
    let mut command = Cli::command();
    command.build();
    let run = command.find_subcommand("run").context("run")?;
    let flags: BTreeSet<_> =
        run.get_arguments().filter(|flag| flag.get_env().is_some()).filter_map(|flag| flag.get_long()).collect();
    let mut reached: BTreeSet<_> = reached.iter().map(String::as_str).collect();
    // A pod has its own ServiceAccount, and does not listen on a loopback address.
    reached.extend(["kubeconfig", "context", "allow-host"]);
    ensure!(flags == reached, "flags {flags:?}, of which the variants set {reached:?}");
    Ok(())
}

#[test]
fn the_roles_are_what_is_read_and_nothing_else() -> Result<()> {
    let read = json!([
        { "apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "watch"] },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
    ]);
    let ask = json!([
        { "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] },
        { "apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"] },
    ]);
    let review =
        json!([{ "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] }]);
    let list =
        |group: &str, resources: &[&str]| json!({ "apiGroups": [group], "resources": resources, "verbs": ["list"] });
    let advice = [
        list("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
        list("policy", &["poddisruptionbudgets"]),
        list("autoscaling", &["horizontalpodautoscalers"]),
        list("networking.k8s.io", &["ingresses"]),
        list("gateway.networking.k8s.io", &["httproutes"]),
        list("elbv2.k8s.aws", &["targetgroupbindings"]),
    ];
    // Nodes are in no namespace.
    let advice_of_cluster = json!([&advice[..], &[list("", &["nodes"])]].concat());
    let advice = json!(advice);
    let metrics = json!([{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }]);
    for variant in VARIANTS {
        let objects = variant.objects(Helm::Four)?;
        let mut roles = Vec::new();
        for role in objects.iter().filter(|it| ["ClusterRole", "Role"].iter().any(|kind| it["kind"] == *kind)) {
            let name = role["metadata"]["name"].as_str().context("a name")?;
            let place = role["metadata"]["namespace"].as_str().unwrap_or("everywhere");
            let rules = match name.strip_prefix("endpointlag") {
                Some("") => &read,
                Some("-advice") if place == "everywhere" => &advice_of_cluster,
                Some("-advice") => &advice,
                Some("-auth") => &ask,
                Some("-metrics-reader") => &metrics,
                Some("-agents") => &review,
                _ => bail!("{}: {name}", variant.name),
            };
            ensure!(role["rules"] == *rules, "{}: {role}", variant.name);
            roles.push(format!("{name} {place}"));
        }
        roles.sort();
        let expected: &[&str] = match variant.name {
            "namespaces" => &["endpointlag bank", "endpointlag shop"],
            "names" => &[],
            "advice" => &["endpointlag everywhere", "endpointlag-advice everywhere"],
            "advice-in-namespaces" => {
                &["endpointlag bank", "endpointlag shop", "endpointlag-advice bank", "endpointlag-advice shop"]
            }
            "agents" => &["endpointlag everywhere", "endpointlag-agents everywhere"],
            "agents-settings" => &[
                "endpointlag shop",
                "endpointlag-agents everywhere",
                "endpointlag-auth everywhere",
                "endpointlag-metrics-reader everywhere",
            ],
            name if name == "auth" || name.starts_with("guarded") => {
                &["endpointlag everywhere", "endpointlag-auth everywhere", "endpointlag-metrics-reader everywhere"]
            }
            _ => &["endpointlag everywhere"],
        };
        ensure!(roles == expected, "{}: {roles:?}", variant.name);
    }
    Ok(())
}

#[test]
fn names_labels_and_selectors_agree() -> Result<()> {
    for variant in VARIANTS {
        let objects = variant.objects(Helm::Four)?;
        let workload = variant.daemon(Helm::Four)?;
        let pod = &workload["spec"]["template"];
        let pod_labels = &pod["metadata"]["labels"];
        let container = &pod["spec"]["containers"][0];
        let services: Vec<_> = objects.iter().filter(|it| it["kind"] == "Service").collect();
        for object in &objects {
            let (kind, labels) = (object["kind"].as_str().unwrap_or_default(), &object["metadata"]["labels"]);
            for label in LABELS {
                ensure!(
                    labels[format!("app.kubernetes.io/{label}")].is_string(),
                    "{}: {kind} without {label}",
                    variant.name
                );
            }
            // Rules and dashboards select the series by it.
            ensure!(labels["app.kubernetes.io/name"] == "endpointlag", "{}: {labels}", variant.name);
            let spec = &object["spec"];
            let selected = match kind {
                "Service" => contains(pod_labels, &spec["selector"]),
                "Deployment" | "StatefulSet" | "PodDisruptionBudget" | "PodMonitor" => {
                    contains(pod_labels, &spec["selector"]["matchLabels"])
                }
                "NetworkPolicy" => contains(pod_labels, &spec["podSelector"]["matchLabels"]),
                "ServiceMonitor" => {
                    let is =
                        |service: &&&Value| contains(&service["metadata"]["labels"], &spec["selector"]["matchLabels"]);
                    services.iter().filter(is).count() == 1
                }
                _ => true,
            };
            ensure!(selected, "{}: {kind} selects something else", variant.name);
            if let Some(monitored) = spec.get("endpoints").or_else(|| spec.get("podMetricsEndpoints")) {
                ensure!(spec["jobLabel"] == "app.kubernetes.io/name", "{}", variant.name);
                ensure!(spec["scrapeNativeHistograms"] == true, "{}", variant.name);
                ensure!(monitored[0]["honorLabels"] == true && monitored[0]["port"] == "metrics", "{}", variant.name);
                let https = monitored[0]["scheme"] == "https";
                ensure!(https == pod["spec"]["volumes"].is_array(), "{}: {monitored}", variant.name);
            }
        }
        let ports: Vec<_> = container["ports"].as_array().context("ports")?.iter().map(|it| &it["name"]).collect();
        for probe in ["livenessProbe", "readinessProbe"] {
            let port = &container[probe]["httpGet"]["port"];
            ensure!(ports.contains(&port), "{}: {probe} asks at {port}", variant.name);
        }
        // Agents report to a ready daemon. Prometheus scrapes the others too.
        let of_agents = |service: &Value| service["metadata"]["labels"]["app.kubernetes.io/component"] == "agents";
        ensure!(
            services.iter().all(|it| (it["spec"]["publishNotReadyAddresses"] == true) != of_agents(it)),
            "{}",
            variant.name
        );
    }
    Ok(())
}

#[test]
fn the_kinds_of_each_variant() -> Result<()> {
    let always = ["Service", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment"];
    for variant in VARIANTS {
        let kinds: Vec<_> = variant.objects(Helm::Four)?.iter().map(|it| it["kind"].clone()).collect();
        let count = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
        let (more, not): (&[(&str, usize)], &[&str]) = match variant.name {
            "replicas" | "pods" | "disruption-budget" => (&[("PodDisruptionBudget", 1)], &[]),
            "shards" => (&[("StatefulSet", 1), ("PodDisruptionBudget", 1), ("Service", 2)], &["Deployment"]),
            "namespaces" => (&[("Role", 2), ("RoleBinding", 2)], &["ClusterRole", "ClusterRoleBinding"]),
            "advice" => (&[("ClusterRole", 2), ("ClusterRoleBinding", 2)], &[]),
            "advice-in-namespaces" => (&[("Role", 4), ("RoleBinding", 4)], &["ClusterRole", "ClusterRoleBinding"]),
            "auth" => (&[("ClusterRole", 3), ("ClusterRoleBinding", 3)], &[]),
            "service-monitor" => (&[("ServiceMonitor", 1)], &[]),
            "guarded-service-monitor" => (&[("ServiceMonitor", 1), ("ClusterRole", 3), ("ClusterRoleBinding", 2)], &[]),
            "guarded-pod-monitor" => (&[("PodMonitor", 1), ("ClusterRole", 3), ("ClusterRoleBinding", 2)], &[]),
            "rules" => (&[("PrometheusRule", 1)], &[]),
            "dashboards" => (&[("ConfigMap", 3)], &[]),
            "network-policy" => (&[("NetworkPolicy", 1)], &[]),
            "agents" => (
                &[
                    ("DaemonSet", 1),
                    ("Service", 2),
                    ("ServiceAccount", 2),
                    ("ClusterRole", 2),
                    ("ClusterRoleBinding", 2),
                ],
                &[],
            ),
            "agents-settings" => (
                &[
                    ("DaemonSet", 1),
                    ("Service", 2),
                    ("ServiceAccount", 2),
                    ("Role", 1),
                    ("RoleBinding", 1),
                    ("ClusterRole", 3),
                    ("ClusterRoleBinding", 2),
                    ("NetworkPolicy", 1),
                ],
                &[],
            ),
            "names" => (&[], &["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]),
            _ => (&[], &[]),
        };
        let once = always.iter().filter(|kind| !not.contains(kind) && more.iter().all(|(it, _)| it != *kind));
        let expected: Vec<_> = once.map(|kind| (*kind, 1)).chain(more.iter().copied()).collect();
        for (kind, number) in &expected {
            ensure!(count(kind) == *number, "{}: {} {kind}, not {number}", variant.name, count(kind));
        }
        let number: usize = expected.iter().map(|(_, number)| number).sum();
        ensure!(kinds.len() == number, "{}: {kinds:?}", variant.name);
    }
    Ok(())
}

/// Two releases in one cluster: cluster-wide objects of one are not those of the other.
#[test]
fn releases_do_not_take_from_each_other() -> Result<()> {
    let mut seen = BTreeSet::new();
    for (release, namespace) in
        [("endpointlag", "endpointlag"), ("endpointlag", "monitoring"), ("second", "monitoring")]
    {
        for object in Helm::Four.objects(release, namespace, &[])? {
            let place = object["metadata"]["namespace"].as_str().unwrap_or("cluster");
            let name = format!("{} {place} {}", object["kind"], object["metadata"]["name"]);
            ensure!(seen.insert(name.clone()), "{name} twice");
        }
    }
    Ok(())
}

/// What Prometheus and Grafana fill in reaches them unchanged.
#[test]
fn rules_and_dashboards_arrive_unchanged() -> Result<()> {
    let file = |name: &str| fs::read_to_string(root().join(CHART).join("files").join(name));
    let groups = |name: &str| -> Result<Vec<Value>> {
        let file: Value = serde_saphyr::from_str(&file(name)?)?;
        file["groups"].as_array().cloned().context("groups")
    };
    let rule = Helm::Four.objects(RELEASE, RELEASE, &["--set=prometheusRule.enabled=true"])?;
    let rule = rule.iter().find(|it| it["kind"] == "PrometheusRule").context("the rules")?;
    let all = [groups("rules.yaml")?, groups("alerts.yaml")?].concat();
    ensure!(rule["spec"]["groups"] == json!(all), "the rules changed on their way");
    ensure!(rule.to_string().contains("{{ $value"), "no alert shows a value: {rule}");

    let maps = Helm::Four.objects(RELEASE, RELEASE, &["--set=dashboards.enabled=true"])?;
    let mut shown = BTreeSet::new();
    for map in maps.iter().filter(|it| it["kind"] == "ConfigMap") {
        ensure!(map["metadata"]["labels"]["grafana_dashboard"] == "1", "{map}");
        for (name, text) in map["data"].as_object().context("data")? {
            let name = name.strip_prefix("endpointlag-").context("its name")?;
            let dashboard: Value = serde_json::from_str(text.as_str().context("text")?)?;
            ensure!(dashboard == serde_json::from_str::<Value>(&file(&format!("dashboards/{name}"))?)?, "{name}");
            shown.insert(name.to_owned());
        }
    }
    let there: BTreeSet<_> = fs::read_dir(root().join("dashboards"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok().filter(|name| name.ends_with(".json")))
        .collect();
    ensure!(shown == there, "{shown:?} of {there:?}");
    Ok(())
}

/// Whether labels match a selector that is not empty.
pub(super) fn contains(labels: &Value, selector: &Value) -> bool {
    selector.as_object().is_some_and(|asked| {
        !asked.is_empty() && asked.iter().all(|(name, value)| labels.get(name).is_some_and(|label| label == value))
    })
}
