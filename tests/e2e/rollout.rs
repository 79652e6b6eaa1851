//! `endpointlag rollout` on a real control plane with the real controllers of workloads. Pods are started and stopped as by a kubelet.

use super::changes::selecting;
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::controlplane::access::{account_kubeconfig, create_account, grant_role_to};
use testkit::controlplane::objects::life::{BROKEN, Life, Pace};
use testkit::controlplane::objects::{NODE, Objects};
use testkit::controlplane::plane::{ControlPlane, Controllers, Options};
use testkit::running::run;
use testkit::truth::audit::AuditLog;
use testkit::truth::serving::{Served, serving};
use testkit::truth::{self, Outcome};
use testkit::watching::{Ended, Watching};
use testkit::workspace::Workspace;
use tokio::sync::OnceCell;

/// By how much a time of the report, in seconds, may differ from the API server's own: both watches and two answers, on a busy machine.
const TOLERANCE: f64 = 1.0;

/// By how much the watch of the pods may be ahead of that of the slices, or behind it, on a busy machine.
const SKEW: Duration = Duration::from_millis(250);

const POLL: Duration = Duration::from_millis(50);

/// Ample time for what takes seconds on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A namespace with the Service `web`, whose pods live.
struct Scene {
    objects: Objects,
    kubeconfig: PathBuf,
    workspace: Workspace,
    plane: &'static ControlPlane,
    _life: Life,
}

async fn plane() -> Result<&'static ControlPlane> {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    let controllers = Controllers { workloads: true, ..Controllers::default() };
    PLANE.get_or_try_init(|| ControlPlane::start(Options { controllers, ..Options::default() })).await
}

impl Scene {
    async fn start(namespace: &str, pace: Pace) -> Result<Self> {
        let plane = plane().await?;
        let objects = Objects::create(plane.admin().await?, namespace).await?;
        objects.create_service("web", selecting("web")).await?;
        let life = Life::start(plane.admin().await?, namespace, pace);
        let (kubeconfig, workspace) = (plane.admin_kubeconfig()?, Workspace::create(namespace)?);
        Ok(Self { objects, kubeconfig, workspace, plane, _life: life })
    }

    /// Creates a workload, and waits until the slices list all its pods as ready, and its status says so too.
    async fn deploy<K>(&self, spec: Value, replicas: usize) -> Result<()>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + serde::Serialize,
    {
        let object: K = serde_json::from_value(json!({ "metadata": { "name": "web" }, "spec": spec }))?;
        self.api::<K>().create(&PostParams::default(), &object).await.context("creating the workload")?;
        self.objects
            .wait_for_slices("web", |slices| {
                let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
                let is_ready = |it: &k8s_openapi::api::discovery::v1::Endpoint| {
                    it.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true)
                };
                endpoints.filter(|endpoint| is_ready(endpoint)).count() == replicas
            })
            .await?;
        let started = Instant::now();
        loop {
            let status = serde_json::to_value(self.api::<K>().get("web").await?)?["status"].clone();
            if is_complete(&status, replicas) {
                return Ok(());
            }
            ensure!(started.elapsed() < SOON, "it is not complete: {status}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Gives the pods another template.
    async fn edit<K>(&self, image: &str) -> Result<()>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let container = json!({ "name": "main", "image": image });
        let patch = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
        let edited = self.api::<K>().patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await;
        edited.context("editing the workload").map(drop)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.objects.client().clone(), self.objects.namespace())
    }

    fn follow(&self, flags: &[&str]) -> Result<Watching> {
        let flags = [&["-n", self.objects.namespace()], flags].concat();
        // Each has its own messages.
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(self.workspace.path())?.keep();
        Watching::start_as("rollout", &self.kubeconfig, &folder, &flags)
    }

