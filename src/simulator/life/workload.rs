//! The pods of one application: how they are made, replaced and removed.
//!
//! A workload writes pods as the kubelet and the workload controllers do, and returns what comes next and when. It has no clock:
//! [`Life`](super::Life) keeps the schedule.

use super::catalogue::{APPLICATIONS, Application, METRICS_PORT_NAME, PORT, PORT_NAME, WorkloadKind};
use super::kubelet;
use crate::simulator::nodes::{NODES, node_name};
use crate::simulator::object::{fresh_uid, name_suffix};
use crate::simulator::store::Store;
use crate::{
    cluster::wire::{ObjectMeta, Time},
    simulator::messages::{Container, ContainerPort, Pod, PodIp, PodSpec, PodStatus},
};
use rand::{RngExt, rngs::StdRng};
use std::{ops::RangeInclusive, time::Duration};

/// Milliseconds from a pod's creation to its node and address: scheduling, sandbox, network.
const TO_ADDRESS: RangeInclusive<u64> = 300..=1_500;
/// Milliseconds from then to Ready: start-up and the first probe.
const TO_READY: RangeInclusive<u64> = 1_000..=6_000;
/// Milliseconds from the deletion request to the end of the pod, within its grace period.
const TO_GONE: RangeInclusive<u64> = 2_000..=8_000;
/// The default grace period of a pod, in seconds. deletionTimestamp is this far in the future.
const GRACE_SECONDS: i64 = 30;

/// The pods of one application.
#[derive(Debug)]
pub(super) struct Workload {
    application: &'static Application,
    /// The pod template's hash, new with every rolling update.
    revision: String,
    pods: Vec<Member>,
    updating: bool,
}

/// A pod of the workload.
#[derive(Debug)]
struct Member {
    /// A StatefulSet's pod has the name of its predecessor, but is created only when the predecessor is gone.
    name: String,
    revision: String,
    state: PodState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PodState {
    Starting,
    Ready,
    /// The pod was Ready, and its probe fails.
    Unready,
    Terminating,
}

/// The next step of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// It gets a node and an address, and runs.
    Start,
    /// It becomes Ready, for the first time or again.
    BecomeReady,
    /// It is being deleted and its containers have stopped.
    Stop,
    /// It is gone.
    Vanish,
}

/// A scheduled step: the pod, the step, and the time until then.
pub(super) type Next = (Step, String, Duration);

/// Shared by all workloads of a cluster.
pub(super) struct Cluster {
    pub(super) store: Store,
    pub(super) rng: StdRng,
    /// Number of addresses assigned so far.
    pub(super) addresses: u32,
}

// === impl Workload ===

impl Workload {
    /// The workload of the application, with all its pods Ready.
    pub(super) fn new(application: &'static Application, cluster: &mut Cluster) -> Self {
        let mut workload =
            Self { application, revision: name_suffix(&mut cluster.rng, 9), pods: Vec::new(), updating: false };
        for ordinal in 0..application.replicas {
            let name = workload.create(ordinal, cluster);
            workload.start(&name, cluster);
            workload.become_ready(&name, cluster);
        }
        workload
    }

    /// Whether a rolling update is in progress.
    pub(super) fn is_updating(&self) -> bool {
        self.updating
    }

    /// Starts a rolling update.
    pub(super) fn update(&mut self, cluster: &mut Cluster) -> Vec<Next> {
        self.revision = name_suffix(&mut cluster.rng, 9);
        self.updating = true;
        self.advance(cluster)
    }

    /// Makes the probe of a Ready pod fail. Returns the pod's name, if there is such a pod.
    pub(super) fn flap(&mut self, cluster: &mut Cluster) -> Option<String> {
        let ready: Vec<_> = (0..self.pods.len()).filter(|i| self.pods[*i].state == PodState::Ready).collect();
        if ready.is_empty() {
            return None;
        }
        let member = &mut self.pods[ready[cluster.rng.random_range(0..ready.len())]];
        member.state = PodState::Unready;
        let name = member.name.clone();
        self.write(&name, cluster, |pod| kubelet::set_readiness(pod, false, &kubelet::now()));
        Some(name)
    }

