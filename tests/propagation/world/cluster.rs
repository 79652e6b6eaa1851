//! The cluster itself: the objects at this moment, and the log of their changes.

use crate::kubernetes::pod_to_endpoint;
use endpointlag::model::{
    Annotation, EndpointSlice, Event, Families, Family, NamedPort, Pod, Resource, Service, ServicePort, SliceOwner,
    TargetPort, Uid,
};
use std::{collections::BTreeMap, time::Duration};

/// A namespace and a name in it, both by number, so that there are few names and they collide.
pub type Slot = (u8, u8);

/// The truth. Each change of it adds an event to the log for the watches.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub pods: BTreeMap<Slot, Pod>,
    pub services: BTreeMap<Slot, Service>,
    pub slices: BTreeMap<Uid, EndpointSlice>,
    /// Whether the Node that runs the pods with odd numbers is gone.
    pub node_gone: bool,
    version: u64,
    born: u64,
    /// What happened and the watches have not taken yet.
    log: Vec<(Resource, Event)>,
}

/// What happens to a pod.
#[derive(Clone, Debug)]
pub enum PodStep {
    Create {
        labels: u8,
        families: u8,
        ready: bool,
    },
    Address(u8),
    Ready(bool),
    Terminate,
    Finish,
    Relabel(u8),
    Touch,
    Delete,
    /// Deleted, and another with the same name created, as a StatefulSet does.
    Replace,
}

/// What the owner of a Service does to it.
#[derive(Clone, Debug)]
pub enum ServiceStep {
    Create {
        selector: u8,
        families: u8,
        ports: u8,
    },
    Select(u8),
    Families(u8),
    Ports(u8),
    PublishNotReady(bool),
    ExternalName(bool),
    Ignore(bool),
    Objective(u8),
    Touch,
    /// Its deletion is requested, and a finalizer holds it.
    Terminate,
    Delete,
    /// Deleted, and another with the same name created.
    Replace,
}

impl Cluster {
    pub fn take_log(&mut self) -> Vec<(Resource, Event)> {
        std::mem::take(&mut self.log)
    }

    pub fn version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub fn uid(&mut self) -> Uid {
        self.born += 1;
        Uid::from(&*format!("uid-{}", self.born))
    }

    /// If there is no pod, most steps create one.
    pub fn pod(&mut self, slot: Slot, step: &PodStep) {
        match step {
            PodStep::Create { labels: of, families: addresses, ready } => {
                if !self.pods.contains_key(&slot) {
                    let pod = Pod {
                        uid: self.uid(),
                        namespace: format!("ns-{}", slot.0),
                        name: format!("pod-{}", slot.1),
                        resource_version: 0,
                        labels: labels(*of),
                        ready: *ready,
                        terminating: false,
                        terminal: false,
                        families: families(*addresses),
                        ports: vec![NamedPort {
                            name: "web".into(),
                            protocol: "TCP".into(),
                            number: 8080 + i32::from(slot.1 % 2),
                        }],
                    };
                    self.write_pod(slot, pod);
                }
            }
            PodStep::Replace => {
                if let Some(old) = self.pods.get(&slot).cloned() {
                    self.pod(slot, &PodStep::Delete);
                    let born = Pod { uid: self.uid(), ready: false, terminating: false, terminal: false, ..old };
                    self.write_pod(slot, born);
                }
            }
            PodStep::Delete => {
                if let Some(mut pod) = self.pods.remove(&slot) {
                    pod.resource_version = self.version();
                    self.log.push((Resource::Pods, Event::PodDeleted(pod)));
                }
            }
            step => {
                let Some(old) = self.pods.get(&slot) else {
                    let ready = matches!(step, PodStep::Ready(true));
                    return self.pod(slot, &PodStep::Create { labels: 0, families: slot.1, ready });
                };
                let mut pod = old.clone();
                match step {
                    PodStep::Address(addresses) => pod.families = families(*addresses),
                    PodStep::Ready(ready) => pod.ready = *ready,
                    PodStep::Terminate => pod.terminating = true,
                    PodStep::Finish => pod.terminal = true,
                    PodStep::Relabel(of) => pod.labels = labels(*of),
                    _ => {}
                }
                self.write_pod(slot, pod);
            }
        }
    }

