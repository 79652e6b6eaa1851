//! What is needed of each pod: which Services select it, whose it is, where it is, and how long it took to start.

use super::{
    guards::Guards,
    index::{Index, Labels},
    starts::Start,
};
use crate::model::spec::{MESH_PROXIES, Workload};
use k8s_openapi::{
    api::{apps::v1::ReplicaSet, core::v1::PodCondition},
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};
use kube::{ResourceExt, core::PartialObjectMeta};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// The label with which a Deployment marks the pods of a ReplicaSet, which has its value at the end of its name.
const HASH: &str = "pod-template-hash";

/// What is read of a pod's JSON. All else is skipped while parsing: in a large cluster it is gigabytes.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PodObject {
    metadata: Meta,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    namespace: Option<String>,
    labels: Option<Labels>,
    owner_references: Option<Vec<OwnerReference>>,
    deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    containers: Option<Vec<Named>>,
    init_containers: Option<Vec<Named>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    conditions: Option<Vec<PodCondition>>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    #[serde(default)]
    restart_count: i32,
    state: Option<ContainerState>,
}

#[derive(Clone, Debug, Deserialize)]
struct ContainerState {
    running: Option<Running>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<Time>,
}

/// A pod that a Service selects: about a hundred bytes.
#[derive(Debug)]
pub(super) struct PodFacts {
    /// Positions of the Services.
    pub(super) services: Box<[usize]>,
    /// Position of its owner in [`Owners`].
    pub(super) owner: usize,
    pub(super) node: Option<Arc<str>>,
    /// Whether it is ready, and not being deleted.
    pub(super) is_ready: bool,
    /// Its start, if it has not restarted.
    pub(super) start: Option<Start>,
    /// Its proxy of a mesh.
    pub(super) proxy: Option<&'static str>,
}

/// Whose pod it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    Nobody,
    Of { kind: String, name: String },
}

/// What many pods have in common, once: their owners and the names of their nodes.
#[derive(Debug, Default)]
pub(super) struct Owners {
    positions: HashMap<Arc<Owned>, usize>,
    all: Vec<Arc<Owned>>,
    nodes: HashSet<Arc<str>>,
    /// By the position of the owner: which PodDisruptionBudgets select its pods.
    guarded: HashMap<usize, Guarded>,
}

/// What PodDisruptionBudgets, by position, select of the pods of an owner.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    /// The number of pods that each selects.
    pub(super) budgets: BTreeMap<usize, u32>,
    /// Those that select a pod which another one selects too.
    pub(super) overlapping: BTreeSet<usize>,
    /// Number of pods, and of those that none selects.
    pub(super) pods: u32,
    pub(super) unguarded: u32,
}

/// An owner in its namespace, as pods name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Owned {
    namespace: String,
    owner: Owner,
    /// The Deployment of a ReplicaSet, as their names tell it.
    by_name: Option<String>,
}

/// Names of ReplicaSets with their namespaces.
pub(super) type Sets = HashSet<(String, String)>;

/// ReplicaSets with their own owners, by namespace and name.
pub(super) type ReplicaSets = HashMap<(String, String), Owner>;

/// A ReplicaSet and its owner, if it is among those wanted.
pub(super) fn replica_set(object: &PartialObjectMeta<ReplicaSet>, wanted: &Sets) -> Option<((String, String), Owner)> {
    let name = object.name_any();
    let owner = match controller(object.metadata.owner_references.as_deref()) {
        Some(owner) => Owner::from(owner),
        None => Owner::Of { kind: "ReplicaSet".to_owned(), name: name.clone() },
    };
    let place = (object.namespace()?, name);
    wanted.contains(&place).then_some((place, owner))
}

fn controller(owners: Option<&[OwnerReference]>) -> Option<&OwnerReference> {
    owners?.iter().find(|owner| owner.controller == Some(true))
}

// === impl Owner ===

impl Owner {
    /// This workload, as the owner of its pods.
    pub(super) fn of(workload: &Workload) -> Self {
        Self::Of { kind: workload.kind.as_str().to_owned(), name: workload.name.clone() }
    }

    /// Whether it is this workload of the same namespace.
    pub(super) fn is(&self, workload: &Workload) -> bool {
        matches!(self, Self::Of { kind, name } if kind == workload.kind.as_str() && *name == workload.name)
    }
}

impl From<&OwnerReference> for Owner {
    fn from(owner: &OwnerReference) -> Self {
        Self::Of { kind: owner.kind.clone(), name: owner.name.clone() }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("bare pods"),
            Self::Of { kind, name } => write!(f, "{kind} {name}"),
        }
    }
}

// === impl Owned ===

