//! Rollouts from events, and random ones against what each millisecond was.

mod random;
mod scene;

use self::scene::{NAME, Scene, at, uid};
use super::{Leg, Moment, Spreading};
use crate::{
    ledger::{Cause, Change, Doubt, Outcome, Pending},
    model::{Event, Resource, Seen},
    propagation::{PodRef, Subject},
};
use std::time::Duration;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A rollout of two pods with maxSurge 1: each old pod is deleted when a new one is ready, before that is listed.
fn surging() -> Scene {
    let mut scene = Scene::new(2);
    for pod in [0, 1] {
        scene.ready(0, pod).list(0, pod);
    }
    scene.follower.begin(at(100), Duration::ZERO);
    scene.pod_exists(110, 2).ready(200, 2).terminate(210, 0).list(230, 2).unlist(260, 0).delete(300, 0);
    scene.pod_exists(310, 3).ready(400, 3).terminate(410, 1).list(430, 3).unlist(440, 1).delete(500, 1);
    scene
}

#[test]
fn each_pod_has_its_moments_and_what_was_missing_is_known() {
    let scene = surging();
    assert!(scene.follower.is_settled(2), "both new ones serve");
    assert!(!scene.follower.is_settled(3), "the status says that a third does");
    let report = scene.follower.report(at(600), &[]);
    let names: Vec<_> = report.pods.iter().map(|pod| &*pod.pod.name).collect();
    assert_eq!(names, ["web-0", "web-1", "web-2", "web-3"]);
    let exact = |millis| Some(Moment { at: at(millis), exact: true });
    let [first, _, new, _] = &report.pods[..] else { panic!("four pods") };
    assert_eq!((first.leaving, first.gone, first.ready.map(|it| it.at)), (exact(210), exact(300), Some(at(0))));
    assert_eq!((new.ready, new.leaving, new.gone), (exact(200), None, None));
    let service = &report.services[0];
    assert_eq!((service.endpoints[2].listed, service.endpoints[0].unlisted), (exact(230), exact(260)));
    let serving = &service.serving;
    // From 210 to 230 and from 410 to 430 one of two serves, while a ready pod waits to be listed.
    assert_eq!((serving.wanted, serving.at_begin, serving.least), (2, 2, 1));
    assert_eq!((serving.below, serving.missing, serving.waiting), (ms(40), ms(40), ms(40)));
    // From 210 to 260 and from 410 to 440 a pod that was going away was listed.
    assert_eq!((serving.lingering, serving.hurried), (ms(80), 2));
    assert_eq!((report.lasted(), report.unseen), (ms(500), Duration::ZERO));
}

/// One of three is stopped before its successor starts.
#[test]
fn what_no_ready_pod_could_fill_is_not_waiting() {
    let mut scene = Scene::new(3);
    for pod in 0..3 {
        scene.ready(0, pod).list(0, pod);
    }
    scene.follower.begin(at(100), Duration::ZERO);
    scene.terminate(200, 0).unlist(220, 0).pod_exists(230, 3).delete(240, 0).ready(700, 3).list(760, 3);
    let serving = scene.follower.report(at(1_000), &[]).services[0].serving.clone();
    assert_eq!((serving.least, serving.below, serving.missing), (2, ms(560), ms(560)));
    assert_eq!((serving.waiting, serving.lingering, serving.hurried), (ms(60), ms(20), 0));
    // Two missing at once count twice, and more wanted is more missing.
    scene.follower.want(at(1_000), 5);
    let serving = scene.follower.report(at(1_100), &[]).services[0].serving.clone();
    assert_eq!((serving.wanted, serving.below, serving.missing), (5, ms(660), ms(760)));
}

#[test]
fn what_was_before_the_begin_does_not_count() {
    let mut scene = Scene::new(2);
    scene.ready(0, 0).list(10, 0).ready(50, 1).list(90, 1).terminate(100, 0).unlist(150, 0).delete(160, 0);
    scene.follower.begin(at(200), Duration::ZERO);
    scene.pod_exists(210, 2).ready(220, 2).list(240, 2);
    let report = scene.follower.report(at(300), &[]);
    let names: Vec<_> = report.pods.iter().map(|pod| &*pod.pod.name).collect();
    assert_eq!(names, ["web-1", "web-2"], "the first was gone");
    let serving = &report.services[0].serving;
    assert_eq!((serving.at_begin, serving.least, serving.below, serving.lingering), (1, 1, ms(40), Duration::ZERO));
}