    /// Follows from before the rollout of a new image until the end. Returns when it began.
    async fn roll<K>(&self, flags: &[&str], image: &str) -> Result<(Ended, Timestamp)>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let following = self.follow(flags)?;
        following.wait_for_message("waiting for a rollout of ").await?;
        let began = Timestamp::now();
        self.edit::<K>(image).await?;
        Ok((following.end().await?, began))
    }

    /// What the API server did, once each change is over.
    async fn truth(&self) -> Result<AuditLog> {
        let mut log = AuditLog::open(&self.plane.audit_log(), self.objects.namespace())?;
        let started = Instant::now();
        loop {
            log.refresh()?;
            let mut records = truth::records(&log).into_iter();
            let Some(open) = records.find(|record| record.outcome.is_none()) else { return Ok(log) };
            ensure!(started.elapsed() < SOON, "not over: {open}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs a rollout that ends by itself.
    async fn run(&self, flags: &[&str]) -> Result<testkit::running::Ran> {
        run(&self.kubeconfig, &[&["rollout", "-n", self.objects.namespace()][..], flags].concat()).await
    }
}

/// Whether the status of a workload says that all pods are new and available, and its rollout is over.
fn is_complete(status: &Value, replicas: usize) -> bool {
    let is = |name: &str| status[name] == replicas;
    let conditions = status["conditions"].as_array();
    let progress = conditions.into_iter().flatten().find(|condition| condition["type"] == "Progressing");
    (is("updatedReplicas") || is("updatedNumberScheduled"))
        && (is("availableReplicas") || is("numberAvailable"))
        && status["currentRevision"] == status["updateRevision"]
        && progress.is_none_or(|condition| condition["reason"] == "NewReplicaSetAvailable")
}

fn template() -> Value {
    json!({
        "metadata": { "labels": { "app": "web" } },
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 60,
            "containers": [{ "name": "main", "image": "registry.example.org/main:1" }],
        },
    })
}

/// The spec of a workload.
fn spec(replicas: usize, more: Value) -> Value {
    let mut spec = json!({ "selector": { "matchLabels": { "app": "web" } }, "template": template() });
    if replicas > 0 {
        spec["replicas"] = replicas.into();
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

fn rolling(max_unavailable: usize, max_surge: usize) -> Value {
    json!({ "strategy": { "rollingUpdate": { "maxUnavailable": max_unavailable, "maxSurge": max_surge } } })
}

fn seconds(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("{value} is no number"))
}

/// Compares each delay, and how many served, with what the API server did.
fn agree(answer: &Value, log: &AuditLog, wanted: usize, began: Timestamp) -> Result<Served> {
    let service = &answer["services"][0];
    let records = truth::records(log);
    let delays = service["delays"].as_array().context("delays")?;
    for delay in delays {
        let of = |record: &&truth::Record| {
            record.change.label() == delay["change"] && record.pod.as_ref().is_some_and(|pod| pod.name == delay["pod"])
        };
        // Names of StatefulSets come again, and then the last one counts.
        let record = records.iter().rev().find(of).with_context(|| format!("{delay} is not true"))?;
        let Some(Outcome::Propagated(truth)) = record.outcome else { anyhow::bail!("{delay}: {record}") };
        let difference = (seconds(&delay["seconds"])? - truth.as_secs_f64()).abs();
        ensure!(difference < TOLERANCE, "{delay}, and it took {truth:?}");
    }
    let served = serving(log, "web", wanted, began);
    let told = &service["serving"];
    ensure!(told["wanted"] == wanted && told["at_begin"] == wanted, "{told} {served:?}");
    is_least(told, &served)?;
    // Each change adds its own error.
    let allowed = TOLERANCE.max(0.02 * delays.len() as f64);
    for (name, truth) in [("below_wanted_seconds", served.below), ("missing_endpoint_seconds", served.missing)] {
        let difference = (seconds(&told[name])? - truth.as_secs_f64()).abs();
        ensure!(difference < allowed, "{name}: {told} {served:?}");
    }
    Ok(served)
}

/// Pods and slices come by two streams: what happens at almost the same time may be seen in another order.
fn is_least(told: &Value, served: &Served) -> Result<()> {
    let allowed = served.least_seen(SKEW);
    let least = told["least"].as_u64().context("a number")? as usize;
    ensure!(allowed.contains(&least), "at least {allowed:?}: {told} {served:?}");
    Ok(())
}

fn lever<'a>(answer: &'a Value, name: &str) -> Result<&'a Value> {
    let mut levers = answer["services"][0]["levers"].as_array().context("levers")?.iter();
    levers.find(|lever| lever["lever"] == name).with_context(|| format!("no {name}: {answer}"))
}

