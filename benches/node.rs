//! The agent's cost on a node, compared with that of the real kube-proxy whose work it watches: processor time for each sync, and memory.
//!
//! Everything but the daemon is real: etcd, API server, kube-proxy and kernel (a network namespace), so this needs root. The Services have no
//! selector, and their EndpointSlices are written by the bench, because kube-proxy does the same with them, and 150,000 pods are not needed.
//!
//! `cargo bench --bench node -- nftables 300x15` runs it in one mode with this number of Services and of endpoints of each.

mod collector;

use anyhow::{Context, Result, bail, ensure};
use endpointlag::{collector::Agents, dataplane::Planes};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::{Duration, Instant},
};
use testkit::{
    bench::memory,
    controlplane::{
        objects::Objects,
        plane::{ControlPlane, Options},
    },
    node::{Mode, Node, Relay},
    process::{Output, Process},
    workspace::Workspace,
};
use tokio::time::sleep;

/// Services and endpoints of each, and the modes in which they are measured. With 150,000 endpoints in mode iptables kube-proxy's iptables-restore
/// did not end its first write within 15 minutes on a busy machine.
const SIZES: [(usize, usize, &[Mode]); 3] =
    [(300, 15, &[Mode::Nftables, Mode::Iptables]), (10_000, 15, &[Mode::Nftables]), (10_000, 1, &[Mode::Iptables])];

/// More endpoints than a Service has.
const MOST: usize = 100;

/// Syncs that are measured.
const SYNCS: usize = 20;

/// Minimum length of a turn with a change, and of the turn without one before it. kube-proxy waits for a second after each sync, and the agent
/// for up to a second before it tells the daemon.
const TURN: Duration = Duration::from_millis(1500);

/// Maximum time of one sync. The first one writes everything.
const SYNC: Duration = Duration::from_secs(900);

/// Writes to the API server at the same time.
const WRITERS: usize = 16;

const NAMESPACE: &str = "bench";

/// Processor time of a process and of programs that it ran, which have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    own: Duration,
    children: Duration,
}

/// What turns took.
#[derive(Clone, Debug, Default)]
struct Turns {
    proxy: Spent,
    agent: Threads,
    length: Duration,
}

/// What each thread of a process spent, by name.
type Threads = BTreeMap<String, Duration>;

/// What syncs cost, without what the same processes spend in turns without a change.
#[derive(Debug)]
struct Cost {
    syncs: usize,
    proxy: Spent,
    agent: Threads,
    /// What the agent spends in a second without changes.
    idle: Duration,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let (mut modes, mut only) = (Vec::new(), None);
    for word in &words {
        match (&**word, word.split_once('x')) {
            ("nftables", _) => modes.push(Mode::Nftables),
            ("iptables", _) => modes.push(Mode::Iptables),
            (_, Some((services, endpoints))) => only = Some((services.parse()?, endpoints.parse()?)),
            _ => bail!("{word} is neither nftables nor iptables, nor a size like 300x15"),
        }
    }
    let sizes = match only {
        Some((services, endpoints)) => vec![(services, endpoints, SIZES[0].2)],
        None => SIZES.to_vec(),
    };
    println!(
        "| mode | Services, endpoints of each | CPU of kube-proxy for a sync, and of programs that it runs | without an agent | CPU of the agent for a sync | \
         ratio, and to kube-proxy alone | agent without changes | agent's memory, peak |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (services, endpoints, all) in sizes {
        let all: Vec<_> = all.iter().filter(|mode| modes.is_empty() || modes.contains(*mode)).collect();
        if all.is_empty() {
            continue;
        }
        let cluster = Cluster::with(services, endpoints).await?;
        for mode in all {
            measure(&cluster, *mode).await?;
        }
    }
    Ok(())
}

