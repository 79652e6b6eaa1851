//! The controller is dead while pods keep changing: the number of pending changes stays within its bound, and each change ends.

use endpointlag::{
    ledger::{Change, Outcome},
    model::{
        Annotation, Endpoint, EndpointSlice, Event, Families, Family, Pod, Resource, Seen, Service, SliceOwner, Stamp,
        Uid,
    },
    propagation::{Report, Size, Tracker, TrackerSettings},
};
use std::{collections::BTreeMap, time::Duration};

const SERVICES: usize = 100;
const PODS: usize = 100_000;
const SETTINGS: TrackerSettings =
    TrackerSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(600) };

#[test]
fn a_flood_stays_within_its_bound_and_is_freed() {
    let mut tracker = Tracker::new(SETTINGS);
    let (old, new) = (0..PODS / 2, PODS / 2..PODS);
    list(&mut tracker, Resource::Services, (0..SERVICES).map(|number| Event::Service(service(number))));
    list(&mut tracker, Resource::Pods, old.clone().map(|number| Event::Pod(pod(number, 1, true))));
    list(&mut tracker, Resource::EndpointSlices, (0..SERVICES).map(|number| Event::EndpointSlice(slice(number))));
    assert_eq!(tracker.size().pending, 0);

    // No slices are written from here on. Old pods fail, flap and go, new ones come: each round has as many changes, never more at once.
    let live = |second: u64| Seen::live(at(second));
    for round in 0..3 {
        let second = 10 + round;
        for number in old.clone() {
            tracker.apply(live(second), Event::Pod(pod(number, 10 + 2 * round, false)));
        }
        for number in new.clone() {
            tracker.apply(live(second), Event::Pod(pod(number, 10 + 2 * round, true)));
        }
        assert_eq!(tracker.size().pending, PODS, "old pods wait to be shown unready, new ones ready");
        if round < 2 {
            for number in old.clone() {
                tracker.apply(live(second), Event::Pod(pod(number, 11 + 2 * round, true)));
            }
            for number in new.clone() {
                tracker.apply(live(second), Event::Pod(pod(number, 11 + 2 * round, false)));
            }
            assert_eq!(tracker.size().pending, 0, "no slice ever showed anything else than what is true again");
        }
    }
    for number in old.clone() {
        let leaving = Pod { terminating: true, ..pod(number, 20, false) };
        tracker.apply(live(20), Event::Pod(leaving.clone()));
        tracker.apply(live(21), Event::PodDeleted(leaving));
    }
    let most = 3 * old.len() + new.len();
    let size =
        Size { pods: PODS, services: SERVICES, slices: SERVICES, pending: most, out_of_sync: PODS, overtaken: 0 };
    assert_eq!(tracker.size(), size, "one change a pod, Service and kind");

    // Each misses its objective once, expires once, and is counted.
    tracker.advance(at(700));
    let mut ended: BTreeMap<(Change, &str), usize> = BTreeMap::new();
    let mut missed = 0;
    for report in tracker.reports() {
        match report {
            Report::Ended(end) => {
                assert!(!matches!(end.outcome, Outcome::Propagated { .. }), "{end:?}");
                *ended.entry((end.change, end.outcome.as_str())).or_default() += 1;
            }
            Report::Judged { missed: true, .. } => missed += 1,
            Report::Judged { missed: false, service, change } => panic!("{change} of {service} was in time"),
        }
    }
    let half = PODS / 2;
    let expected = BTreeMap::from([
        ((Change::Ready, "superseded"), 2 * half),
        ((Change::Ready, "expired"), half),
        ((Change::Unready, "superseded"), 2 * half),
        ((Change::Unready, "expired"), half),
        ((Change::Terminating, "expired"), half),
        ((Change::Removed, "expired"), half),
    ]);
    assert_eq!((ended, missed), (expected, most));

    assert_eq!(tracker.out_of_sync_endpoints().count(), PODS, "what was given up is wrong all the same");
    assert!(tracker.out_of_sync_endpoints().all(|endpoint| endpoint.fault.traffic));

    for number in new {
        tracker.apply(live(800), Event::PodDeleted(pod(number, 30, true)));
    }
    for number in 0..SERVICES {
        tracker.apply(live(800), Event::ServiceDeleted(service(number)));
        tracker.apply(live(800), Event::EndpointSliceDeleted(slice(number)));
    }
    assert_eq!(tracker.size(), Size::default());
    assert_eq!(tracker.out_of_sync_endpoints().count(), 0);
    assert_eq!(tracker.reports().count(), 0);
}

fn at(second: u64) -> Stamp {
    Stamp::new(Duration::from_secs(second))
}

fn list(tracker: &mut Tracker, resource: Resource, objects: impl Iterator<Item = Event>) {
    let late = Seen::late(at(0));
    tracker.apply(late, Event::Init(resource));
    for object in objects {
        tracker.apply(late, object);
    }
    tracker.apply(late, Event::InitDone(resource));
}

fn ipv4() -> Families {
    [Family::V4].into_iter().collect()
}

fn labels(service: usize) -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), service.to_string())])
}

/// Distributes the pods over the Services.
fn pod(number: usize, version: u64, ready: bool) -> Pod {
    Pod {
        uid: Uid::from(&*format!("pod-{number}")),
        namespace: "default".into(),
        name: format!("pod-{number}"),
        resource_version: version,
        labels: labels(number % SERVICES),
        ready,
        terminating: false,
        terminal: false,
        families: ipv4(),
        ports: Vec::new(),
    }
}

fn service(number: usize) -> Service {
    Service {
        uid: Uid::from(&*format!("service-{number}")),
        namespace: "default".into(),
        name: format!("service-{number}"),
        resource_version: 1,
        selector: labels(number),
        external_name: false,
        terminating: false,
        families: ipv4(),
        ports: Vec::new(),
        virtual_ips: None,
        publish_not_ready_addresses: false,
        objective: Annotation::Absent,
        ignore: Annotation::Absent,
    }
}

/// The last slice that was written for a Service: it shows the old pods, and they are ready.
fn slice(number: usize) -> EndpointSlice {
    let endpoints = (0..PODS / 2).skip(number).step_by(SERVICES).map(|pod| {
        let name = format!("pod-{pod}");
        Endpoint { pod: Uid::from(&*name), name, ready: true, serving: true, terminating: false, route: None }
    });
    EndpointSlice {
        uid: Uid::from(&*format!("slice-{number}")),
        namespace: "default".into(),
        name: format!("slice-{number}"),
        resource_version: 1,
        owner: Some(SliceOwner { uid: service(number).uid, service: format!("service-{number}"), family: Family::V4 }),
        foreign_to: None,
        ports: Vec::new(),
        endpoints: endpoints.collect(),
    }
}