fn parse(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.printed).with_context(|| format!("{ended:?}"))
}

const QUICK: Pace = Pace { start: Duration::from_millis(300), stop: Duration::from_millis(400) };

#[tokio::test]
async fn each_pod_of_a_deployment_has_its_times_and_they_are_true() -> Result<()> {
    let scene = Scene::start("rollout-surge", QUICK).await?;
    scene.deploy::<Deployment>(spec(3, rolling(0, 1)), 3).await?;
    let (ended, began) = scene.roll::<Deployment>(&["deploy/web", "-o", "json", "--objective=1m"], "main:2").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let answer = parse(&ended)?;
    ensure!(answer["result"] == "complete" && answer["missed"] == 0, "{answer}");
    let log = scene.truth().await?;
    agree(&answer, &log, 3, began)?;
    // Three old ones, which were ready before and are gone, and three new ones, which are listed.
    let (pods, endpoints) = (&answer["pods"], &answer["services"][0]["endpoints"]);
    let rows = pods.as_array().context("pods")?.iter().zip(endpoints.as_array().context("endpoints")?);
    let (mut old, mut new) = (0, 0);
    for (pod, endpoint) in rows {
        ensure!(pod["pod"] == endpoint["pod"], "{pods} {endpoints}");
        let time = |value: &Value| value["seconds"].as_f64();
        if pod["gone"].is_null() {
            new += 1;
            let (ready, listed) = (time(&pod["ready"]), time(&endpoint["listed"]));
            let is_listed = ready.zip(listed).is_some_and(|(ready, listed)| ready <= listed + TOLERANCE);
            ensure!(ready > Some(0.0) && is_listed && endpoint["unlisted"].is_null(), "{pod} {endpoint}");
        } else {
            old += 1;
            let [leaving, unlisted, gone] = [&pod["leaving"], &endpoint["unlisted"], &pod["gone"]].map(time);
            let is_unlisted = leaving.zip(unlisted).is_some_and(|(leaving, unlisted)| leaving <= unlisted + TOLERANCE);
            ensure!(leaving > Some(0.0) && leaving < gone && is_unlisted, "{pod} {endpoint}");
            ensure!(time(&pod["ready"]) < Some(0.0), "{pod} {endpoint}");
        }
    }
    ensure!((old, new) == (3, 3), "{pods}");
    // What a busy machine did not see as it happened has no delay. Three got ready, three were deleted.
    let service = &answer["services"][0];
    let measured = service["delays"].as_array().map_or(0, Vec::len) as u64;
    ensure!(measured + service["censored"].as_u64().context("a number")? >= 6, "{answer}");
    // It has no preStop hook, and connections went to pods that were going away, as far as it saw for how long.
    let pre_stop = lever(&answer, "pre-stop")?;
    let stays = |delay: &Value| delay["change"] == "terminating" && delay["seconds"].as_f64() > Some(0.0);
    let is_seen = service["delays"].as_array().is_some_and(|delays| delays.iter().any(stays));
    ensure!(pre_stop["would_have_helped"] == is_seen, "{pre_stop} {service}");
    ensure!(!is_seen || pre_stop["findings"][0]["check"] == "pre-stop-missing", "{pre_stop}");
    ensure!(lever(&answer, "rolling-update")?["would_have_helped"] == false, "{answer}");
    Ok(())
}

