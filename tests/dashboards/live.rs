//! Each query of each dashboard, sent to a real Prometheus that scraped the daemon while everything happened that it measures.

use super::grafana::{self, Dashboard, Target, Values, interpolate, list, text};
use super::nodes::Nodes;
use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, stream};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::{ControlPlane, Controllers, Options};
use testkit::prometheus::{Prometheus, encode};
use testkit::scene::{Scene, Setup};

/// The namespace and the Services of the changes.
const NAMESPACES: [&str; 2] = ["media", "shop"];
const SERVICES: [&str; 2] = ["cart", "images"];

/// Pods of each Service.
const PODS: usize = 3;

/// How often everything happens. Counters begin with their first count, which no rate includes.
const ROUNDS: usize = 3;

/// A little more than two scrapes.
const BETWEEN: Duration = Duration::from_millis(2500);

/// Queries at the same time.
const AT_ONCE: usize = 4;

/// The interval that Grafana derives from one scrape each second: four scrapes.
const RATE_INTERVAL: &str = "4s";

/// Seconds before the first change that a query sees.
const LEAD: u64 = 5;

/// Alerts with the names and labels of the shipped ones, which would take minutes. These fire all the time.
const ALERTS: &str = "
groups:
- name: live
  rules:
  - alert: EndpointLagServiceBudgetBurn
    expr: max by (cluster, namespace, service) (endpointlag_objective_seconds) > 0
    labels: {severity: critical}
  - alert: EndpointLagBlind
    expr: endpointlag_watch_synced == 1
    labels: {severity: warning, cause: unsynced}
";

/// Everything that the dashboards show happens, and each query returns data for every choice.
#[tokio::test(flavor = "multi_thread")]
async fn each_query_has_data_for_each_choice_of_variables() -> Result<()> {
    let mut plane = ControlPlane::start(Options::default()).await?;
    let mut nodes = Nodes::prepare(&plane).await?;
    let mut setup = Setup::cluster(&plane).with(&["--objective=500ms", "--namespace=media", "--namespace=shop"]);
    setup = setup.with(&["--pod-startup", "--advice", "--advice-interval=1s"]);
    setup.flags.extend(nodes.flags());
    let shop = Objects::create(plane.admin().await?, "shop").await?;
    let scene = Scene::prepare(&plane, "media", setup).await?;
    let address = format!("https://{}", scene.daemon.address());
    let alerts = [ALERTS.to_owned()];
    let alone = Prometheus::evaluating(&address, "", &alerts).await?;
    let one_of_several = Prometheus::evaluating(&address, "cluster: east", &alerts).await?;

    let services = NAMESPACES.iter().flat_map(|namespace| SERVICES.map(|service| (*namespace, service)));
    nodes.start(&plane, &scene.daemon, services.collect()).await?;

    let began = now()?;
    let mut pods = Vec::new();
    for objects in [&scene.objects, &shop] {
        for service in SERVICES {
            objects.create_service(service, json!({"selector": {"app": service}, "ports": [{"port": 80}]})).await?;
            for number in 0..PODS {
                let pod = objects.create_pod(&format!("{service}-{number}"), service).await?;
                objects.report(&pod, true).await?;
                pods.push((objects, service, pod));
            }
        }
    }
    tokio::time::sleep(BETWEEN).await;
    for round in 0..ROUNDS {
        // The last round comes while no slices are written, so that changes wait and miss their objective. One node never shows it.
        if round + 1 == ROUNDS {
            plane.stop_controllers().await?;
            nodes.stick();
        }
        for (objects, service, pod) in &mut pods {
            *pod = change(objects, service, pod, round, round + 1 < ROUNDS).await?;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    plane.start_controllers(Controllers::default()).await?;
    alone.until("sum(endpointlag_pending_changes) == 0").await?;
    tokio::time::sleep(BETWEEN).await;

    let span = Span { from: began - LEAD, to: now()? };
    let mut failures = Vec::new();
    for dashboard in grafana::all()? {
        for (prometheus, has_cluster) in [(&alone, false), (&one_of_several, true)] {
            failures.extend(try_all(prometheus, &dashboard, has_cluster, span).await?);
        }
    }
    nodes.end().await?;
    ensure!(failures.is_empty(), "{} without data:\n{}", failures.len(), failures.join("\n"));
    scene.finish().await
}

/// Every kind of change, of one pod and its Service. If the controllers run, each is in the slices before the next: else a busy machine
/// merges them. Returns the pod that replaces it.
async fn change(objects: &Objects, service: &str, pod: &PodHandle, round: usize, is_shown: bool) -> Result<PodHandle> {
    let shown = async |expected: &dyn Fn(&Endpoint) -> bool| -> Result<()> {
        if !is_shown {
            tokio::time::sleep(Duration::from_millis(100)).await;
            return Ok(());
        }
        let is_its = |it: &&Endpoint| it.target_ref.as_ref().is_some_and(|of| of.name.as_ref() == Some(&pod.name));
        let is_listed = |slices: &[EndpointSlice]| {
            let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
            endpoints.filter(is_its).any(expected)
        };
        objects.wait_for_slices(service, is_listed).await.map(drop)
    };
    let is_ready = |it: &Endpoint| it.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true);
    let is_terminating =
        |it: &Endpoint| it.conditions.as_ref().and_then(|conditions| conditions.terminating) == Some(true);
    objects.report(pod, false).await?;
    let ports = json!({"ports": [{"port": 80, "targetPort": 8000 + round}]});
    objects.edit_service(service, ports).await?;
    shown(&|it| !is_ready(it)).await?;
    objects.report(pod, true).await?;
    shown(&is_ready).await?;
    objects.terminate(pod).await?;
    shown(&is_terminating).await?;
    objects.finish(pod).await?;
    let next = objects.create_pod(&format!("{}-{round}", pod.name), service).await?;
    objects.report(&next, true).await?;
    Ok(next)
}

/// The time range of a dashboard, in seconds.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    to: u64,
}

