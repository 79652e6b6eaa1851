//! Reads once what is set: Services, the workloads behind them, and what else acts on their pods. For advice, not for measuring.
//!
//! ```text
//! list (pages, missing rights) ──► services ──► index ──► pods, workloads, guards ──► reach ──► Inventory: model::spec
//! ```
//!
//! It goes through kube's typed API. Services and pods must be readable. What may not be read otherwise is [`Missing`], and the checks
//! that need it are left out. Services are read first. Of each page of pods and workloads only what a Service selects is kept, and of a
//! pod about a hundred bytes: a cluster of 150,000 pods fits. Of the other workloads their names and numbers of pods are kept, because
//! budgets count them too.

mod guards;
mod index;
mod list;
mod pods;
mod reach;
mod services;
mod starts;
mod template;
mod workloads;

pub use self::list::{InventoryError, Missing, Pace};

use self::{
    guards::Guards,
    index::Index,
    list::Lists,
    pods::{Owner, Owners, PodFacts, PodObject, ReplicaSets},
    reach::{Counted, Owned, Reach},
    services::Paths,
    starts::Starts,
};
use super::ScopeSettings;
use crate::model::spec::{Backing, Beyond, Place, ServiceSpec, Workload, WorkloadKind};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    core::v1::{Node, Pod, Service},
};
use kube::{Client, ResourceExt};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

const ZONE: &str = "topology.kubernetes.io/zone";

/// What is set in one part of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The Services with a selector that are not ignored altogether.
    pub services: Vec<Set>,
    /// The minor version of Kubernetes 1, if the server tells it.
    pub minor: Option<u32>,
    /// Number of zones of the nodes, if they may be read.
    pub zones: Option<usize>,
    /// What may not be read.
    pub missing: Vec<Missing>,
}

/// A Service, and what is behind it.
#[derive(Clone, Debug)]
pub struct Set {
    /// The Service.
    pub service: ServiceSpec,
    /// The workloads whose pods it selects.
    pub backings: Vec<Backing>,
    /// Owners of its pods that are not read, such as `Rollout checkout`, each with the reason.
    pub unread: Vec<(String, String)>,
}

/// The starts of pods, by their namespace and who makes them again.
type StartsOf<'a> = HashMap<(&'a str, &'a Owner), Starts>;

/// Zones by the names of their nodes.
type Zones = HashMap<String, Arc<str>>;

// === impl Inventory ===

impl Inventory {
    /// Reads these namespaces, or the whole cluster if there are none.
    ///
    /// # Errors
    /// If Services or pods cannot be listed, or the API server does not answer.
    pub async fn read(client: Client, scope: &ScopeSettings, pace: Pace) -> Result<Self, InventoryError> {
        let minor = client.apiserver_version().await.ok();
        let minor = minor.and_then(|version| version.minor.trim_end_matches('+').parse().ok());
        let mut lists = Lists::new(client, scope, pace);
        let mut paths = Paths::read(&mut lists).await?;
        let spec = |service: Service| services::spec(&service, &mut paths).filter(|(it, _)| scope.takes(&it.namespace));
        let (mut sets, selectors): (Vec<_>, Vec<_>) = lists
            .all("services", spec)
            .await?
            .into_iter()
            .map(|(service, selector)| (Set::new(service), selector))
            .unzip();
        let numbered = sets.iter().zip(selectors).enumerate();
        let index = Index::new(numbered.map(|(at, (set, selector))| (set.service.namespace.clone(), selector, at)));
        let guards = Guards::read(&mut lists).await?;

        let mut owners = Owners::default();
        let pods = lists.slim::<Pod, _, _>("pods", |pod: PodObject| owners.facts(&pod, &index, &guards)).await?;
        let wanted = owners.sets();
        let replica_sets =
            lists.metadata::<ReplicaSet, _>("replicasets.apps", |it| pods::replica_set(it, &wanted)).await?;
        let replica_sets: Option<ReplicaSets> = replica_sets.readable().map(|all| all.into_iter().collect());
        let zone = |node: &kube::core::PartialObjectMeta<Node>| {
            Some((node.name_any(), node.labels().get(ZONE)?.as_str().into()))
        };
        let zones = lists.cluster_metadata::<Node, _>("nodes", zone).await?;
        let zones: Option<Zones> = zones.readable().map(|zones| zones.into_iter().collect());
        let number = zones.as_ref().map(|zones| zones.values().collect::<BTreeSet<_>>().len());

        let resolved = owners.resolve(replica_sets.as_ref());
        let mut starts = StartsOf::new();
        let mut owned = Owned::new();
        let mut owning: Vec<BTreeSet<&Owner>> = vec![BTreeSet::new(); sets.len()];
        let zones = zones.unwrap_or_default();
        for pod in &pods {
            let (namespace, owner) = &resolved[pod.owner];
            starts.entry((*namespace, owner)).or_default().add(pod.start);
            owned.entry((*namespace, owner)).or_default().services.extend(&pod.services);
            for at in &pod.services {
                sets[*at].add(pod, &zones);
                owning[*at].insert(owner);
            }
        }
        drop(pods);
        for (owner, guarded) in owners.guarded() {
            let (namespace, owner) = &resolved[owner];
            owned.entry((*namespace, owner)).or_default().add(guarded);
        }

        // By the labels of its template, and by those of its pods: an operator adds `role: primary` to one of them.
        let counted = |workload: Workload| {
            let (namespace, labels, owner) = (&*workload.namespace, &workload.template.labels, Owner::of(&workload));
            let own = owned.get(&(namespace, &owner));
            let mut services: BTreeSet<_> = index.selecting(namespace, labels).copied().collect();
            let mut budgets: BTreeSet<_> = guards.selecting(namespace, labels).collect();
            services.extend(own.into_iter().flat_map(|it| &it.services));
            let of_pods = || own.into_iter().flat_map(|own| own.budgets.iter().map(move |it| (it, own.pods)));
            let partly = of_pods().filter(|((budget, number), pods)| !budgets.contains(budget) && *number < pods);
            let partly: BTreeSet<_> = partly.map(|((budget, _), _)| *budget).collect();
            budgets.extend(of_pods().map(|((budget, _), _)| *budget));
            let fewest = guards.fewest(&workload);
            let counted = Counted { namespace: namespace.to_owned(), owner, fewest, budgets, partly };
            Some((counted, (!services.is_empty()).then_some((workload, services))))
        };
        let (mut all, mut unreadable) = (Vec::new(), Vec::new());
        let mut take = |kind, listed: Option<Vec<_>>| match listed {
            Some(workloads) => all.extend(workloads),
            None => unreadable.push(kind),
        };
        let listed = lists.any("deployments.apps", |it: Deployment| counted(workloads::deployment(it)?)).await?;
        take(WorkloadKind::Deployment, listed.readable());
        let listed = lists.any("statefulsets.apps", |it: StatefulSet| counted(workloads::stateful_set(it)?)).await?;
        take(WorkloadKind::StatefulSet, listed.readable());
        let listed = lists.any("daemonsets.apps", |it: DaemonSet| counted(workloads::daemon_set(it)?)).await?;
        take(WorkloadKind::DaemonSet, listed.readable());
        let (counted, selected): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let reach = Reach::new(guards.number(), counted, &owned);
        for (workload, by) in selected.into_iter().flatten() {
            let backing = backing(workload, &guards, &reach, &owned, &starts);
            by.into_iter().for_each(|at| sets[at].backings.push(backing.clone()));
        }
        for (set, owners) in sets.iter_mut().zip(owning) {
            set.unread = unread(&set.backings, owners, &unreadable);
        }
        Ok(Self { services: sets, minor, zones: number, missing: lists.missing() })
    }
}

