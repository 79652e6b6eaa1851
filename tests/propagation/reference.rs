//! A second implementation of the measurement, slow and obvious: it keeps every event it heard and the view after each, and
//! finds changes and outcomes by asking that history, in the words of the definitions. It shares nothing with the tracker
//! but the types of what goes in and what comes out.

mod edits;
mod history;
mod pods;

use self::{
    edits::Edit,
    history::{Moment, View, name_of},
};
use endpointlag::{
    cluster::{
        event::{Event, Resource, Seen, Stamp},
        object::{Annotation, Uid},
    },
    propagation::{Change, Outcome, ServiceName, Settings},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The end of a change, as far as two implementations can be compared.
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
    /// Whether `since` is when it started, and not merely when it was first known.
    pub exact: bool,
    judged: bool,
    objective: Duration,
    /// What is waited for, of a [`Change::Service`].
    edit: Option<Edit>,
}

/// Everything it heard, and what follows from it.
#[derive(Debug)]
pub struct Reference {
    settings: Settings,
    history: Vec<Moment>,
    /// Objects named by the list under way, by resource.
    listing: BTreeMap<Resource, BTreeSet<Uid>>,
    listed_once: BTreeSet<Resource>,
    /// The event with which measuring began; beyond any until then.
    measuring_since: usize,
    pub pending: Vec<Pending>,
    /// How many changes there have been.
    pub started: u64,
    pub ends: Vec<End>,
    pub verdicts: Vec<Verdict>,
}

/// Why a pending change ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Reflected(Seen),
    Superseded,
    Withdrawn,
    Expired,
}

/// How long before a change a slice may show it and still be its reflection.
const HORIZON: Duration = Duration::from_secs(10);