impl Owned {
    fn new(namespace: &str, meta: &Meta) -> Self {
        let namespace = namespace.to_owned();
        let Some(owner) = controller(meta.owner_references.as_deref()) else {
            return Self { namespace, owner: Owner::Nobody, by_name: None };
        };
        let hash = meta.labels.iter().find_map(|labels| labels.get(HASH)).filter(|hash| !hash.is_empty());
        let by_name = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
        Self { namespace, owner: Owner::from(owner), by_name: by_name.map(str::to_owned) }
    }

    /// The ReplicaSet, if it is one.
    fn set(&self) -> Option<(String, String)> {
        match &self.owner {
            Owner::Of { kind, name } if kind == "ReplicaSet" => Some((self.namespace.clone(), name.clone())),
            _ => None,
        }
    }

    /// Who makes the pod again: for a ReplicaSet its own owner. Without permission to read ReplicaSets their names tell.
    fn resolve(&self, sets: Option<&ReplicaSets>) -> Owner {
        let Some(set) = self.set() else { return self.owner.clone() };
        match (sets, &self.by_name) {
            (Some(sets), _) => sets.get(&set).unwrap_or(&self.owner).clone(),
            (None, Some(name)) => Owner::Of { kind: "Deployment".to_owned(), name: name.clone() },
            (None, None) => self.owner.clone(),
        }
    }
}

// === impl Owners ===

impl Owners {
    /// A pod. `None` if it has ended, or no Service selects it.
    pub(super) fn facts(&mut self, pod: &PodObject, services: &Index<usize>, guards: &Guards) -> Option<PodFacts> {
        let PodObject { metadata, spec, status } = pod;
        let (spec, status) = (spec.as_ref(), status.as_ref());
        if status.and_then(|it| it.phase.as_deref()).is_some_and(|phase| phase == "Succeeded" || phase == "Failed") {
            return None;
        }
        let namespace = metadata.namespace.as_deref()?;
        let labels = metadata.labels.as_ref()?;
        let services: Box<[_]> = services.selecting(namespace, labels).copied().collect();
        let budgets: Box<[_]> = guards.selecting(namespace, labels).collect();
        // A budget counts pods of all owners, also behind no Service. And whether it selects all pods of an owner, only all of them tell.
        let may_be_guarded = guards.has_any(namespace);
        if services.is_empty() && !may_be_guarded {
            return None;
        }
        let owner = self.position(Owned::new(namespace, metadata));
        if may_be_guarded {
            self.guarded.entry(owner).or_default().add(&budgets);
        }
        if services.is_empty() {
            return None;
        }
        let containers =
            spec.into_iter().flat_map(|spec| [&spec.containers, &spec.init_containers]).flatten().flatten();
        let proxy = containers.filter_map(|it| MESH_PROXIES.into_iter().find(|proxy| *proxy == it.name)).next();
        Some(PodFacts {
            services,
            owner,
            node: spec.and_then(|spec| spec.node_name.as_deref()).map(|node| self.node(node)),
            is_ready: metadata.deletion_timestamp.is_none() && status.is_some_and(Status::is_ready),
            start: status.and_then(Status::start),
            proxy,
        })
    }

    fn position(&mut self, owned: Owned) -> usize {
        if let Some(position) = self.positions.get(&owned) {
            return *position;
        }
        let owned = Arc::new(owned);
        self.all.push(owned.clone());
        self.positions.insert(owned, self.all.len() - 1);
        self.all.len() - 1
    }

    fn node(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.nodes.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.nodes.insert(name.clone());
        name
    }

    /// The ReplicaSets among them.
    pub(super) fn sets(&self) -> Sets {
        self.all.iter().filter_map(|owned| owned.set()).collect()
    }

    /// Positions of owners, each with what budgets select of its pods.
    pub(super) fn guarded(&self) -> impl Iterator<Item = (usize, &Guarded)> {
        self.guarded.iter().map(|(owner, guarded)| (*owner, guarded))
    }

    /// Each of them by its position: its namespace, and who makes its pods again.
    pub(super) fn resolve(&self, sets: Option<&ReplicaSets>) -> Vec<(&str, Owner)> {
        self.all.iter().map(|owned| (owned.namespace.as_str(), owned.resolve(sets))).collect()
    }
}

// === impl Guarded ===

impl Guarded {
    /// Adds a pod that these budgets select.
    fn add(&mut self, budgets: &[usize]) {
        self.pods += 1;
        self.unguarded += u32::from(budgets.is_empty());
        budgets.iter().for_each(|budget| *self.budgets.entry(*budget).or_default() += 1);
        if budgets.len() > 1 {
            self.overlapping.extend(budgets);
        }
    }
}

// === impl Status ===

impl Status {
    /// This condition, if it is true.
    fn condition(&self, name: &str) -> Option<&PodCondition> {
        self.conditions.iter().flatten().find(|condition| condition.type_ == name && condition.status == "True")
    }

