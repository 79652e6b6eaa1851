//! Several nodes, each with a real kube-proxy and an agent, and one daemon that they report to.

use super::node::{Mode, Node, Relay};
use super::probe::{Probe, Prober, now};
use super::shared_plane;
use super::story::{Kind, Step, create_service, window};
use anyhow::{Context, Result, ensure};
use endpointlag::dataplane::AUDIENCE;
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;
use testkit::client::Client;
use testkit::controlplane::access::{self, ACCOUNT};
use testkit::controlplane::objects::{self, Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::metrics::Metrics;
use testkit::daemon::samples::Spread;
use testkit::daemon::{Daemon, address_of};
use testkit::pair::{Files, Pair};
use testkit::process::{Output, Process};
use testkit::truth::Change;
use testkit::workspace::Workspace;
use tokio::time::{Instant, sleep};

/// Maximum time until something is seen, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Time between two checks.
const POLL: Duration = Duration::from_millis(50);

/// Time in which the clients surely see a change.
const SETTLE: Duration = Duration::from_millis(250);

/// The nodes, their Service, and the daemon.
pub struct Fleet {
    pub followers: Vec<Follower>,
    pub objects: Objects,
    pub target: SocketAddrV4,
    plane: &'static ControlPlane,
    name: String,
    account: String,
    daemon: Daemon,
    client: Client,
    agents: SocketAddrV4,
    files: Files,
    pair: Pair,
    kubeconfig: PathBuf,
    flags: Vec<String>,
    workspace: Workspace,
    /// Those of daemons that were started later.
    later: Vec<Workspace>,
    steps: Vec<Asked>,
    present: BTreeSet<SocketAddr>,
    /// Lines of the daemon that belong to earlier changes.
    seen: usize,
}

/// A node with its agent and a client.
pub struct Follower {
    pub name: String,
    pub relay: Relay,
    pub node: Node,
    agent: Option<Process>,
    token: PathBuf,
    prober: Prober,
}

/// A change that was asked for: what it is, when it was asked for on the agents' clock, and what the daemon said.
struct Asked {
    step: Step,
    at: u64,
    said: Spread,
}

/// How far a share of the nodes is outside of what their clients saw.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub kind: Kind,
    /// In nanoseconds, without the error that the daemon stated.
    pub off: u64,
    /// The stated error in nanoseconds.
    pub error: u64,
}