impl Reference {
    pub fn new(settings: Settings) -> Self {
        let beginning = Moment {
            seen: Seen::late(Stamp::default()),
            resource: Resource::Pods,
            services_named: BTreeSet::new(),
            view: View::default(),
        };
        Self {
            settings,
            history: vec![beginning],
            listing: BTreeMap::new(),
            listed_once: BTreeSet::new(),
            measuring_since: usize::MAX,
            pending: Vec::new(),
            started: 0,
            ends: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Lets time pass: what is strictly older than its objective has missed it, what is older than the expiry is given up.
    /// It is given up at that age, so that it never grows as old as an objective beyond the expiry.
    pub fn advance(&mut self, now: Stamp) {
        let expiry = self.settings.expiry;
        for pending in &mut self.pending {
            if !pending.judged && pending.objective < expiry && now.since(pending.since) > pending.objective {
                pending.judged = true;
                self.verdicts.push(verdict(pending, true));
            }
        }
        self.end_where(now, Ending::Expired, |pending| now.since(pending.since) > expiry);
    }

    /// Takes an event; time has advanced to its stamp before it counts.
    pub fn apply(&mut self, seen: Seen, event: &Event) {
        self.advance(seen.at);
        if let Event::Service(service) | Event::ServiceDeleted(service) = event {
            let known = self.now().services.get(&name_of(service)).cloned();
            match (known.filter(|known| known.uid != service.uid), event) {
                // A Service made anew under its name: the one before was deleted, and nobody told.
                (Some(known), Event::Service(_)) => self.take(seen, &Event::ServiceDeleted((*known).clone())),
                // The end of the one before, told late, is not the end of this one.
                (Some(_), _) => return,
                (None, _) => {}
            }
        }
        self.take(seen, event);
    }

    fn take(&mut self, seen: Seen, event: &Event) {
        let mut view = self.now().after(event);
        let mut services_named = BTreeSet::new();
        let mut seen = seen;
        match event {
            Event::ListBegan(resource) => drop(self.listing.insert(*resource, BTreeSet::new())),
            Event::ListEnded(resource) => {
                // What a list does not name was deleted, nobody knows when.
                seen = Seen::late(seen.at);
                let named = self.listing.remove(resource).unwrap_or_default();
                match resource {
                    Resource::Pods => view.pods.retain(|uid, _| named.contains(uid)),
                    Resource::EndpointSlices => view.slices.retain(|uid, _| named.contains(uid)),
                    Resource::Services => view.services.retain(|name, service| {
                        let kept = named.contains(&service.uid);
                        if !kept {
                            services_named.insert(name.clone());
                        }
                        kept
                    }),
                }
                self.listed_once.insert(*resource);
            }
            Event::Service(service) | Event::ServiceDeleted(service) => {
                services_named.insert(name_of(service));
            }
            _ => {}
        }
        let (resource, uid) = subject(event);
        if let (Some(named), Some(uid)) = (self.listing.get_mut(&resource), uid) {
            named.insert(uid);
        }
        self.history.push(Moment { seen, resource, services_named, view });
        if self.measuring_since < self.history.len() {
            self.lose_starts(event);
            match resource {
                Resource::Pods => self.pods_moved(),
                Resource::Services => self.services_edited(),
                Resource::EndpointSlices => self.end_shown(Ending::Reflected(seen)),
            }
        } else if self.listed_once.len() == Resource::ALL.len() {
            self.measuring_since = self.history.len() - 1;
            self.start_from_lists();
        }
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

    /// An object of a list that is not the version known has been through states that nobody told of.
    fn lose_starts(&mut self, event: &Event) {
        let (now, before) = (&self.history[self.history.len() - 1], &self.history[self.history.len() - 2].view);
        if !self.listing.contains_key(&now.resource) {
            return;
        }
        for pending in &mut self.pending {
            let lost = match event {
                Event::Pod(pod) => {
                    pending.pod.as_ref() == Some(&pod.uid)
                        && before.pods.get(&pod.uid).is_some_and(|known| known.resource_version != pod.resource_version)
                }
                Event::Service(service) => {
                    let name = name_of(service);
                    pending.pod.is_none()
                        && pending.service == name
                        && before.services.get(&name).is_some_and(|s| s.resource_version != service.resource_version)
                }
                _ => false,
            };
            pending.exact &= !lost;
        }
    }

    /// Objects of the first lists are no changes; where they disagree, something is under way since nobody knows when.
    fn start_from_lists(&mut self) {
        let late = Seen::late(self.seen().at);
        let view = self.now();
        let services: Vec<_> = view.services.keys().filter(|name| view.measured(name).is_some()).cloned().collect();
        for service in &services {
            let mut pods = self.now().listed(service);
            pods.extend(self.now().pods.keys().cloned());
            for pod in pods {
                let change = self.now().state(service, &pod).change();
                if !self.now().shows(&self.now().question(service, &pod), change) {
                    self.start(service, Some(&pod), change, late, None);
                }
            }
        }
    }

    fn start(&mut self, service: &ServiceName, pod: Option<&Uid>, change: Change, seen: Seen, edit: Option<Edit>) {
        self.started += 1;
        self.pending.push(Pending {
            service: service.clone(),
            pod: pod.cloned(),
            change,
            since: seen.at,
            exact: !seen.is_late(),
            judged: false,
            objective: self.objective(service),
            edit,
        });
    }

    /// A change that the slices came to show at `shown`, before it was heard of.
    fn start_shown(&mut self, service: &ServiceName, pod: Option<&Uid>, change: Change, shown: Seen) {
        let seen = self.seen();
        if !seen.is_late() && !shown.is_late() && seen.at.since(shown.at) > HORIZON {
            return;
        }
        self.start(service, pod, change, seen, None);
        let started = self.pending.len() - 1;
        self.end(started, seen.at, Ending::Reflected(shown));
    }

    /// The delay within which a change of the Service should be reflected.
    fn objective(&self, service: &ServiceName) -> Duration {
        match self.now().services.get(service).map(|service| &service.objective) {
            Some(Annotation::Set(objective)) => *objective,
            _ => self.settings.objective,
        }
    }

    /// Ends every pending change that the view of now shows.
    fn end_shown(&mut self, ending: Ending) {
        let (view, at) = (self.now().clone(), self.seen().at);
        for pending in &mut self.pending {
            if let Some(edit) = &mut pending.edit {
                edit.forget_unexpected(&view, &pending.service);
            }
        }
        self.end_where(at, ending, |pending| match (&pending.pod, &pending.edit) {
            (Some(pod), _) => view.shows(&view.question(&pending.service, pod), pending.change),
            (None, Some(edit)) => edit.is_reflected(&view, &pending.service),
            (None, None) => false,
        });
    }

    fn end_where(&mut self, at: Stamp, ending: Ending, which: impl Fn(&Pending) -> bool) {
        for index in (0..self.pending.len()).rev() {
            if which(&self.pending[index]) {
                self.end(index, at, ending);
            }
        }
    }

    fn end(&mut self, index: usize, at: Stamp, ending: Ending) {
        let pending = self.pending.remove(index);
        let outcome = match ending {
            _ if !pending.exact => Outcome::Censored,
            Ending::Reflected(shown) if shown.is_late() => Outcome::Censored,
            Ending::Reflected(shown) => Outcome::Propagated {
                delay: shown.at.since(pending.since),
                reordered: (shown.at < pending.since).then(|| pending.since.since(shown.at)),
            },
            Ending::Superseded => Outcome::Superseded,
            Ending::Withdrawn => Outcome::Withdrawn,
            Ending::Expired => Outcome::Expired { age: at.since(pending.since) },
        };
        match outcome {
            Outcome::Propagated { delay, .. } if !pending.judged => {
                self.verdicts.push(verdict(&pending, delay > pending.objective));
            }
            Outcome::Expired { .. } if !pending.judged => self.verdicts.push(verdict(&pending, true)),
            _ => {}
        }
        let Pending { service, pod, change, .. } = pending;
        self.ends.push(End { service, pod, change, outcome, at });
    }
}

fn verdict(pending: &Pending, missed: bool) -> Verdict {
    Verdict { service: pending.service.clone(), change: pending.change, missed }
}

/// What an event is about.
fn subject(event: &Event) -> (Resource, Option<Uid>) {
    match event {
        Event::ListBegan(resource)
        | Event::ListEnded(resource)
        | Event::WatchLost(resource)
        | Event::WatchRestored(resource) => (*resource, None),
        Event::Pod(pod) | Event::PodDeleted(pod) => (Resource::Pods, Some(pod.uid.clone())),
        Event::Service(service) | Event::ServiceDeleted(service) => (Resource::Services, Some(service.uid.clone())),
        Event::EndpointSlice(slice) | Event::EndpointSliceDeleted(slice) => {
            (Resource::EndpointSlices, Some(slice.uid.clone()))
        }
    }
}
