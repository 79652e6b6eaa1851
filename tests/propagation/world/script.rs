//! Random histories: what happens in the cluster, what its controller does, and which events are read when.

use super::{
    cluster::{PodStep, ServiceStep, Slot},
    controller::Manner,
    scenes::scene,
    stage::{Act, Script},
    streams::{Break, Delayed, Reading},
};
use endpointlag::{model::Resource, propagation::TrackerSettings};
use proptest::{collection::vec, prelude::*, sample::select};
use std::time::Duration;

/// Most acts are in one namespace, so that they meet.
fn namespace() -> impl Strategy<Value = u8> {
    prop_oneof![7 => Just(0_u8), 1 => Just(1_u8)]
}

pub fn pod_slot() -> impl Strategy<Value = Slot> {
    (namespace(), 0..5_u8)
}

pub fn service_slot() -> impl Strategy<Value = Slot> {
    (namespace(), 0..3_u8)
}

pub fn resource() -> impl Strategy<Value = Resource> {
    select(&Resource::ALL[..])
}

pub fn order() -> impl Strategy<Value = [Resource; 3]> {
    Just(Resource::ALL).prop_shuffle()
}

pub fn pod_step() -> impl Strategy<Value = PodStep> {
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

pub fn service_step() -> impl Strategy<Value = ServiceStep> {
    prop_oneof![
        4 => (any::<u8>(), any::<u8>(), any::<u8>())
            .prop_map(|(selector, families, ports)| ServiceStep::Create { selector, families, ports }),
        5 => any::<u8>().prop_map(ServiceStep::Select),
        3 => any::<u8>().prop_map(ServiceStep::Families),
        3 => any::<u8>().prop_map(ServiceStep::Ports),
        1 => any::<bool>().prop_map(ServiceStep::PublishNotReady),
        1 => prop::bool::weighted(0.3).prop_map(ServiceStep::ExternalName),
        1 => prop::bool::weighted(0.3).prop_map(ServiceStep::Ignore),
        1 => any::<u8>().prop_map(ServiceStep::Objective),
        1 => Just(ServiceStep::Touch),
        1 => Just(ServiceStep::Terminate),
        1 => Just(ServiceStep::Delete),
        2 => Just(ServiceStep::Replace),
    ]
}

pub fn manner() -> impl Strategy<Value = Manner> {
    (any::<u8>(), prop_oneof![3 => Just(0_u8), 2 => 1..4_u8]).prop_map(|(layout, writes)| Manner { layout, writes })
}

/// How the controller distributes endpoints over slices.
pub fn layout() -> impl Strategy<Value = u8> {
    any::<u8>()
}

/// A reader is behind by less than the shortest expiry.
fn behind() -> impl Strategy<Value = Duration> {
    prop_oneof![8 => Just(0_u64), 4 => 1..5_u64, 2 => 5..80_u64, 1 => 400..700_u64].prop_map(Duration::from_millis)
}

fn reading() -> impl Strategy<Value = Reading> {
    let count = prop_oneof![3 => 1..3_usize, 2 => Just(usize::MAX)];
    let delayed = prop_oneof![18 => Just(Delayed::No), 1 => Just(Delayed::Unnoticed), 1 => Just(Delayed::Noticed)];
    (count, behind(), delayed).prop_map(|(count, behind, delayed)| Reading { count, behind, delayed })
}

/// How a watch fails.
pub fn break_() -> impl Strategy<Value = Break> {
    prop_oneof![
        2 => Just(Break::Unnoticed),
        3 => Just(Break::Noticed),
        2 => Just(Break::Silent),
        1 => Just(Break::Suspected),
    ]
}

/// Times at, just before and just after the bounds that matter, and ordinary ones.
pub fn time() -> impl Strategy<Value = Duration> {
    let milliseconds = prop_oneof![
        10 => 0..30_u64,
        6 => 30..3_000_u64,
        2 => select(vec![499_u64, 500, 501, 999, 1_000, 1_001, 4_999, 5_000, 5_001, 9_999, 10_000, 10_001]),
        1 => select(vec![59_999_u64, 60_000, 60_001]),
    ];
    milliseconds.prop_map(Duration::from_millis)
}

/// The acts that change the cluster.
pub fn upheaval() -> BoxedStrategy<Act> {
    prop_oneof![
        16 => (pod_slot(), pod_step()).prop_map(|(slot, step)| Act::Pod(slot, step)),
        7 => (service_slot(), service_step()).prop_map(|(slot, step)| Act::Service(slot, step)),
        2 => Just(Act::Look),
        3 => (service_slot(), manner()).prop_map(|(slot, manner)| Act::Reconcile(slot, manner)),
        5 => layout().prop_map(Act::ReconcileAll),
        1 => layout().prop_map(Act::ReconcileSeen),
        1 => (0..4_usize).prop_map(Act::CollectGarbage),
        1 => any::<bool>().prop_map(|gone| Act::Node { gone }),
        1 => (service_slot(), pod_slot(), any::<bool>())
            .prop_map(|(service, pod, owned)| Act::Forge { service, pod, owned }),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(slice, conditions)| Act::Distort { slice, conditions }),
        1 => any::<usize>().prop_map(Act::DeleteSlice),
        1 => any::<usize>().prop_map(Act::TouchSlice),
        1 => (any::<usize>(), prop::option::of(service_slot())).prop_map(|(slice, to)| Act::Assign(slice, to)),
    ]
    .boxed()
}

/// Any act.
pub fn act() -> BoxedStrategy<Act> {
    prop_oneof![
        30 => upheaval(),
        12 => (resource(), reading()).prop_map(|(resource, reading)| Act::Read(resource, reading)),
        8 => order().prop_map(Act::ReadAll),
        1 => (resource(), break_()).prop_map(|(resource, how)| Act::Cut(resource, how)),
        2 => resource().prop_map(Act::Resume),
        1 => (resource(), prop::option::weighted(0.1, 0..6_usize)).prop_map(|(of, got)| Act::List(of, got)),
        6 => time().prop_map(Act::Pass),
        3 => behind().prop_map(Act::Tick),
    ]
    .boxed()
}

/// Scripts of up to a few hundred acts.
pub fn scripts() -> impl Strategy<Value = Script> {
    let settings =
        (select(vec![2_u64, 500, 5_000]), select(vec![1_000_u64, 10_000, 60_000])).prop_map(|(objective, expiry)| {
            TrackerSettings { objective: Duration::from_millis(objective), expiry: Duration::from_millis(expiry) }
        });
    let between = || vec(act(), 0..6);
    let first = (order(), between(), between(), between())
        .prop_map(|(order, a, b, c)| [(order[0], a), (order[1], b), (order[2], c)]);
    // Some watches are known to be lost before their first list.
    let before = (vec(upheaval(), 0..25), vec(resource().prop_map(|it| Act::Cut(it, Break::Noticed)), 0..2));
    (settings, before, first, vec(scene(), 0..50), any::<bool>()).prop_map(
        |(settings, (upheavals, cuts), first, scenes, settles)| {
            let begin = Act::Service((0, 0), ServiceStep::Touch);
            let before = [begin].into_iter().chain(upheavals).chain(cuts).collect();
            let acts = [Act::ReadAll(Resource::ALL)].into_iter().chain(scenes.concat()).collect();
            Script { settings, before, first, acts, settles }
        },
    )
}
