//! The whole history: every event with its stamp, and the view after it.

use endpointlag::{
    ledger::Change,
    model::{Annotation, EndpointSlice, Event, Families, Pod, Resource, Seen, Service, Uid},
    propagation::ServiceName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// A Service and a pod, each by UID.
pub type Pair = (Uid, Uid);

/// What the three watches together have delivered so far.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub pods: BTreeMap<Uid, Rc<Pod>>,
    /// At most one for each name.
    pub services: BTreeMap<Uid, Rc<Service>>,
    pub slices: BTreeMap<Uid, Rc<EndpointSlice>>,
}

/// One event, and the view after it.
#[derive(Clone, Debug)]
pub struct Moment {
    pub seen: Seen,
    pub resource: Resource,
    /// Services that the event names or deletes.
    pub services_named: BTreeSet<Uid>,
    pub view: View,
    /// Whether the pod watch may lack events.
    pub pods_lost: bool,
    /// Whether the pod watch, with this event, has delivered everything that had happened before.
    pub pods_caught_up: bool,
    /// Services that came before the pod watch had delivered all earlier events, if this event is one of those: it may be older than the
    /// Service.
    pub newcomers: BTreeSet<Uid>,
    /// Pairs that are out of sync, and whether traffic goes wrong. Empty before measuring began.
    pub out_of_sync: BTreeMap<Pair, bool>,
}

/// The state of a pod in a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    Out,
    Unready,
    Ready,
    Terminating,
}

// === impl PodState ===

impl PodState {
    /// The kind of change that a move to this state makes.
    pub fn change(self) -> Change {
        match self {
            Self::Out => Change::Removed,
            Self::Unready => Change::Unready,
            Self::Ready => Change::Ready,
            Self::Terminating => Change::Terminating,
        }
    }

    /// Whether the change still holds for a pod in this state. A pod that is gone is also not ready, and counts as
    /// terminating.
    pub fn upholds(self, change: Change) -> bool {
        match change {
            Change::Ready => self == Self::Ready,
            Change::Unready => self != Self::Ready,
            Change::Terminating => self == Self::Terminating || self == Self::Out,
            Change::Removed => self == Self::Out,
            Change::Service => true,
        }
    }
}

// === impl View ===

impl View {
    /// The view after `event`. The caller drops the objects that a completed list did not name.
    pub fn after(&self, event: &Event) -> Self {
        let mut view = self.clone();
        match event {
            Event::Init(_) | Event::InitDone(_) | Event::WatchLost(_) | Event::WatchRestored(_) => {}
            Event::EndpointsChanged(_) => panic!("the reference is told of slices whole"),
            Event::Pod(pod) => drop(view.pods.insert(pod.uid.clone(), Rc::new(pod.clone()))),
            Event::PodDeleted(pod) => drop(view.pods.remove(&pod.uid)),
            Event::Service(service) => drop(view.services.insert(service.uid.clone(), Rc::new(service.clone()))),
            Event::ServiceDeleted(service) => drop(view.services.remove(&service.uid)),
            Event::EndpointSlice(slice) => drop(view.slices.insert(slice.uid.clone(), Rc::new(slice.clone()))),
            Event::EndpointSliceDeleted(slice) => drop(view.slices.remove(&slice.uid)),
        }
        view
    }

    /// The Service of this name, whatever its UID.
    pub fn named(&self, name: &ServiceName) -> Option<&Rc<Service>> {
        self.services.values().find(|service| name_of(service) == *name)
    }

    /// The Service, if its endpoints are measured: the controller writes slices for it, it is not in deletion and not ignored.
    pub fn measured(&self, service: &Uid) -> Option<&Service> {
        let service = self.services.get(service)?;
        (has_controller(service) && !service.terminating && !is_ignored(service)).then_some(service)
    }

    /// Every measured Service.
    pub fn all_measured(&self) -> impl Iterator<Item = &Uid> {
        self.services.keys().filter(|uid| self.measured(uid).is_some())
    }

    /// The state of the pod in the Service.
    pub fn state(&self, service: &Uid, pod: &Uid) -> PodState {
        match (self.expected_families(service, pod).is_empty(), self.pods.get(pod)) {
            (true, _) | (_, None) => PodState::Out,
            (false, Some(pod)) if pod.terminating => PodState::Terminating,
            (false, Some(pod)) if pod.ready => PodState::Ready,
            (false, Some(_)) => PodState::Unready,
        }
    }

    /// Families in which the Service must list the pod: none if it does not expect it.
    pub fn expected_families(&self, service: &Uid, pod: &Uid) -> Families {
        let (Some(service), Some(pod)) = (self.measured(service), self.pods.get(pod)) else { return Families::NONE };
        let selected = *pod.namespace == *service.namespace
            && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
        if selected && !pod.terminal { pod.families.intersection(service.families) } else { Families::NONE }
    }

    /// Every pod the Service expects.
    pub fn expected(&self, service: &Uid) -> BTreeSet<Uid> {
        self.pods.keys().filter(|pod| !self.expected_families(service, pod).is_empty()).cloned().collect()
    }

    /// Every pod that the Service expects or that its slices list.
    pub fn concerned(&self, service: &Uid) -> BTreeSet<Uid> {
        let mut pods = self.expected(service);
        pods.append(&mut self.listed(service));
        pods
    }
}

/// The Service's name, as the metrics show it.
pub fn name_of(service: &Service) -> ServiceName {
    ServiceName { namespace: service.namespace.as_str().into(), name: service.name.as_str().into() }
}

/// Whether the EndpointSlice controller writes slices for it.
pub fn has_controller(service: &Service) -> bool {
    !service.selector.is_empty() && !service.external_name
}

/// Whether its owner excludes it.
pub fn is_ignored(service: &Service) -> bool {
    service.ignore == Annotation::Set(true)
}
