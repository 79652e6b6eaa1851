use super::*;
use crate::{
    ledger::Change,
    model::{Annotation, Event, Families, Family, Pod, Resource, Seen, Service, Uid},
    propagation::{Tracker, TrackerSettings},
    stats::{Bounds, OTHER, SeriesLimits, Snapshot},
};
use std::time::SystemTime;

const OBJECTIVE: Duration = Duration::from_secs(5);

fn name(name: &str) -> Arc<ServiceName> {
    Arc::new(ServiceName { namespace: "shop".into(), name: name.into() })
}

fn at(seconds: u64) -> Stamp {
    Stamp::new(Duration::from_secs(seconds))
}

fn found(service: &str, count: u64, oldest: u64, traffic: Option<u64>) -> (Arc<ServiceName>, Faults) {
    (name(service), Faults { count, oldest: at(oldest), oldest_traffic: traffic.map(at) })
}

/// A tracker of `shop/a`, `shop/b` and `shop/c`, the slices of which nobody writes.
fn tracker() -> Tracker {
    let mut tracker = Tracker::new(TrackerSettings { objective: OBJECTIVE, expiry: Duration::from_secs(60) });
    for app in ["a", "b", "c"] {
        let service = Service {
            uid: Uid::from(app),
            namespace: "shop".into(),
            name: app.into(),
            resource_version: 1,
            terminating: false,
            selector: BTreeMap::from([("app".to_owned(), app.to_owned())]),
            external_name: false,
            families: [Family::V4].into_iter().collect(),
            ports: Vec::new(),
            virtual_ips: None,
            publish_not_ready_addresses: false,
            objective: Annotation::Absent,
            ignore: Annotation::Absent,
        };
        apply(&mut tracker, at(1), Event::Service(service));
    }
    tracker
}

fn apply(tracker: &mut Tracker, at: Stamp, event: Event) {
    tracker.apply(Seen::live(at), event);
}

fn list(tracker: &mut Tracker) {
    for resource in Resource::ALL {
        apply(tracker, at(2), Event::InitDone(resource));
    }
}

/// A pod of `app` turns ready.
fn turn_ready(tracker: &mut Tracker, app: &str, pod: &str, seconds: u64) {
    let families: Families = [Family::V4].into_iter().collect();
    let pod = Pod {
        uid: Uid::from(pod),
        namespace: "shop".into(),
        name: pod.into(),
        resource_version: seconds,
        labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
        ready: true,
        terminating: false,
        terminal: false,
        families,
        ports: Vec::new(),
    };
    apply(tracker, at(seconds), Event::Pod(pod));
}

fn stats(services: usize) -> Stats {
    let limits = SeriesLimits { services, idle: Duration::from_secs(3600) };
    Stats::new(Bounds::DEFAULT.parse().expect("valid"), limits, Stamp::default())
}

fn snapshot(stats: &Stats, tracker: Tracker, now: u64) -> Snapshot {
    stats.snapshot(&[tracker.standing()], at(now), SystemTime::UNIX_EPOCH)
}

#[test]
fn a_service_in_sync_is_said_to_be() {
    let measured = [name("cart"), name("search")];
    let services = by_service(measured.iter(), [found("cart", 2, 7, None)].iter(), Arc::clone);
    let cart = OutOfSync { endpoints: 2, oldest: Some(at(7)), oldest_traffic: None };
    assert_eq!(services, BTreeMap::from([(name("cart"), cart), (name("search"), OutOfSync::default())]));
}

#[test]
fn services_that_share_a_name_add_up_to_the_oldest() {
    let measured = [name("a"), name("b"), name("c"), name("d")];
    let all = [found("b", 2, 7, Some(9)), found("c", 3, 5, Some(12)), found("d", 1, 30, None)];
    let shown_as = |it: &Arc<ServiceName>| if *it.name == *"a" { it.clone() } else { name("other") };
    let services = by_service(measured.iter(), all.iter(), shown_as);
    let other = OutOfSync { endpoints: 6, oldest: Some(at(5)), oldest_traffic: Some(at(9)) };
    assert_eq!(services, BTreeMap::from([(name("a"), OutOfSync::default()), (name("other"), other)]));
}

#[test]
fn nothing_is_said_before_the_lists_are_complete() {
    let mut tracker = tracker();
    turn_ready(&mut tracker, "a", "a-0", 1);
    assert!(snapshot(&stats(10), tracker, 9).out_of_sync.is_empty());
}

#[test]
fn what_is_wrong_stays_when_its_change_has_expired() {
    let mut tracker = tracker();
    list(&mut tracker);
    turn_ready(&mut tracker, "a", "a-0", 3);
    turn_ready(&mut tracker, "a", "a-1", 8);
    tracker.advance(at(500));
    let snapshot = snapshot(&stats(10), tracker, 500);
    let wrong = OutOfSync { endpoints: 2, oldest: Some(at(3)), oldest_traffic: Some(at(3)) };
    assert_eq!(snapshot.out_of_sync[&name("a")], wrong);
    assert_eq!(snapshot.out_of_sync[&name("b")], OutOfSync::default());
    assert!(snapshot.series.iter().all(|row| row.change != Change::Ready || row.pending == 0));
}

#[test]
fn services_beyond_the_limit_are_out_of_sync_together() {
    let mut tracker = tracker();
    list(&mut tracker);
    for (app, seconds) in [("a", 3), ("b", 4), ("c", 5)] {
        turn_ready(&mut tracker, app, &format!("{app}-0"), seconds);
    }
    let shown = snapshot(&stats(1), tracker, 9).out_of_sync;
    let other = Arc::new(ServiceName { namespace: OTHER.into(), name: OTHER.into() });
    let all: Vec<_> = shown.iter().map(|(name, it)| (name.clone(), it.endpoints, it.oldest)).collect();
    assert_eq!(all, [(other, 2, Some(at(4))), (name("a"), 1, Some(at(3)))]);
}

#[test]
fn services_are_late_past_their_own_objective() {
    let mut tracker = tracker();
    list(&mut tracker);
    turn_ready(&mut tracker, "a", "a-0", 3);
    turn_ready(&mut tracker, "b", "b-0", 7);
    let scopes = [tracker.standing()];
    let late = |now| {
        let view = stats(10).cluster(&scopes, at(now));
        (view.late_services, view.misrouted_services, view.out_of_sync.map(|it| it.endpoints))
    };
    assert_eq!(late(7), (0, 0, Some(2)));
    assert_eq!(late(9), (1, 1, Some(2)));
    assert_eq!(late(13), (2, 2, Some(2)));
}
