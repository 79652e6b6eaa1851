//! First starts, restarts of all kinds and what was not seen are told apart.

use super::*;

/// When the pods of these tests became ready: days ago.
const LONG_AGO: i64 = 2_000;

const NOW: i64 = 500_000;

/// A pod with two containers that has been Ready for days, and has turned unready now. Returns its times.
fn unready_after_days(scene: &mut Scene, uid: &str) -> PodTimes {
    let mut times = times([LONG_AGO, LONG_AGO, LONG_AGO, LONG_AGO, LONG_AGO + 5, LONG_AGO + 5]);
    times.containers.add(second(LONG_AGO), 0);
    scene.created(LONG_AGO as f64, uid);
    scene.ready(LONG_AGO as f64 + 5.0, uid, &times);
    scene.listed(LONG_AGO as f64 + 5.0, uid, "web", 10);
    scene.startup.reports().for_each(drop);
    times.ready_changed = second(NOW);
    times.containers_ready = None;
    scene.seen(NOW as f64 + 0.5, false, &pod(uid, false), &times);
    times
}

/// The same, Ready again ten seconds later.
fn ready_again(scene: &mut Scene, uid: &str, mut times: PodTimes) {
    (times.containers_ready, times.ready_changed) = (second(NOW + 10), second(NOW + 10));
    scene.ready(NOW as f64 + 10.25, uid, &times);
    scene.listed(NOW as f64 + 10.25, uid, "web", 10);
}

fn containers(started: [(i64, u64); 2]) -> ContainerTimes {
    let mut containers = ContainerTimes::default();
    started.into_iter().for_each(|(at, restarts)| containers.add(second(at), restarts));
    containers
}

/// What is counted beside the first start, after `change`.
fn kind_after(change: impl FnOnce(&mut PodTimes)) -> &'static str {
    let mut scene = Scene::new();
    let mut times = unready_after_days(&mut scene, "a");
    change(&mut times);
    ready_again(&mut scene, "a", times);
    assert_eq!(scene.reported(), [(Change::Unready, 500), (Change::Ready, 250)], "the report hop has both");
    assert_eq!(scene.startup.finished().newest().count(), 1, "no start, and no phase of days");
    assert_eq!(scene.startup.standing().waiting, 0);
    let kinds = scene.kinds();
    assert_eq!((kinds.len(), kinds[0]), (2, ("first_start", 1)));
    kinds[1].0
}

#[test]
fn a_probe_that_failed_for_a_while_restarted_nothing() {
    assert_eq!(kind_after(|_| {}), "readiness");
}

#[test]
fn one_container_or_all_of_them_were_restarted() {
    let one = |times: &mut PodTimes| times.containers = containers([(LONG_AGO, 0), (NOW + 3, 1)]);
    assert_eq!(kind_after(one), "container_restart");
    let all = |times: &mut PodTimes| times.containers = containers([(NOW + 2, 1), (NOW + 3, 1)]);
    assert_eq!(kind_after(all), "all_containers_restart");
    // The only container: that is all of them only if the pod says so, or if its init containers ran again.
    let mut only = ContainerTimes::default();
    only.add(second(NOW + 2), 1);
    assert_eq!(kind_after(|times| times.containers = only), "container_restart");
    let in_place = |times: &mut PodTimes| {
        times.containers = only;
        times.all_restarting_changed = second(NOW + 1);
    };
    assert_eq!(kind_after(in_place), "all_containers_restart");
    let from_the_beginning = |times: &mut PodTimes| {
        times.containers = only;
        times.init_restarts = 1;
    };
    assert_eq!(kind_after(from_the_beginning), "all_containers_restart");
}

#[test]
fn a_node_that_was_rebooted_gave_the_pod_a_new_sandbox() {
    let rebooted = |times: &mut PodTimes| {
        times.containers = containers([(NOW + 5, 1), (NOW + 6, 1)]);
        (times.sandbox_changed, times.initialized) = (second(NOW + 4), second(NOW + 4));
    };
    assert_eq!(kind_after(rebooted), "new_sandbox");
}