#[tokio::test]
async fn too_few_endpoints_are_counted_and_the_strategy_is_to_blame() -> Result<()> {
    let pace = Pace { start: Duration::from_millis(800), ..QUICK };
    let scene = Scene::start("rollout-below", pace).await?;
    scene.deploy::<Deployment>(spec(4, rolling(2, 0)), 4).await?;
    let flags = ["deployment/web", "-o", "json", "--objective=1m"];
    let (ended, began) = scene.roll::<Deployment>(&flags, "main:2").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let answer = parse(&ended)?;
    let served = agree(&answer, &scene.truth().await?, 4, began)?;
    ensure!(served.least <= 2 && served.missing > Duration::from_secs(3), "{served:?}");
    let lever = lever(&answer, "rolling-update")?;
    ensure!(lever["would_have_helped"] == true && lever["better"] == "maxUnavailable: 0 and maxSurge: 1", "{lever}");
    Ok(())
}

#[tokio::test]
async fn one_that_exceeds_its_deadline_has_failed() -> Result<()> {
    let scene = Scene::start("rollout-failed", QUICK).await?;
    let mut more = rolling(1, 0);
    more["progressDeadlineSeconds"] = 3.into();
    scene.deploy::<Deployment>(spec(2, more), 2).await?;
    let (ended, _) = scene.roll::<Deployment>(&["deploy/web", "--objective=1m"], BROKEN).await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    println!("{}", ended.printed);
    let text = ended.printed.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = [
        "Deployment rollout-failed/web: failed: it exceeded its progress deadline",
        "POD READY LISTED LEAVING UNLISTED GONE",
        "at least 1 of 2 wanted; fewer than wanted for",
        "rolling-update would have helped",
        "objective met: no change was late",
    ];
    ensure!(words.iter().all(|words| text.contains(words)), "{}", ended.printed);
    ensure!(!ended.printed.contains('\u{1b}'), "colours in a pipe: {:?}", ended.printed);
    // It is complete again with the image from before, and then nothing is under way.
    let again = scene.follow(&["deploy/web", "-o", "json", "--objective=1m"])?;
    again.wait_for_message("waiting for a rollout of Deployment rollout-failed/web in 1 Service to begin").await?;
    scene.edit::<Deployment>("registry.example.org/main:1").await?;
    let again = again.end().await?;
    ensure!(again.code == Some(0), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn one_that_is_under_way_is_followed_from_now_on_until_the_time_is_over() -> Result<()> {
    let slow = Pace { start: Duration::from_secs(2), ..QUICK };
    let scene = Scene::start("rollout-under-way", slow).await?;
    scene.deploy::<Deployment>(spec(2, rolling(0, 1)), 2).await?;
    // Scaling is none.
    let replicas = Patch::Merge(json!({ "spec": { "replicas": 3 } }));
    scene.api::<Deployment>().patch("web", &PatchParams::default(), &replicas).await?;
    let waited = scene.run(&["deploy/web", "--timeout=3s"]).await?;
    let words = "no rollout of Deployment rollout-under-way/web began within 3s";
    ensure!(waited.code == Some(2) && waited.messages.contains(words) && waited.printed.is_empty(), "{waited:?}");
    scene.edit::<Deployment>(BROKEN).await?;
    let started = Instant::now();
    loop {
        let late = scene.run(&["deploy/web", "--timeout=2s", "-o", "json"]).await?;
        // Its controller may not have begun.
        if late.messages.contains("is under way, and is followed from now on: ") {
            ensure!(late.code == Some(1), "{late:?}");
            let answer: Value = serde_json::from_str(&late.printed)?;
            ensure!(answer["result"] == "timed_out" && answer["reason"] != "", "{answer}");
            break;
        }
        ensure!(started.elapsed() < SOON, "{late:?}");
    }
    let following = scene.follow(&["deploy/web"])?;
    following.wait_for_message("under way").await?;
    following.signal(Signal::INT)?;
    let ended = following.end().await?;
    let words = "ended before it was complete";
    ensure!(ended.code == Some(2) && ended.printed.contains(words), "{ended:?}");
    Ok(())
}

/// A StatefulSet reuses its names, and never has more pods than replicas.
#[tokio::test]
async fn a_stateful_set_and_a_daemon_set_are_followed_too() -> Result<()> {
    let scene = Scene::start("rollout-sts", QUICK).await?;
    scene.deploy::<StatefulSet>(spec(2, json!({ "serviceName": "web" })), 2).await?;
    let (ended, began) = scene.roll::<StatefulSet>(&["sts/web", "-o", "json", "--objective=1m"], "main:2").await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let answer = parse(&ended)?;
    let served = serving(&scene.truth().await?, "web", 2, began);
    let told = &answer["services"][0]["serving"];
    ensure!(served.least < 2, "{served:?}");
    is_least(told, &served)?;
    let difference = (seconds(&told["missing_endpoint_seconds"])? - served.missing.as_secs_f64()).abs();
    ensure!(difference < TOLERANCE, "{told} {served:?}");
    let names: Vec<_> = answer["pods"].as_array().context("pods")?.iter().map(|pod| pod["pod"].clone()).collect();
    ensure!(names == ["web-0", "web-1", "web-1", "web-0"], "{names:?}");
    ensure!(lever(&answer, "rolling-update")?["would_have_helped"] == false, "{answer}");
    // The controller stops the next pod as soon as this one is ready, often before the slices list it.
    let is_hurried = told["hurried"].as_u64() > Some(0);
    ensure!(lever(&answer, "min-ready-seconds")?["would_have_helped"] == is_hurried, "{answer}");

    let scene = Scene::start("rollout-ds", QUICK).await?;
    let mut of_nodes = spec(0, json!({}));
    // The test's node is not Ready, and so it is tainted.
    of_nodes["template"]["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    scene.deploy::<DaemonSet>(of_nodes, 1).await?;
    let (ended, _) = scene.roll::<DaemonSet>(&["ds", "web", "-o", "json", "--objective=1m"], "main:2").await?;
    let answer = parse(&ended)?;
    ensure!(ended.code == Some(0) && answer["services"][0]["serving"]["least"] == 0, "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_followed_is_exit_code_2() -> Result<()> {
    let scene = Scene::start("rollout-none", QUICK).await?;
    let missing = scene.run(&["deploy/checkout"]).await?;
    let words = "there is no Deployment rollout-none/checkout";
    ensure!(missing.code == Some(2) && missing.messages.contains(words), "{missing:?}");

    scene.deploy::<Deployment>(spec(1, json!({})), 1).await?;
    scene.objects.edit_service("web", json!({ "selector": { "app": "other" } })).await?;
    let unlisted = scene.run(&["deploy/web"]).await?;
    let words = "no Service selects the pods of Deployment rollout-none/web";
    ensure!(unlisted.code == Some(2) && unlisted.messages.contains(words), "{unlisted:?}");

    let plane = plane().await?;
    create_account(scene.objects.client(), "rollout-none").await?;
    grant_role_to(scene.objects.client(), "rollout-none", "rollout-none").await?;
    let (server, authority) = (plane.server(), plane.authority());
    let client = scene.objects.client();
    let config = account_kubeconfig(client, "rollout-none", &server, &authority, &scene.workspace).await?;
    let denied = run(&config, &["rollout", "deploy/web", "-n", "rollout-none"]).await?;
    let words = "needs permission to get deployments.apps in namespace rollout-none";
    ensure!(denied.code == Some(2) && denied.messages.contains(words), "{denied:?}");

    let flags = run(&config, &["rollout", "pod/web", "--timeout=soon", "-n", "a", "-n", "b"]).await?;
    let words = ["\"pod\" is none of deployment", "--timeout:", "--namespace: a workload is in one namespace"];
    ensure!(flags.code == Some(2) && words.iter().all(|words| flags.messages.contains(words)), "{flags:?}");
    Ok(())
}
