//! Follows the pods of one workload, and their entries in the slices of the Services that select them.

use super::{
    facts::{Facts, Moment},
    slices::{Slices, Touched},
};
use crate::{
    model::{Event, Families, Pod, Resource, Seen, Service, Stamp, Uid},
    propagation::{Ended, PendingChange, ServiceName, Subject},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// What is kept of changes that ended while no rollout is followed: they may turn out to belong to one that is.
const KEPT: usize = 1_000;

/// What a pod can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was not ready yet.
    #[default]
    Starting,
    /// It is ready, has an address, and is not being deleted.
    Servable,
    /// It was ready and is not, or is being deleted, or is gone.
    Left,
}

/// One pod of the workload.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) name: Arc<str>,
    pub(super) first_seen: Moment,
    pub(super) phase: Facts<Phase>,
    /// When it got its deletionTimestamp, or was gone without one.
    pub(super) leaving: Option<Moment>,
    /// When it was deleted, has ended, or its labels no longer matched.
    pub(super) gone: Option<Moment>,
    families: Families,
    /// The list in which it was last seen.
    list: u32,
}

/// A Service that selects the pods.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) name: Arc<ServiceName>,
    pub(super) objective: Duration,
    uid: Option<Uid>,
    families: Families,
    publishes_not_ready: bool,
    /// Whether its slices list a pod.
    pub(super) listed: HashMap<Uid, Facts<bool>>,
}

/// Follows the pods of one workload.
#[derive(Debug)]
pub struct Follower {
    pub(super) services: Vec<Followed>,
    pub(super) pods: HashMap<Uid, Life>,
    slices: Slices,
    pod_list: u32,
    /// How many pods are wanted.
    pub(super) wanted: Facts<u32>,
    /// When the rollout began, once it has.
    begun: Option<Stamp>,
    pub(super) ended: Vec<Ended>,
    /// Which watches may miss something now.
    lost: [bool; Resource::ALL.len()],
    /// Whether any does.
    pub(super) blind: Facts<bool>,
}

// === impl Follower ===

impl Follower {
    /// Follows the pods of a workload in these Services, each with the objective that holds if it has none of its own.
    pub fn new(services: impl IntoIterator<Item = ServiceName>, objective: Duration) -> Self {
        let follow = |name| Followed {
            name: Arc::new(name),
            objective,
            uid: None,
            families: Families::NONE,
            publishes_not_ready: false,
            listed: HashMap::new(),
        };
        Self {
            services: services.into_iter().map(follow).collect(),
            pods: HashMap::new(),
            slices: Slices::default(),
            pod_list: 0,
            wanted: Facts::default(),
            begun: None,
            ended: Vec::new(),
            lost: [false; Resource::ALL.len()],
            blind: Facts::default(),
        }
    }

    /// So many pods are wanted from now on.
    pub fn want(&mut self, at: Stamp, wanted: u32) {
        self.wanted.set(Moment { at, exact: true }, wanted);
        if self.begun.is_none() {
            self.wanted.trim();
        }
    }

    /// The rollout began at this time, as the watch of the workload says, or just before the first pod that came or left up to `behind`
    /// earlier: another watch brings the pods, and may be ahead. From now on everything is kept.
    pub fn begin(&mut self, at: Stamp, behind: Duration) {
        let after = at.minus(behind);
        let moments = self.pods.values().flat_map(|life| [Some(life.first_seen), life.leaving]).flatten();
        // What a list shows may have happened long before.
        let first =
            moments.filter(|moment| moment.exact && moment.at > after && moment.at <= at).min_by_key(|it| it.at);
        self.begun = Some(first.map_or(at, |first| first.at.minus(Duration::from_nanos(1))));
    }

    /// When the rollout began, once it has.
    pub fn begun(&self) -> Option<Stamp> {
        self.begun
    }