    fn is_ready(&self) -> bool {
        self.condition("Ready").is_some()
    }

    fn start(&self) -> Option<Start> {
        let containers = self.container_statuses.as_deref().filter(|containers| !containers.is_empty())?;
        if containers.iter().any(|container| container.restart_count > 0) {
            return None;
        }
        let started =
            containers.iter().map(|container| Some(container.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0));
        let started = started.collect::<Option<Vec<_>>>()?.into_iter().max()?;
        let since = |name| Some(self.condition(name)?.last_transition_time.as_ref()?.0.as_second());
        let (containers_ready, ready) = (since("ContainersReady"), since("Ready"));
        Some(Start { began: started.as_second(), containers_ready, ready })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, owners: Value) -> Value {
        json!({
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": { "app": "web", "pod-template-hash": "5d4f" },
                "ownerReferences": owners,
                "managedFields": [{ "manager": "kubelet", "fieldsV1": { "f:status": {} } }],
            },
            "spec": { "nodeName": "a", "containers": [{ "name": "web" }], "initContainers": [{ "name": "istio-proxy" }] },
            "status": {
                "phase": "Running",
                "conditions": [
                    { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:07Z" },
                    { "type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z" },
                ],
                "containerStatuses": [
                    { "name": "web", "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:03Z" } } },
                ],
            },
        })
    }

    fn owner(kind: &str, name: &str) -> Value {
        json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true }])
    }

    fn facts(owners: &mut Owners, pod: Value) -> Option<PodFacts> {
        let labels = [("app".to_owned(), "web".to_owned())].into();
        let index = Index::new([("shop".to_owned(), labels, 7)]);
        owners.facts(&serde_json::from_value(pod).expect("a pod"), &index, &Guards::default())
    }

    fn named(kind: &str, name: &str) -> Owner {
        Owner::Of { kind: kind.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_pod_is_read() {
        let mut owners = Owners::default();
        let facts = facts(&mut owners, pod("web-0", owner("StatefulSet", "web"))).expect("selected");
        assert_eq!((&*facts.services, facts.node.as_deref(), facts.is_ready), (&[7][..], Some("a"), true));
        let start = facts.start.expect("it has not restarted");
        let after = |end: Option<i64>| end.map(|end| end - start.began);
        // The readiness gates took two seconds.
        assert_eq!((after(start.containers_ready), after(start.ready)), (Some(2), Some(4)));
        assert_eq!(facts.proxy, Some("istio-proxy"));
        assert_eq!(owners.resolve(None), [("shop", named("StatefulSet", "web"))]);
    }

    #[test]
    fn what_no_service_selects_or_has_ended_is_dropped() {
        let mut owners = Owners::default();
        let mut ended = pod("web-0", json!([]));
        ended["status"]["phase"] = json!("Succeeded");
        let mut other = pod("web-1", json!([]));
        other["metadata"]["labels"]["app"] = json!("api");
        let mut bare = pod("web-2", json!([]));
        bare["metadata"].as_object_mut().expect("an object").remove("labels");
        assert!([ended, other, bare].into_iter().all(|pod| facts(&mut owners, pod).is_none()));
        // What is not Ready, or being deleted, is nowhere, and has no start.
        let mut terminating = pod("web-3", json!([]));
        terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
        assert!(!facts(&mut owners, terminating).expect("selected").is_ready);
        let new = json!({ "metadata": { "namespace": "shop", "labels": { "app": "web" } }, "spec": {}, "status": {} });
        let new = facts(&mut owners, new).expect("selected");
        assert_eq!((new.is_ready, new.node, new.start), (false, None, None));
    }

    /// Pods share their owners and nodes.
    #[test]
    fn the_owner_of_a_replica_set_is_read_or_told_by_its_name() {
        let mut owners = Owners::default();
        let positions = ["a", "b"].map(|name| facts(&mut owners, pod(name, owner("ReplicaSet", "web-5d4f"))));
        assert_eq!(positions.map(|facts| facts.map(|facts| facts.owner)), [Some(0), Some(0)]);
        facts(&mut owners, pod("c", owner("ReplicaSet", "by-hand")));
        assert_eq!((owners.all.len(), owners.nodes.len()), (2, 1));
        let by_name = owners.resolve(None);
        assert_eq!(by_name, [("shop", named("Deployment", "web")), ("shop", named("ReplicaSet", "by-hand"))]);
        let place = |name: &str| ("shop".to_owned(), name.to_owned());
        assert_eq!(owners.sets(), [place("web-5d4f"), place("by-hand")].into());
        let sets = [(place("web-5d4f"), named("Rollout", "checkout"))].into();
        let read = owners.resolve(Some(&sets));
        assert_eq!(read, [("shop", named("Rollout", "checkout")), ("shop", named("ReplicaSet", "by-hand"))]);
    }
}
