//! The daemon's cost, compared with others that read the same watches of the same API server: an informer as most people would write
//! it, a program that discards what it reads as the lower bound, and curl, which does the same over HTTP/2, as the first two, and HTTP/1.1.
//!
//! All run at the same time with a real control plane, so that they see the same changes. `cargo bench --bench peers -- 2000`
//! does this with 2,000 pods instead of 20,000.

mod floor {
    //! Reads the three watches over a connection like the daemon's and discards everything.

    use endpointlag::{
        cluster::{
            client::{ApiClient, Link, Scope, WatchProtocol},
            clock::Clock,
            heartbeat::Heartbeat,
            kubeconfig::Choice,
        },
        model::Resource,
    };
    use http_body_util::BodyExt;
    use std::{sync::Arc, time::Duration};

    /// Runs until it is killed.
    pub fn run() -> anyhow::Result<()> {
        // Like the daemon: one thread for all sockets.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let client = runtime.spawn(async { ApiClient::new(Choice::default().find().await?.config) }).await??;
            let heartbeat = Arc::new(Heartbeat::new(Clock::start()));
            let beating = heartbeat.clone();
            runtime.spawn(async move { beating.run().await });
            let link = Arc::new(Link::new(client, WatchProtocol::Auto, 1, heartbeat, Arc::default()));
            let drains = Resource::ALL.map(|resource| {
                let link = link.clone();
                runtime.spawn(async move {
                    let scope = Scope { resource, namespace: None, field_selector: None };
                    let mut body = link.connection().await?.watch(&scope, None, Duration::from_secs(3600)).await?;
                    while let Some(frame) = body.frame().await {
                        frame?;
                    }
                    anyhow::Ok(())
                })
            });
            for drain in drains {
                drain.await??;
            }
            Ok(())
        })
    }
}

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use testkit::{
    bench::{get, memory, processor_time},
    controlplane::{
        access::{self, ACCOUNT},
        objects::{Objects, PodHandle},
        plane::{ControlPlane, Options},
    },
    executable,
    gobuild::{Module, Program},
    workspace::Workspace,
};

/// Number of pods, unless another is given.
const PODS: usize = 20_000;
const PODS_PER_SERVICE: usize = 100;
const NAMESPACES: usize = 10;

/// Writes of this bench at the same time.
const WRITERS: usize = 16;

/// Changes of readiness in a phase, and how many of them a second.
const FLIPS: usize = 6_000;
const RATE: usize = 400;

/// How long the controller may take for the rest of a phase.
const SETTLE: Duration = Duration::from_secs(10);

/// One of the programs that are compared.
struct Peer {
    name: &'static str,
    process: Child,
    synced: Duration,
    sync_processor: Duration,
    /// Thousandths of a CPU while nothing changes.
    idle: f64,
    memory: u64,
}

struct Namespace {
    objects: Objects,
    pods: Vec<PodHandle>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "floor") {
        return floor::run();
    }
    let pods = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(PODS);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(compare(pods))
}

async fn compare(pods: usize) -> Result<()> {
    let informers = tokio::task::spawn_blocking(informers).await??;
    let plane = ControlPlane::start(Options { unaudited: true, ..Options::default() }).await?;
    eprintln!("creating {pods} pods");
    let namespaces = fill(&plane, pods).await?;
    let api_server = plane.api_server_process().context("the API server runs")?;

    let alone = flip(&namespaces, false, || processor_time(api_server)).await?;
    let workspace = Workspace::create("peers")?;
    let client = plane.admin().await?;
    let config = access::account_kubeconfig(&client, ACCOUNT, &plane.server(), &plane.authority(), &workspace).await?;
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut endpointlag = Command::new(executable());
    endpointlag.env("KUBECONFIG", &config).args(["run", "--log-level=warn", "--listen", &listen]);
    let mut peers = vec![Peer::start("endpointlag", endpointlag, Some(&listen)).await?];
    let with = flip(&namespaces, true, || processor_time(api_server)).await?;
    let mut floor = Command::new(env::current_exe()?);
    floor.env("KUBECONFIG", &config).arg("floor");
    peers.push(Peer::start("floor", floor, None).await?);
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let mut command = Command::new(informers);
    command.args(["--kubeconfig".as_ref(), config.as_os_str()]).args(["--listen", &listen]);
    peers.push(Peer::start("informers", command, Some(&listen)).await?);
    for (name, protocol) in [("curl, HTTP/2", "--http2"), ("curl, HTTP/1.1", "--http1.1")] {
        peers.push(Peer::start(name, curl(protocol, &plane, &workspace.file("token"))?, None).await?);
    }

    let before = peers.iter().map(Peer::processor_time).collect::<Result<Vec<_>>>()?;
    let took = flip(&namespaces, false, || Ok(Duration::ZERO)).await?.took;
    println!("{pods} pods, {FLIPS} changes of readiness in {:.0} s", took.as_secs_f64());
    println!();
    let of_changes = "us a change | beyond the rest";
    println!(
        "| | s to synced | processor s | millicores at rest | MB resident, synced | after the changes | {of_changes} |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (peer, before) in peers.iter().zip(before) {
        // What it takes while it waits for the end is none of the changes'.
        let at_rest = |time: Duration| peer.idle * time.as_secs_f64() * 1e3 / FLIPS as f64;
        let each = (peer.processor_time()? - before).as_secs_f64() * 1e6 / FLIPS as f64 - at_rest(SETTLE);
        let beyond = each - at_rest(took);
        let after = memory(peer.process.id())?.0;
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {each:.0} | {beyond:.0} |",
            peer.name,
            peer.synced.as_secs_f64(),
            peer.sync_processor.as_secs_f64(),
            peer.idle,
            peer.memory as f64 / 1e6,
            after as f64 / 1e6
        );
    }
    let each = |phase: Phase| phase.cost.as_secs_f64() * 1e6 / FLIPS as f64;
    println!();
    println!("kube-apiserver: {:.0} us a change without a watcher, {:.0} us with endpointlag", each(alone), each(with));
    Ok(())
}