    fn write_pod(&mut self, slot: Slot, mut pod: Pod) {
        pod.resource_version = self.version();
        self.pods.insert(slot, pod.clone());
        self.log.push((Resource::Pods, Event::Pod(pod)));
    }

    /// If there is no Service, most steps create one.
    pub fn service(&mut self, slot: Slot, step: &ServiceStep) {
        match step {
            ServiceStep::Create { selector: labels, families: wanted, ports: of } => {
                if !self.services.contains_key(&slot) {
                    let service = Service {
                        uid: self.uid(),
                        namespace: format!("ns-{}", slot.0),
                        name: format!("svc-{}", slot.1),
                        resource_version: 0,
                        selector: selector(*labels),
                        external_name: false,
                        terminating: false,
                        families: some_family(*wanted),
                        ports: ports(*of),
                        virtual_ips: None,
                        publish_not_ready_addresses: false,
                        objective: Annotation::Absent,
                        ignore: Annotation::Absent,
                    };
                    self.write_service(slot, service);
                }
            }
            ServiceStep::Replace => {
                if let Some(old) = self.services.get(&slot).cloned() {
                    self.service(slot, &ServiceStep::Delete);
                    let born = Service { uid: self.uid(), terminating: false, ..old };
                    self.write_service(slot, born);
                }
            }
            ServiceStep::Delete => {
                if let Some(mut service) = self.services.remove(&slot) {
                    service.resource_version = self.version();
                    self.log.push((Resource::Services, Event::ServiceDeleted(service)));
                }
            }
            step => {
                let Some(old) = self.services.get(&slot) else {
                    return self.service(slot, &ServiceStep::Create { selector: 0, families: slot.1 + 2, ports: 0 });
                };
                let mut service = old.clone();
                match step {
                    ServiceStep::Select(labels) => service.selector = selector(*labels),
                    ServiceStep::Families(wanted) => service.families = some_family(*wanted),
                    ServiceStep::Ports(of) => service.ports = ports(*of),
                    ServiceStep::PublishNotReady(on) => service.publish_not_ready_addresses = *on,
                    ServiceStep::ExternalName(on) => service.external_name = *on,
                    ServiceStep::Ignore(on) => service.ignore = Annotation::Set(*on),
                    ServiceStep::Objective(of) => service.objective = objective(*of),
                    ServiceStep::Terminate => service.terminating = true,
                    _ => {}
                }
                self.write_service(slot, service);
            }
        }
    }

    fn write_service(&mut self, slot: Slot, mut service: Service) {
        service.resource_version = self.version();
        self.services.insert(slot, service.clone());
        self.log.push((Resource::Services, Event::Service(service)));
    }

    pub fn write_slice(&mut self, mut slice: EndpointSlice) {
        slice.resource_version = self.version();
        self.slices.insert(slice.uid.clone(), slice.clone());
        self.log.push((Resource::EndpointSlices, Event::EndpointSlice(slice)));
    }

    pub fn delete_slice(&mut self, uid: &Uid) {
        if let Some(mut slice) = self.slices.remove(uid) {
            slice.resource_version = self.version();
            self.log.push((Resource::EndpointSlices, Event::EndpointSliceDeleted(slice)));
        }
    }

    /// A slice that lists the pod at `slot`, written by hand, with the label of the EndpointSlice controller or of another.
    pub fn forge_slice(&mut self, service: Slot, pod: Slot, owned: bool) {
        let endpoints = self.pods.get(&pod).map(|pod| pod_to_endpoint(pod, false)).into_iter().collect();
        let owner = owned.then(|| SliceOwner {
            uid: self.service_uid(service),
            service: format!("svc-{}", service.1),
            family: Family::V4,
        });
        let uid = self.uid();
        self.write_slice(EndpointSlice {
            name: format!("forged-{uid}"),
            uid,
            namespace: format!("ns-{}", service.0),
            resource_version: 0,
            owner,
            foreign_to: None,
            ports: Vec::new(),
            endpoints,
        });
    }

