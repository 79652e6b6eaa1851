//! A second implementation of the measurement, slow and obvious. It keeps every event and the view after it, and finds changes
//! and outcomes by searching that history, in the words of the definitions. It shares nothing with the tracker
//! except the types of its input and output.

mod edits;
mod endings;
mod history;
mod overtaken;
mod pods;
mod slices;
mod tests;

use self::{
    edits::Edit,
    endings::Cause,
    history::{Moment, Pair, View, name_of},
    overtaken::{Dormant, Memory},
};
use crate::world::Step;
use endpointlag::{
    ledger::{Change, Outcome},
    model::{Event, Pod, Resource, Seen, Service, Stamp, Uid},
    propagation::{ServiceName, TrackerSettings},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The end of a change, with what can be compared between two implementations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub service: ServiceName,
    pub pod: Option<Uid>,
    pub change: Change,
    pub outcome: Outcome,
    pub at: Stamp,
}

/// Whether a change met its objective.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    pub service: ServiceName,
    pub change: Change,
    pub missed: bool,
}

/// A change that is expected and not yet reflected.
#[derive(Clone, Debug)]
pub struct Pending {
    pub service: ServiceName,
    pub pod: Option<Uid>,
    pub change: Change,
    pub since: Stamp,
    /// Whether `since` is the start of the change. If not, it is when the change was first known.
    pub exact: bool,
    /// The Service itself. A later one can have the same name.
    owner: Uid,
    judged: bool,
    /// A slice that contradicts it made it pending. The slice may be ahead of the event that ends it: until then it may be no change.
    doubted_until: Option<Stamp>,
    /// It is contradicted only by absent endpoints. Endpoints are absent for a moment while they move between slices.
    by_absence: bool,
    objective: Duration,
    /// What a pending [`Change::Service`] waits for.
    edit: Option<Edit>,
}

/// Everything that it received, and what follows from it.
#[derive(Debug)]
pub struct Reference {
    settings: TrackerSettings,
    history: Vec<Moment>,
    /// Objects named by the list under way, by resource.
    listing: BTreeMap<Resource, BTreeSet<Uid>>,
    listed_once: BTreeSet<Resource>,
    /// The watches that are lost now, and since when.
    lost: BTreeMap<Resource, Stamp>,
    /// The event with which measuring began; `usize::MAX` until then.
    measuring_since: usize,
    pub pending: Vec<Pending>,
    /// What a late write may bring back, for pods and for edits.
    overtaken: BTreeMap<Pair, Memory>,
    dormant: BTreeMap<Uid, Dormant>,
    /// Pairs whose sides differed when they were first seen, while a watch was lost. They are compared again when none is.
    uncompared: BTreeSet<Pair>,
    /// How many changes there have been.
    pub started: u64,
    /// How many pods had another state than before, of Services that came in a gap. These are no changes.
    pub found: u32,
    pub ends: Vec<End>,
    pub verdicts: Vec<Verdict>,
}

