//! One Service and its pods, and what happens to them. An incident is planned at once, with the time of each of its events.
//! The incidents of different Services overlap.

use super::totals::Totals;
use endpointlag::{
    ledger::Change,
    model::{
        Annotation, Arrival, Endpoint, EndpointPort, EndpointSlice, Event, Families, Family, Pod, Resource, Seen,
        Service, ServicePort, SliceOwner, Stamp, TargetPort, Uid,
    },
    propagation::Size,
};
use rand::{RngExt, rngs::StdRng};
use std::{collections::BTreeMap, time::Duration};

/// Endpoints in a slice. Few, so that endpoints move when pods go.
const SLICE_SIZE: usize = 4;

/// Future events, by time.
#[derive(Debug, Default)]
pub struct Agenda {
    pub now: Duration,
    events: BTreeMap<(Duration, u64), (Arrival, Event)>,
    /// The last version, UID and position in the order that were used.
    counter: u64,
}

/// What the watches have delivered.
#[derive(Debug, Default)]
pub struct Known {
    pods: BTreeMap<Uid, Pod>,
    services: BTreeMap<Uid, Service>,
    slices: BTreeMap<Uid, EndpointSlice>,
}

/// One Service, its pods and its slices, as they will be after the planned events.
#[derive(Debug)]
pub struct Workload {
    service: Service,
    pods: Vec<Pod>,
    slices: Vec<EndpointSlice>,
    /// When its incident is over.
    until: Duration,
}

// === impl Agenda ===

impl Agenda {
    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn uid(&mut self) -> Uid {
        Uid::from(&*format!("00000000-0000-4000-8000-{:012x}", self.count()))
    }

    fn at(&mut self, time: Duration, arrival: Arrival, event: Event) {
        let place = self.count();
        self.events.insert((time, place), (arrival, event));
    }

    /// Advances the time to `until`, or to the end of all events if that is earlier, and delivers the events.
    pub fn deliver(&mut self, until: Duration, to: &mut dyn FnMut(Seen, Event)) {
        while let Some(next) = self.events.first_entry().filter(|next| next.key().0 <= until) {
            let ((time, _), (arrival, event)) = next.remove_entry();
            self.now = time;
            to(Seen { at: Stamp::new(time), arrival }, event);
        }
        if until != Duration::MAX {
            self.now = until;
        }
    }
}

// === impl Known ===

impl Known {
    pub fn learn(&mut self, event: &Event) {
        match event.clone() {
            Event::Pod(pod) => drop(self.pods.insert(pod.uid.clone(), pod)),
            Event::PodDeleted(pod) => drop(self.pods.remove(&pod.uid)),
            Event::Service(service) => drop(self.services.insert(service.uid.clone(), service)),
            Event::ServiceDeleted(service) => drop(self.services.remove(&service.uid)),
            Event::EndpointSlice(slice) => drop(self.slices.insert(slice.uid.clone(), slice)),
            Event::EndpointSliceDeleted(slice) => drop(self.slices.remove(&slice.uid)),
            Event::Init(_) | Event::InitDone(_) | Event::WatchLost(_) | Event::WatchRestored(_) => {}
            Event::EndpointsChanged(_) => panic!("a workload writes slices whole"),
        }
    }

    pub fn list(&self, resource: Resource) -> Vec<Event> {
        match resource {
            Resource::Pods => self.pods.values().cloned().map(Event::Pod).collect(),
            Resource::Services => self.services.values().cloned().map(Event::Service).collect(),
            Resource::EndpointSlices => self.slices.values().cloned().map(Event::EndpointSlice).collect(),
        }
    }

    /// The sizes of a tracker that knows the same objects, when nothing is pending.
    pub fn size(&self) -> Size {
        Size { pods: self.pods.len(), services: self.services.len(), slices: self.slices.len(), ..Size::default() }
    }
}

// === impl Workload ===

impl Workload {
    pub fn new(number: usize, agenda: &mut Agenda, rng: &mut StdRng) -> Self {
        let labels = BTreeMap::from([("app".to_owned(), format!("app-{number}"))]);
        let service = Service {
            uid: agenda.uid(),
            namespace: format!("team-{}", number % 10),
            name: format!("app-{number}"),
            resource_version: agenda.count(),
            selector: labels,
            external_name: false,
            terminating: false,
            families: [Family::V4].into_iter().collect(),
            ports: vec![port(8080)],
            virtual_ips: None,
            publish_not_ready_addresses: false,
            objective: Annotation::Absent,
            ignore: Annotation::Absent,
        };
        let mut workload = Self { service, pods: Vec::new(), slices: Vec::new(), until: Duration::ZERO };
        agenda.at(Duration::ZERO, Arrival::Late, Event::Service(workload.service.clone()));
        for _ in 0..10 {
            let pod = Pod { ready: true, families: workload.service.families, ..workload.born(agenda) };
            workload.pods.push(pod);
            workload.tell(workload.pods.len() - 1, agenda, Arrival::Late);
        }
        workload.publish(agenda);
        workload.until = Duration::from_secs(rng.random_range(1..600));
        workload
    }

