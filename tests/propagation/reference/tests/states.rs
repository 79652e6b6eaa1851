//! What is wrong now, and what the slices showed for another reason.

use super::scene::*;
use endpointlag::{
    ledger::Change,
    model::{Event, Family, Pod, Service},
};
use std::slice::from_ref;

#[test]
fn expiry_hides_nothing() {
    let mut scene = Scene::new(vec![Event::Service(service("s")), Event::Pod(pod("a", false))]);
    scene.live(10.0, Event::Pod(pod("a", true)));
    assert_eq!(scene.out_of_sync(), [("a".into(), 10.0, true)]);
    scene.reference.advance(at(700.0));
    assert_eq!(scene.pending(), []);
    assert_eq!(scene.outcomes(), [(Change::Ready, "expired")]);
    assert_eq!(scene.out_of_sync(), [("a".into(), 10.0, true)]);
    scene.live(800.0, slice(&service("s"), &[pod("a", true)]));
    assert_eq!(scene.out_of_sync(), []);
}

#[test]
fn a_lead_of_seconds_has_another_cause() {
    // A Node is deleted: its pods leave the slices at once, and are deleted or become unready seconds later.
    let pods = ["a", "b", "c"].map(|uid| pod(uid, true));
    let mut listed = vec![Event::Service(service("s")), slice(&service("s"), &pods)];
    listed.extend(pods.map(Event::Pod));
    let mut scene = Scene::new(listed);
    scene.live(10.0, slice(&service("s"), &[pod("c", true)]));
    assert_eq!(scene.out_of_sync(), [("a".into(), 10.0, true), ("b".into(), 10.0, true)]);
    scene.live(13.0, Event::PodDeleted(pod("a", true)));
    scene.live(13.0, Event::Pod(pod("b", false)));
    assert_eq!((scene.ended(), scene.pending(), scene.out_of_sync()), (vec![], vec![], vec![]));

    // If the slice is earlier only by the usual difference between watches, it is a change.
    scene.live(14.0, slice(&service("s"), &[]));
    scene.live(14.5, Event::PodDeleted(pod("c", true)));
    assert_eq!(scene.outcomes(), [(Change::Removed, "propagated")]);
}

#[test]
fn the_traffic_of_what_is_out_of_sync() {
    let cart = service("s");
    let state = |pod: &Pod, shown: Vec<Event>| {
        let mut listed = vec![Event::Service(cart.clone()), Event::Pod(pod.clone())];
        listed.extend(shown);
        Scene::new(listed).out_of_sync().into_iter().map(|(_, _, traffic)| traffic).collect::<Vec<_>>()
    };
    let (ready, unready) = (pod("a", true), pod("a", false));
    assert!(state(&ready, vec![slice(&cart, from_ref(&ready))]).is_empty());
    assert_eq!(state(&ready, vec![]), [true], "it should get connections");
    assert!(state(&unready, vec![]).is_empty(), "listed nowhere, and no connections");
    let leaving = Pod { terminating: true, ..ready.clone() };
    assert_eq!(state(&leaving, vec![slice(&cart, from_ref(&unready))]), [false], "it gets none, rightly");
    let ended = Pod { terminal: true, ..unready.clone() };
    assert_eq!(state(&ended, vec![slice(&cart, from_ref(&unready))]), [false], "listed, and gets no connections");
    let too_many = slice_in(Family::V6, "6", &cart, from_ref(&ready));
    assert_eq!(state(&ready, vec![slice(&cart, from_ref(&ready)), too_many]), [true]);
    let other_ports = Service { ports: vec![port(81)], ..cart.clone() };
    assert_eq!(state(&ready, vec![slice(&other_ports, from_ref(&ready))]), [true]);
    assert_eq!(state(&unready, vec![slice(&other_ports, from_ref(&unready))]), [false]);
}

#[test]
fn what_arrived_in_time_is_in_time_whenever_it_is_looked_at() {
    let unready = pod("a", false);
    let listed = vec![Event::Service(service("s")), Event::Pod(unready.clone()), slice(&service("s"), &[unready])];
    let mut scene = Scene::new(listed.clone());
    scene.live(1.0, Event::Pod(pod("a", true)));
    scene.live(6.0, slice(&service("s"), &[pod("a", true)]));
    scene.reference.advance(at(60.0));
    assert_eq!((scene.outcomes(), scene.verdicts()), (vec![(Change::Ready, "propagated")], (0, 1)));

    // What came after the expiry has expired, even if `advance` was not called until then.
    let mut scene = Scene::new(listed);
    scene.live(1.0, Event::Pod(pod("a", true)));
    scene.live(601.5, slice(&service("s"), &[pod("a", true)]));
    let [end] = scene.ended().try_into().expect("one end");
    assert_eq!((end.outcome.as_str(), end.at), ("expired", at(601.0)));
    assert_eq!(scene.verdicts(), (1, 0));
}
