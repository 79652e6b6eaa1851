//! All that was ever heard: every event with its stamp, and what was known after it.

use endpointlag::{
    cluster::{
        event::{Event, Resource, Seen},
        object::{Annotation, Endpoint, EndpointPort, EndpointSlice, Families, Family, Pod, Service, TargetPort, Uid},
    },
    propagation::{Change, ServiceName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// What the three watches together have told so far.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub pods: BTreeMap<Uid, Rc<Pod>>,
    pub services: BTreeMap<ServiceName, Rc<Service>>,
    pub slices: BTreeMap<Uid, Rc<EndpointSlice>>,
}

/// One event, and the view it left behind.
#[derive(Clone, Debug)]
pub struct Moment {
    pub seen: Seen,
    pub resource: Resource,
    /// Services that the event names, or whose deletion it tells.
    pub services_named: BTreeSet<ServiceName>,
    pub view: View,
}

/// What one slice says: family, ports, endpoints.
type Content<'a> = (Family, &'a [EndpointPort], Vec<&'a Endpoint>);

/// What a pod is to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Out,
    Unready,
    Ready,
    Terminating,
}

/// What to look for in the slices of a Service, about one pod.
#[derive(Clone, Debug)]
pub struct Question {
    service: ServiceName,
    pod: Uid,
    /// Families in which the slices must list it, if they must list it.
    expected: Families,
    publish_not_ready: bool,
}

// === impl State ===

impl State {
    /// The kind of change that a move to this state is.
    pub fn change(self) -> Change {
        match self {
            Self::Out => Change::Removed,
            Self::Unready => Change::Unready,
            Self::Ready => Change::Ready,
            Self::Terminating => Change::Terminating,
        }
    }

    /// Whether this state is the opposite of what a pending change waits for.
    pub fn opposes(self, change: Change) -> bool {
        match change {
            Change::Ready => self != Self::Ready,
            Change::Unready => self == Self::Ready,
            Change::Terminating => matches!(self, Self::Ready | Self::Unready),
            Change::Removed => self != Self::Out,
            Change::Service => false,
        }
    }
}

// === impl Question ===

impl Question {
    /// The same question about each expected family alone.
    pub fn by_family(&self) -> Vec<Self> {
        self.expected.iter().map(|family| Self { expected: [family].into_iter().collect(), ..self.clone() }).collect()
    }
}

// === impl View ===

impl View {
    /// The view after `event`; what a completed list did not name is dropped by the caller.
    pub fn after(&self, event: &Event) -> Self {
        let mut view = self.clone();
        match event {
            Event::ListBegan(_) | Event::ListEnded(_) | Event::WatchLost(_) | Event::WatchRestored(_) => {}
            Event::Pod(pod) => drop(view.pods.insert(pod.uid.clone(), Rc::new(pod.clone()))),
            Event::PodDeleted(pod) => drop(view.pods.remove(&pod.uid)),
            Event::Service(service) => drop(view.services.insert(name_of(service), Rc::new(service.clone()))),
            Event::ServiceDeleted(service) => drop(view.services.remove(&name_of(service))),
            Event::EndpointSlice(slice) => {
                drop(view.slices.insert(slice.uid.clone(), Rc::new(slice.read().expect("endpoints"))))
            }
            Event::EndpointSliceDeleted(slice) => drop(view.slices.remove(&slice.uid)),
        }
        view
    }

    /// The Service, if its endpoints are measured: it has a selector, is not ExternalName and not ignored.
    pub fn measured(&self, name: &ServiceName) -> Option<&Service> {
        let service = self.services.get(name)?;
        (has_controller(service) && !is_ignored(service)).then_some(service)
    }

    /// What the pod is to the Service.
    pub fn state(&self, name: &ServiceName, uid: &Uid) -> State {
        match (self.expected_families(name, uid).is_empty(), self.pods.get(uid)) {
            (true, _) | (_, None) => State::Out,
            (false, Some(pod)) if pod.terminating => State::Terminating,
            (false, Some(pod)) if pod.ready => State::Ready,
            (false, Some(_)) => State::Unready,
        }
    }