    pub fn is_idle(&self, now: Duration) -> bool {
        self.until < now
    }

    /// One incident, with its changes and their outcomes.
    pub fn live(&mut self, agenda: &mut Agenda, rng: &mut StdRng, expected: &mut Totals) {
        self.until = agenda.now + Duration::from_millis(rng.random_range(1..60_000));
        let lag = Duration::from_millis(rng.random_range(1..8_000));
        let pod = rng.random_range(0..self.pods.len());
        match rng.random_range(0..100) {
            0..30 => self.restart(pod, lag, agenda, expected),
            30..55 => self.roll(lag, agenda, rng, expected),
            55..65 => self.flap(pod, agenda, expected),
            65..72 => self.reorder(pod, agenda, expected),
            72..79 => self.replay(pod, agenda, expected),
            79..84 => self.outage(pod, agenda, expected),
            84..92 => self.edit(lag, agenda, rng, expected),
            _ => self.recreate(pod, lag, agenda, expected),
        }
    }

    /// A pod's container restarts: not Ready, and Ready again.
    fn restart(&mut self, pod: usize, lag: Duration, agenda: &mut Agenda, expected: &mut Totals) {
        for (ready, change) in [(false, Change::Unready), (true, Change::Ready)] {
            self.pods[pod].ready = ready;
            self.tell(pod, agenda, Arrival::Live);
            self.pass(lag);
            self.publish(agenda);
            expected.propagated(change, lag);
            self.pass(Duration::from_secs(20));
        }
    }

    /// Every pod is replaced: the new one is Ready before the old one goes.
    fn roll(&mut self, lag: Duration, agenda: &mut Agenda, rng: &mut StdRng, expected: &mut Totals) {
        for _ in 0..self.pods.len() {
            let born = self.born(agenda);
            self.pods.push(born);
            let new = self.pods.len() - 1;
            self.tell(new, agenda, Arrival::Live);
            self.pass(Duration::from_millis(rng.random_range(1..2_000)));
            self.pods[new].families = self.service.families;
            self.tell(new, agenda, Arrival::Live);
            self.pass(lag);
            self.publish(agenda);
            self.pass(Duration::from_secs(3));
            self.pods[new].ready = true;
            self.tell(new, agenda, Arrival::Live);
            self.pass(lag);
            self.publish(agenda);
            expected.propagated(Change::Ready, lag);

            self.pods[0].terminating = true;
            self.tell(0, agenda, Arrival::Live);
            self.pass(lag);
            self.publish(agenda);
            expected.propagated(Change::Terminating, lag);
            self.pass(Duration::from_secs(30));
            let old = self.pods.remove(0);
            agenda.at(self.until, Arrival::Live, Event::PodDeleted(old));
            self.pass(lag);
            self.publish(agenda);
            expected.propagated(Change::Removed, lag);
        }
    }

    /// A pod fails one probe, and is back before the controller has looked.
    fn flap(&mut self, pod: usize, agenda: &mut Agenda, expected: &mut Totals) {
        for ready in [false, true] {
            self.pods[pod].ready = ready;
            self.tell(pod, agenda, Arrival::Live);
            self.pass(Duration::from_millis(200));
        }
        expected.other(Change::Unready, "superseded");
        // The controller writes a slice for another reason: no change is paired with that.
        self.pass(Duration::from_secs(1));
        let slice = self.slices[0].clone();
        agenda.at(self.until, Arrival::Live, Event::EndpointSlice(slice));
    }

    /// The slice event arrives before the pod event.
    fn reorder(&mut self, pod: usize, agenda: &mut Agenda, expected: &mut Totals) {
        for (ready, change) in [(false, Change::Unready), (true, Change::Ready)] {
            self.pods[pod].ready = ready;
            self.publish(agenda);
            self.pass(Duration::from_millis(3));
            self.tell(pod, agenda, Arrival::Live);
            expected.propagated(change, Duration::ZERO);
            self.pass(Duration::from_secs(20));
        }
    }

    /// The pod watch was lost when the pod changed.
    fn replay(&mut self, pod: usize, agenda: &mut Agenda, expected: &mut Totals) {
        for (ready, change) in [(false, Change::Unready), (true, Change::Ready)] {
            self.pods[pod].ready = ready;
            self.tell(pod, agenda, Arrival::Late);
            self.pass(Duration::from_millis(30));
            self.publish(agenda);
            expected.other(change, "censored");
            self.pass(Duration::from_secs(20));
        }
    }

    /// No slices are written until the change expires.
    fn outage(&mut self, pod: usize, agenda: &mut Agenda, expected: &mut Totals) {
        self.pods[pod].ready = false;
        self.tell(pod, agenda, Arrival::Live);
        self.pass(super::SETTINGS.expiry + Duration::from_secs(60));
        self.publish(agenda);
        expected.expired(Change::Unready);
        self.pass(Duration::from_secs(20));
        self.pods[pod].ready = true;
        self.tell(pod, agenda, Arrival::Live);
        self.pass(Duration::from_millis(10));
        self.publish(agenda);
        expected.propagated(Change::Ready, Duration::from_millis(10));
    }

