//! A Service whose endpoints change while a client connects to it and an agent watches: what was done, what the agent said of it, and
//! what the client saw.

use super::agent::{Agent, Commit};
use super::kernel;
use super::node::{Mode, Node};
use super::probe::{Probe, Prober};
use super::shared_plane;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;
use testkit::controlplane::objects::{Objects, PodHandle};
use testkit::controlplane::plane::ControlPlane;
use tokio::time::{Instant, sleep};

/// Time in which the client sees a change for sure, after the agent did. It is longer than a connection waits for an answer.
const SETTLE: Duration = Duration::from_millis(250);

/// Time in which kube-proxy writes a change, on a busy machine.
const WRITTEN: Duration = Duration::from_secs(60);

/// Port of the Service.
const PORT: u16 = 80;

/// What was done to the Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The first endpoint comes.
    First,
    /// Another endpoint comes.
    Add,
    /// One endpoint of several goes.
    Remove,
    /// The last endpoint goes.
    Last,
    /// The Service sends to another port of its pods.
    Edit,
}

/// A change that was waited for.
#[derive(Clone, Debug)]
struct Step {
    kind: Kind,
    added: BTreeSet<SocketAddr>,
    removed: BTreeSet<SocketAddr>,
}

/// A Service under observation.
pub struct Story {
    pub node: Node,
    pub agent: Agent,
    pub objects: Objects,
    pub target: SocketAddrV4,
    name: String,
    mode: Mode,
    prober: Prober,
    steps: Vec<Step>,
    present: BTreeSet<SocketAddr>,
}

/// How far the agent's moment of a change is from what the client saw.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub kind: Kind,
    /// Nanoseconds by which the end of the commit was later than a connection that shows the change; negative if it was earlier than
    /// one that shows the state before it. Zero if it lies between them.
    pub end_off: i64,
    /// The same for its first datagram.
    pub first_off: i64,
    /// Between these two connections, in nanoseconds, where both are there.
    pub width: Option<i64>,
    pub messages: u32,
}

impl Story {
    /// Begins with a Service without pods.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn begin(name: &str, mode: Mode, flags: &[&str]) -> Result<Self> {
        let plane = shared_plane().await?;
        let mut node = Node::create(plane).await?;
        let objects = Objects::create(plane.admin().await?, name).await?;
        let target = create_service(plane, &objects, name, json!({})).await?;
        node.start_proxy(mode).await?;
        let agent = Agent::start(&node, flags).await?;
        let prober = Prober::start(&node.namespace, target)?;
        let (steps, present) = (Vec::new(), BTreeSet::new());
        Ok(Self { node, agent, objects, target, name: name.to_owned(), mode, prober, steps, present })
    }

    /// Makes a pod of the Service that is not ready yet.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn pod(&self, name: &str) -> Result<PodHandle> {
        self.objects.create_pod(name, &self.name).await
    }

    /// Waits until the agent has seen what was done, and the client too.
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

    /// Sends to another port of the pods.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn edit(&self, target_port: u16) -> Result<()> {
        let ports = json!([{ "port": PORT, "targetPort": target_port }]);
        self.objects.edit_service(&self.name, json!({ "ports": ports })).await
    }

    /// Holds what the agent says against the kernel's tools.
    ///
    /// # Errors
    /// They disagree.
    pub fn agrees(&self) -> Result<()> {
        let says = kernel::endpoints(&self.node.namespace, self.mode, self.target)?;
        ensure!(says == self.present, "the kernel's tools say {says:?}, the agent {:?}", self.present);
        Ok(())
    }

    /// Waits until the kernel's tools say that the Service has these endpoints.
    ///
    /// # Errors
    /// They never do.
    pub async fn written(&self, endpoints: &BTreeSet<SocketAddr>) -> Result<()> {
        let started = Instant::now();
        while kernel::endpoints(&self.node.namespace, self.mode, self.target)? != *endpoints {
            ensure!(started.elapsed() < WRITTEN, "kube-proxy does not write {endpoints:?}:\n{}", self.node.log());
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Each change was told once, in order; how well those were timed that have a time.
    ///
    /// # Errors
    /// A change was not told, or one that was not made.
    pub fn judge(self) -> Result<Vec<Judged>> {
        let probes = self.prober.finish()?;
        let changes = self.agent.changes(self.target);
        ensure!(changes.len() == self.steps.len(), "{:#?} became {changes:#?}", self.steps);
        let mut judged = Vec::new();
        for (index, (step, change)) in self.steps.iter().zip(&changes).enumerate() {
            ensure!(step.added == change.added && step.removed == change.removed, "{step:?} was told as {change:?}");
            // Between the changes before and after this one, the client sees one state or the other.
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

/// A Service in a namespace, and its first clusterIP with its port.
///
/// # Errors
/// The API server refuses it.
pub async fn create_service(plane: &ControlPlane, objects: &Objects, name: &str, more: Value) -> Result<SocketAddrV4> {
    let mut spec = json!({ "selector": { "app": name }, "ports": [{ "port": PORT, "targetPort": 8080 }] });
    if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
        spec.extend(more);
    }
    objects.create_service(name, spec).await?;
    let api: Api<Service> = Api::namespaced(plane.admin().await?, objects.namespace());
    let address = api.get(name).await?.spec.and_then(|spec| spec.cluster_ip).context("a clusterIP")?;
    Ok(SocketAddrV4::new(address.parse()?, PORT))
}

/// What connections say of the moment of a change. Each was decided on between its two stamps: one that shows the state before was not
/// decided on after the change, one that shows the state after not before it.
fn judge(step: &Step, commit: Commit, probes: &[Probe], [since, until]: [u64; 2]) -> Result<Judged> {
    // At the neighbours' edges a connection may still show what was before the change before.
    let edge = Duration::from_millis(100).as_nanos() as u64;
    let near =
        probes.iter().filter(|probe| probe.from > since.saturating_add(edge) && probe.to < until.saturating_sub(edge));
    let (mut before, mut after) = (None, None);
    for probe in near {
        let reached = probe.reached.map(SocketAddr::V4);
        let shows_before = match reached {
            Some(reached) => step.removed.contains(&reached),
            None => step.kind == Kind::First,
        };
        let shows_after = match reached {
            Some(reached) => step.added.contains(&reached),
            None => step.kind == Kind::Last,
        };
        if shows_before {
            before = Some(probe.from);
        }
        if shows_after && after.is_none() {
            after = Some(probe.to);
        }
    }
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
    })
}
