//! Several nodes, each with a real kube-proxy and an agent, and one daemon that they report to.

use super::probe::{Probe, Prober, now};
use super::story::{Kind, Step, create_service, is_on_time, window};
use super::{MACHINE, shared_plane};
use anyhow::{Context, Result, ensure};
use endpointlag::dataplane::AUDIENCE;
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use testkit::client::Client;
use testkit::controlplane::access::{self, ACCOUNT};
use testkit::controlplane::objects::{self, Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::daemon::metrics::Metrics;
use testkit::daemon::samples::{Outcome, Sample, Spread};
use testkit::node::{Mode, Node, Relay};
use testkit::pair::{Files, Pair};
use testkit::process::{Output, Process};
use testkit::truth::Change;
use testkit::workspace::{Workspace, free_port};
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, sleep};

/// Maximum time until something is seen, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Time between two checks.
const POLL: Duration = Duration::from_millis(50);

/// How often something is tried again if a change is censored on the slice hop.
const ATTEMPTS: usize = 6;

/// Time in which a change that the daemon says nothing of is surely in effect.
const UNSEEN: Duration = Duration::from_secs(5);

/// Time in which the clients surely see a change.
const SETTLE: Duration = Duration::from_millis(250);

/// The nodes, their Service, and the daemon.
pub struct Fleet {
    pub followers: Vec<Follower>,
    pub objects: Objects,
    pub target: SocketAddr,
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
    _machine: Machine,
}

/// Whether other tests run at the same time.
enum Machine {
    Shared(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "it is held")] RwLockWriteGuard<'static, ()>),
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
    said: Option<Spread>,
}

/// How far a share of the nodes is outside of what their clients saw.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub kind: Kind,
    /// In nanoseconds, without the error that the daemon stated.
    pub off: u64,
    /// Whether it is before what they saw, not after it.
    pub is_early: bool,
    /// The stated error in nanoseconds.
    pub error: u64,
    /// Whether all clients connected on time around that moment.
    pub are_clients_on_time: bool,
}