    /// The Service gets another target port.
    fn edit(&mut self, lag: Duration, agenda: &mut Agenda, rng: &mut StdRng, expected: &mut Totals) {
        let TargetPort::Number(number) = self.service.ports[0].target else { return };
        self.service.ports = vec![port(number + rng.random_range(1..100))];
        self.tell_service(agenda);
        self.pass(lag);
        self.publish(agenda);
        expected.propagated(Change::Service, lag);
    }

    /// The Service is deleted while a change of a pod is pending, and created again.
    fn recreate(&mut self, pod: usize, lag: Duration, agenda: &mut Agenda, expected: &mut Totals) {
        self.pods[pod].ready = false;
        self.tell(pod, agenda, Arrival::Live);
        self.pass(Duration::from_secs(1));
        agenda.at(self.until, Arrival::Live, Event::ServiceDeleted(self.service.clone()));
        expected.other(Change::Unready, "withdrawn");
        self.pass(Duration::from_secs(1));
        for slice in std::mem::take(&mut self.slices) {
            agenda.at(self.until, Arrival::Live, Event::EndpointSliceDeleted(slice));
        }
        self.pass(Duration::from_secs(60));
        self.service.uid = agenda.uid();
        self.tell_service(agenda);
        self.pass(lag);
        self.publish(agenda);
        expected.propagated(Change::Service, lag);
        self.pass(Duration::from_secs(20));
        self.pods[pod].ready = true;
        self.tell(pod, agenda, Arrival::Live);
        self.pass(lag);
        self.publish(agenda);
        expected.propagated(Change::Ready, lag);
    }

    fn pass(&mut self, time: Duration) {
        self.until += time;
    }

    /// A pod of this workload without an address or a condition.
    fn born(&self, agenda: &mut Agenda) -> Pod {
        let uid = agenda.uid();
        Pod {
            name: format!("{}-{uid}", self.service.name),
            uid,
            namespace: self.service.namespace.clone(),
            resource_version: 0,
            labels: self.service.selector.clone(),
            ready: false,
            terminating: false,
            terminal: false,
            families: Families::NONE,
            ports: Vec::new(),
        }
    }

    /// The pod watch delivers the pod's present state.
    fn tell(&mut self, pod: usize, agenda: &mut Agenda, arrival: Arrival) {
        self.pods[pod].resource_version = agenda.count();
        agenda.at(self.until, arrival, Event::Pod(self.pods[pod].clone()));
    }

    fn tell_service(&mut self, agenda: &mut Agenda) {
        self.service.resource_version = agenda.count();
        agenda.at(self.until, Arrival::Live, Event::Service(self.service.clone()));
    }

    /// The controller updates the slices, and the slice watch delivers them.
    fn publish(&mut self, agenda: &mut Agenda) {
        let TargetPort::Number(number) = self.service.ports[0].target else { return };
        let ports = vec![EndpointPort {
            name: String::new(),
            protocol: "TCP".into(),
            number: Some(number),
            app_protocol: None,
        }];
        let listed: Vec<_> = self.pods.iter().filter(|pod| !pod.families.is_empty()).map(endpoint).collect();
        let mut chunks = listed.chunks(SLICE_SIZE);
        for slice in &mut self.slices {
            let endpoints = chunks.next().unwrap_or_default();
            if slice.endpoints != endpoints || slice.ports != ports {
                (slice.endpoints, slice.ports) = (endpoints.to_vec(), ports.clone());
                slice.resource_version = agenda.count();
                agenda.at(self.until, Arrival::Live, Event::EndpointSlice(slice.clone()));
            }
        }
        for endpoints in chunks {
            let slice = EndpointSlice {
                uid: agenda.uid(),
                namespace: self.service.namespace.clone(),
                name: format!("{}-{}", self.service.name, agenda.count()),
                resource_version: agenda.count(),
                owner: Some(SliceOwner {
                    uid: self.service.uid.clone(),
                    service: self.service.name.clone(),
                    family: Family::V4,
                }),
                foreign_to: None,
                ports: ports.clone(),
                endpoints: endpoints.to_vec(),
            };
            agenda.at(self.until, Arrival::Live, Event::EndpointSlice(slice.clone()));
            self.slices.push(slice);
        }
        while self.slices.last().is_some_and(|slice| slice.endpoints.is_empty()) {
            let slice = self.slices.pop().expect("there is a last one");
            agenda.at(self.until, Arrival::Live, Event::EndpointSliceDeleted(slice));
        }
    }
}

fn port(number: i32) -> ServicePort {
    ServicePort { name: String::new(), protocol: "TCP".into(), target: TargetPort::Number(number), app_protocol: None }
}

fn endpoint(pod: &Pod) -> Endpoint {
    Endpoint {
        pod: pod.uid.clone(),
        name: pod.name.clone(),
        ready: pod.ready && !pod.terminating,
        serving: pod.ready,
        terminating: pod.terminating,
        route: None,
    }
}