/// Another watch than that of the workload brings the pods, and it is often the first.
#[test]
fn pods_that_are_ahead_of_the_workload_belong_to_its_rollout() {
    let mut scene = Scene::new(2);
    scene.ready(0, 0).list(0, 0).ready(0, 1).list(0, 1);
    scene.terminate(205, 0).pod_exists(206, 2).unlist(209, 0);
    scene.follower.begin(at(210), ms(100));
    scene.delete(250, 0).ready(300, 2).list(320, 2);
    let report = scene.follower.report(at(400), &[]);
    let serving = &report.services[0].serving;
    assert_eq!((serving.at_begin, serving.least), (2, 1));
    assert!(serving.missing.abs_diff(ms(115)) < ms(1), "{serving:?}");
    assert!(report.pods[0].leaving.is_some_and(|moment| moment.at > report.begin));
}

#[test]
fn a_pod_that_turns_unready_is_counted_and_one_that_is_going_is_waited_for() {
    let mut scene = Scene::new(1);
    scene.ready(0, 0).list(0, 0);
    scene.follower.begin(at(100), Duration::ZERO);
    scene.unready(200, 0);
    assert!(!scene.follower.is_settled(0), "still listed");
    scene.unlist(220, 0);
    assert!(scene.follower.is_settled(0), "not ready, not listed, and not being deleted");
    scene.ready(300, 0);
    assert!(!scene.follower.is_settled(0), "ready and not listed");
    scene.list(310, 0).terminate(400, 0).unlist(410, 0);
    assert!(!scene.follower.is_settled(0) && scene.follower.leaving() == 1);
    scene.delete(500, 0);
    assert!(scene.follower.is_settled(0) && scene.follower.leaving() == 0);
    let report = scene.follower.report(at(500), &[]);
    assert_eq!(report.pods[0].turned_unready, 1, "its deletion is another matter");
}

/// The status of a Deployment no longer counts a pod that is being deleted, and may arrive before the pod's event.
#[test]
fn a_complete_status_that_is_ahead_of_the_pods_waits_for_them() {
    let mut scene = Scene::new(1);
    scene.ready(0, 0).list(0, 0);
    scene.follower.begin(at(100), Duration::ZERO);
    scene.pod_exists(110, 1).ready(200, 1).list(230, 1);
    assert!(!scene.follower.is_settled(1) && scene.follower.leaving() == 1, "two stay, and one is wanted");
    scene.terminate(240, 0).unlist(250, 0);
    assert!(!scene.follower.is_settled(1) && scene.follower.leaving() == 1);
    scene.delete(300, 0);
    assert!(scene.follower.is_settled(1) && scene.follower.leaving() == 0);
    scene.event(Seen::late(at(310)), Event::WatchLost(Resource::Pods));
    assert!(!scene.follower.is_settled(1), "what happens to the pods is not seen");
}

/// A list shows what is gone, and a lost watch makes times late.
#[test]
fn a_gap_is_told_and_what_was_found_after_it_is_not_exact() {
    let mut scene = surging();
    scene.event(Seen::late(at(510)), Event::WatchLost(Resource::Pods));
    scene.event(Seen::late(at(520)), Event::WatchLost(Resource::EndpointSlices));
    scene.event(Seen::late(at(530)), Event::Init(Resource::Pods));
    let pod = scene.pod(3, true, false);
    scene.event(Seen::late(at(540)), Event::Pod(pod));
    scene.event(Seen::late(at(550)), Event::InitDone(Resource::Pods));
    scene.event(Seen::late(at(555)), Event::WatchRestored(Resource::Pods));
    scene.event(Seen::late(at(560)), Event::WatchRestored(Resource::EndpointSlices));
    let report = scene.follower.report(at(600), &[]);
    assert_eq!(report.unseen, ms(50));
    let gone = report.pods.iter().find(|pod| &*pod.pod.name == "web-2").and_then(|pod| pod.gone);
    assert_eq!(gone, Some(Moment { at: at(550), exact: false }));
}

#[test]
fn delays_are_those_of_the_tracker_and_a_pending_change_is_as_old_as_it_is() {
    let mut scene = surging();
    scene.propagated(Change::Ready, 2, 200, 30).propagated(Change::Terminating, 0, 210, 7_000);
    // Before the begin, and of a pod of something else.
    scene.propagated(Change::Ready, 0, 50, 10).propagated(Change::Ready, 9, 300, 10);
    let pending = |since, pod: u8| Pending {
        key: Subject {
            service: scene.service(),
            pod: Some(PodRef { name: format!("web-{pod}").into(), uid: uid(pod) }),
        },
        change: Change::Removed,
        cause: Cause::Pod,
        since: at(since),
        exact: true,
        objective: ms(5_000),
        doubt: None::<Doubt>,
        judged: false,
    };
    let report = scene.follower.report(at(6_000), &[pending(500, 1), pending(50, 1), pending(500, 9)]);
    let delays: Vec<_> =
        report.services[0].delays.iter().map(|hop| (hop.change, hop.delay, hop.is_pending, hop.missed)).collect();
    let expected = [
        (Change::Ready, ms(30), false, false),
        (Change::Terminating, ms(7_000), false, true),
        (Change::Removed, ms(5_500), true, true),
    ];
    assert_eq!(delays, expected);
    assert_eq!(report.missed(), 2);
    let (service, slowest) = report.slowest().expect("some");
    assert_eq!((&*service.service.name, slowest.delay, slowest.leg), (NAME, ms(7_000), Leg::Slices));
}

