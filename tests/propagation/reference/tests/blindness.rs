//! While a watch is lost, no objective is judged and no delay is measured.

use super::scene::*;
use endpointlag::{
    ledger::Change,
    model::{Event, Resource},
};

/// Two ready pods that the slices list as ready.
fn two() -> Scene {
    let pods = ["a", "b"].map(|uid| pod(uid, true));
    let mut listed = vec![Event::Service(service("s")), slice(&service("s"), &pods)];
    listed.extend(pods.map(Event::Pod));
    Scene::new(listed)
}

#[test]
fn nothing_is_missed_while_a_watch_is_lost() {
    let mut scene = two();
    scene.late(10.0, Event::WatchLost(Resource::EndpointSlices));
    for uid in ["a", "b"] {
        scene.live(11.0, Event::Pod(pod(uid, false)));
    }
    scene.reference.advance(at(800.0));
    assert_eq!((scene.pending().len(), scene.verdicts()), (2, (0, 0)));
    scene.late(801.0, slice(&service("s"), &["a", "b"].map(|uid| pod(uid, false))));
    scene.late(801.0, Event::WatchRestored(Resource::EndpointSlices));
    scene.reference.advance(at(802.0));
    assert_eq!(scene.outcomes(), [(Change::Unready, "censored"); 2]);
    assert_eq!(scene.verdicts(), (0, 0));
}

#[test]
fn what_the_slices_do_not_show_when_the_watch_is_back_is_missed() {
    let mut scene = two();
    scene.late(10.0, Event::WatchLost(Resource::EndpointSlices));
    scene.live(11.0, Event::Pod(pod("a", false)));
    scene.late(20.0, Event::WatchRestored(Resource::EndpointSlices));
    scene.reference.advance(at(20.0));
    assert_eq!((scene.pending().len(), scene.verdicts()), (1, (1, 0)));
}

#[test]
fn what_moved_in_a_gap_may_have_moved_when_it_began() {
    for (shown, counted) in [(10.0, true), (9.6, true), (9.4, false)] {
        let mut scene = two();
        scene.live(shown, slice(&service("s"), &[pod("b", true)]));
        scene.late(10.0, Event::WatchLost(Resource::Pods));
        scene.late(40.0, Event::WatchLost(Resource::Pods));
        scene.late(70.0, Event::PodDeleted(pod("a", true)));
        scene.late(70.0, Event::WatchRestored(Resource::Pods));
        let expected = if counted { vec![(Change::Removed, "censored")] } else { vec![] };
        assert_eq!(scene.outcomes(), expected, "shown at {shown} s");
        assert_eq!(scene.pending(), []);
    }
}

#[test]
fn a_late_event_ends_a_change_without_a_time() {
    let mut scene = two();
    scene.live(1.0, Event::Pod(pod("a", false)));
    scene.late(3.0, Event::Pod(pod("a", true)));
    assert_eq!(scene.outcomes(), [(Change::Unready, "censored")], "whether it was superseded in time is not known");
}