async fn measure(cluster: &Cluster, mode: Mode) -> Result<()> {
    let Cluster { services, endpoints, .. } = cluster;
    let say = |what: &str| eprintln!("  {}, {services} Services: {what}", mode.name());
    let mut node = Node::create(&cluster.plane).await?;
    let started = Instant::now();
    node.start_proxy_with(mode, &[], SYNC).await?;
    say(&format!("kube-proxy has written everything after {:.1?}", started.elapsed()));
    let without = cluster.change(&node, None).await?;
    say(&format!("without an agent {without:?}"));

    let folder = Workspace::create("agent")?;
    let (address, agents) = collector::listen(folder.path()).await?;
    let SocketAddr::V4(address) = address else { bail!("{address} is not an IPv4 address") };
    let started = Instant::now();
    let agent = start_agent(&node, &folder, address, &agents).await?;
    say(&format!("the agent has read all rules after {:.1?}", started.elapsed()));
    sleep(TURN * 2).await;
    let first = memory(agent.id())?;
    say(&format!("memory {:.1} MB, peak {:.1} MB", megabytes(first.0), megabytes(first.1)));

    let received = agents.summary().counts.received;
    let with = cluster.change(&node, Some(agent.id())).await?;
    say(&format!("with an agent {with:?}"));
    sleep(TURN * 2).await;
    let told = agents.summary().counts.received - received;
    ensure!(told >= SYNCS as u64, "the daemon was told {told} of {SYNCS} changes:\n{}", agent.log_tail(20));
    let (now, peak) = memory(agent.id())?;
    let each = |spent: Duration, cost: &Cost| spent.as_secs_f64() * 1e3 / cost.syncs as f64;
    let (own, children) = (each(with.proxy.own, &with), each(with.proxy.children, &with));
    let spent = each(with.agent.values().sum(), &with);
    println!(
        "| {} | {services}, {endpoints} | {own:.1} + {children:.1} ms | {:.1} + {:.1} ms | {spent:.2} ms | 1/{:.0}, 1/{:.0} | {:.1} millicores | \
         {:.1} MB, {:.1} MB |",
        mode.name(),
        each(without.proxy.own, &without),
        each(without.proxy.children, &without),
        (own + children) / spent,
        own / spent,
        with.idle.as_secs_f64() * 1e3,
        megabytes(now),
        megabytes(peak),
    );
    Ok(())
}

/// Starts an agent, and waits until the daemon knows what the node does.
async fn start_agent(node: &Node, folder: &Workspace, daemon: SocketAddrV4, agents: &Agents) -> Result<Process> {
    let (ca, token) = (folder.file(collector::CA_FILE), folder.write("token", "node-0")?);
    Relay::start(&node.namespace, daemon)?;
    let mut command = node.command();
    command.args([
        format!("--daemon=localhost:{}", daemon.port()),
        format!("--daemon-ca-file={}", ca.display()),
        format!("--token-file={}", token.display()),
        "--node-name=node-0".to_owned(),
    ]);
    let mut agent = Process::start("the agent", command, Output::Log, &folder.file("agent.log"))?;
    let started = Instant::now();
    while !agents.list().iter().any(|agent| agent.planes.as_ref().is_some_and(Planes::is_seen)) {
        ensure!(agent.ended()?.is_none() && started.elapsed() < SYNC, "not followed:\n{}", agent.log_tail(20));
        sleep(Duration::from_millis(100)).await;
    }
    Ok(agent)
}

/// A cluster with Services that have the same number of endpoints each.
struct Cluster {
    plane: ControlPlane,
    slices: Api<EndpointSlice>,
    services: usize,
    endpoints: usize,
}

impl Cluster {
    async fn with(services: usize, endpoints: usize) -> Result<Self> {
        let mut plane = ControlPlane::start(Options { unaudited: true, ..Options::default() }).await?;
        plane.stop_controllers().await?;
        let client = plane.admin().await?;
        Objects::create(client.clone(), NAMESPACE).await?;
        let started = Instant::now();
        create::<Service>(&client, (0..services).map(service)).await?;
        create::<EndpointSlice>(&client, (0..services).map(|number| slice(number, endpoints))).await?;
        eprintln!("{services} Services with {endpoints} endpoints each, after {:.1?}", started.elapsed());
        let slices = Api::namespaced(client, NAMESPACE);
        Ok(Self { plane, slices, services, endpoints })
    }