/// The controller stood still, and the pod turned unready before a slice had listed it.
#[test]
fn a_change_that_no_slice_showed_until_its_opposite_came_has_missed_the_objective() {
    let mut scene = surging();
    scene.ended(Change::Ready, 2, 200, 20_000, Outcome::Superseded).ended(
        Change::Ready,
        3,
        200,
        100,
        Outcome::Superseded,
    );
    let report = scene.follower.report(at(30_000), &[]);
    let delays: Vec<_> = report.services[0].delays.iter().map(|hop| (hop.delay, hop.is_pending, hop.missed)).collect();
    assert_eq!((delays, report.missed()), (vec![(ms(20_000), true, true)], 1));
}

/// Slices of two families: only both list a pod, and a pod is not listed any more when neither does.
#[test]
fn a_pod_is_listed_when_the_last_family_is_and_unlisted_when_none_is() {
    let mut scene = Scene::dual_stack(1);
    scene.pod_exists(0, 0);
    scene.follower.begin(at(10), Duration::ZERO);
    scene.ready(100, 0).list_in(120, 0, 0).list_in(150, 0, 1);
    scene.terminate(200, 0).unlist_in(220, 0, 1).unlist_in(260, 0, 0).delete(300, 0);
    let report = scene.follower.report(at(400), &[]);
    let endpoint = &report.services[0].endpoints[0];
    let moments = [endpoint.listed, endpoint.unlisted].map(|moment| moment.map(|it| it.at));
    assert_eq!(moments, [Some(at(150)), Some(at(260))]);
    assert_eq!(report.services[0].serving.lingering, ms(60));
}

/// From the slice event to the last node. What is not of this rollout, what was told already, and what no node showed adds nothing.
#[test]
fn a_daemon_tells_when_the_nodes_followed() {
    let mut scene = surging();
    scene.propagated(Change::Ready, 2, 200, 30).propagated(Change::Terminating, 0, 210, 50);
    let mut report = scene.follower.report(at(600), &[]);
    assert_eq!(report.untold().len(), 2);
    let spreading = |pod: u8, change, all: Option<u64>| Spreading {
        pod: uid(pod),
        change,
        half: Some(ms(10)),
        most: all.map(ms),
        all: all.map(ms),
        is_open: all.is_none(),
        last: Some("node-17".into()),
        error: ms(1),
    };
    let service = scene.service();
    // Of an earlier rollout, of another workload, and of a kind that is not followed.
    report.tell(&service, spreading(0, Change::Ready, Some(5)));
    report.tell(&service, spreading(9, Change::Ready, Some(5)));
    report.tell(&service, spreading(0, Change::Removed, Some(5)));
    assert_eq!((report.untold().len(), report.services[0].delays.len()), (2, 2));

    report.tell(&service, spreading(2, Change::Ready, Some(900)));
    report.tell(&service, spreading(2, Change::Ready, Some(7)));
    // One node has not shown it.
    report.tell(&service, spreading(0, Change::Terminating, None));
    assert!(report.untold().is_empty());
    let endpoints = &report.services[0].endpoints;
    let visible = endpoints[2].visible.as_ref().expect("told");
    // Listed at 230.
    assert_eq!(visible.moment, Some(Moment { at: at(1_130), exact: true }));
    let withdrawn = endpoints[0].withdrawn.as_ref().expect("told");
    assert_eq!((withdrawn.moment, withdrawn.spreading.half), (None, Some(ms(10))));
    let (_, slowest) = report.slowest().expect("some");
    assert_eq!((slowest.leg, slowest.delay, &*slowest.pod.name), (Leg::Nodes, ms(900), "web-2"));
    assert_eq!(report.missed(), 0, "the objective is that of the slices");
    // It was longer than on the nodes of which it is known.
    let last = report.services[0].delays.last().expect("some");
    assert_eq!((last.leg, last.delay, last.is_pending), (Leg::Nodes, ms(10), true));
}

#[test]
fn a_node_that_has_not_followed_at_the_end_is_not_left_out() {
    let mut scene = surging();
    scene.propagated(Change::Ready, 2, 200, 30);
    let mut report = scene.follower.report(at(600), &[]);
    let untold = report.untold();
    // Listed at 230.
    untold.iter().for_each(|key| report.tell_open(key, at(9_230)));
    let (_, slowest) = report.slowest().expect("some");
    assert_eq!((slowest.leg, slowest.delay, slowest.is_pending), (Leg::Nodes, ms(9_000), true));
}
