//! The rules, one by one, in a scene of one namespace. Times are in milliseconds.

mod gaps;
mod out_of_sync;
mod overtaken;
mod pods;
mod services;
mod slices;
mod slo;

use super::*;
use crate::{
    ledger::{Change, Faults, Outcome},
    model::{
        Annotation, Arrival, Endpoint, EndpointPort, EndpointSlice, Event, Families, Family, Pod, Resource, Seen,
        Service, ServicePort, SliceOwner, Stamp, TargetPort, Uid,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// A tracker, and the current resourceVersion of its cluster.
struct Scene {
    tracker: Tracker,
    version: u64,
}

fn at(millis: u64) -> Stamp {
    Stamp::new(Duration::from_millis(millis))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn families(families: &[Family]) -> Families {
    families.iter().copied().collect()
}

/// A ready IPv4 pod of the app `web`.
fn pod(uid: &str) -> Pod {
    Pod {
        uid: Uid::from(uid),
        namespace: "shop".into(),
        name: format!("web-{uid}"),
        resource_version: 0,
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        ready: true,
        terminating: false,
        terminal: false,
        families: families(&[Family::V4]),
        ports: Vec::new(),
    }
}

fn unready(uid: &str) -> Pod {
    Pod { ready: false, ..pod(uid) }
}

fn terminating(uid: &str) -> Pod {
    Pod { terminating: true, ..pod(uid) }
}

/// The Service `web`, for the app `web`.
fn service() -> Service {
    Service {
        uid: Uid::from("service"),
        namespace: "shop".into(),
        name: "web".into(),
        resource_version: 0,
        selector: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        external_name: false,
        terminating: false,
        families: families(&[Family::V4]),
        ports: vec![port(8080)],
        virtual_ips: None,
        publish_not_ready_addresses: false,
        objective: Annotation::Absent,
        ignore: Annotation::Absent,
    }
}

fn port(number: i32) -> ServicePort {
    ServicePort { name: String::new(), protocol: "TCP".into(), target: TargetPort::Number(number), app_protocol: None }
}

/// A slice of the Service `web`.
fn slice(uid: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let port = EndpointPort { name: String::new(), protocol: "TCP".into(), number: Some(8080), app_protocol: None };
    EndpointSlice {
        uid: Uid::from(uid),
        namespace: "shop".into(),
        name: format!("web-{uid}"),
        resource_version: 0,
        owner: Some(SliceOwner { uid: Uid::from("service"), service: "web".into(), family: Family::V4 }),
        foreign_to: None,
        ports: if endpoints.is_empty() { Vec::new() } else { vec![port] },
        endpoints,
    }
}

/// A slice of the Service with this UID. The Service's name is also `web`.
fn slice_of(service: &str, uid: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let owner = Some(SliceOwner { uid: Uid::from(service), service: "web".into(), family: Family::V4 });
    EndpointSlice { owner, ..slice(uid, endpoints) }
}

fn shown(pod: &str, ready: bool, serving: bool, terminating: bool) -> Endpoint {
    Endpoint { pod: Uid::from(pod), name: format!("web-{pod}"), ready, serving, terminating, route: None }
}

fn shown_ready(pod: &str) -> Endpoint {
    shown(pod, true, true, false)
}

fn shown_unready(pod: &str) -> Endpoint {
    shown(pod, false, false, false)
}

fn shown_terminating(pod: &str) -> Endpoint {
    shown(pod, false, true, true)
}

fn describe(ended: Ended) -> String {
    let pod = ended.key.pod.map_or_else(|| "-".to_owned(), |pod| pod.uid.to_string());
    let (change, outcome) = (ended.change, ended.outcome);
    let delay = outcome.delay().map_or_else(String::new, |delay| format!(" {}", delay.as_millis()));
    let lead = match outcome {
        Outcome::Propagated { reordered: Some(lead), .. } => format!(" early by {}", lead.as_millis()),
        _ => String::new(),
    };
    format!("{change} {pod} {}{delay}{lead}", outcome.as_str())
}

impl Scene {
    /// An empty scene.
    fn blank() -> Self {
        let settings = TrackerSettings { objective: millis(5000), expiry: millis(60_000) };
        Self { tracker: Tracker::new(settings), version: 0 }
    }

    /// All three watches have listed these objects.
    fn listed(pods: Vec<Pod>, services: Vec<Service>, slices: Vec<EndpointSlice>) -> Self {
        let mut scene = Self::blank();
        scene.list(0, Resource::Pods, pods.into_iter().map(Event::Pod));
        scene.list(0, Resource::Services, services.into_iter().map(Event::Service));
        scene.list(0, Resource::EndpointSlices, slices.into_iter().map(Event::EndpointSlice));
        scene
    }

    /// The Service `web` with its empty slice `s`, created long ago.
    fn with_service() -> Self {
        Self::listed(vec![], vec![service()], vec![slice("s", vec![])])
    }

    /// The same, with the pod `p`. It is ready, and the slice shows it so.
    fn with_pod() -> Self {
        Self::listed(vec![pod("p")], vec![service()], vec![slice("s", vec![shown_ready("p")])])
    }

    fn list(&mut self, millis: u64, resource: Resource, objects: impl Iterator<Item = Event>) {
        self.feed(Seen::late(at(millis)), Event::Init(resource));
        for object in objects {
            self.apply(millis, Arrival::Late, object);
        }
        self.feed(Seen::late(at(millis)), Event::InitDone(resource));
    }

    fn apply(&mut self, millis: u64, arrival: Arrival, mut event: Event) {
        self.version += 1;
        match &mut event {
            Event::Pod(pod) | Event::PodDeleted(pod) => pod.resource_version = self.version,
            Event::Service(service) | Event::ServiceDeleted(service) => service.resource_version = self.version,
            Event::EndpointSlice(slice) | Event::EndpointSliceDeleted(slice) => slice.resource_version = self.version,
            Event::EndpointsChanged(change) => change.resource_version = self.version,
            Event::Init(_) | Event::InitDone(_) | Event::WatchLost(_) | Event::WatchRestored(_) => {}
        }
        self.feed(Seen { at: at(millis), arrival }, event);
    }

    fn feed(&mut self, seen: Seen, event: Event) {
        self.tracker.apply(seen, event);
    }

    fn pod(&mut self, millis: u64, pod: Pod) {
        self.apply(millis, Arrival::Live, Event::Pod(pod));
    }

    fn delete_pod(&mut self, millis: u64, uid: &str) {
        self.apply(millis, Arrival::Live, Event::PodDeleted(terminating(uid)));
    }

    fn service(&mut self, millis: u64, service: Service) {
        self.apply(millis, Arrival::Live, Event::Service(service));
    }

    fn slice(&mut self, millis: u64, slice: EndpointSlice) {
        self.apply(millis, Arrival::Live, Event::EndpointSlice(slice));
    }

    /// The slice `s` now shows exactly these endpoints.
    fn shows(&mut self, millis: u64, endpoints: Vec<Endpoint>) {
        self.slice(millis, slice("s", endpoints));
    }

    fn lost(&mut self, millis: u64, resource: Resource) {
        self.feed(Seen::late(at(millis)), Event::WatchLost(resource));
    }

    fn restored(&mut self, millis: u64, resource: Resource) {
        self.feed(Seen::late(at(millis)), Event::WatchRestored(resource));
    }

    /// What ended since the last call, as text: `ready p propagated 25`.
    fn ended(&mut self) -> Vec<String> {
        self.tracker
            .reports()
            .filter_map(|report| match report {
                Report::Ended(ended) => Some(describe(ended)),
                Report::Judged { .. } => None,
            })
            .collect()
    }

    /// What ended and what was judged since the last call, as text, in alphabetical order.
    fn reported(&mut self) -> Vec<String> {
        let mut reported: Vec<_> = self
            .tracker
            .reports()
            .map(|report| match report {
                Report::Ended(ended) => describe(ended),
                Report::Judged { change, missed, .. } => format!("{} {change}", if missed { "missed" } else { "met" }),
            })
            .collect();
        reported.sort_unstable();
        reported
    }

    /// What is out of sync, as text: `p since 1000 traffic`, in alphabetical order.
    fn out_of_sync(&self) -> Vec<String> {
        let describe = |it: OutOfSyncEndpoint| {
            let traffic = if it.fault.traffic { " traffic" } else { "" };
            format!("{} since {}{traffic}", it.pod.uid, it.fault.since.since_origin().as_millis())
        };
        let mut out_of_sync: Vec<_> = self.tracker.out_of_sync_endpoints().map(describe).collect();
        out_of_sync.sort_unstable();
        out_of_sync
    }

    /// Changes judged since the last call: those in time, and those that missed.
    fn judged(&mut self) -> (usize, usize) {
        let missed: Vec<bool> = self
            .tracker
            .reports()
            .filter_map(|report| match report {
                Report::Judged { missed, .. } => Some(missed),
                Report::Ended(_) => None,
            })
            .collect();
        let misses = missed.iter().filter(|missed| **missed).count();
        (missed.len() - misses, misses)
    }

    /// What is pending, as text: `ready 2`.
    fn pending(&self) -> Vec<String> {
        let mut pending = self.tracker.standing().pending;
        pending.sort_unstable_by_key(|(service, change, _)| (service.clone(), *change));
        pending.iter().map(|(_, change, backlog)| format!("{change} {}", backlog.count)).collect()
    }
}