impl Fleet {
    /// Starts a daemon, and a node for each mode.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn begin(name: &str, modes: &[Mode], flags: &[&str]) -> Result<Self> {
        let plane = shared_plane().await?;
        let admin = plane.admin().await?;
        let objects = Objects::create(admin.clone(), name).await?;
        let target = create_service(plane, &objects, name, json!({})).await?;
        let workspace = Workspace::create(name)?;
        let (files, pair) = (Files::inside(workspace.path()), Pair::make()?);
        pair.write(&files)?;
        let (account, own_account) = (format!("{name}-agent"), format!("{name}-daemon"));
        access::create_account(&admin, &account).await?;
        access::create_account(&admin, &own_account).await?;
        access::grant_cluster_role_to(&admin, &own_account).await?;
        access::grant_reviews_to(&admin, &own_account).await?;
        let (server, authority) = (plane.server(), plane.authority());
        let kubeconfig = access::account_kubeconfig(&admin, &own_account, &server, &authority, &workspace).await?;
        let mut all = files.flags();
        all.extend([format!("--namespace={name}"), format!("--agents-service-account={ACCOUNT}/{account}")]);
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let (daemon, client, agents) = start_daemon(&kubeconfig, &workspace, &all, "127.0.0.1:0", &pair).await?;
        let mut fleet = Self {
            followers: Vec::new(),
            objects,
            target,
            plane,
            name: name.to_owned(),
            account,
            daemon,
            client,
            agents,
            files,
            pair,
            kubeconfig,
            flags: all,
            workspace,
            later: Vec::new(),
            steps: Vec::new(),
            present: BTreeSet::new(),
            seen: 0,
        };
        for mode in modes {
            fleet.join(*mode).await?;
        }
        Ok(fleet)
    }

    /// Adds a node, and waits until the daemon follows it.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn join(&mut self, mode: Mode) -> Result<()> {
        let number = self.followers.len();
        let name = format!("{}-{number}", self.name);
        let admin = self.plane.admin().await?;
        objects::create_node(&admin, &name).await?;
        let token = access::pod_token(&admin, &self.account, &name, &name, AUDIENCE).await?;
        let token = self.workspace.write(&format!("token-{number}"), token)?;
        let mut node = Node::create(self.plane).await?;
        node.start_proxy(mode).await?;
        let relay = Relay::start(&node.namespace, self.agents)?;
        let prober = Prober::start(&node.namespace, self.target)?;
        self.followers.push(Follower { name, relay, node, agent: None, token, prober });
        self.start_agent(number).await
    }

    /// Starts the agent of a node, and waits until the daemon follows the node.
    ///
    /// # Errors
    /// It is not let in.
    pub async fn start_agent(&mut self, number: usize) -> Result<()> {
        let follower = &mut self.followers[number];
        let mut command = follower.node.command();
        command.args([
            &format!("--daemon=localhost:{}", self.agents.port()),
            &format!("--daemon-ca-file={}", self.files.certificate.display()),
            &format!("--token-file={}", follower.token.display()),
            &format!("--node-name={}", follower.name),
        ]);
        let log = follower.node.workspace.file("agent.log");
        follower.agent = Some(Process::start("the agent", command, Output::Log, &log)?);
        self.follows_all().await
    }

    /// Kills the agent of a node.
    pub fn kill_agent(&mut self, number: usize) {
        self.followers[number].agent = None;
    }

    /// Waits until the daemon follows all nodes.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn follows_all(&self) -> Result<()> {
        let expected = self.followers.len() as f64;
        self.wait("all nodes are followed", |metrics| {
            let value = |name| metrics.sum(name, &[]);
            value("endpointlag_dataplane_nodes") == expected && value("endpointlag_agent_connected") == expected
        })
        .await
        .map(drop)
    }

    /// Ends the daemon and starts it again at the same addresses.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_daemon(&mut self) -> Result<()> {
        let address = self.agents.to_string();
        let workspace = Workspace::create(&self.name)?;
        self.daemon.stop(Signal::TERM).await?;
        let started = start_daemon(&self.kubeconfig, &workspace, &self.flags, &address, &self.pair).await?;
        (self.daemon, self.client, self.agents) = started;
        self.later.push(workspace);
        self.seen = 0;
        self.follows_all().await
    }

    /// The daemon's metrics.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        let page = self.client.get("/metrics").await?;
        ensure!(page.status == 200, "{}", page.body);
        Metrics::parse(&page.body)
    }

    /// A page of the daemon's API.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn api(&self, path: &str) -> Result<Value> {
        let page = self.client.get(path).await?;
        ensure!(page.status == 200, "{}", page.body);
        Ok(serde_json::from_str(&page.body)?)
    }

    /// Waits until the metrics are as expected.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn wait(&self, what: &str, is_there: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
        let started = Instant::now();
        loop {
            let metrics = self.metrics().await?;
            if is_there(&metrics) {
                return Ok(metrics);
            }
            if started.elapsed() > TIMEOUT {
                let agents = self.api("/api/v1/agents").await?;
                let logs: Vec<_> = self.followers.iter().map(Follower::log).collect();
                anyhow::bail!("not in time: {what}: {agents:#}\n{}\n{}", self.daemon.log_tail(), logs.join("\n"));
            }
            sleep(POLL).await;
        }
    }

    /// Creates a pod of the Service that is not ready yet.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn pod(&self, name: &str) -> Result<PodHandle> {
        self.objects.create_pod(name, &self.name).await
    }

    /// A pod becomes ready, or unready. Returns how the change spread.
    ///
    /// # Errors
    /// The daemon does not say it in time.
    pub async fn report(&mut self, kind: Kind, pod: &PodHandle, ready: bool, port: u16) -> Result<Spread> {
        let address = SocketAddr::from((pod.ipv4(), port));
        let mut endpoints = self.present.clone();
        if ready {
            endpoints.insert(address)
        } else {
            endpoints.remove(&address)
        };
        let at = now();
        self.objects.report(pod, ready).await?;
        let change = if ready { Change::Ready } else { Change::Unready };
        self.expect(kind, endpoints, at, |spread| spread.change == change).await
    }

    /// The Service sends to another port of its pods. Returns how the change spread.
    ///
    /// # Errors
    /// The daemon does not say it in time.
    pub async fn edit(&mut self, port: u16) -> Result<Spread> {
        let endpoints = self.present.iter().map(|endpoint| SocketAddr::new(endpoint.ip(), port)).collect();
        let at = now();
        let ports = json!([{ "port": self.target.port(), "targetPort": port }]);
        self.objects.edit_service(&self.name, json!({ "ports": ports })).await?;
        self.expect(Kind::Edit, endpoints, at, |spread| spread.change == Change::Service).await
    }

    async fn expect(
        &mut self,
        kind: Kind,
        endpoints: BTreeSet<SocketAddr>,
        at: u64,
        is_it: impl Fn(&Spread) -> bool,
    ) -> Result<Spread> {
        let said = self.spread(&format!("{kind:?}"), is_it).await?;
        let added = endpoints.difference(&self.present).copied().collect();
        let removed = self.present.difference(&endpoints).copied().collect();
        self.steps.push(Asked { step: Step { kind, added, removed }, at, said: said.clone() });
        self.present = endpoints;
        sleep(SETTLE).await;
        Ok(said)
    }

    /// The next change that ends on all nodes, which must be this one.
    ///
    /// # Errors
    /// None does in time.
    pub async fn spread(&mut self, what: &str, is_it: impl Fn(&Spread) -> bool) -> Result<Spread> {
        let started = Instant::now();
        loop {
            let all = self.daemon.spreads()?;
            if let Some(spread) = all.get(self.seen) {
                ensure!(is_it(spread), "{what}: another change has ended: {spread:#?}");
                self.seen += 1;
                return Ok(spread.clone());
            }
            if started.elapsed() > TIMEOUT {
                let changes = self.api("/api/v1/changes?limit=5").await?;
                anyhow::bail!("{what} has not ended on all nodes: {changes:#}\n{}", self.daemon.log_tail());
            }
            sleep(POLL).await;
        }
    }

    /// Compares each moment that the daemon said with what the clients on the nodes saw. Only changes that are in effect on all nodes.
    ///
    /// # Errors
    /// A client saw nothing.
    pub fn judge(self) -> Result<Vec<Judged>> {
        let Self { followers, steps, .. } = self;
        let probes = followers.into_iter().map(|it| it.prober.finish()).collect::<Result<Vec<_>>>()?;
        // Both clocks now: nothing sets the clock of this machine during the test.
        let wall_of_raw_zero = Timestamp::now().as_nanosecond() - i128::from(now());
        let mut judged = Vec::new();
        for (index, Asked { step, at, said }) in steps.iter().enumerate() {
            let until = steps.get(index + 1).map_or(u64::MAX, |next| next.at);
            let windows = probes.iter().map(|probes| seen(step, probes, *at, until)).collect::<Result<Vec<_>>>();
            let windows = windows.with_context(|| format!("{step:?}"))?;
            let shown = u64::try_from(said.shown()?.as_nanosecond() - wall_of_raw_zero)?;
            let error = (said.nodes.error_seconds * 1e9) as u64;
            let needed = [windows.len().div_ceil(2), (windows.len() * 99).div_ceil(100), windows.len()];
            let shares = [said.nodes.p50_seconds, said.nodes.p99_seconds, said.nodes.all_seconds];
            for (needed, seconds) in needed.into_iter().zip(shares) {
                let Some(seconds) = seconds else { continue };
                let off = outside(&windows, needed, shown, (seconds * 1e9) as u64);
                judged.push(Judged { kind: step.kind, off: off.saturating_sub(error), error });
            }
        }
        Ok(judged)
    }
}