/// A phase of changes.
struct Phase {
    took: Duration,
    cost: Duration,
}

/// Makes pods unready or ready at a steady rate, each once, and waits for the slices.
async fn flip(namespaces: &[Namespace], ready: bool, cost: impl Fn() -> Result<Duration>) -> Result<Phase> {
    let all: Vec<_> = namespaces.iter().flat_map(|it| it.pods.iter().map(|pod| (&it.objects, pod))).collect();
    let (started, before) = (Instant::now(), cost()?);
    let chosen = (0..FLIPS).map(|number| all[number % all.len()]);
    stream::iter(chosen.enumerate())
        .map(|(number, (objects, pod))| async move {
            let due = started + Duration::from_secs_f64(number as f64 / RATE as f64);
            tokio::time::sleep_until(due.into()).await;
            objects.report(pod, ready ^ !(number / all_pods(namespaces)).is_multiple_of(2)).await
        })
        .buffer_unordered(WRITERS)
        .try_collect::<Vec<()>>()
        .await?;
    let took = started.elapsed();
    tokio::time::sleep(SETTLE).await;
    Ok(Phase { took, cost: cost()? - before })
}

fn all_pods(namespaces: &[Namespace]) -> usize {
    namespaces.iter().map(|it| it.pods.len()).sum()
}

/// Services with Ready pods of the size of those in a real cluster: 15.8 KB as JSON.
async fn fill(plane: &ControlPlane, pods: usize) -> Result<Vec<Namespace>> {
    let mut namespaces = Vec::new();
    for number in 0..NAMESPACES {
        let objects = Objects::create(plane.admin().await?, &format!("team-{number}")).await?;
        namespaces.push(Namespace { objects, pods: Vec::new() });
    }
    for service in 0..pods.div_ceil(PODS_PER_SERVICE) {
        let spec = json!({"selector": {"app": format!("service-{service}")}, "ports": [{"port": 80}]});
        namespaces[service % NAMESPACES].objects.create_service(&format!("service-{service}"), spec).await?;
    }
    for (at, namespace) in namespaces.iter_mut().enumerate() {
        let objects = &namespace.objects;
        let own = (0..pods).filter(|pod| pod / PODS_PER_SERVICE % NAMESPACES == at);
        namespace.pods = stream::iter(own)
            .map(|pod| async move {
                let service = format!("service-{}", pod / PODS_PER_SERVICE);
                let pod = objects.create_large_pod(&format!("{service}-{pod:05}"), &service).await?;
                objects.report(&pod, true).await?;
                anyhow::Ok(pod)
            })
            .buffered(WRITERS)
            .try_collect()
            .await?;
    }
    tokio::time::sleep(SETTLE).await;
    Ok(namespaces)
}

/// Builds the Go program, at the first run.
fn informers() -> Result<std::path::PathBuf> {
    let module = Module {
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/informers"),
        topic: "informers",
        key: "bench".to_owned(),
        flags: vec!["-ldflags=-s -w".to_owned()],
    };
    let program = Program { name: "informers", package: "." };
    Ok(module.build(&[program])?.join(program.name))
}

/// Reads and discards the three watches: over HTTP/2 with one connection, over HTTP/1.1 with three.
fn curl(protocol: &str, plane: &ControlPlane, token: &Path) -> Result<Command> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--no-progress-meter", "--parallel", protocol, "--cacert"]).arg(plane.authority());
    command.arg("--header").arg(format!("Authorization: Bearer {}", fs::read_to_string(token)?));
    command.args(["--header", "Accept: application/vnd.kubernetes.protobuf;stream=watch"]);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for resource in ["api/v1/pods", "api/v1/services", "apis/discovery.k8s.io/v1/endpointslices"] {
        command.args(["--output", "/dev/null", &format!("{}/{resource}?{query}", plane.server())]);
    }
    Ok(command)
}

// === impl Peer ===

impl Peer {
    /// Starts it and waits until it has all objects. It reports this at `listen`, if it listens.
    async fn start(name: &'static str, mut command: Command, listen: Option<&str>) -> Result<Self> {
        let started = Instant::now();
        let process = command.stdin(Stdio::null()).spawn().with_context(|| format!("starting {name}"))?;
        let (synced, sync_processor) = (Duration::ZERO, Duration::ZERO);
        let mut peer = Self { name, process, synced, sync_processor, idle: 0.0, memory: 0 };
        if let Some(listen) = listen {
            while !get(listen, "/readyz").is_ok_and(|page| page.starts_with(b"HTTP/1.1 200")) {
                ensure!(started.elapsed() < Duration::from_secs(120), "{name} is not ready");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            peer.synced = started.elapsed();
        } else {
            peer.wait_until_quiet().await?;
        }
        peer.sync_processor = peer.processor_time()?;
        tokio::time::sleep(SETTLE).await;
        let idle = peer.processor_time()? - peer.sync_processor;
        peer.idle = idle.as_secs_f64() / SETTLE.as_secs_f64() * 1e3;
        peer.memory = memory(peer.process.id())?.0;
        Ok(peer)
    }

    /// A program that only discards cannot know where the list ends: it is ready when it has nothing more to do.
    async fn wait_until_quiet(&mut self) -> Result<()> {
        let started = Instant::now();
        let mut last = Duration::MAX;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.processor_time()?;
            if now == last {
                return Ok(());
            }
            (last, self.synced) = (now, started.elapsed());
        }
    }

    fn processor_time(&self) -> Result<Duration> {
        processor_time(self.process.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