impl Fleet {
    /// Starts a daemon, and a node for each mode.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn begin(name: &str, modes: &[Mode], flags: &[&str]) -> Result<Self> {
        Self::begin_with(name, modes, flags, json!({})).await
    }

    /// The same while no other test runs.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn begin_alone(name: &str, modes: &[Mode], flags: &[&str]) -> Result<Self> {
        Self::begin_on(Machine::Alone(MACHINE.write().await), name, modes, flags, json!({})).await
    }

    /// The same with `more` in the spec of the Service.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn begin_with(name: &str, modes: &[Mode], flags: &[&str], more: Value) -> Result<Self> {
        Self::begin_on(Machine::Shared(MACHINE.read().await), name, modes, flags, more).await
    }

    async fn begin_on(machine: Machine, name: &str, modes: &[Mode], flags: &[&str], more: Value) -> Result<Self> {
        let plane = shared_plane().await?;
        let admin = plane.admin().await?;
        let objects = Objects::create(admin.clone(), name).await?;
        let target = create_service(plane, &objects, name, more).await?;
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
        // Outgoing connections do not use this port while the daemon is restarted.
        let listen = format!("127.0.0.1:{}", free_port()?);
        let (daemon, client, agents) = start_daemon(&kubeconfig, &workspace, &all, &listen, &pair).await?;
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
            _machine: machine,
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
        let mut node = Node::create_as(self.plane, &name).await?;
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
        let command = self.followers[number].node.command();
        self.start_agent_as(number, command).await
    }

    /// The same with a command that runs the agent.
    ///
    /// # Errors
    /// It is not let in.
    pub async fn start_agent_as(&mut self, number: usize, mut command: Command) -> Result<()> {
        let follower = &mut self.followers[number];
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

    /// Flags with which a command asks the daemon.
    pub fn as_daemon(&self) -> [String; 2] {
        let port = self.daemon.address().rsplit(':').next().unwrap_or_default();
        [format!("--daemon=https://localhost:{port}"), format!("--daemon-ca-file={}", self.files.certificate.display())]
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

    /// Creates a pod of the Service on one of the nodes.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn pod_on(&self, name: &str, follower: usize) -> Result<PodHandle> {
        self.objects.create_pod_on(&self.followers[follower].name, name, &self.name).await
    }

    /// Ends the clients. Returns all connections of each, in the order of the nodes.
    ///
    /// # Errors
    /// A connection could not be tried.
    pub fn finish(self) -> Result<Vec<Vec<Probe>>> {
        self.followers.into_iter().map(|it| it.prober.finish()).collect()
    }

    /// A pod becomes ready, or unready. Returns how the change spread; `None` if it was censored on the slice hop.
    ///
    /// # Errors
    /// The daemon does not say it in time.
    pub async fn report(&mut self, kind: Kind, pod: &PodHandle, ready: bool, port: u16) -> Result<Option<Spread>> {
        let address = SocketAddr::from((pod.ipv4(), port));
        let mut endpoints = self.present.clone();
        if ready {
            endpoints.insert(address)
        } else {
            endpoints.remove(&address)
        };
        let (at, before) = (now(), self.ended()?);
        self.objects.report(pod, ready).await?;
        self.expect(kind, endpoints, at, before, kind_of(ready)).await
    }

    /// The Service sends to another port of its pods. Returns how the change spread, as [`Fleet::report`] does.
    ///
    /// # Errors
    /// The daemon does not say it in time.
    pub async fn edit(&mut self, port: u16) -> Result<Option<Spread>> {
        let endpoints = self.present.iter().map(|endpoint| SocketAddr::new(endpoint.ip(), port)).collect();
        let (at, before) = (now(), self.ended()?);
        let ports = json!([{ "port": self.target.port(), "targetPort": port }]);
        self.objects.edit_service(&self.name, json!({ "ports": ports })).await?;
        self.expect(Kind::Edit, endpoints, at, before, Change::Service).await
    }

    async fn expect(
        &mut self,
        kind: Kind,
        endpoints: BTreeSet<SocketAddr>,
        at: u64,
        before: usize,
        change: Change,
    ) -> Result<Option<Spread>> {
        let said = self.spreads(&format!("{kind:?}"), &[change], before).await?.pop().flatten();
        if said.is_none() {
            // Until all clients have surely seen it: kube-proxy waits for a second between two syncs.
            sleep(UNSEEN).await;
        }
        let added = endpoints.difference(&self.present).copied().collect();
        let removed = self.present.difference(&endpoints).copied().collect();
        self.steps.push(Asked { step: Step { kind, added, removed }, at, said: said.clone() });
        self.present = endpoints;
        sleep(SETTLE).await;
        Ok(said)
    }

    /// How many changes have ended on the slice hop.
    ///
    /// # Errors
    /// The daemon's samples cannot be read.
    pub fn ended(&self) -> Result<usize> {
        Ok(self.daemon.samples()?.len())
    }

    /// How all changes spread that this daemon has followed to the nodes.
    ///
    /// # Errors
    /// The daemon's samples cannot be read.
    pub fn all_spreads(&self) -> Result<Vec<Spread>> {
        self.daemon.spreads()
    }

    /// The delay of a change on the slice hop, in seconds.
    ///
    /// # Errors
    /// There is no such change.
    pub fn slice_delay(&self, spread: &Spread) -> Result<f64> {
        let samples = self.daemon.samples()?;
        let is_it = |it: &&Sample| it.change == spread.change && it.uid == spread.uid;
        // The spread is of the last one that has propagated: each is waited for.
        let delays = samples.iter().filter(is_it).filter(|it| it.outcome == Outcome::Propagated);
        Ok(delays.filter_map(Sample::delay).next_back().context("no such change")?.as_secs_f64())
    }

    /// Waits until these changes have ended on the slice hop, in this order. Before them, the number `before` had ended there. Returns
    /// how: a change that is censored there, as happens on a busy machine, does not reach the nodes.
    ///
    /// # Errors
    /// They do not end in time, or otherwise.
    pub async fn on_slices(&self, what: &str, changes: &[Change], before: usize) -> Result<Vec<Outcome>> {
        let started = Instant::now();
        loop {
            let samples = self.daemon.samples()?;
            let own = samples.get(before..).unwrap_or_default().iter().filter(|it| changes.contains(&it.change));
            let own: Vec<_> = own.take(changes.len()).collect();
            if own.len() == changes.len() {
                let is_right = |(sample, change): (&&Sample, &Change)| {
                    sample.change == *change && matches!(sample.outcome, Outcome::Propagated | Outcome::Censored)
                };
                ensure!(own.iter().zip(changes).all(is_right), "{what}: {own:#?}");
                return Ok(own.iter().map(|sample| sample.outcome).collect());
            }
            if started.elapsed() > TIMEOUT {
                let number = own.len();
                let log = self.daemon.log_tail();
                anyhow::bail!("{what}: {number} of {} have ended on the slice hop: {own:#?}\n{log}", changes.len());
            }
            sleep(POLL).await;
        }
    }

    /// Waits until these changes have ended on the slice hop, in this order, and on all nodes. Before them, the number `before` had ended
    /// on the slice hop. Returns how each spread; `None` for one that was censored on the slice hop.
    ///
    /// # Errors
    /// They do not end in time, or another change does.
    pub async fn spreads(&mut self, what: &str, changes: &[Change], before: usize) -> Result<Vec<Option<Spread>>> {
        let outcomes = self.on_slices(what, changes, before).await?;
        let carried = outcomes.iter().filter(|outcome| **outcome == Outcome::Propagated).count();
        let started = Instant::now();
        let mut spreads = loop {
            let spreads = self.daemon.spreads()?.split_off(self.seen);
            if spreads.len() >= carried {
                break spreads.into_iter().take(carried).peekable();
            }
            if started.elapsed() > TIMEOUT {
                let told = self.api("/api/v1/changes?limit=5").await?;
                let log = self.daemon.log_tail();
                anyhow::bail!("{what}: {} of {carried} have ended on all nodes: {told:#}\n{log}", spreads.len());
            }
            sleep(POLL).await;
        };
        self.seen += carried;
        let mut found = Vec::new();
        for (outcome, change) in outcomes.iter().zip(changes) {
            let spread = spreads.next_if(|_| *outcome == Outcome::Propagated);
            ensure!(spread.as_ref().is_none_or(|it| it.change == *change), "{what}: another change: {spread:#?}");
            found.push(spread);
        }
        Ok(found)
    }

    /// A pod becomes ready, or unready. Returns how that spread. If it is censored on the slice hop, it is undone and done again.
    ///
    /// # Errors
    /// It does not end on all nodes in time.
    pub async fn spread(&mut self, what: &str, pod: &PodHandle, ready: bool) -> Result<Spread> {
        for _ in 0..ATTEMPTS {
            if let Some(spread) = self.try_spread(what, pod, ready).await? {
                return Ok(spread);
            }
            self.try_spread(what, pod, !ready).await?;
        }
        anyhow::bail!("{what}: censored on the slice hop in each of {ATTEMPTS} attempts:\n{}", self.daemon.log_tail())
    }

    /// The same once. `None` if it is censored on the slice hop; then it is surely in effect on all nodes.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn try_spread(&mut self, what: &str, pod: &PodHandle, ready: bool) -> Result<Option<Spread>> {
        let before = self.ended()?;
        self.objects.report(pod, ready).await?;
        let spread = self.spreads(what, &[kind_of(ready)], before).await?.pop().flatten();
        if spread.is_none() {
            sleep(UNSEEN).await;
        }
        Ok(spread)
    }

    /// Compares each moment that the daemon said with what the clients on the nodes saw. Only changes that are in effect on all nodes.
    ///
    /// # Errors
    /// A client saw nothing.
    pub fn judge(mut self) -> Result<Vec<Judged>> {
        let steps = std::mem::take(&mut self.steps);
        let probes = self.finish()?;
        // Both clocks now: nothing sets the clock of this machine during the test.
        let wall_of_raw_zero = Timestamp::now().as_nanosecond() - i128::from(now());
        let mut judged = Vec::new();
        for (index, Asked { step, at, said }) in steps.iter().enumerate() {
            let until = steps.get(index + 1).map_or(u64::MAX, |next| next.at);
            let Some(said) = said else { continue };
            let windows = probes.iter().map(|probes| seen(step, probes, *at, until)).collect::<Result<Vec<_>>>();
            let windows = windows.with_context(|| format!("{step:?}"))?;
            let shown = u64::try_from(said.shown()?.as_nanosecond() - wall_of_raw_zero)?;
            let error = (said.nodes.error_seconds * 1e9) as u64;
            // A node without a time may have been earlier than those with one. Then a share's time is an upper bound.
            let timed = said.nodes.outcomes.get("in_effect").copied().unwrap_or_default();
            let is_bound = (timed as usize) < windows.len();
            let needed = [windows.len().div_ceil(2), (windows.len() * 99).div_ceil(100), windows.len()];
            let shares = [said.nodes.p50_seconds, said.nodes.p99_seconds, said.nodes.all_seconds];
            for (needed, seconds) in needed.into_iter().zip(shares) {
                let Some(seconds) = seconds else { continue };
                let delay = (seconds * 1e9) as u64;
                let [early, late] = outside(&windows, needed, shown, delay);
                let late = if is_bound { 0 } else { late };
                let off = early.max(late).saturating_sub(error);
                let are_clients_on_time = probes.iter().all(|probes| is_on_time(probes, shown + delay));
                judged.push(Judged { kind: step.kind, off, is_early: early > late, error, are_clients_on_time });
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

/// The change of a pod that becomes ready, or unready.
fn kind_of(ready: bool) -> Change {
    if ready { Change::Ready } else { Change::Unready }
}

/// When a client saw a change: it came into effect between these times.
fn seen(step: &Step, probes: &[Probe], at: u64, until: u64) -> Result<[u64; 2]> {
    let near = probes.iter().filter(|probe| probe.from > at && probe.to < until);
    let [before, after] = window(step, near);
    ensure!(before.is_some() || after.is_some(), "no connection shows the change");
    Ok([before.unwrap_or(at), after.unwrap_or(u64::MAX)])
}

/// How far the moment at which this many nodes had the change in effect is before what their clients saw, and after it.
fn outside(windows: &[[u64; 2]], needed: usize, shown: u64, delay: u64) -> [u64; 2] {
    let nth = |side: usize| {
        let mut all: Vec<_> = windows.iter().map(|window| window[side]).collect();
        all.sort_unstable();
        all[needed - 1]
    };
    let (earliest, latest) = (nth(0), nth(1));
    let moment = shown + delay;
    // A node that followed before the daemon had read the slice has no delay.
    let late = if delay == 0 { 0 } else { moment.saturating_sub(latest) };
    [earliest.saturating_sub(moment), late]
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
    let agents = daemon.address_for("listening for agents").await?.parse()?;
    let started = Instant::now();
    while client.get("/readyz").await?.status != 200 {
        ensure!(started.elapsed() < TIMEOUT, "it is not ready:\n{}", daemon.log_tail());
        sleep(POLL).await;
    }
    Ok((daemon, client, agents))
}