impl Reference {
    pub fn new(settings: TrackerSettings) -> Self {
        let beginning = Moment {
            seen: Seen::late(Stamp::default()),
            resource: Resource::Pods,
            services_named: BTreeSet::new(),
            pods_lost: false,
            pods_caught_up: false,
            newcomers: BTreeSet::new(),
            view: View::default(),
            out_of_sync: BTreeMap::new(),
        };
        Self {
            settings,
            history: vec![beginning],
            listing: BTreeMap::new(),
            listed_once: BTreeSet::new(),
            lost: BTreeMap::new(),
            measuring_since: usize::MAX,
            pending: Vec::new(),
            overtaken: BTreeMap::new(),
            dormant: BTreeMap::new(),
            uncompared: BTreeSet::new(),
            started: 0,
            found: 0,
            ends: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Takes an event, or advances the time.
    pub fn feed(&mut self, step: &Step) {
        match step {
            Step::Event(seen, event) => self.apply(*seen, event),
            Step::Advance(now) => self.advance(*now),
        }
    }

    /// Takes an event. The time does not advance.
    pub fn apply(&mut self, seen: Seen, event: &Event) {
        match event {
            Event::Service(service) => {
                let namesake = self.now().named(&name_of(service)).cloned();
                if let Some(old) = namesake.filter(|old| old.uid != service.uid) {
                    // The Service was created again under its name: the old one was deleted, without an event.
                    self.take(seen, &Event::ServiceDeleted((*old).clone()));
                }
            }
            // The deletion of an unknown Service is ignored. It is not the deletion of another Service that has its name now.
            Event::ServiceDeleted(service) if !self.now().services.contains_key(&service.uid) => return,
            _ => {}
        }
        self.take(seen, event);
    }

    fn take(&mut self, seen: Seen, event: &Event) {
        let mut view = self.now().after(event);
        let mut services_named = BTreeSet::new();
        let mut seen = seen;
        match event {
            Event::WatchLost(resource) => drop(self.lost.entry(*resource).or_insert(seen.at)),
            Event::WatchRestored(resource) => drop(self.lost.remove(resource)),
            Event::Init(resource) => drop(self.listing.insert(*resource, BTreeSet::new())),
            Event::InitDone(resource) => {
                // An object that a list does not name was deleted, at an unknown time.
                seen = Seen::late(seen.at);
                let named = self.listing.remove(resource).unwrap_or_default();
                match resource {
                    Resource::Pods => view.pods.retain(|uid, _| named.contains(uid)),
                    Resource::EndpointSlices => view.slices.retain(|uid, _| named.contains(uid)),
                    Resource::Services => {
                        services_named.extend(view.services.keys().filter(|uid| !named.contains(uid)).cloned());
                        view.services.retain(|uid, _| named.contains(uid));
                    }
                }
                self.listed_once.insert(*resource);
            }
            Event::Service(service) | Event::ServiceDeleted(service) => {
                services_named.insert(service.uid.clone());
            }
            _ => {}
        }
        let (resource, uid) = subject(event);
        if let (Some(named), Some(uid)) = (self.listing.get_mut(&resource), uid) {
            named.insert(uid);
        }
        let begins = !self.is_measuring() && self.listed_once.len() == Resource::ALL.len();
        if begins {
            self.measuring_since = self.history.len();
        }
        let out_of_sync = if self.is_measuring() { view.out_of_sync() } else { BTreeMap::new() };
        let tells_of_a_pod = matches!(event, Event::Pod(_) | Event::PodDeleted(_));
        let pods_caught_up = matches!(event, Event::WatchRestored(Resource::Pods) | Event::InitDone(Resource::Pods))
            || tells_of_a_pod && !seen.is_late();
        let newcomers = if resource == Resource::Pods && seen.is_late() { self.newcomers() } else { BTreeSet::new() };
        let pods_lost = self.lost.contains_key(&Resource::Pods);
        let moment = Moment { seen, resource, services_named, pods_lost, pods_caught_up, newcomers, view, out_of_sync };
        self.history.push(moment);
        if begins {
            self.start_from_lists();
        } else if matches!(event, Event::WatchRestored(_)) && !self.is_blind() {
            self.compare_what_waited();
        } else if self.is_measuring() && !matches!(event, Event::WatchLost(_) | Event::WatchRestored(_)) {
            self.lose_starts(event);
            match resource {
                Resource::Pods => self.pods_moved(),
                Resource::Services => self.services_edited(),
                Resource::EndpointSlices => self.slices_written(),
            }
        }
    }

    /// Every endpoint that is out of sync now, whether traffic goes wrong, and the event since which it has been out of sync without
    /// interruption.
    pub fn out_of_sync(&self) -> BTreeMap<(ServiceName, Uid), (Stamp, bool)> {
        let mut endpoints = BTreeMap::new();
        for (pair, traffic) in &self.history[self.history.len() - 1].out_of_sync {
            let since = self.history.iter().rev().take_while(|moment| moment.out_of_sync.contains_key(pair)).last();
            let since = since.expect("it is so now").seen.at;
            endpoints.insert((name_of(&self.now().services[&pair.0]), pair.1.clone()), (since, *traffic));
        }
        endpoints
    }

    /// How many overtaken changes and edits are remembered.
    pub fn remembered(&self) -> usize {
        self.overtaken.len() + self.dormant.len()
    }

    /// Whether every watch has completed a list.
    pub fn is_measuring(&self) -> bool {
        self.measuring_since != usize::MAX
    }

    /// Whether a watch is lost, so that the controller cannot be judged.
    pub fn is_blind(&self) -> bool {
        !self.lost.is_empty()
    }

    fn now(&self) -> &View {
        &self.history[self.history.len() - 1].view
    }

    /// The view before the last event.
    fn before(&self) -> &View {
        &self.history[self.history.len() - 2].view
    }

    fn seen(&self) -> Seen {
        self.history[self.history.len() - 1].seen
    }

    /// If a list shows an object with another version than the known one, the object had states for which no event came.
    fn lose_starts(&mut self, event: &Event) {
        let resource = self.history[self.history.len() - 1].resource;
        if !self.listing.contains_key(&resource) {
            return;
        }
        let before = self.before();
        let is_other_pod =
            |pod: &Pod| before.pods.get(&pod.uid).is_some_and(|it| it.resource_version != pod.resource_version);
        let is_other_service =
            |of: &Service| before.services.get(&of.uid).is_some_and(|it| it.resource_version != of.resource_version);
        match event {
            Event::Pod(pod) if is_other_pod(pod) => {
                self.forget_starts(|it| it.pod.as_ref() == Some(&pod.uid), &pod.uid)
            }
            Event::Service(service) if is_other_service(service) => {
                self.forget_starts(|it| it.pod.is_none() && it.owner == service.uid, &service.uid);
            }
            _ => {}
        }
    }

    /// The starts of pending and remembered changes of this pod or Service are no longer known.
    fn forget_starts(&mut self, is_of_it: impl Fn(&Pending) -> bool, uid: &Uid) {
        self.pending.iter_mut().filter(|it| is_of_it(it)).for_each(|it| it.exact = false);
        self.forget_starts_of_overtaken(uid);
    }

    /// Objects of the first lists are no changes. Where they disagree, a change is pending with an unknown start.
    fn start_from_lists(&mut self) {
        let services: Vec<_> = self.now().all_measured().cloned().collect();
        for service in &services {
            self.start_what_disagrees(service);
        }
    }

    /// After an event of the slice watch: first pending changes end, then overtaken changes may come back.
    fn slices_written(&mut self) {
        self.end_shown(Cause::Reflected);
        self.answer_late_writes();
    }
}

/// What an event is about.
fn subject(event: &Event) -> (Resource, Option<Uid>) {
    match event {
        Event::Init(resource)
        | Event::InitDone(resource)
        | Event::WatchLost(resource)
        | Event::WatchRestored(resource) => (*resource, None),
        Event::Pod(pod) | Event::PodDeleted(pod) => (Resource::Pods, Some(pod.uid.clone())),
        Event::Service(service) | Event::ServiceDeleted(service) => (Resource::Services, Some(service.uid.clone())),
        Event::EndpointSlice(slice) | Event::EndpointSliceDeleted(slice) => {
            (Resource::EndpointSlices, Some(slice.uid.clone()))
        }
        Event::EndpointsChanged(_) => panic!("the reference is told of slices whole"),
    }
}