// === impl Set ===

impl Set {
    fn new(service: ServiceSpec) -> Self {
        Self { service, backings: Vec::new(), unread: Vec::new() }
    }

    /// Adds a pod that the Service selects.
    fn add(&mut self, pod: &PodFacts, zones: &Zones) {
        let service = &mut self.service;
        if let Some(node) = pod.node.clone().filter(|_| pod.is_ready) {
            let zone = zones.get(&*node).cloned();
            service.places.push(Place { node, zone });
        }
        if let Some(mesh) = pod.proxy.map(|proxy| Beyond::Mesh(proxy.to_owned()))
            && !service.beyond.contains(&mesh)
        {
            service.beyond.push(mesh);
        }
    }
}

fn backing(workload: Workload, guards: &Guards, reach: &Reach, owned: &Owned<'_>, starts: &StartsOf<'_>) -> Backing {
    let owner = Owner::of(&workload);
    let name = (workload.namespace.clone(), workload.name.clone());
    let took = starts.get(&(workload.namespace.as_str(), &owner));
    let own = owned.get(&(workload.namespace.as_str(), &owner));
    // New pods will have the labels of the template.
    let by_template = guards.selecting(&workload.namespace, &workload.template.labels).next();
    Backing {
        budgets: guards.budgets(&workload, own, reach),
        has_unguarded: by_template.is_none() && own.is_none_or(|own| own.pods == 0 || own.unguarded > 0),
        autoscaler: guards.autoscaler(&workload),
        startup: took.and_then(Starts::ready),
        containers_ready: took.and_then(Starts::containers_ready),
        is_name_taken: reach.is_shared(&name) || guards.has_budget(&name),
        workload,
    }
}

/// Owners of selected pods that are not among the workloads.
fn unread(backings: &[Backing], owners: BTreeSet<&Owner>, unreadable: &[WorkloadKind]) -> Vec<(String, String)> {
    let of_none = owners.into_iter().filter(|owner| !backings.iter().any(|backing| owner.is(&backing.workload)));
    let why = |owner: &Owner| match owner {
        Owner::Nobody => "no workload makes them again".to_owned(),
        Owner::Of { kind, .. } => match unreadable.iter().find(|unreadable| unreadable.as_str() == kind) {
            Some(_) => "it may not be read".to_owned(),
            // Between the list of pods and that of workloads.
            None if WorkloadKind::ALL.iter().any(|known| known.as_str() == kind) => "it is gone".to_owned(),
            None => format!("the kind {kind} is not known here: Deployments, StatefulSets and DaemonSets are"),
        },
    };
    let mut unread: Vec<_> = of_none.map(|owner| (owner.to_string(), why(owner))).collect();
    unread.dedup();
    unread
}

#[cfg(test)]
mod tests;