    /// Takes an event of a watch. `is_own` says whether a pod is one of the workload.
    pub fn apply(&mut self, seen: Seen, event: &Event, is_own: impl Fn(&Pod) -> bool) {
        let moment = Moment::from(seen);
        match event {
            Event::WatchLost(resource) => self.set_lost(moment, *resource, true),
            Event::WatchRestored(resource) => self.set_lost(moment, *resource, false),
            Event::Init(Resource::Pods) => self.pod_list += 1,
            Event::InitDone(Resource::Pods) => self.end_pod_list(moment),
            Event::Init(Resource::EndpointSlices) => self.slices.begin_list(),
            Event::InitDone(Resource::EndpointSlices) => {
                let touched = self.slices.end_list();
                self.touched(moment, touched);
            }
            Event::Init(Resource::Services) | Event::InitDone(Resource::Services) => {}
            Event::Pod(pod) if is_own(pod) => self.pod(moment, pod),
            Event::Pod(pod) | Event::PodDeleted(pod) => self.pod_gone(moment, &pod.uid),
            Event::Service(service) => self.service(moment, service),
            Event::ServiceDeleted(service) => self.service_gone(moment, service),
            Event::EndpointSlice(slice) => {
                let touched = self.slices.put(slice);
                self.touched(moment, touched);
            }
            Event::EndpointsChanged(change) => {
                let touched = self.slices.change(change);
                self.touched(moment, touched);
            }
            Event::EndpointSliceDeleted(slice) => {
                let touched = self.slices.remove(&slice.uid);
                self.touched(moment, touched);
            }
        }
    }

    /// Takes a change that ended on the slice hop.
    pub fn ended(&mut self, ended: &Ended) {
        if self.follows(&ended.key) {
            self.ended.push(ended.clone());
            if self.begun.is_none() && self.ended.len() > 2 * KEPT {
                self.ended.drain(..KEPT);
            }
        }
    }

    /// Whether a pending change is one of this rollout.
    pub fn is_of_rollout(&self, pending: &PendingChange) -> bool {
        self.begun.is_some_and(|begun| pending.since >= begun) && self.follows(&pending.key)
    }

    /// Whether nothing of the rollout is under way: each pod that left is gone, and each Service lists those that can serve, and no other.
    /// The workload's status may arrive before its pods do. So as many as it says must be able to serve, and no more than wanted may stay.
    pub fn is_settled(&self, available: u32) -> bool {
        let servable = self.pods.values().filter(|life| life.phase.last() == Phase::Servable).count();
        if servable < available as usize || self.surplus() > 0 || self.blind.last() {
            return false;
        }
        let settled = |(uid, life): (&Uid, &Life)| {
            let is_listed = |service: &Followed| service.listed.get(uid).is_some_and(Facts::last);
            match life.phase.last() {
                Phase::Starting => true,
                Phase::Servable => self.services.iter().all(is_listed),
                Phase::Left => (life.leaving.is_none() || life.gone.is_some()) && !self.services.iter().any(is_listed),
            }
        };
        self.pods.iter().all(settled)
    }

    /// Number of pods that are not gone and have to be: those that are being deleted, and those that are more than wanted.
    pub fn leaving(&self) -> usize {
        let is_leaving = |life: &&Life| life.leaving.is_some() && life.gone.is_none();
        self.pods.values().filter(is_leaving).count() + self.surplus()
    }

    /// Number of pods that are more than wanted and not being deleted.
    fn surplus(&self) -> usize {
        let staying = self.pods.values().filter(|life| life.leaving.is_none()).count();
        staying.saturating_sub(self.wanted.last() as usize)
    }

    fn follows(&self, subject: &Subject) -> bool {
        self.services.iter().any(|service| service.name == subject.service)
            && subject.pod.as_ref().is_some_and(|pod| self.pods.contains_key(&pod.uid))
    }

    fn set_lost(&mut self, moment: Moment, resource: Resource, lost: bool) {
        self.lost[resource as usize] = lost;
        self.blind.set(moment, self.lost.contains(&true));
        if self.begun.is_none() {
            self.blind.trim();
        }
    }

    fn end_pod_list(&mut self, moment: Moment) {
        let gone = |(uid, life): (&Uid, &Life)| (life.list != self.pod_list).then(|| uid.clone());
        let gone: Vec<_> = self.pods.iter().filter_map(gone).collect();
        gone.iter().for_each(|uid| self.pod_gone(moment, uid));
    }

