//! A Service and its pods and slices, delivered to a reference step by step.

use crate::{
    kubernetes::{endpoint_ports, pod_to_endpoint},
    reference::{End, Reference},
};
use endpointlag::{
    ledger::{Change, Outcome},
    model::{
        Annotation, EndpointSlice, Event, Families, Family, Pod, Resource, Seen, Service, ServicePort, SliceOwner,
        Stamp, TargetPort, Uid,
    },
    propagation::TrackerSettings,
};
use std::{collections::BTreeMap, time::Duration};

/// A reference, and the last stamp that it received.
pub struct Scene {
    pub reference: Reference,
    version: u64,
}

/// Seconds as a stamp.
pub fn at(seconds: f64) -> Stamp {
    Stamp::new(Duration::from_secs_f64(seconds))
}

pub fn delay(outcome: Outcome) -> Option<f64> {
    match outcome {
        Outcome::Propagated { delay, .. } => Some((delay.as_secs_f64() * 1e3).round() / 1e3),
        _ => None,
    }
}

impl Scene {
    /// Measures from second 0 on: the first lists contain these objects.
    pub fn new(listed: Vec<Event>) -> Self {
        let settings = TrackerSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(600) };
        let mut scene = Self { reference: Reference::new(settings), version: 100 };
        for resource in Resource::ALL {
            scene.list(resource, 0.0, &listed);
        }
        scene
    }

    /// A list of the resource, with those of the objects that are of its kind.
    pub fn list(&mut self, resource: Resource, seconds: f64, objects: &[Event]) {
        let of = |event: &&Event| match event {
            Event::Pod(_) => resource == Resource::Pods,
            Event::Service(_) => resource == Resource::Services,
            _ => resource == Resource::EndpointSlices,
        };
        self.late(seconds, Event::Init(resource));
        for object in objects.iter().filter(of) {
            self.late(seconds, object.clone());
        }
        self.late(seconds, Event::InitDone(resource));
    }

    pub fn live(&mut self, seconds: f64, event: Event) {
        let event = self.versioned(event);
        self.reference.apply(Seen::live(at(seconds)), &event);
    }

    pub fn late(&mut self, seconds: f64, event: Event) {
        self.reference.apply(Seen::late(at(seconds)), &event);
    }

    fn versioned(&mut self, mut event: Event) -> Event {
        self.version += 1;
        match &mut event {
            Event::Pod(pod) => pod.resource_version = self.version,
            Event::Service(service) => service.resource_version = self.version,
            _ => {}
        }
        event
    }

    /// Pending changes: the pod or the Service, the kind, and the second of the start.
    pub fn pending(&self) -> Vec<(String, Change, f64)> {
        let named = |pod: &Option<Uid>| pod.as_ref().map_or("service".to_owned(), Uid::to_string);
        let since = |stamp: Stamp| stamp.since_origin().as_secs_f64();
        let mut all: Vec<_> =
            self.reference.pending.iter().map(|it| (named(&it.pod), it.change, since(it.since))).collect();
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        all
    }

    /// What ended since the last call. The order has no meaning.
    pub fn ended(&mut self) -> Vec<End> {
        std::mem::take(&mut self.reference.ends)
    }

    /// The same, by kind and outcome.
    pub fn outcomes(&mut self) -> Vec<(Change, &'static str)> {
        let mut all: Vec<_> = self.ended().iter().map(|end| (end.change, end.outcome.as_str())).collect();
        all.sort();
        all
    }

    /// How many objectives were missed and met since the last call.
    pub fn verdicts(&mut self) -> (usize, usize) {
        let verdicts = std::mem::take(&mut self.reference.verdicts);
        let missed = verdicts.iter().filter(|verdict| verdict.missed).count();
        (missed, verdicts.len() - missed)
    }

    /// Pods that are out of sync: since which second, and whether traffic goes wrong.
    pub fn out_of_sync(&self) -> Vec<(String, f64, bool)> {
        let all = self.reference.out_of_sync();
        let told = |((_, pod), (since, traffic)): ((_, Uid), (Stamp, bool))| {
            (pod.to_string(), since.since_origin().as_secs_f64(), traffic)
        };
        all.into_iter().map(told).collect()
    }
}

pub fn v4() -> Families {
    [Family::V4].into_iter().collect()
}

pub fn dual() -> Families {
    Family::ALL.into_iter().collect()
}

/// A pod with one address.
pub fn pod(uid: &str, ready: bool) -> Pod {
    Pod {
        uid: Uid::from(uid),
        namespace: "shop".into(),
        name: uid.into(),
        resource_version: 1,
        labels: BTreeMap::from([("app".into(), "cart".into())]),
        ready,
        terminating: false,
        terminal: false,
        families: v4(),
        ports: Vec::new(),
    }
}

/// The Service `cart` with this UID, which selects all these pods.
pub fn service(uid: &str) -> Service {
    Service {
        uid: Uid::from(uid),
        namespace: "shop".into(),
        name: "cart".into(),
        resource_version: 1,
        selector: BTreeMap::from([("app".into(), "cart".into())]),
        external_name: false,
        terminating: false,
        families: v4(),
        ports: vec![port(80)],
        virtual_ips: None,
        publish_not_ready_addresses: false,
        objective: Annotation::Absent,
        ignore: Annotation::Absent,
    }
}

pub fn port(number: i32) -> ServicePort {
    ServicePort { name: String::new(), protocol: "TCP".into(), target: TargetPort::Number(number), app_protocol: None }
}

/// The slice with this UID, as the controller writes it for the Service after it has seen the Service and these pods.
pub fn slice_in(family: Family, uid: &str, of: &Service, pods: &[Pod]) -> Event {
    let slice = EndpointSlice {
        uid: Uid::from(uid),
        namespace: of.namespace.clone(),
        name: uid.into(),
        resource_version: 1,
        owner: Some(SliceOwner { uid: of.uid.clone(), service: of.name.clone(), family }),
        foreign_to: None,
        ports: pods.first().map(|pod| endpoint_ports(of, pod)).unwrap_or_default(),
        endpoints: pods.iter().map(|pod| pod_to_endpoint(pod, of.publish_not_ready_addresses)).collect(),
    };
    Event::EndpointSlice(slice)
}

pub fn slice(of: &Service, pods: &[Pod]) -> Event {
    slice_in(Family::V4, &format!("{}-slice", of.uid), of, pods)
}

/// The deletion after this write.
pub fn deleted(event: Event) -> Event {
    match event {
        Event::Pod(pod) => Event::PodDeleted(pod),
        Event::Service(service) => Event::ServiceDeleted(service),
        Event::EndpointSlice(slice) => Event::EndpointSliceDeleted(slice),
        event => event,
    }
}
