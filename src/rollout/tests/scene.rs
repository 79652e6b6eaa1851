//! A workload `web` with pods `web-0`, `web-1`, …, and one Service with one slice of each family.

use crate::{
    ledger::{Cause, Change, Hop, Outcome},
    model::{Annotation, Endpoint, EndpointSlice, Event, Families, Family, Pod, Seen, Service, SliceOwner, Stamp, Uid},
    propagation::{Ended, PodRef, ServiceName, Subject},
    rollout::Follower,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Of the Service, and of the label `app` of its pods.
pub const NAME: &str = "web";

pub struct Scene {
    pub follower: Follower,
    families: Families,
    /// Which pods the slice of each family lists as ready, and which it lists at all.
    ready: [BTreeSet<u8>; 2],
    present: BTreeSet<u8>,
}

pub fn at(millis: u64) -> Stamp {
    Stamp::new(Duration::from_millis(millis))
}

pub fn uid(pod: u8) -> Uid {
    Uid::from(&*format!("pod-{pod}"))
}

impl Scene {
    /// So many pods are wanted.
    pub fn new(wanted: u32) -> Self {
        Self::of(wanted, &[Family::V4])
    }

    pub fn dual_stack(wanted: u32) -> Self {
        Self::of(wanted, &Family::ALL)
    }

    fn of(wanted: u32, families: &[Family]) -> Self {
        let mut of = Families::NONE;
        families.iter().for_each(|family| of.insert(*family));
        let name = ServiceName { namespace: "shop".into(), name: NAME.into() };
        let follower = Follower::new([name], Duration::from_secs(5));
        let mut scene = Self { follower, families: of, ready: Default::default(), present: BTreeSet::new() };
        scene.follower.want(at(0), wanted);
        let service = Service {
            uid: Uid::from("service"),
            namespace: "shop".into(),
            name: NAME.into(),
            resource_version: 1,
            terminating: false,
            selector: [("app".to_owned(), NAME.to_owned())].into(),
            external_name: false,
            families: of,
            ports: Vec::new(),
            virtual_ips: None,
            publish_not_ready_addresses: false,
            objective: Annotation::Absent,
            ignore: Annotation::Absent,
        };
        scene.event(Seen::late(at(0)), Event::Service(service));
        scene
    }

    pub fn service(&self) -> Arc<ServiceName> {
        Arc::new(ServiceName { namespace: "shop".into(), name: NAME.into() })
    }

    pub fn event(&mut self, seen: Seen, event: Event) {
        self.follower.apply(seen, &event, |pod| pod.labels.get("app").is_some_and(|app| app == NAME));
    }

    pub fn pod(&self, pod: u8, ready: bool, terminating: bool) -> Pod {
        Pod {
            uid: uid(pod),
            namespace: "shop".into(),
            name: format!("web-{pod}"),
            resource_version: 1,
            labels: [("app".to_owned(), NAME.to_owned())].into(),
            ready,
            terminating,
            terminal: false,
            families: self.families,
            ports: Vec::new(),
        }
    }

    pub fn pod_exists(&mut self, millis: u64, pod: u8) -> &mut Self {
        self.pod_event(millis, self.pod(pod, false, false))
    }

    pub fn ready(&mut self, millis: u64, pod: u8) -> &mut Self {
        self.pod_event(millis, self.pod(pod, true, false))
    }

    pub fn unready(&mut self, millis: u64, pod: u8) -> &mut Self {
        self.pod_event(millis, self.pod(pod, false, false))
    }

    /// It gets its deletionTimestamp, and is still ready.
    pub fn terminate(&mut self, millis: u64, pod: u8) -> &mut Self {
        self.pod_event(millis, self.pod(pod, true, true))
    }

    pub fn delete(&mut self, millis: u64, pod: u8) -> &mut Self {
        let last = self.pod(pod, false, true);
        self.event(Seen::live(at(millis)), Event::PodDeleted(last));
        self
    }

    fn pod_event(&mut self, millis: u64, pod: Pod) -> &mut Self {
        self.event(Seen::live(at(millis)), Event::Pod(pod));
        self
    }

    /// All slices list it as ready.
    pub fn list(&mut self, millis: u64, pod: u8) -> &mut Self {
        self.list_in(millis, pod, 0)
    }

    /// It stays in its slices as terminating.
    pub fn unlist(&mut self, millis: u64, pod: u8) -> &mut Self {
        self.unlist_in(millis, pod, 0)
    }

    pub fn list_in(&mut self, millis: u64, pod: u8, family: usize) -> &mut Self {
        self.ready[family].insert(pod);
        self.present.insert(pod);
        self.write(millis, family)
    }

    pub fn unlist_in(&mut self, millis: u64, pod: u8, family: usize) -> &mut Self {
        self.ready[family].remove(&pod);
        self.write(millis, family)
    }

    fn write(&mut self, millis: u64, family: usize) -> &mut Self {
        let slice = slice(Family::ALL[family], &self.present, &self.ready[family]);
        self.event(Seen::live(at(millis)), Event::EndpointSlice(slice));
        self
    }

    pub fn propagated(&mut self, change: Change, pod: u8, began: u64, delay: u64) -> &mut Self {
        let outcome = Outcome::Propagated { delay: Duration::from_millis(delay), reordered: None };
        self.ended(change, pod, began, delay, outcome)
    }

    /// A change that had begun at `began` has ended after `age`.
    pub fn ended(&mut self, change: Change, pod: u8, began: u64, age: u64, outcome: Outcome) -> &mut Self {
        let pod = PodRef { name: format!("web-{pod}").into(), uid: uid(pod) };
        self.follower.ended(&Ended {
            hop: Hop::Slice,
            key: Subject { service: self.service(), pod: Some(pod) },
            change,
            cause: Cause::Pod,
            began: at(began),
            outcome,
            at: at(began + age),
            shown: None,
            by: None,
        });
        self
    }
}

/// The slice of a family: these pods are in it, and those of them are ready.
pub fn slice(family: Family, present: &BTreeSet<u8>, ready: &BTreeSet<u8>) -> EndpointSlice {
    let endpoint = |pod: &u8| {
        let is_ready = ready.contains(pod);
        Endpoint {
            pod: uid(*pod),
            name: format!("web-{pod}"),
            ready: is_ready,
            serving: is_ready,
            terminating: !is_ready,
            route: None,
        }
    };
    EndpointSlice {
        uid: Uid::from(family.as_str()),
        namespace: "shop".into(),
        name: family.as_str().into(),
        resource_version: 1,
        owner: Some(SliceOwner { uid: Uid::from("service"), service: NAME.into(), family }),
        foreign_to: None,
        ports: Vec::new(),
        endpoints: present.iter().map(endpoint).collect(),
    }
}
