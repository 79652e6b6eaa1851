//! Services that are created again, edited, ignored and measured again.

use super::scene::*;
use endpointlag::{
    ledger::Change,
    model::{Annotation, Event, Family, Pod, Service},
};
use std::slice::from_ref;

fn ignored(ignore: bool) -> Event {
    Event::Service(Service { ignore: Annotation::Set(ignore), ..service("s") })
}

/// Three ready pods that the slices list as ready.
fn three() -> Scene {
    let pods = ["a", "b", "c"].map(|uid| pod(uid, true));
    let mut listed = vec![Event::Service(service("s")), slice(&service("s"), &pods)];
    listed.extend(pods.map(Event::Pod));
    Scene::new(listed)
}

#[test]
fn a_service_made_anew_has_none_of_the_slices_of_the_one_before() {
    let mut scene = three();
    scene.live(1.0, Event::ServiceDeleted(service("s")));
    scene.live(2.0, Event::Service(service("t")));
    assert_eq!(scene.pending(), [("service".into(), Change::Service, 2.0)]);
    let all: Vec<_> = ["a", "b", "c"].map(|uid| (uid.to_owned(), 2.0, true)).into();
    assert_eq!(scene.out_of_sync(), all);
    // The garbage collector, and at last the controller.
    scene.live(3.0, deleted(slice(&service("s"), &[])));
    scene.live(4.0, slice(&service("t"), &["a", "b", "c"].map(|uid| pod(uid, true))));
    let [end] = scene.ended().try_into().expect("one end");
    assert_eq!((end.change, delay(end.outcome)), (Change::Service, Some(2.0)));
    assert_eq!(scene.out_of_sync(), []);
}

#[test]
fn the_deletion_of_the_one_before_is_found_by_its_successor() {
    let mut scene = three();
    scene.live(1.0, Event::Pod(pod("a", false)));
    scene.live(2.0, Event::Service(service("t")));
    assert_eq!(scene.outcomes(), [(Change::Unready, "withdrawn")]);
    scene.live(2.5, Event::ServiceDeleted(service("s")));
    assert_eq!(scene.pending(), [("service".into(), Change::Service, 2.0)], "told late, of the one before");
}

#[test]
fn slices_may_come_before_the_service_that_owns_them() {
    let mut scene = Scene::new(vec![Event::Pod(pod("a", true))]);
    scene.live(1.0, slice(&service("s"), &[pod("a", true)]));
    scene.live(1.2, Event::Service(service("s")));
    let [end] = scene.ended().try_into().expect("one end");
    assert_eq!((end.change, delay(end.outcome)), (Change::Service, Some(0.0)));
}

#[test]
fn a_dropped_family_is_awaited() {
    let two = Pod { families: dual(), ..pod("a", true) };
    let wide = Service { families: dual(), ..service("s") };
    let (four, six) =
        (slice_in(Family::V4, "4", &wide, from_ref(&two)), slice_in(Family::V6, "6", &wide, from_ref(&two)));
    let mut scene = Scene::new(vec![Event::Service(wide), Event::Pod(two), four, six.clone()]);
    scene.live(1.0, Event::Service(service("s")));
    assert_eq!(scene.pending(), [("service".into(), Change::Service, 1.0)]);
    assert_eq!(scene.out_of_sync(), [("a".into(), 1.0, true)]);
    scene.live(3.0, deleted(six));
    let [end] = scene.ended().try_into().expect("one end");
    assert_eq!(delay(end.outcome), Some(2.0));
}

#[test]
fn what_went_wrong_while_a_service_was_ignored_is_pending_with_unknown_start() {
    let mut scene = three();
    scene.live(1.0, ignored(true));
    scene.live(2.0, Event::PodDeleted(pod("b", true)));
    scene.live(3.0, Event::Pod(pod("a", false)));
    assert_eq!((scene.pending(), scene.out_of_sync()), (vec![], vec![]));
    scene.live(4.0, ignored(false));
    let expected = [("a".into(), Change::Unready, 4.0), ("b".into(), Change::Removed, 4.0)];
    assert_eq!(scene.pending(), expected);
    assert_eq!(scene.out_of_sync(), [("a".into(), 4.0, true), ("b".into(), 4.0, true)]);
    scene.reference.advance(at(9.1));
    assert_eq!(scene.verdicts(), (2, 0));
    scene.live(10.0, slice(&service("s"), &[pod("a", false), pod("c", true)]));
    assert_eq!(scene.outcomes(), [(Change::Unready, "censored"), (Change::Removed, "censored")]);
}

#[test]
fn a_selector_given_back_is_an_edit_and_pods_that_it_does_not_wait_for_start_unseen() {
    let mut scene = three();
    scene.live(1.0, Event::Service(Service { selector: Default::default(), ..service("s") }));
    scene.live(2.0, Event::PodDeleted(pod("b", true)));
    scene.live(3.0, Event::Pod(pod("a", false)));
    scene.live(3.5, Event::Pod(pod("d", true)));
    scene.live(4.0, Event::Service(service("s")));
    let expected = [
        ("a".into(), Change::Unready, 4.0),
        ("b".into(), Change::Removed, 4.0),
        ("service".into(), Change::Service, 4.0),
    ];
    assert_eq!(scene.pending(), expected, "the edit waits for d");
}

#[test]
fn a_service_in_deletion_expects_nothing() {
    let mut scene = three();
    scene.live(1.0, Event::Pod(pod("d", true)));
    scene.live(2.0, Event::Service(Service { terminating: true, ..service("s") }));
    assert_eq!(scene.outcomes(), [(Change::Ready, "withdrawn")]);
    scene.live(3.0, Event::Pod(pod("e", true)));
    assert_eq!((scene.pending(), scene.out_of_sync()), (vec![], vec![]));
    assert_eq!(scene.verdicts(), (0, 0));
}