    /// Executes a step of a pod, and what follows from it for the rolling update.
    pub(super) fn take(&mut self, step: Step, name: &str, cluster: &mut Cluster) -> Vec<Next> {
        let mut next = Vec::new();
        match step {
            Step::Start => next.push(self.start(name, cluster)),
            Step::BecomeReady => self.become_ready(name, cluster),
            Step::Stop => self.write(name, cluster, |pod| kubelet::set_readiness(pod, false, &kubelet::now())),
            Step::Vanish => self.vanish(name, cluster),
        }
        if self.updating {
            next.extend(self.advance(cluster));
        }
        next
    }

    fn advance(&mut self, cluster: &mut Cluster) -> Vec<Next> {
        match self.application.controller {
            WorkloadKind::Deployment => self.advance_deployment(cluster),
            WorkloadKind::StatefulSet => self.advance_stateful_set(cluster),
        }
    }

    /// As with maxUnavailable 0: an old pod is deleted only if enough pods are Ready without it.
    fn advance_deployment(&mut self, cluster: &mut Cluster) -> Vec<Next> {
        let replicas = self.application.replicas;
        // A tenth instead of the default of a quarter, so that updates take longer and overlap.
        let surge = replicas.div_ceil(10);
        let mut next = Vec::new();
        while self.count(|m| m.state != PodState::Terminating) < replicas + surge
            && self.count(|m| m.revision == self.revision) < replicas
        {
            let name = self.create(0, cluster);
            next.push((Step::Start, name, millis(TO_ADDRESS, cluster)));
        }
        while let Some(name) = self.dispensable(replicas) {
            next.extend(self.terminate(&name, cluster));
        }
        self.updating =
            self.count(|m| m.revision != self.revision) > 0 || self.count(|m| m.state == PodState::Starting) > 0;
        next
    }

    /// An old pod that is not Ready, or that is not needed to have `replicas` Ready pods.
    fn dispensable(&self, replicas: usize) -> Option<String> {
        let old = |m: &&Member| m.revision != self.revision && m.state != PodState::Terminating;
        if self.count(|m| m.state != PodState::Terminating) <= replicas {
            return None;
        }
        let spare = self.count(|m| m.state == PodState::Ready) > replicas;
        let mut candidates = self.pods.iter().filter(old);
        let unready = candidates.clone().find(|m| m.state != PodState::Ready);
        let chosen = unready.or_else(|| candidates.next().filter(|_| spare));
        chosen.map(|m| m.name.clone())
    }

    /// One pod at a time, from the highest ordinal down.
    fn advance_stateful_set(&mut self, cluster: &mut Cluster) -> Vec<Next> {
        if let Some(missing) = (0..self.application.replicas).find(|n| !self.has_ordinal(*n)) {
            let name = self.create(missing, cluster);
            return vec![(Step::Start, name, millis(TO_ADDRESS, cluster))];
        }
        if self.count(|m| m.state != PodState::Ready) > 0 {
            return Vec::new();
        }
        let old = self.pods.iter().filter(|m| m.revision != self.revision);
        let Some(highest) = old.map(|m| m.name.clone()).max() else {
            self.updating = false;
            return Vec::new();
        };
        self.terminate(&highest, cluster).into()
    }

    fn has_ordinal(&self, ordinal: usize) -> bool {
        let name = self.ordinal_name(ordinal);
        self.pods.iter().any(|m| m.name == name)
    }

    fn ordinal_name(&self, ordinal: usize) -> String {
        format!("{}-{ordinal}", self.application.name)
    }

    /// Creates a pod and returns its name. Only a StatefulSet's pod has an ordinal.
    fn create(&mut self, ordinal: usize, cluster: &mut Cluster) -> String {
        let name = match self.application.controller {
            WorkloadKind::StatefulSet => self.ordinal_name(ordinal),
            WorkloadKind::Deployment => {
                let suffix = name_suffix(&mut cluster.rng, 5);
                format!("{}-{}-{suffix}", self.application.name, self.revision)
            }
        };
        let mut labels = self.application.selector();
        labels.insert("pod-template-hash".to_owned(), self.revision.clone());
        cluster.store.apply(Pod {
            metadata: ObjectMeta {
                name: name.clone(),
                namespace: self.application.namespace.to_owned(),
                uid: fresh_uid(&mut cluster.rng),
                labels,
                creation_timestamp: Some(kubelet::now()),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec {
                containers: vec![Container {
                    ports: vec![container_port(PORT_NAME, PORT), container_port(METRICS_PORT_NAME, PORT + 1)],
                    readiness_probe: Some(kubelet::READINESS_PROBE),
                    ..Container::default()
                }],
                ..PodSpec::default()
            }),
            status: Some(PodStatus { phase: "Pending".to_owned(), ..PodStatus::default() }),
        });
        self.pods.push(Member { name: name.clone(), revision: self.revision.clone(), state: PodState::Starting });
        name
    }

