//! Short stories that random acts alone would seldom make: a change is read at once, flips back, is written late, is cut off.

use super::{
    cluster::{PodStep, ServiceStep},
    script::{
        act, break_, layout, manner, order, pod_slot, pod_step, resource, service_slot, service_step, time, upheaval,
    },
    stage::Act,
};
use proptest::{collection::vec, prelude::*};

/// A single act; one that is read at once, or together with its reflection; an update of the slices; or a story.
pub fn scene() -> BoxedStrategy<Vec<Act>> {
    prop_oneof![
        12 => act().prop_map(|act| vec![act]),
        3 => (upheaval(), order()).prop_map(|(act, order)| vec![act, Act::ReadAll(order)]),
        2 => (upheaval(), layout(), order())
            .prop_map(|(act, layout, order)| vec![act, Act::ReconcileAll(layout), Act::ReadAll(order)]),
        2 => (layout(), time(), order())
            .prop_map(|(layout, time, order)| vec![Act::Pass(time), Act::ReconcileAll(layout), Act::ReadAll(order)]),
        3 => flaps(),
        3 => late_write(),
        1 => recreation(),
        1 => respite(),
        2 => gap(),
    ]
    .boxed()
}

/// A pod and a Service change a few times while no slices are written.
fn flaps() -> BoxedStrategy<Vec<Act>> {
    (pod_slot(), service_slot())
        .prop_flat_map(|(pod, service)| {
            let step = prop_oneof![
                4 => pod_step().prop_map(move |step| Act::Pod(pod, step)),
                1 => service_step().prop_map(move |step| Act::Service(service, step)),
            ];
            vec((step, order(), time()), 1..5)
        })
        .prop_map(|steps| {
            steps.into_iter().flat_map(|(step, order, time)| [step, Act::ReadAll(order), Act::Pass(time)]).collect()
        })
        .boxed()
}

/// A pod or a Service changes and changes back: in the end it is as it was at first.
fn there_and_back() -> BoxedStrategy<[Act; 3]> {
    let pod = prop_oneof![
        6 => any::<bool>().prop_map(|ready| [ready, !ready, ready].map(PodStep::Ready)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| [a, b, a].map(PodStep::Relabel)),
        1 => Just([PodStep::Ready(true), PodStep::Ready(false), PodStep::Terminate]),
        1 => Just([PodStep::Ready(false), PodStep::Ready(true), PodStep::Terminate]),
        1 => Just([PodStep::Ready(false), PodStep::Ready(true), PodStep::Delete]),
        // A pod that no slice lists, and that is gone before the controller can list it.
        2 => (any::<u8>(), prop_oneof![Just(PodStep::Terminate), Just(PodStep::Delete), Just(PodStep::Finish)])
            .prop_map(|(families, end)| [PodStep::Delete, PodStep::Create { labels: 0, families, ready: true }, end]),
    ];
    let service = prop_oneof![
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| [a, b, a].map(ServiceStep::Select)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| [a, b, a].map(ServiceStep::Families)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| [a, b, a].map(ServiceStep::Ports)),
    ];
    prop_oneof![
        (pod_slot(), pod).prop_map(|(slot, steps)| steps.map(|step| Act::Pod(slot, step))),
        (service_slot(), service).prop_map(|(slot, steps)| steps.map(|step| Act::Service(slot, step))),
    ]
    .boxed()
}

/// The controller looks, something flips back, the controller writes what it had seen, and perhaps afterwards the new state.
fn late_write() -> BoxedStrategy<Vec<Act>> {
    let looks = (layout(), layout(), proptest::option::weighted(0.7, layout()));
    (there_and_back(), looks, [time(), time(), time()], vec(upheaval(), 0..2), [order(), order(), order(), order()])
        .prop_map(|([at_first, there, back], (first, late, at_last), times, meanwhile, orders)| {
            let [before, between, after] = times.map(Act::Pass);
            let [first_heard, there_heard, back_heard, late_heard] = orders.map(Act::ReadAll);
            let mut acts = vec![at_first, Act::ReconcileAll(first), first_heard, there, there_heard, before, Act::Look];
            acts.extend([back, back_heard, between]);
            acts.extend(meanwhile);
            acts.extend([Act::ReconcileSeen(late), late_heard.clone(), after]);
            acts.extend(at_last.into_iter().flat_map(|layout| [Act::ReconcileAll(layout), late_heard.clone()]));
            acts
        })
        .boxed()
}

/// A Service is created again while its old slices still exist. The garbage collector and the controller act at random times.
fn recreation() -> BoxedStrategy<Vec<Act>> {
    let late = prop_oneof![
        (0..4_usize).prop_map(Act::CollectGarbage),
        manner().prop_map(|manner| Act::Reconcile((0, 0), manner)),
        Just(Act::Look),
        pod_slot().prop_map(|slot| Act::Pod(slot, PodStep::Ready(false))),
        layout().prop_map(Act::ReconcileAll),
    ];
    let end = prop_oneof![
        Just(vec![ServiceStep::Replace]),
        Just(vec![ServiceStep::Terminate, ServiceStep::Touch, ServiceStep::Replace]),
        Just(vec![ServiceStep::Terminate, ServiceStep::Delete, ServiceStep::Touch]),
    ];
    (service_slot(), end, layout(), vec((late, order(), time()), 1..5))
        .prop_map(|(slot, end, layout, late)| {
            let mut acts = vec![Act::ReconcileAll(layout)];
            for step in end {
                acts.extend([Act::Service(slot, step), Act::ReadAll(late[0].1)]);
            }
            acts.extend(late.into_iter().flat_map(|(act, order, time)| [Act::Pass(time), act, Act::ReadAll(order)]));
            acts
        })
        .boxed()
}

/// A Service is not measured for a while, in which its pods change.
fn respite() -> BoxedStrategy<Vec<Act>> {
    let pause = prop_oneof![
        any::<u8>().prop_map(|to| [ServiceStep::Select(5), ServiceStep::Select(to)]),
        Just([true, false].map(ServiceStep::ExternalName)),
        Just([true, false].map(ServiceStep::Ignore)),
    ];
    (service_slot(), pause, vec(upheaval(), 1..4), [order(), order(), order()])
        .prop_map(|(slot, [pause, resume], meanwhile, [first, second, third])| {
            let mut acts = vec![Act::Service(slot, pause), Act::ReadAll(first)];
            acts.extend(meanwhile);
            acts.extend([Act::ReadAll(second), Act::Service(slot, resume), Act::ReadAll(third)]);
            acts
        })
        .boxed()
}

/// One watch or all of them fail for a while.
fn gap() -> BoxedStrategy<Vec<Act>> {
    let end = proptest::option::weighted(0.3, Just(None::<usize>));
    let whole = any::<bool>();
    (resource(), proptest::bool::weighted(0.3), break_(), vec(upheaval(), 0..4), time(), order(), end, whole)
        .prop_map(|(resource, all, how, meanwhile, time, order, list, ticks)| {
            let mut acts = vec![if all { Act::CutAll(how) } else { Act::Cut(resource, how) }];
            acts.extend(meanwhile);
            acts.extend([Act::ReadAll(order), Act::Pass(time)]);
            acts.extend(ticks.then_some(Act::Tick(std::time::Duration::ZERO)));
            acts.push(list.map_or(Act::Resume(resource), |broken_off| Act::List(resource, broken_off)));
            if all {
                acts.extend(order.map(Act::Resume));
            }
            acts.push(Act::ReadAll(order));
            acts
        })
        .boxed()
}
