//! Two nodes with agents, for the panels of the hop to the nodes. The kernels are not real: each does what the slices say at once, until
//! one of them is stuck.

use anyhow::{Context, Result, ensure};
use endpointlag::dataplane::{
    AUDIENCE, Backend, Commit, EffectiveSets, FamilyPlane, Frontend, Mode, Observation, Outbox, Planes, Protocol,
    Report, Uplink, UplinkSettings, When,
};
use endpointlag::model::Stamp;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use rustix::time::{ClockId, clock_gettime};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::controlplane::access::{self, ACCOUNT};
use testkit::controlplane::objects::{self, NODE};
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::pair::{Files, Pair};
use testkit::workspace::Workspace;
use tokio::task::JoinHandle;

/// The account of the agents.
const AGENT: &str = "agent";

/// The nodes. The last one gets stuck.
const NODES: [&str; 2] = [NODE, "node-1"];

/// The port of each Service.
const PORT: u16 = 80;

/// Pause between two looks at the slices.
const POLL: Duration = Duration::from_millis(20);

/// How long a daemon may take until it listens to both agents.
const SOON: Duration = Duration::from_secs(60);

/// Namespace and name.
pub type Service = (&'static str, &'static str);

/// Nodes whose agents report to a daemon.
pub struct Nodes {
    pair: Pair,
    files: Files,
    workspace: Workspace,
    tokens: Vec<String>,
    is_stuck: Arc<AtomicBool>,
    following: Option<JoinHandle<Result<()>>>,
}

impl Nodes {
    /// Certificates, accounts and tokens. No agent runs yet.
    pub async fn prepare(plane: &ControlPlane) -> Result<Self> {
        let workspace = Workspace::create("nodes")?;
        let (files, pair) = (Files::inside(workspace.path()), Pair::make()?);
        pair.write(&files)?;
        let admin = plane.admin().await?;
        access::grant_reviews_to(&admin, ACCOUNT).await?;
        access::create_account(&admin, AGENT).await?;
        let mut tokens = Vec::new();
        for node in NODES {
            if node != NODE {
                objects::create_node(&admin, node).await?;
            }
            tokens.push(access::pod_token(&admin, AGENT, &format!("{AGENT}-{node}"), node, AUDIENCE).await?);
        }
        Ok(Self { pair, files, workspace, tokens, is_stuck: Arc::default(), following: None })
    }

    /// The flags with which the daemon listens to the agents.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = self.files.flags();
        flags.extend(["--agents-listen=127.0.0.1:0".to_owned(), format!("--agents-service-account={ACCOUNT}/{AGENT}")]);
        flags
    }

    /// Starts the agents, and waits until the daemon is ready and follows both nodes.
    pub async fn start(&mut self, plane: &ControlPlane, daemon: &Daemon, services: Vec<Service>) -> Result<()> {
        let listening = daemon.address_for("listening for agents").await?;
        let port = listening.rsplit(':').next().context("a port")?;
        let mut outboxes = Vec::new();
        for (node, token) in NODES.into_iter().zip(&self.tokens) {
            let settings = UplinkSettings {
                daemon: format!("localhost:{port}").parse()?,
                ca_file: Some(self.files.certificate.clone()),
                token_file: self.workspace.write(&format!("token-{node}"), token)?,
                node: node.to_owned(),
            };
            let outbox = Arc::new(Outbox::default());
            let family = FamilyPlane { decides: Some(Mode::Nftables), behind: None };
            outbox.push(Report::Planes(Planes { families: [family, FamilyPlane::default()], unseen: Vec::new() }));
            // It ends with the test.
            tokio::spawn(Uplink::new(settings, outbox.clone()).run());
            outboxes.push(outbox);
        }
        let client = Client::tls(daemon.address(), self.pair.certificate());
        let both = format!("endpointlag_dataplane_nodes {}", NODES.len());
        let started = Instant::now();
        while client.get("/readyz").await?.status != 200
            || !client.get("/metrics").await?.body.lines().any(|line| line == both)
        {
            ensure!(started.elapsed() < SOON, "the agents are not followed:\n{}", daemon.log_tail());
            tokio::time::sleep(POLL).await;
        }
        let admin = plane.admin().await?;
        let is_stuck = self.is_stuck.clone();
        self.following = Some(tokio::spawn(async move { follow(&admin, &services, &outboxes, &is_stuck).await }));
        Ok(())
    }

    /// The last node does not follow the slices any more.
    pub fn stick(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
    }

    /// Ends the nodes.
    ///
    /// # Errors
    /// They have ended before, because they could not read the slices.
    pub async fn end(&mut self) -> Result<()> {
        let Some(following) = self.following.take() else { return Ok(()) };
        match following.is_finished() {
            true => following.await?.context("the nodes followed no slices"),
            false => {
                following.abort();
                Ok(())
            }
        }
    }
}

/// Reports to each outbox what the slices say, when they say something new.
async fn follow(
    admin: &kube::Client,
    services: &[Service],
    outboxes: &[Arc<Outbox>],
    is_stuck: &AtomicBool,
) -> Result<()> {
    let mut kernels = vec![EffectiveSets::default(); outboxes.len()];
    let mut generation = 0;
    loop {
        for &(namespace, service) in services {
            let Some(address) = objects::cluster_ip(admin, namespace, service).await? else { continue };
            let frontend = Frontend { address: address.parse()?, protocol: Protocol::Tcp, port: PORT };
            let wanted = wanted(&objects::slices(admin, namespace, service).await?)?;
            for (node, (kernel, outbox)) in kernels.iter_mut().zip(outboxes).enumerate() {
                if node + 1 == NODES.len() && is_stuck.load(Ordering::Relaxed) {
                    continue;
                }
                let first = now();
                let Some(change) = kernel.set(frontend, &wanted) else { continue };
                generation += 1;
                let commit = Commit { first, end: now(), messages: 1, generation };
                outbox.push(Report::Changed(Observation { change, when: When::Commit(commit) }));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The endpoints that get connections: those that are ready. If there are none, kube-proxy uses those that still serve.
fn wanted(slices: &[EndpointSlice]) -> Result<Vec<Backend>> {
    let (mut ready, mut serving) = (Vec::new(), Vec::new());
    for slice in slices {
        let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
        for port in ports.map(u16::try_from) {
            let port = port?;
            for endpoint in slice.endpoints.iter().flatten() {
                let Some(conditions) = &endpoint.conditions else { continue };
                for address in &endpoint.addresses {
                    let backend = Backend { address: address.parse::<IpAddr>()?, port };
                    if conditions.ready != Some(false) {
                        ready.push(backend);
                    }
                    if conditions.serving != Some(false) {
                        serving.push(backend);
                    }
                }
            }
        }
    }
    let mut wanted = if ready.is_empty() { serving } else { ready };
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}

/// The time on the clock that agents use.
fn now() -> Stamp {
    let time = clock_gettime(ClockId::MonotonicRaw);
    Stamp::new(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
}