    /// The garbage collector deletes up to `most` slices whose owner is gone.
    pub fn collect_garbage(&mut self, most: usize) {
        let is_owned = |owner: &SliceOwner| self.services.values().any(|service| service.uid == owner.uid);
        let orphans = self.slices.values().filter(|slice| slice.owner.as_ref().is_some_and(|owner| !is_owned(owner)));
        let orphans: Vec<_> = orphans.take(most).map(|slice| slice.uid.clone()).collect();
        for uid in &orphans {
            self.delete_slice(uid);
        }
    }

    /// A slice is edited by hand: it now belongs to this Service, or to none.
    pub fn assign_slice(&mut self, uid: &Uid, service: Option<Slot>) {
        let mut slice = self.slices[uid].clone();
        let family = slice.owner.as_ref().map_or(Family::V4, |owner| owner.family);
        slice.owner =
            service.map(|slot| SliceOwner { uid: self.service_uid(slot), service: format!("svc-{}", slot.1), family });
        self.write_slice(slice);
    }

    fn service_uid(&self, slot: Slot) -> Uid {
        self.services.get(&slot).map_or_else(|| Uid::from("nobody"), |service| service.uid.clone())
    }

    /// All objects of a kind, as a list of `resource` shows them.
    pub fn list(&self, resource: Resource) -> Vec<Event> {
        match resource {
            Resource::Pods => self.pods.values().cloned().map(Event::Pod).collect(),
            Resource::Services => self.services.values().cloned().map(Event::Service).collect(),
            Resource::EndpointSlices => self.slices.values().cloned().map(Event::EndpointSlice).collect(),
        }
    }
}

/// Two applications in two tiers, so that selectors overlap. One of them has the most pods.
fn labels(of: u8) -> BTreeMap<String, String> {
    let app = if of & 3 != 3 { "a" } else { "b" };
    let tier = if of & 4 == 0 { "x" } else { "y" };
    BTreeMap::from([("app".into(), app.into()), ("tier".into(), tier.into())])
}

fn selector(of: u8) -> BTreeMap<String, String> {
    let (app, tier) = (|value: &str| ("app".into(), value.into()), |value: &str| ("tier".into(), value.into()));
    match of % 6 {
        0 | 1 => BTreeMap::from([app("a")]),
        2 => BTreeMap::from([app("b")]),
        3 => BTreeMap::from([tier("x")]),
        4 => BTreeMap::from([app("a"), tier("x")]),
        _ => BTreeMap::new(),
    }
}

fn families(of: u8) -> Families {
    match of % 8 {
        6 => Families::NONE,
        7 => [Family::V6].into_iter().collect(),
        0..=2 => Family::ALL.into_iter().collect(),
        _ => [Family::V4].into_iter().collect(),
    }
}

/// Families of a Service, which has at least one.
fn some_family(of: u8) -> Families {
    if of % 8 == 6 { families(5) } else { families(of) }
}

fn ports(of: u8) -> Vec<ServicePort> {
    let port =
        |name: &str, target| ServicePort { name: name.into(), protocol: "TCP".into(), target, app_protocol: None };
    let udp = |port| ServicePort { protocol: "UDP".into(), ..port };
    let http = |port| ServicePort { app_protocol: Some("http".into()), ..port };
    match of % 7 {
        0 | 1 => vec![port("", TargetPort::Number(80))],
        2 => vec![port("", TargetPort::Name("web".into()))],
        3 => vec![port("web", TargetPort::Name("web".into())), port("admin", TargetPort::Name("none".into()))],
        4 => vec![http(port("web", TargetPort::Name("web".into()))), udp(port("dns", TargetPort::Name("web".into())))],
        5 => vec![http(port("", TargetPort::Number(80)))],
        _ => Vec::new(),
    }
}

fn objective(of: u8) -> Annotation<Duration> {
    match of % 4 {
        0 => Annotation::Absent,
        1 => Annotation::Set(Duration::from_millis(500)),
        2 => Annotation::Set(Duration::from_secs(120)),
        _ => Annotation::Malformed("soon".into()),
    }
}
