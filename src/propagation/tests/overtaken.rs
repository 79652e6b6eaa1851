//! A change that was overtaken may still be written. Then the change that overtook it is a change after all.

use super::{
    services::{labelled, selecting},
    *,
};

#[test]
fn a_late_write_makes_what_overtook_it_pending_since_its_own_arrival() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(2000, pod("p"));
    assert_eq!((scene.ended(), scene.pending()), (vec!["unready p superseded".to_owned()], vec![]));
    // The controller had computed this before it saw the second event.
    scene.shows(3000, vec![shown_unready("p")]);
    assert_eq!(
        (scene.pending(), scene.out_of_sync()),
        (vec!["ready 1".to_owned()], vec!["p since 3000 traffic".into()])
    );
    assert_eq!(scene.tracker.pending_changes().next().map(|it| (it.since, it.exact)), Some((at(2000), true)));
    scene.shows(4000, vec![shown_ready("p")]);
    assert_eq!(scene.reported(), ["met ready", "ready p propagated 2000"]);
    assert_eq!(scene.tracker.size().overtaken, 0);
}

#[test]
fn a_controller_that_stops_after_a_late_write_misses() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(2000, pod("p"));
    scene.shows(3000, vec![shown_unready("p")]);
    scene.tracker.advance(at(100_000));
    assert_eq!(scene.reported(), ["missed ready", "ready p expired 60000", "unready p superseded"]);
    assert_eq!(scene.out_of_sync(), ["p since 3000 traffic"]);
}

#[test]
fn a_ready_that_was_overtaken_by_the_end_of_its_pod_may_still_be_written() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.pod(1100, terminating("p"));
    scene.delete_pod(1200, "p");
    assert_eq!((scene.ended(), scene.pending()), (vec!["ready p superseded".to_owned()], vec![]));
    scene.shows(1300, vec![shown_ready("p")]);
    assert_eq!(scene.pending(), ["terminating 1", "removed 1"]);
    scene.shows(1400, vec![]);
    assert_eq!(scene.ended(), ["terminating p propagated 300", "removed p propagated 200"]);
    assert_eq!(scene.tracker.size().pods, 0);
}

#[test]
fn an_overtaken_change_is_remembered_until_it_would_have_expired() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(2000, pod("p"));
    scene.shows(61_001, vec![shown_unready("p")]);
    assert_eq!(scene.pending(), [""; 0], "too late to be that write");
    assert_eq!(scene.out_of_sync(), ["p since 61001 traffic"]);
    scene.tracker.advance(at(61_001));
    assert_eq!(scene.tracker.size().overtaken, 0);
}

#[test]
fn an_edit_that_was_overtaken_by_the_next_may_still_be_written() {
    let shown = || vec![shown_ready("p")];
    let mut scene = Scene::listed(vec![pod("p"), labelled("q", "api")], vec![service()], vec![slice("s", shown())]);
    scene.service(1000, selecting("api"));
    scene.service(2000, service());
    assert_eq!((scene.ended(), scene.pending()), (vec!["service - superseded".to_owned()], vec![]));
    scene.shows(3000, vec![shown_ready("q")]);
    assert_eq!(scene.pending(), ["service 1"]);
    scene.shows(4000, shown());
    assert_eq!(scene.ended(), ["service - propagated 2000"]);
    assert_eq!((scene.tracker.size().overtaken, scene.out_of_sync()), (0, vec![]));
}

#[test]
fn slices_that_are_ahead_of_the_next_change_are_no_late_write() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(2000, pod("p"));
    scene.ended();
    scene.shows(9000, vec![shown_unready("p")]);
    scene.tracker.advance(at(9010));
    scene.pod(9020, unready("p"));
    assert_eq!(scene.reported(), ["met unready", "unready p propagated 0 early by 20"]);
    assert_eq!(scene.pending(), [""; 0]);
}

#[test]
fn an_endpoint_that_is_absent_while_it_moves_is_no_late_write() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(2000, pod("p"));
    scene.ended();
    // It moves to another slice, and is in neither for a moment.
    scene.shows(9000, vec![]);
    assert_eq!(scene.pending(), [""; 0], "what may still be written is that it is not ready");
    scene.slice(9010, slice("t", vec![shown_ready("p")]));
    assert_eq!(scene.reported(), [""; 0]);
    // If the overtaken change makes it absent too, only time tells them apart.
    scene.pod(20_000, labelled("p", "api"));
    scene.pod(20_100, pod("p"));
    assert_eq!(scene.ended(), ["removed p superseded"]);
    scene.slice(29_000, slice("t", vec![]));
    assert_eq!(scene.pending(), ["ready 1"]);
    scene.shows(29_010, vec![shown_ready("p")]);
    assert_eq!((scene.reported(), scene.pending()), (vec![], vec![]));
}
