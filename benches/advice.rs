//! The cost of one evaluation of advice, by the size of the cluster: requests, CPU time, memory.
//!
//! The API server is a function in the same process that makes each page. Its CPU time is measured by itself, and taken off. Pods have
//! about 16 KB as JSON; fifteen belong to each Service, with a Deployment and a PodDisruptionBudget. Half of the Services are in one
//! namespace. Each size runs in a process of its own, because an allocator keeps its memory.

use endpointlag::{
    adviser::{Found, Measurement, judge},
    cluster::{
        ScopeSettings,
        inventory::{Inventory, Pace},
    },
};
use http::{Request, Response};
use kube::client::Body;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    env, fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Tells the process to measure one size: the number of pods.
const ONE: &str = "--one";

const PODS_OF_SERVICE: usize = 15;

/// Nodes, whatever the number of pods.
const NODES: usize = 5_000;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(place) = arguments.iter().position(|it| it == ONE) {
        let pods = arguments[place + 1].parse().expect("a number of pods");
        println!("{}", measure(pods));
        return;
    }
    println!(
        "| pods | Services | requests | read | time | CPU time | of it to judge | peak memory | of it before | findings |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let chosen: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    for pods in if chosen.is_empty() { vec![1_500, 15_000, 150_000] } else { chosen } {
        let program = env::current_exe().expect("this program");
        let output = Command::new(program).args([ONE, &pods.to_string()]).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// What the API server did.
#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    nanos: AtomicU64,
}

/// One evaluation, as a line.
fn measure(pods: usize) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let counts = Arc::<Counts>::default();
    let before = peak();
    let (cpu, began) = (cpu_time(), Instant::now());
    let inventory = runtime.block_on(async {
        let counts = counts.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = answer(&request, pods, &counts);
            async move { Ok::<_, Infallible>(Response::new(Body::from(answer))) }
        });
        let client = kube::Client::new(service, "default");
        Inventory::read(client, &ScopeSettings::whole_cluster(), Pace::GENTLE).await.expect("it can be read")
    });
    let (took, read) = (began.elapsed(), cpu_time() - Duration::from_nanos(counts.nanos.load(Relaxed)));
    let services = inventory.services.len();
    let judging = cpu_time();
    let measurement = Measurement { window: Some(Duration::from_secs(3_600)), ..Measurement::default() };
    let found = Found::new(judge(inventory, &measurement, None), &[]);
    let judged = cpu_time() - judging;
    let total: usize = found.by_severity.iter().sum();
    format!(
        "| {pods} | {services} | {} | {} MB | {:.1} s | {:.1} s | {:.2} s | {} MB | {before} MB | {total}, {} kept |",
        counts.requests.load(Relaxed),
        counts.bytes.load(Relaxed) >> 20,
        took.as_secs_f64(),
        (read - cpu + judged).as_secs_f64(),
        judged.as_secs_f64(),
        peak(),
        found.advice.findings.len(),
    )
}

/// One page, as the API server would send it.
fn answer(request: &Request<Body>, pods: usize, counts: &Counts) -> Vec<u8> {
    let began = cpu_time();
    let services = pods / PODS_OF_SERVICE;
    let answer = match request.uri().path() {
        "/version" => json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "", "gitTreeState": "", "buildDate": "",
            "goVersion": "", "compiler": "", "platform": "",
        })
        .to_string(),
        "/apis" => json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [] }).to_string(),
        "/api/v1/services" => page(request, services, service),
        "/api/v1/pods" => page(request, pods, pod),
        "/api/v1/nodes" => page(request, NODES, node),
        "/apis/apps/v1/deployments" => page(request, services, deployment),
        "/apis/apps/v1/replicasets" => page(request, services * 5, replica_set),
        "/apis/policy/v1/poddisruptionbudgets" => page(request, services, budget),
        _ => page(request, 0, service),
    };
    counts.requests.fetch_add(1, Relaxed);
    counts.bytes.fetch_add(answer.len() as u64, Relaxed);
    counts.nanos.fetch_add(u64::try_from((cpu_time() - began).as_nanos()).unwrap_or(0), Relaxed);
    answer.into_bytes()
}

fn page(request: &Request<Body>, number: usize, object: impl Fn(usize) -> Value) -> String {
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let (from, limit) = (parameter("continue").unwrap_or(0), parameter("limit").unwrap_or(usize::MAX));
    let to = number.min(from.saturating_add(limit));
    let next = if to < number { to.to_string() } else { String::new() };
    let items: Vec<_> = (from..to).map(object).collect();
    json!({ "kind": "List", "apiVersion": "v1", "metadata": { "continue": next }, "items": items }).to_string()
}

/// The namespace of a Service. Half of them are in one.
fn namespace(service: usize) -> String {
    if service.is_multiple_of(2) { "monolith".to_owned() } else { format!("team-{}", service % 100) }
}

fn labels(service: usize) -> Value {
    json!({ "app.kubernetes.io/name": format!("service-{service}"), "app.kubernetes.io/part-of": "shop" })
}

fn meta(service: usize, name: String) -> Value {
    json!({
        "namespace": namespace(service),
        "name": name,
        "uid": format!("00000000-0000-0000-0000-{service:012}"),
        "labels": labels(service),
        "managedFields": [{ "manager": "controller", "operation": "Update", "fieldsV1": { "f:metadata": { "f:labels": {} } } }],
    })
}

fn service(number: usize) -> Value {
    json!({
        "metadata": meta(number, format!("service-{number}")),
        "spec": { "selector": labels(number), "clusterIP": "10.0.0.1", "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
}

fn container() -> Value {
    json!({
        "name": "main",
        "image": "registry.example.org/main:1",
        "ports": [{ "containerPort": 8080 }],
        "env": (0..60).map(|at| json!({ "name": format!("VARIABLE_{at}"), "value": "x".repeat(200) })).collect::<Vec<_>>(),
    })
}

fn deployment(number: usize) -> Value {
    json!({
        "metadata": meta(number, format!("service-{number}")),
        "spec": {
            "replicas": PODS_OF_SERVICE,
            "selector": { "matchLabels": labels(number) },
            "template": { "metadata": { "labels": labels(number) }, "spec": { "containers": [container()] } },
        },
    })
}

/// Five for each Deployment, of which one has pods.
fn replica_set(number: usize) -> Value {
    let service = number / 5;
    let mut meta = meta(service, format!("service-{service}-{}", number % 5));
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": format!("service-{service}"), "uid": "u", "controller": true,
    });
    meta["ownerReferences"] = json!([owner]);
    json!({ "metadata": meta })
}

fn budget(number: usize) -> Value {
    json!({
        "metadata": meta(number, format!("service-{number}")),
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels(number) } },
    })
}

fn node(number: usize) -> Value {
    json!({ "metadata": {
        "name": format!("node-{number}"),
        "labels": { "topology.kubernetes.io/zone": format!("zone-{}", number % 3) },
    } })
}

fn pod(number: usize) -> Value {
    let service = number / PODS_OF_SERVICE;
    let mut meta = meta(service, format!("service-{service}-0-{number:05}"));
    meta["labels"]["pod-template-hash"] = json!("0");
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("service-{service}-0"), "uid": "u", "controller": true,
    });
    meta["ownerReferences"] = json!([owner]);
    json!({
        "metadata": meta,
        "spec": { "nodeName": format!("node-{}", number % NODES), "containers": [container()] },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:07Z" }],
            "containerStatuses": [
                { "name": "main", "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:03Z" } } },
            ],
        },
    })
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Largest resident memory of this process so far, in megabytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number") / 1_024
}