    fn pod(&mut self, moment: Moment, pod: &Pod) {
        let life = self.pods.entry(pod.uid.clone()).or_insert_with(|| Life {
            name: pod.name.as_str().into(),
            first_seen: moment,
            phase: Facts::default(),
            leaving: None,
            gone: None,
            families: Families::NONE,
            list: 0,
        });
        life.list = self.pod_list;
        life.families = pod.families;
        match (pod.terminating || pod.terminal, pod.terminal) {
            // Its labels may have matched before, and not for a while.
            (false, _) => (life.leaving, life.gone) = (None, None),
            (true, is_gone) => {
                life.leaving.get_or_insert(moment);
                if is_gone {
                    life.gone.get_or_insert(moment);
                }
            }
        }
        let is_servable = pod.ready && !pod.terminating && !pod.terminal && !pod.families.is_empty();
        let phase = match life.phase.last() {
            _ if is_servable => Phase::Servable,
            Phase::Starting if !pod.terminating && !pod.terminal => Phase::Starting,
            _ => Phase::Left,
        };
        life.phase.set(moment, phase);
        self.list_anew(moment, std::slice::from_ref(&pod.uid), |_| true);
    }

    fn pod_gone(&mut self, moment: Moment, uid: &Uid) {
        let Some(life) = self.pods.get_mut(uid) else { return };
        life.leaving.get_or_insert(moment);
        life.gone.get_or_insert(moment);
        life.phase.set(moment, Phase::Left);
        self.forget_past(uid);
    }

    fn service(&mut self, moment: Moment, service: &Service) {
        let mut found = self.services.iter_mut();
        let Some(followed) = found.find(|it| is_of(&it.name, service)) else { return };
        followed.uid = Some(service.uid.clone());
        followed.families = service.families;
        followed.publishes_not_ready = service.publish_not_ready_addresses;
        if let Some(objective) = service.objective.value() {
            followed.objective = objective;
        }
        let name = followed.name.clone();
        let pods: Vec<_> = self.pods.keys().cloned().collect();
        self.list_anew(moment, &pods, |followed| followed.name == name);
    }

    fn service_gone(&mut self, moment: Moment, service: &Service) {
        for followed in self.services.iter_mut().filter(|it| is_of(&it.name, service)) {
            if followed.uid.as_ref() == Some(&service.uid) {
                followed.uid = None;
                followed.listed.values_mut().for_each(|listed| listed.set(moment, false));
            }
        }
    }

    fn touched(&mut self, moment: Moment, touched: impl IntoIterator<Item = Touched>) {
        for (service, pods) in touched {
            self.list_anew(moment, &pods, |followed| followed.uid.as_ref() == Some(&service));
        }
    }

    /// Looks up whether the slices of some Services list these pods. Between all families and none it is as it was.
    fn list_anew(&mut self, moment: Moment, pods: &[Uid], which: impl Fn(&Followed) -> bool) {
        for followed in self.services.iter_mut().filter(|followed| which(followed)) {
            let Some(service) = &followed.uid else { continue };
            for pod in pods {
                let Some(life) = self.pods.get(pod) else { continue };
                let families = followed.families.intersection(life.families);
                let publishes = followed.publishes_not_ready;
                let [all, any] = self.slices.lists(service, pod, families, publishes);
                if all || !any {
                    followed.listed.entry(pod.clone()).or_default().set(moment, all);
                }
            }
        }
        pods.iter().for_each(|pod| self.forget_past(pod));
    }

    /// Before the rollout only the state counts.
    fn forget_past(&mut self, uid: &Uid) {
        let Some(life) = self.pods.get_mut(uid).filter(|_| self.begun.is_none()) else { return };
        life.phase.trim();
        let mut is_listed = false;
        for listed in self.services.iter_mut().filter_map(|followed| followed.listed.get_mut(uid)) {
            listed.trim();
            is_listed |= listed.last();
        }
        if life.gone.is_some() && !is_listed {
            self.pods.remove(uid);
            self.services.iter_mut().for_each(|followed| drop(followed.listed.remove(uid)));
        }
    }
}

fn is_of(name: &ServiceName, service: &Service) -> bool {
    *name.namespace == *service.namespace && *name.name == *service.name
}