    /// Changes one endpoint of one Service after the other, and returns what the syncs cost.
    async fn change(&self, node: &Node, agent: Option<u32>) -> Result<Cost> {
        let proxy = node.proxy_process().context("kube-proxy runs")?;
        // The work of earlier changes is done.
        sleep(TURN * 2).await;
        let syncs = node.syncs()?;
        // Of turns without a change, and with one.
        let mut turns = [Turns::default(), Turns::default()];
        for number in 0..SYNCS {
            for has_change in [false, true] {
                let (begun, before) = (Instant::now(), node.syncs()?);
                let (proxy_before, agent_before) = (spent(proxy)?, threads(agent)?);
                if has_change {
                    // Each second call finds a Service as the first call left it.
                    let count = if agent.is_some() { self.endpoints } else { self.endpoints - 1 };
                    self.list(number * self.services / SYNCS, count).await?;
                    while node.syncs()? == before {
                        ensure!(begun.elapsed() < SYNC, "kube-proxy does not sync:\n{}", node.log());
                        sleep(Duration::from_millis(20)).await;
                    }
                }
                // In it the agent tells the daemon.
                sleep(TURN).await;
                let turns = &mut turns[usize::from(has_change)];
                turns.proxy = turns.proxy.plus(spent(proxy)?.minus(proxy_before));
                for (name, now) in threads(agent)? {
                    let before = agent_before.get(&name).copied().unwrap_or_default();
                    *turns.agent.entry(name).or_default() += now.saturating_sub(before);
                }
                turns.length += begun.elapsed();
            }
        }
        let [without, with] = turns;
        let share = with.length.as_secs_f64() / without.length.as_secs_f64();
        Ok(Cost {
            syncs: node.syncs()? - syncs,
            proxy: with.proxy.minus(without.proxy.times(share)),
            agent: with
                .agent
                .into_iter()
                .map(|(name, all)| {
                    let idle = without.agent.get(&name).copied().unwrap_or_default();
                    (name, all.saturating_sub(idle.mul_f64(share)))
                })
                .collect(),
            idle: without.agent.values().sum::<Duration>().div_f64(without.length.as_secs_f64()),
        })
    }

    /// The slice of a Service has this number of endpoints from now on.
    async fn list(&self, number: usize, count: usize) -> Result<()> {
        let patch = Patch::Merge(json!({ "endpoints": endpoints(number, count) }));
        self.slices.patch(&name(number), &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

async fn create<K>(client: &Client, objects: impl Iterator<Item = Value>) -> Result<()>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + serde::de::DeserializeOwned
        + serde::Serialize
        + Clone
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    let objects = objects.map(|object| Ok::<_, anyhow::Error>((api.clone(), serde_json::from_value::<K>(object)?)));
    stream::iter(objects)
        .map(|object| async {
            let (api, object) = object?;
            api.create(&PostParams::default(), &object).await?;
            Ok(())
        })
        .buffer_unordered(WRITERS)
        .try_collect()
        .await
}

fn name(number: usize) -> String {
    format!("service-{number}")
}

fn service(number: usize) -> Value {
    let spec = json!({ "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] });
    json!({ "metadata": { "name": name(number) }, "spec": spec })
}

fn slice(number: usize, count: usize) -> Value {
    let labels = json!({ "kubernetes.io/service-name": name(number) });
    json!({
        "metadata": { "name": name(number), "labels": labels },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }],
        "endpoints": endpoints(number, count),
    })
}

/// Endpoints with addresses that no other Service has.
fn endpoints(number: usize, count: usize) -> Value {
    let first = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + (number * MOST) as u32;
    let endpoints = (0..count).map(|index| {
        let address = Ipv4Addr::from_bits(first + index as u32).to_string();
        json!({ "addresses": [address], "conditions": { "ready": true }, "nodeName": "elsewhere" })
    });
    endpoints.collect()
}

impl Spent {
    fn plus(self, other: Self) -> Self {
        Self { own: self.own + other.own, children: self.children + other.children }
    }

    fn minus(self, other: Self) -> Self {
        let minus = |one: Duration, other| one.saturating_sub(other);
        Self { own: minus(self.own, other.own), children: minus(self.children, other.children) }
    }

    fn times(self, share: f64) -> Self {
        Self { own: self.own.mul_f64(share), children: self.children.mul_f64(share) }
    }
}

/// What a process and its ended children spent, in steps of 10 ms.
fn spent(process: u32) -> Result<Spent> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program is in parentheses. The times are fields 14 to 17.
    let fields: Vec<&str> = stat.rsplit_once(") ").context("no fields")?.1.split(' ').collect();
    let time = |at: usize| -> Result<Duration> {
        let ticks = fields[at].parse::<u64>()? + fields[at + 1].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    };
    Ok(Spent { own: time(11)?, children: time(13)? })
}

/// What the threads of a process spent, in nanoseconds. None without a process.
fn threads(process: Option<u32>) -> Result<Threads> {
    let mut all = Threads::new();
    let Some(process) = process else { return Ok(all) };
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.path();
        let (name, spent) = (fs::read_to_string(thread.join("comm"))?, fs::read_to_string(thread.join("schedstat"))?);
        let spent = Duration::from_nanos(spent.split(' ').next().context("a number")?.parse()?);
        *all.entry(name.trim().to_owned()).or_default() += spent;
    }
    Ok(all)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
