//! A Service whose endpoints change while a client connects to it and an agent watches: what was done, what the agent reported, and
//! what the client saw.

use super::agent::{Agent, Commit};
use super::kernel;
use super::probe::{Answer, Probe, Prober, SPACING};
use super::{MACHINE, shared_plane};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use testkit::node::{Mode, Node};
use tokio::sync::RwLockReadGuard;
use tokio::time::{Instant, sleep};

/// Time in which the client surely sees a change, after the agent. It is longer than a connection waits for an answer.
const SETTLE: Duration = Duration::from_millis(250);

/// Maximum time until kube-proxy writes a change, on a busy machine.
const WRITTEN: Duration = Duration::from_secs(60);

/// Maximum time until kube-proxy starts to write rules, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Has kube-proxy wait for a tenth of a second after each sync, not for one: more changes in less time. Its flag for mode iptables is for both.
const QUICKLY: [&str; 1] = ["--iptables-min-sync-period=100ms"];

/// Port of the Service.
const PORT: u16 = 80;

/// What was done to the Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The first endpoint is added.
    First,
    /// Another endpoint is added.
    Add,
    /// One endpoint of several is removed.
    Remove,
    /// The last endpoint is removed.
    Last,
    /// The Service sends to another port of its pods.
    Edit,
}

/// A change that the test waited for.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: Kind,
    pub added: BTreeSet<SocketAddr>,
    pub removed: BTreeSet<SocketAddr>,
}

/// A Service under test.
pub struct Story {
    pub node: Node,
    pub agent: Agent,
    pub objects: Objects,
    pub target: SocketAddr,
    name: String,
    mode: Mode,
    prober: Prober,
    steps: Vec<Step>,
    present: BTreeSet<SocketAddr>,
    _machine: RwLockReadGuard<'static, ()>,
}

/// The difference between the agent's time of a change and what the client saw.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub kind: Kind,
    /// How many nanoseconds the end of the commit is later than a connection that shows the change; negative if it is earlier than a
    /// connection that shows the state before. Zero if it lies between them.
    pub end_off: i64,
    /// The same for the commit's first datagram.
    pub first_off: i64,
    /// Time between these two connections in nanoseconds, if both exist.
    pub width: Option<i64>,
    pub messages: u32,
    /// Whether the client connected on time while the change happened. If it did not, the machine let threads wait, and so perhaps the
    /// agent's.
    pub is_client_on_time: bool,
}

