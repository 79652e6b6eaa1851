//! Rule 19: an overtaken change may still be written.

use super::scene::*;
use endpointlag::{
    ledger::{Change, Outcome},
    model::{Event, Pod},
};

/// A ready pod that the slices show as ready.
fn in_sync() -> Scene {
    let (cart, a) = (service("s"), pod("a", true));
    Scene::new(vec![Event::Service(cart.clone()), Event::Pod(a.clone()), slice(&cart, &[a])])
}

#[test]
fn a_late_write_is_measured_from_the_change_that_it_lacks() {
    let mut scene = in_sync();
    scene.live(1.0, Event::Pod(pod("a", false)));
    scene.live(2.0, Event::Pod(pod("a", true)));
    assert_eq!(scene.outcomes(), [(Change::Unready, "superseded")]);
    assert_eq!(scene.pending(), []);

    scene.live(3.0, slice(&service("s"), &[pod("a", false)]));
    assert_eq!(scene.pending(), [("a".into(), Change::Ready, 2.0)]);
    assert_eq!(scene.out_of_sync(), [("a".into(), 3.0, true)]);
    scene.live(4.0, slice(&service("s"), &[pod("a", true)]));
    let ends = scene.ended();
    assert_eq!(
        ends.iter().map(|end| (end.change, delay(end.outcome))).collect::<Vec<_>>(),
        [(Change::Ready, Some(2.0))]
    );
    assert_eq!(scene.verdicts(), (0, 1));
    assert_eq!(scene.out_of_sync(), []);
    assert_eq!(scene.reference.remembered(), 0, "it was answered");
}

#[test]
fn a_controller_that_stops_after_a_late_write_is_found_out() {
    let mut scene = in_sync();
    scene.live(1.0, Event::Pod(pod("a", false)));
    scene.live(2.0, Event::Pod(pod("a", true)));
    scene.live(3.0, slice(&service("s"), &[pod("a", false)]));
    scene.reference.advance(at(7.0));
    assert_eq!(scene.verdicts(), (0, 0), "not older than the objective");
    scene.reference.advance(at(7.1));
    assert_eq!(scene.verdicts(), (1, 0));
    scene.reference.advance(at(603.0));
    let ends = scene.ended();
    assert_eq!(
        ends.last().map(|end| (end.change, end.outcome.as_str(), end.at)),
        Some((Change::Ready, "expired", at(602.0)))
    );
    assert_eq!(scene.out_of_sync(), [("a".into(), 3.0, true)]);
}

#[test]
fn the_other_opposites_are_remembered_too() {
    // Ready, and unready before the slices listed it as ready.
    let unready = pod("a", false);
    let mut scene =
        Scene::new(vec![Event::Service(service("s")), Event::Pod(unready.clone()), slice(&service("s"), &[unready])]);
    scene.live(1.0, Event::Pod(pod("a", true)));
    scene.live(2.0, Event::Pod(pod("a", false)));
    scene.live(3.0, slice(&service("s"), &[pod("a", true)]));
    assert_eq!(scene.pending(), [("a".into(), Change::Unready, 2.0)]);

    // A pod that was never listed, first terminating and then gone.
    let mut scene = Scene::new(vec![Event::Service(service("s")), slice(&service("s"), &[])]);
    scene.live(1.0, Event::Pod(pod("a", true)));
    let leaving = Pod { terminating: true, ..pod("a", true) };
    scene.live(2.0, Event::Pod(leaving.clone()));
    scene.live(3.0, Event::PodDeleted(leaving));
    assert_eq!(scene.pending(), []);
    scene.live(4.0, slice(&service("s"), &[pod("a", true)]));
    assert_eq!(scene.pending(), [("a".into(), Change::Terminating, 2.0), ("a".into(), Change::Removed, 3.0)]);
    scene.live(5.0, slice(&service("s"), &[]));
    let delays: Vec<_> = scene.ended().iter().filter_map(|end| delay(end.outcome)).collect();
    assert_eq!(delays.iter().sum::<f64>(), 5.0, "3 s and 2 s");
}

#[test]
fn what_is_written_after_the_expiry_is_another_matter() {
    let mut scene = in_sync();
    scene.live(1.0, Event::Pod(pod("a", false)));
    scene.live(2.0, Event::Pod(pod("a", true)));
    scene.live(601.1, slice(&service("s"), &[pod("a", false)]));
    assert_eq!(scene.pending(), []);
    assert_eq!(scene.out_of_sync(), [("a".into(), 601.1, true)], "though it is wrong");
    scene.reference.advance(at(601.2));
    assert_eq!(scene.reference.remembered(), 0);
}

#[test]
fn an_edit_that_took_back_another_is_waited_for_when_the_other_is_written() {
    let mut scene = in_sync();
    let mut there = service("s");
    there.ports = vec![port(81)];
    scene.live(1.0, Event::Service(there.clone()));
    scene.live(2.0, Event::Service(service("s")));
    assert_eq!(scene.outcomes(), [(Change::Service, "superseded")]);
    scene.live(3.0, slice(&there, &[pod("a", true)]));
    assert_eq!(scene.pending(), [("service".into(), Change::Service, 2.0)]);
    assert_eq!(scene.out_of_sync(), [("a".into(), 3.0, true)]);
    scene.live(3.5, slice(&service("s"), &[pod("a", true)]));
    let [end] = scene.ended().try_into().expect("one end");
    assert_eq!(delay(end.outcome), Some(1.5));
}

#[test]
fn a_dormant_edit_hands_its_time_on_to_the_next_that_is_shown_at_once() {
    let mut scene = in_sync();
    let [mut first, mut second] = [service("s"), service("s")];
    first.ports = vec![port(81)];
    scene.live(1.0, Event::Service(first.clone()));
    scene.live(2.0, Event::Service(service("s")));
    // The slices show this edit at once: it adds no pod.
    second.families = dual();
    scene.live(2.5, Event::Service(second.clone()));
    assert_eq!(scene.pending(), []);
    scene.live(3.0, slice(&first, &[pod("a", true)]));
    assert_eq!(scene.pending(), [("service".into(), Change::Service, 2.5)]);
}

#[test]
fn an_object_of_a_list_that_changed_unseen_has_no_known_start() {
    let mut scene = in_sync();
    scene.live(1.0, Event::Pod(pod("a", false)));
    scene.live(2.0, Event::Pod(pod("a", true)));
    let changed = Pod { resource_version: 900, ..pod("a", true) };
    scene.list(endpointlag::model::Resource::Pods, 2.5, &[Event::Pod(changed)]);
    scene.live(3.0, slice(&service("s"), &[pod("a", false)]));
    scene.live(4.0, slice(&service("s"), &[pod("a", true)]));
    assert_eq!(scene.ended().last().map(|end| end.outcome), Some(Outcome::Censored));
}