#[test]
fn a_container_that_failed_before_the_first_ready_leaves_no_first_start() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    let mut restarted = times([2_000, 2_000, 2_001, 2_060, 2_064, 2_064]);
    restarted.containers = ContainerTimes::default();
    restarted.containers.add(second(2_060), 3);
    scene.ready(2_064.5, "a", &restarted);
    scene.listed(2_064.5, "a", "web", 10);
    assert_eq!(scene.kinds(), [("first_start_with_restarts", 1)]);
    assert_eq!(scene.phases(), []);
}

#[test]
fn a_pod_of_a_list_has_no_phases_however_it_goes_on() {
    let mut scene = Scene::new();
    scene.startup.list_began(SCOPE, Resource::Pods);
    scene.seen(2_010.0, true, &pod("starting", false), &PodTimes::default());
    scene.seen(2_010.0, true, &pod("ready", true), &times([10, 10, 10, 10, 10, 10]));
    scene.startup.list_ended(SCOPE, Resource::Pods);
    scene.ready(2_014.5, "starting", &times([2_000, 2_000, 2_001, 2_002, 2_014, 2_014]));
    scene.listed(2_014.5, "starting", "web", 10);
    assert_eq!(scene.kinds(), [("unseen", 1)]);
    assert_eq!(scene.phases(), []);
    assert_eq!(scene.reported(), [(Change::Ready, 500)], "the report hop was seen");
    // It was found ready, and what follows is seen.
    scene.seen(2_020.5, false, &pod("ready", false), &times([10, 10, 10, 10, 10, 2_020]));
    scene.ready(2_030.5, "ready", &times([10, 10, 10, 10, 2_030, 2_030]));
    assert_eq!(scene.kinds(), [("readiness", 1), ("unseen", 1)]);
}

#[test]
fn a_list_in_between_ends_what_was_followed() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    scene.created(2_000.0, "b");
    scene.startup.list_began(SCOPE + 1, Resource::Pods);
    scene.startup.list_began(SCOPE, Resource::Services);
    assert_eq!(scene.startup.standing().waiting, 2, "neither lists the pods of this scope");
    scene.startup.list_began(SCOPE, Resource::Pods);
    assert_eq!(scene.startup.standing().waiting, 0);
    // One became Ready meanwhile, unseen; the other does later.
    scene.seen(2_009.0, true, &pod("a", true), &PodTimes::default());
    scene.seen(2_009.0, true, &pod("b", false), &PodTimes::default());
    scene.startup.list_ended(SCOPE, Resource::Pods);
    scene.ready(2_010.5, "b", &times([2_000, 2_000, 2_001, 2_002, 2_010, 2_010]));
    assert_eq!(scene.kinds(), [("unseen", 2)]);
    assert_eq!(scene.startup.standing().settling, 0);
}

#[test]
fn a_pod_that_goes_away_is_not_followed() {
    let mut scene = Scene::new();
    for uid in ["deleted", "terminating", "ended"] {
        scene.created(2_000.0, uid);
    }
    scene.startup.deleted(&Uid::from("deleted"));
    scene.seen(2_001.0, false, &Pod { terminating: true, ..pod("terminating", false) }, &PodTimes::default());
    scene.seen(2_001.0, false, &Pod { terminal: true, ..pod("ended", false) }, &PodTimes::default());
    assert_eq!(scene.startup.standing().waiting, 0);
    // A ready pod that is deleted turns unready, and that is not its kubelet's report of a change of readiness.
    scene.created(2_000.0, "a");
    scene.ready(2_004.5, "a", &times([2_000, 2_000, 2_001, 2_002, 2_004, 2_004]));
    scene.startup.reports().for_each(drop);
    scene.seen(2_010.0, false, &Pod { terminating: true, ..pod("a", false) }, &PodTimes::default());
    assert_eq!(scene.reported(), []);
}