impl Story {
    /// Starts with a Service without pods.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn begin(name: &str, mode: Mode, flags: &[&str]) -> Result<Self> {
        Self::begin_with(name, mode, flags, json!({})).await
    }

    /// The same with `more` in the spec of the Service.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn begin_with(name: &str, mode: Mode, flags: &[&str], more: Value) -> Result<Self> {
        let machine = MACHINE.read().await;
        let plane = shared_plane().await?;
        let mut node = Node::create(plane).await?;
        let objects = Objects::create(plane.admin().await?, name).await?;
        let target = create_service(plane, &objects, name, more).await?;
        node.start_proxy_with(mode, &QUICKLY, START).await?;
        let agent = Agent::start(&node, flags).await?;
        let prober = Prober::start(&node.namespace, target)?;
        let (steps, present) = (Vec::new(), BTreeSet::new());
        Ok(Self {
            node,
            agent,
            objects,
            target,
            name: name.to_owned(),
            mode,
            prober,
            steps,
            present,
            _machine: machine,
        })
    }

    /// Creates a pod of the Service that is not ready yet.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn pod(&self, name: &str) -> Result<PodHandle> {
        self.objects.create_pod(name, &self.name).await
    }

    /// Waits until the agent has seen the change, and the client too.
    ///
    /// # Errors
    /// The agent does not see it.
    pub async fn expect(&mut self, kind: Kind, endpoints: &[SocketAddr]) -> Result<()> {
        let expected: BTreeSet<_> = endpoints.iter().copied().collect();
        self.agent
            .wait_for(self.target, &expected)
            .await
            .with_context(|| format!("{kind:?}; kube-proxy:\n{}", self.node.log()))?;
        let added = expected.difference(&self.present).copied().collect();
        let removed = self.present.difference(&expected).copied().collect();
        self.steps.push(Step { kind, added, removed });
        self.present = expected;
        sleep(SETTLE).await;
        Ok(())
    }

    /// Changes the target port of the Service.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn edit(&self, target_port: u16) -> Result<()> {
        let ports = json!([{ "port": PORT, "targetPort": target_port }]);
        self.objects.edit_service(&self.name, json!({ "ports": ports })).await
    }

    /// Compares the agent's state with the kernel's tools.
    ///
    /// # Errors
    /// They differ.
    pub fn agrees(&self) -> Result<()> {
        let says = kernel::endpoints(&self.node.namespace, self.mode, self.target)?;
        ensure!(says == self.present, "the kernel's tools say {says:?}, the agent {:?}", self.present);
        Ok(())
    }

    /// Waits until the kernel's tools show that the Service has these endpoints.
    ///
    /// # Errors
    /// They do not show it in time.
    pub async fn written(&self, endpoints: &BTreeSet<SocketAddr>) -> Result<()> {
        let started = Instant::now();
        while kernel::endpoints(&self.node.namespace, self.mode, self.target)? != *endpoints {
            ensure!(started.elapsed() < WRITTEN, "kube-proxy does not write {endpoints:?}:\n{}", self.node.log());
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Checks that each change was reported once and in order. Returns the accuracy of those that have a time.
    ///
    /// # Errors
    /// A change was not reported, or a change was reported that was not made.
    pub fn judge(self) -> Result<Vec<Judged>> {
        let probes = self.prober.finish()?;
        let changes = self.agent.changes(self.target);
        ensure!(changes.len() == self.steps.len(), "{:#?} became {changes:#?}", self.steps);
        let mut judged = Vec::new();
        for (index, (step, change)) in self.steps.iter().zip(&changes).enumerate() {
            ensure!(step.added == change.added && step.removed == change.removed, "{step:?} was told as {change:?}");
            // Between the changes before and after this one, the client sees the state before or after this one.
            let neighbours = [index.checked_sub(1), index.checked_add(1)].map(|at| Some(changes.get(at?)?.commit));
            let Some(commit) = change.commit else { continue };
            let [since, until] = match neighbours {
                [Some(None), _] | [_, Some(None)] => continue,
                [before, after] => [
                    before.flatten().map_or(0, |before| before.commit_ns),
                    after.flatten().map_or(u64::MAX, |after| after.first_ns),
                ],
            };
            judged.push(judge(step, commit, &probes, [since, until]).with_context(|| format!("{step:?}"))?);
        }
        Ok(judged)
    }
}

/// Creates a Service in a namespace. Returns its first clusterIP with its port.
///
/// # Errors
/// The API server refuses it.
pub async fn create_service(plane: &ControlPlane, objects: &Objects, name: &str, more: Value) -> Result<SocketAddr> {
    let mut spec = json!({ "selector": { "app": name }, "ports": [{ "port": PORT, "targetPort": 8080 }] });
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    objects.create_service(name, spec).await?;
    let api: Api<Service> = Api::namespaced(plane.admin().await?, objects.namespace());
    let address = api.get(name).await?.spec.and_then(|spec| spec.cluster_ip).context("a clusterIP")?;
    Ok(SocketAddr::new(address.parse()?, PORT))
}

/// Start of the last connection that shows the state before a step, and end of the next one that shows the state after it.
pub fn window<'a>(step: &Step, probes: impl Iterator<Item = &'a Probe>) -> [Option<u64>; 2] {
    let (mut before, mut after) = (None, None);
    for probe in probes {
        let (shows_before, shows_after) = match probe.answer {
            Answer::Endpoint(reached) => (step.removed.contains(&reached), step.added.contains(&reached)),
            Answer::NoEndpoint => (step.kind == Kind::First, step.kind == Kind::Last),
            Answer::Unknown => (false, false),
        };
        if shows_before {
            // An edit may come into effect in two commits. Between them, both states are seen.
            (before, after) = (Some(probe.from), None);
        }
        if shows_after && after.is_none() {
            after = Some(probe.to);
        }
    }
    [before, after]
}

/// What the connections show about the time of a change. The kernel decided on each between its two stamps: before the change if it
/// shows the state before, after the change if it shows the state after.
fn judge(step: &Step, commit: Commit, probes: &[Probe], [since, until]: [u64; 2]) -> Result<Judged> {
    // Close to the neighbouring changes a connection may still show an older state.
    let edge = Duration::from_millis(100).as_nanos() as u64;
    let near =
        probes.iter().filter(|probe| probe.from > since.saturating_add(edge) && probe.to < until.saturating_sub(edge));
    let [before, after] = window(step, near);
    ensure!(before.is_some() || after.is_some(), "no connection shows the change");
    let off = |at: u64| {
        let late = after.map_or(0, |after| at.saturating_sub(after)) as i64;
        let early = before.map_or(0, |before| before.saturating_sub(at)) as i64;
        if early > late { -early } else { late }
    };
    let width = before.zip(after).map(|(before, after)| after as i64 - before as i64);
    Ok(Judged {
        kind: step.kind,
        end_off: off(commit.commit_ns),
        first_off: off(commit.first_ns),
        width,
        messages: commit.messages,
        is_client_on_time: is_on_time(probes, commit.first_ns),
    })
}

/// Whether a client made its connections on time around a moment: each at most a millisecond late, and itself done in a millisecond.
pub fn is_on_time(probes: &[Probe], at: u64) -> bool {
    const AROUND: Duration = Duration::from_millis(25);
    const LATE: Duration = Duration::from_millis(1);
    let around = AROUND.as_nanos() as u64;
    let begin = probes.partition_point(|probe| probe.from + around < at);
    let end = probes.partition_point(|probe| probe.from <= at + around);
    let near = &probes[begin..end];
    let within = |from: u64, to: u64, limit: Duration| Duration::from_nanos(to.saturating_sub(from)) <= limit;
    near.iter().all(|probe| within(probe.from, probe.to, LATE))
        && near.windows(2).all(|pair| within(pair[0].from, pair[1].from, SPACING + LATE))
}
