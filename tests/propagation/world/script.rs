//! Histories by the dice: what happens in the cluster, what its controller does about it, and what of that is heard when.

use super::{
    cluster::{Cluster, PodStep, ServiceStep, Slot},
    controller::{Controller, Manner},
    streams::{Reading, Step, Streams},
};
use endpointlag::{
    cluster::{
        event::Resource,
        object::{Endpoint, Uid},
    },
    propagation::Settings,
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::time::Duration;

/// One thing that happens. A script is a list of these; any part of a script is a script, so that failures shrink.
#[derive(Clone, Debug)]
pub enum Act {
    Pod(Slot, PodStep),
    Service(Slot, ServiceStep),
    /// The controller looks at the cluster.
    Look,
    Reconcile(Slot, Manner),
    /// The controller looks, and brings every Service up to date.
    ReconcileAll(u8),
    /// Somebody else writes a slice: as the controller's own, or as another's.
    Forge {
        service: Slot,
        pod: Slot,
        owned: bool,
    },
    /// Some slice's endpoints are overwritten with other conditions, as by a controller whose cache is old.
    Distort {
        slice: usize,
        conditions: u8,
    },
    DeleteSlice(usize),
    /// The slice is written as it is.
    TouchSlice(usize),
    /// The slice becomes a part of another Service, or none of the controller's.
    Assign(usize, Option<Slot>),
    Read(Resource, Reading),
    ReadAll([Resource; 3]),
    Cut(Resource),
    Resume(Resource),
    List(Resource, Option<usize>),
    Pass(Duration),
    /// The core is told the time.
    Tick,
}

/// A whole history.
#[derive(Clone, Debug)]
pub struct Script {
    pub settings: Settings,
    pub before: Vec<Act>,
    /// The order of the first lists, and what happens after each began.
    pub first: [(Resource, Vec<Act>); 3],
    pub acts: Vec<Act>,
}

impl Script {
    /// Plays the script, and after it the end of the world: what the core hears of it.
    pub fn play(&self) -> Vec<Step> {
        let mut stage = Stage {
            cluster: Cluster::default(),
            controller: Controller::default(),
            streams: Streams::new(),
            expiry: self.settings.expiry,
        };
        stage.play(&self.before);
        for (resource, acts) in &self.first {
            stage.act(&Act::List(*resource, None));
            stage.play(acts);
        }
        stage.play(&self.acts);
        stage.wind_up();
        stage.streams.steps
    }
}

/// Where a script is played.
struct Stage {
    cluster: Cluster,
    controller: Controller,
    streams: Streams,
    expiry: Duration,
}

impl Stage {
    fn play(&mut self, acts: &[Act]) {
        for act in acts {
            self.act(act);
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Pod(slot, step) => self.cluster.pod(*slot, step),
            Act::Service(slot, step) => self.cluster.service(*slot, step),
            Act::Look => self.controller.look(&self.cluster),
            Act::Reconcile(slot, manner) => self.controller.reconcile(&mut self.cluster, *slot, *manner),
            Act::ReconcileAll(layout) => {
                self.controller.look(&self.cluster);
                for slot in services() {
                    self.controller.reconcile(&mut self.cluster, slot, Manner { layout: *layout, writes: 0 });
                }
            }
            Act::Forge { service, pod, owned } => self.cluster.forge_slice(*service, *pod, *owned),
            Act::Distort { slice, conditions } => self.distort(*slice, *conditions),
            Act::DeleteSlice(at) => {
                if let Some(uid) = self.slice(*at) {
                    self.cluster.delete_slice(&uid);
                }
            }
            Act::TouchSlice(at) => {
                if let Some(uid) = self.slice(*at) {
                    self.cluster.write_slice(self.cluster.slices[&uid].clone());
                }
            }
            Act::Assign(at, service) => {
                if let Some(uid) = self.slice(*at) {
                    self.cluster.assign_slice(&uid, *service);
                }
            }
            Act::Read(resource, reading) => self.streams.read(*resource, *reading),
            Act::ReadAll(order) => self.streams.read_all(*order),
            Act::Cut(resource) => self.streams.cut(*resource),
            Act::Resume(resource) => self.streams.resume(*resource),
            Act::List(resource, broken_off) => self.streams.list(*resource, &self.cluster, *broken_off),
            Act::Pass(time) => self.streams.pass(*time),
            Act::Tick => self.streams.tick(),
        }
        self.streams.take_log(&mut self.cluster);
    }

    fn slice(&self, at: usize) -> Option<Uid> {
        let count = self.cluster.slices.len().max(1);
        self.cluster.slices.keys().nth(at % count).cloned()
    }

    fn distort(&mut self, at: usize, conditions: u8) {
        let Some(uid) = self.slice(at) else { return };
        let mut slice = self.cluster.slices[&uid].clone();
        for endpoint in &mut slice.endpoints {
            *endpoint = Endpoint {
                ready: conditions & 1 != 0,
                serving: conditions & 2 != 0,
                terminating: conditions & 4 != 0,
                ..endpoint.clone()
            };
        }
        self.cluster.write_slice(slice);
    }

    /// Deletes everything, lets every watch hear of it, and waits.
    fn wind_up(&mut self) {
        let all_pods: Vec<_> = self.cluster.pods.keys().copied().collect();
        let all_services: Vec<_> = self.cluster.services.keys().copied().collect();
        let all_slices: Vec<_> = self.cluster.slices.keys().cloned().collect();
        for slot in all_pods {
            self.act(&Act::Pod(slot, PodStep::Delete));
        }
        for slot in all_services {
            self.act(&Act::Service(slot, ServiceStep::Delete));
        }
        for uid in &all_slices {
            self.cluster.delete_slice(uid);
        }
        self.streams.take_log(&mut self.cluster);
        for resource in Resource::ALL {
            self.act(&Act::Resume(resource));
        }
        self.act(&Act::ReadAll(Resource::ALL));
        self.act(&Act::Pass(self.expiry + Duration::from_nanos(1)));
        self.act(&Act::Tick);
    }
}

fn services() -> impl Iterator<Item = Slot> {
    (0..2).flat_map(|namespace| (0..3).map(move |name| (namespace, name)))
}

/// Most of it happens in one namespace, so that it meets.
fn namespace() -> impl Strategy<Value = u8> {
    prop_oneof![7 => Just(0_u8), 1 => Just(1_u8)]
}

fn pod_slot() -> impl Strategy<Value = Slot> {
    (namespace(), 0..5_u8)
}

fn service_slot() -> impl Strategy<Value = Slot> {
    (namespace(), 0..3_u8)
}

fn resource() -> impl Strategy<Value = Resource> {
    select(&Resource::ALL[..])
}

fn order() -> impl Strategy<Value = [Resource; 3]> {
    Just(Resource::ALL).prop_shuffle()
}

fn pod_step() -> impl Strategy<Value = PodStep> {
    prop_oneof![
        4 => (any::<u8>(), any::<u8>(), any::<bool>())
            .prop_map(|(labels, families, ready)| PodStep::Create { labels, families, ready }),
        2 => any::<u8>().prop_map(PodStep::Address),
        14 => any::<bool>().prop_map(PodStep::Ready),
        2 => Just(PodStep::Terminate),
        1 => Just(PodStep::Finish),
        4 => any::<u8>().prop_map(PodStep::Relabel),
        1 => Just(PodStep::Touch),
        2 => Just(PodStep::Delete),
        1 => Just(PodStep::Replace),
    ]
}

fn service_step() -> impl Strategy<Value = ServiceStep> {
    prop_oneof![
        4 => (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_map(|(selector, families, ports)| ServiceStep::Create { selector, families, ports }),
        5 => any::<u8>().prop_map(ServiceStep::Select),
        3 => any::<u8>().prop_map(ServiceStep::Families),
        3 => any::<u8>().prop_map(ServiceStep::Ports),
        2 => any::<bool>().prop_map(ServiceStep::PublishNotReady),
        1 => prop::bool::weighted(0.3).prop_map(ServiceStep::ExternalName),
        1 => prop::bool::weighted(0.3).prop_map(ServiceStep::Ignore),
        1 => any::<u8>().prop_map(ServiceStep::Objective),
        1 => Just(ServiceStep::Touch),
        1 => Just(ServiceStep::Delete),
        1 => Just(ServiceStep::Replace),
    ]
}

fn manner() -> impl Strategy<Value = Manner> {
    (any::<u8>(), prop_oneof![3 => Just(0_u8), 2 => 1..4_u8]).prop_map(|(layout, writes)| Manner { layout, writes })
}

fn reading() -> impl Strategy<Value = Reading> {
    let count = prop_oneof![3 => 1..3_usize, 2 => Just(usize::MAX)];
    let behind = prop_oneof![4 => Just(0_u64), 2 => 1..5_u64, 1 => 5..80_u64].prop_map(Duration::from_millis);
    let held_up = prop::bool::weighted(0.05);
    (count, behind, held_up).prop_map(|(count, behind, held_up)| Reading { count, behind, held_up })
}

/// Times at, just before and just after the bounds that matter, and ordinary ones.
fn time() -> impl Strategy<Value = Duration> {
    let milliseconds = prop_oneof![
        10 => 0..30_u64,
        6 => 30..3_000_u64,
        2 => select(vec![500_u64, 4_999, 5_000, 5_001, 9_999, 10_000, 10_001]),
        1 => select(vec![59_999_u64, 60_000, 60_001]),
    ];
    milliseconds.prop_map(Duration::from_millis)
}

/// What changes the cluster.
fn upheaval() -> BoxedStrategy<Act> {
    prop_oneof![
        16 => (pod_slot(), pod_step()).prop_map(|(slot, step)| Act::Pod(slot, step)),
        7 => (service_slot(), service_step()).prop_map(|(slot, step)| Act::Service(slot, step)),
        2 => Just(Act::Look),
        3 => (service_slot(), manner()).prop_map(|(slot, manner)| Act::Reconcile(slot, manner)),
        5 => any::<u8>().prop_map(Act::ReconcileAll),
        1 => (service_slot(), pod_slot(), any::<bool>())
            .prop_map(|(service, pod, owned)| Act::Forge { service, pod, owned }),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(slice, conditions)| Act::Distort { slice, conditions }),
        1 => any::<usize>().prop_map(Act::DeleteSlice),
        1 => any::<usize>().prop_map(Act::TouchSlice),
        1 => (any::<usize>(), prop::option::of(service_slot())).prop_map(|(slice, to)| Act::Assign(slice, to)),
    ]
    .boxed()
}

/// Anything.
fn act() -> BoxedStrategy<Act> {
    prop_oneof![
        30 => upheaval(),
        12 => (resource(), reading()).prop_map(|(resource, reading)| Act::Read(resource, reading)),
        8 => order().prop_map(Act::ReadAll),
        1 => resource().prop_map(Act::Cut),
        1 => resource().prop_map(Act::Resume),
        1 => (resource(), prop::option::weighted(0.1, 0..6_usize)).prop_map(|(of, got)| Act::List(of, got)),
        6 => time().prop_map(Act::Pass),
        2 => Just(Act::Tick),
    ]
    .boxed()
}

/// An act alone; one that is heard of at once, or together with its reflection; a pod and a Service that change a few times
/// while nobody writes slices; or the slices brought up to date.
fn scene() -> BoxedStrategy<Vec<Act>> {
    let flaps = (pod_slot(), service_slot()).prop_flat_map(|(pod, service)| {
        let step = prop_oneof![
            4 => pod_step().prop_map(move |step| Act::Pod(pod, step)),
            1 => service_step().prop_map(move |step| Act::Service(service, step)),
        ];
        vec((step, order(), time()), 1..5).prop_map(|steps| {
            steps.into_iter().flat_map(|(step, order, time)| [step, Act::ReadAll(order), Act::Pass(time)]).collect()
        })
    });
    prop_oneof![
        12 => act().prop_map(|act| vec![act]),
        3 => (upheaval(), order()).prop_map(|(act, order)| vec![act, Act::ReadAll(order)]),
        2 => (upheaval(), any::<u8>(), order())
            .prop_map(|(act, layout, order)| vec![act, Act::ReconcileAll(layout), Act::ReadAll(order)]),
        3 => flaps,
        2 => (any::<u8>(), time(), order())
            .prop_map(|(layout, time, order)| vec![Act::Pass(time), Act::ReconcileAll(layout), Act::ReadAll(order)]),
    ]
    .boxed()
}

/// Scripts of up to some hundred acts.
pub fn scripts() -> impl Strategy<Value = Script> {
    let settings =
        (select(vec![2_u64, 500, 5_000]), select(vec![1_000_u64, 10_000, 60_000])).prop_map(|(objective, expiry)| {
            Settings { objective: Duration::from_millis(objective), expiry: Duration::from_millis(expiry) }
        });
    let between = || vec(act(), 0..6);
    let first = (order(), between(), between(), between())
        .prop_map(|(order, a, b, c)| [(order[0], a), (order[1], b), (order[2], c)]);
    (settings, vec(upheaval(), 0..25), first, vec(scene(), 0..60)).prop_map(|(settings, mut before, first, scenes)| {
        before.insert(0, Act::Service((0, 0), ServiceStep::Touch));
        let acts = [Act::ReadAll(Resource::ALL)].into_iter().chain(scenes.concat()).collect();
        Script { settings, before, first, acts }
    })
}