    /// Families in which the Service must list the pod: none if it does not expect it.
    pub fn expected_families(&self, name: &ServiceName, uid: &Uid) -> Families {
        let (Some(service), Some(pod)) = (self.measured(name), self.pods.get(uid)) else { return Families::NONE };
        let selected = *pod.namespace == *service.namespace
            && service.selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value));
        if selected && !pod.terminal { pod.families.intersection(service.families) } else { Families::NONE }
    }

    /// Every pod the Service expects.
    pub fn expected(&self, name: &ServiceName) -> BTreeSet<Uid> {
        self.pods.keys().filter(|uid| !self.expected_families(name, uid).is_empty()).cloned().collect()
    }

    /// The slices of a Service.
    pub fn slices_of(&self, name: &ServiceName) -> impl Iterator<Item = (Family, &EndpointSlice)> {
        self.slices.values().filter_map(move |slice| {
            let owner = slice.owner.as_ref()?;
            let mine = *owner.service == *name.name && *slice.namespace == *name.namespace;
            mine.then_some((owner.family, &**slice))
        })
    }

    /// What the Service's slices say, whatever their versions.
    pub fn content<'a>(&'a self, name: &'a ServiceName) -> BTreeMap<&'a Uid, Content<'a>> {
        let content = |(family, slice): (Family, &'a EndpointSlice)| {
            let mut endpoints: Vec<_> = slice.endpoints.iter().collect();
            endpoints.sort_by_key(|endpoint| &endpoint.pod);
            (&slice.uid, (family, &*slice.ports, endpoints))
        };
        self.slices_of(name).map(content).collect()
    }

    /// Every pod that the Service's slices list.
    pub fn listed(&self, name: &ServiceName) -> BTreeSet<Uid> {
        self.slices_of(name).flat_map(|(_, slice)| &slice.endpoints).map(|endpoint| endpoint.pod.clone()).collect()
    }

    /// What the slices must be asked about the pod as things are now.
    pub fn question(&self, name: &ServiceName, uid: &Uid) -> Question {
        Question {
            service: name.clone(),
            pod: uid.clone(),
            expected: self.expected_families(name, uid),
            publish_not_ready: self.measured(name).is_some_and(|service| service.publish_not_ready_addresses),
        }
    }

    /// Whether the union of the Service's slices shows the change. An endpoint that is in two slices is ready if one says
    /// so, since it gets connections then; and so it is terminating only if both do.
    pub fn shows(&self, question: &Question, change: Change) -> bool {
        let copies: Vec<_> = self
            .slices_of(&question.service)
            .flat_map(|(family, slice)| slice.endpoints.iter().map(move |endpoint| (family, endpoint)))
            .filter(|(_, endpoint)| endpoint.pod == question.pod)
            .collect();
        let is_ready = |e: &Endpoint| if question.publish_not_ready { e.serving } else { e.ready };
        match change {
            Change::Ready => {
                question.expected.iter().all(|family| copies.iter().any(|(of, e)| *of == family && is_ready(e)))
            }
            Change::Unready => !copies.iter().any(|(_, e)| is_ready(e)),
            Change::Terminating => {
                copies.iter().all(|(_, e)| e.terminating && (question.publish_not_ready || !e.ready))
            }
            Change::Removed => copies.is_empty(),
            Change::Service => unreachable!("a change of a Service is about no single pod"),
        }
    }
}

/// The name by which a Service is known.
pub fn name_of(service: &Service) -> ServiceName {
    ServiceName { namespace: service.namespace.as_str().into(), name: service.name.as_str().into() }
}

/// Whether the EndpointSlice controller writes slices for it.
pub fn has_controller(service: &Service) -> bool {
    !service.selector.is_empty() && !service.external_name
}

/// Whether its owner wants it left out.
pub fn is_ignored(service: &Service) -> bool {
    service.ignore == Annotation::Set(true)
}

/// The ports that slices of the Service must give this pod: `getEndpointPorts` of k8s.io/endpointslice.
pub fn resolve_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let mut ports: Vec<_> = service
        .ports
        .iter()
        .filter_map(|port| {
            let number = match &port.target {
                TargetPort::Number(number) => *number,
                TargetPort::Name(name) => {
                    pod.ports.iter().find(|p| p.name == *name && p.protocol == port.protocol)?.number
                }
            };
            Some(EndpointPort {
                name: port.name.clone(),
                protocol: port.protocol.clone(),
                number: Some(number),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports
}