fn now() -> Result<u64> {
    Ok(SystemTime::UNIX_EPOCH.elapsed()?.as_secs())
}

/// Sends each query of a dashboard with each choice. Returns those without data.
async fn try_all(prometheus: &Prometheus, dashboard: &Dashboard, has_cluster: bool, span: Span) -> Result<Vec<String>> {
    let targets = dashboard.targets()?;
    let mut asked = Vec::new();
    for (choice, values) in choices(prometheus, dashboard, has_cluster, span).await? {
        asked.extend(targets.iter().map(|target| (choice.clone(), values.clone(), target.clone())));
    }
    let answers = stream::iter(asked).map(async |(choice, values, target)| {
        let query = interpolate(&target.expr, &values)?;
        let found = ask(prometheus, &target, &query, span).await.with_context(|| target.place.clone())?;
        anyhow::Ok((!found).then(|| format!("{} [{choice}]: {query}", target.place)))
    });
    let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

/// Whether a query returns a number, in the way of its panel: at the end, or at any moment of the time range.
async fn ask(prometheus: &Prometheus, target: &Target, query: &str, Span { from, to }: Span) -> Result<bool> {
    let path = match target.instant {
        true => format!("query?query={}&time={to}", encode(query)),
        false => format!("query_range?query={}&start={from}&end={to}&step=1", encode(query)),
    };
    let data = prometheus.ask(&path).await?;
    Ok(list(&data["result"]).iter().any(|series| {
        let single = |of: &str| series[of].as_array().map(|_| &series[of]);
        let many = |of: &'static str| list(&series[of]).iter();
        let samples = single("value").into_iter().chain(many("values"));
        let histograms = single("histogram").into_iter().chain(many("histograms"));
        samples.into_iter().any(|sample| text(&sample[1]) != "NaN")
            || histograms.into_iter().any(|sample| text(&sample[1]["count"]) != "0")
    }))
}

/// The ways in which a person may set the variables: all to "all", a single one to one value, all of them to one value, and
/// all of them to several values; with each kind of histogram.
async fn choices(
    prometheus: &Prometheus,
    dashboard: &Dashboard,
    has_cluster: bool,
    Span { from, to }: Span,
) -> Result<Vec<(String, Values)>> {
    let mut all = Values::new();
    let mut one = Values::new();
    let mut several = Values::new();
    let mut histograms = Vec::new();
    for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
        let name = text(&variable["name"]);
        let found = options(prometheus, text(&variable["definition"]), text(&variable["regex"]), &all)
            .await
            .with_context(|| format!("{} / ${name}", dashboard.name))?;
        if name == "cluster" && !has_cluster {
            ensure!(found.is_empty(), "no series has a cluster, but $cluster has {found:?}");
        } else {
            let expected: &[&str] = match name {
                "cluster" => &["east"],
                "job" => &["endpointlag"],
                "namespace" => &NAMESPACES,
                "service" => &SERVICES,
                "histogram" => &["seconds_bucket", "seconds"],
                _ => &[],
            };
            let as_expected = if expected.is_empty() { found.len() == 1 } else { found == expected };
            ensure!(as_expected, "{} / ${name} has {found:?}", dashboard.name);
        }
        let first = found.first().cloned();
        let set = |values: &mut Values, value: &str| values.insert(name.to_owned(), value.to_owned());
        if name == "histogram" {
            histograms = found;
        } else if variable["includeAll"] == true {
            let any = text(&variable["allValue"]);
            set(&mut all, any);
            set(&mut one, first.as_deref().unwrap_or(any));
            set(&mut several, &if found.is_empty() { any.to_owned() } else { format!("({})", found.join("|")) });
        } else {
            let first = first.context("checked above")?;
            for values in [&mut all, &mut one, &mut several] {
                set(values, &first);
            }
        }
    }
    let alone = one.iter().filter(|(name, value)| all[*name] != **value);
    let alone = alone.map(|(name, value)| {
        let mut values = all.clone();
        values.insert(name.clone(), value.clone());
        (format!("{name} {value}"), values)
    });
    let mut choices: Vec<_> = alone.collect();
    choices.extend([("all", all), ("one", one), ("several", several)].map(|(name, values)| (name.to_owned(), values)));
    let kinds = histograms.iter().flat_map(|kind| choices.iter().map(move |choice| (kind, choice)));
    let with_grafanas = kinds.map(|(kind, (choice, values))| {
        let mut values = values.clone();
        let own = [
            ("histogram", kind.clone()),
            ("__rate_interval", RATE_INTERVAL.into()),
            ("__range", format!("{}s", to - from)),
            ("__interval", "1s".into()),
        ];
        values.extend(own.map(|(name, value)| (name.to_owned(), value)));
        (format!("{choice}, {kind}"), values)
    });
    Ok(with_grafanas.collect())
}

/// The values that a variable offers, for Grafana's two kinds of variable queries that are used here.
async fn options(prometheus: &Prometheus, definition: &str, regex: &str, values: &Values) -> Result<Vec<String>> {
    let query = interpolate(definition, values)?;
    let inner = |function: &str| query.strip_prefix(function).and_then(|rest| rest.strip_suffix(')'));
    if let Some((selector, label)) = inner("label_values(").and_then(|inner| inner.rsplit_once(", ")) {
        let found = prometheus.ask(&format!("label/{label}/values?match[]={}", encode(selector))).await?;
        return Ok(list(&found).iter().map(|value| text(value).to_owned()).collect());
    }
    let Some(inner) = inner("query_result(") else { bail!("{query} is no query of a variable") };
    // The regular expression takes the value of the label that it names.
    let label = regex.split("=\"(?<value>").next().and_then(|before| before.rsplit("*").next()).context("no value")?;
    let found = prometheus.ask(&format!("query?query={}", encode(inner))).await?;
    let value = |row: &Value| row["metric"][label].as_str().map(str::to_owned).context("no value");
    list(&found["result"]).iter().map(value).collect()
}