impl Follower {
    fn log(&self) -> String {
        self.agent.as_ref().map(|agent| agent.log_tail(20)).unwrap_or_default()
    }
}

/// When a client saw a change: it came into effect between these times.
fn seen(step: &Step, probes: &[Probe], at: u64, until: u64) -> Result<[u64; 2]> {
    let near = probes.iter().filter(|probe| probe.from > at && probe.to < until);
    let [before, after] = window(step, near);
    ensure!(before.is_some() || after.is_some(), "no connection shows the change");
    Ok([before.unwrap_or(at), after.unwrap_or(u64::MAX)])
}

/// How far the moment at which this many nodes had the change in effect is outside of what their clients saw.
fn outside(windows: &[[u64; 2]], needed: usize, shown: u64, delay: u64) -> u64 {
    let nth = |side: usize| {
        let mut all: Vec<_> = windows.iter().map(|window| window[side]).collect();
        all.sort_unstable();
        all[needed - 1]
    };
    let (earliest, latest) = (nth(0), nth(1));
    let moment = shown + delay;
    // A node that followed before the daemon had read the slice has no delay.
    let late = if delay == 0 { 0 } else { moment.saturating_sub(latest) };
    late.max(earliest.saturating_sub(moment))
}

async fn start_daemon(
    kubeconfig: &std::path::Path,
    workspace: &Workspace,
    flags: &[String],
    listen: &str,
    pair: &Pair,
) -> Result<(Daemon, Client, SocketAddrV4)> {
    let flags: Vec<_> = flags.iter().cloned().chain([format!("--agents-listen={listen}")]).collect();
    let daemon = Daemon::start(kubeconfig, workspace.path(), &flags).await?;
    let client = Client::tls(daemon.address(), pair.certificate());
    let agents = address_of(daemon.log_file(), "listening for agents")?.context("it says where")?.parse()?;
    let started = Instant::now();
    while client.get("/readyz").await?.status != 200 {
        ensure!(started.elapsed() < TIMEOUT, "it is not ready:\n{}", daemon.log_tail());
        sleep(POLL).await;
    }
    Ok((daemon, client, agents))
}