    fn start(&mut self, name: &str, cluster: &mut Cluster) -> Next {
        let (address, node) = cluster.next_place();
        self.write(name, cluster, |pod| {
            pod.spec.get_or_insert_default().node_name = node;
            let status = pod.status.get_or_insert_default();
            status.pod_ips = vec![PodIp { ip: address.clone() }];
            status.pod_ip = address;
            kubelet::run(pod, &kubelet::now());
        });
        (Step::BecomeReady, name.to_owned(), millis(TO_READY, cluster))
    }

    fn become_ready(&mut self, name: &str, cluster: &mut Cluster) {
        let waits = |state| matches!(state, PodState::Starting | PodState::Unready);
        // A pod that flapped may already be terminating when its probe would succeed again. Its name does not belong to its
        // successor yet, because a StatefulSet deletes only pods that are Ready.
        if let Some(member) = self.member(name).filter(|m| waits(m.state)) {
            member.state = PodState::Ready;
            self.write(name, cluster, |pod| kubelet::set_readiness(pod, true, &kubelet::now()));
        }
    }

    fn terminate(&mut self, name: &str, cluster: &mut Cluster) -> [Next; 2] {
        if let Some(member) = self.member(name) {
            member.state = PodState::Terminating;
        }
        let seconds = kubelet::now().seconds + GRACE_SECONDS;
        self.write(name, cluster, |pod| {
            pod.metadata.deletion_timestamp = Some(Time { seconds });
        });
        let gone = millis(TO_GONE, cluster);
        let stopped = gone.mul_f64(cluster.rng.random_range(0.4..0.9));
        [(Step::Stop, name.to_owned(), stopped), (Step::Vanish, name.to_owned(), gone)]
    }

    fn vanish(&mut self, name: &str, cluster: &mut Cluster) {
        self.pods.retain(|m| m.name != name);
        cluster.store.delete::<Pod>(self.application.namespace, name);
    }

    fn write(&self, name: &str, cluster: &Cluster, change: impl FnOnce(&mut Pod)) {
        // A pod that something else deleted is not created again.
        cluster.store.update(self.application.namespace, name, change);
    }

    fn member(&mut self, name: &str) -> Option<&mut Member> {
        self.pods.iter_mut().find(|m| m.name == name)
    }

    fn count(&self, wanted: impl Fn(&Member) -> bool) -> usize {
        self.pods.iter().filter(|m| wanted(m)).count()
    }
}

// === impl Cluster ===

impl Cluster {
    /// Puts every application's Service and pods into the store.
    pub(super) fn populate(&mut self) -> Vec<Workload> {
        let applications = APPLICATIONS.iter().enumerate();
        applications
            .map(|(number, application)| {
                let service = application.service(number, &mut self.rng);
                self.store.apply(service);
                Workload::new(application, self)
            })
            .collect()
    }

    /// The next of the 65,000 addresses of a /16, in a cycle, and the next node. An address is reused long after its pod is gone.
    fn next_place(&mut self) -> (String, String) {
        self.addresses = (self.addresses + 1) % 0xfffe;
        let [_, _, high, low] = self.addresses.to_be_bytes();
        (format!("10.244.{high}.{low}"), node_name(self.addresses as usize % NODES))
    }
}

fn container_port(name: &str, number: i32) -> ContainerPort {
    ContainerPort { name: name.to_owned(), container_port: number, protocol: "TCP".to_owned() }
}

fn millis(range: RangeInclusive<u64>, cluster: &mut Cluster) -> Duration {
    Duration::from_millis(cluster.rng.random_range(range))
}
