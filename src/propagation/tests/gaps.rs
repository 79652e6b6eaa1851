//! The daemon does not guess what it did not see.

use super::*;

#[test]
fn the_objects_of_the_first_list_are_no_changes() {
    let mut scene = Scene::blank();
    scene.list(0, Resource::Pods, [Event::Pod(pod("p"))].into_iter());
    scene.list(0, Resource::EndpointSlices, [Event::EndpointSlice(slice("s", vec![shown_ready("p")]))].into_iter());
    // Changes of a watch that has listed, while another watch still lists, are not measured either.
    scene.pod(10, unready("p"));
    scene.pod(20, pod("p"));
    assert!(!scene.tracker.is_measuring());
    scene.list(30, Resource::Services, [Event::Service(service())].into_iter());
    assert!(scene.tracker.is_measuring());
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]));
}

#[test]
fn where_the_first_lists_disagree_something_is_pending_and_ends_censored() {
    let pods = vec![pod("missing"), unready("still-shown")];
    let endpoints = vec![shown_ready("still-shown"), shown_ready("gone")];
    let mut scene = Scene::listed(pods, vec![service()], vec![slice("s", endpoints)]);
    assert_eq!(scene.pending(), ["ready 1", "unready 1", "removed 1"]);
    scene.shows(1000, vec![shown_ready("missing"), shown_unready("still-shown")]);
    let mut ended = scene.ended();
    ended.sort_unstable();
    assert_eq!(ended, ["ready missing censored", "removed gone censored", "unready still-shown censored"]);
}

#[test]
fn a_change_or_a_reflection_from_a_replay_has_no_delay() {
    let mut scene = Scene::with_service();
    scene.apply(1000, Arrival::Late, Event::Pod(pod("p")));
    scene.shows(1010, vec![shown_ready("p")]);
    scene.pod(2000, unready("p"));
    scene.apply(2010, Arrival::Late, Event::EndpointSlice(slice("s", vec![shown_unready("p")])));
    assert_eq!(scene.ended(), ["ready p censored", "unready p censored"]);
    // Both orders of arrival.
    scene.apply(3000, Arrival::Late, Event::EndpointSlice(slice("s", vec![shown_ready("p")])));
    scene.pod(3001, pod("p"));
    scene.lost(3900, Resource::Pods);
    scene.shows(4000, vec![shown_unready("p")]);
    scene.apply(50_000, Arrival::Late, Event::Pod(unready("p")));
    assert_eq!(scene.ended(), ["ready p censored", "unready p censored"]);
}

#[test]
fn a_change_pending_across_a_gap_keeps_its_time_if_a_live_event_shows_it() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.apply(9000, Arrival::Late, Event::EndpointSlice(slice("s", vec![shown_unready("p")])));
    scene.shows(9500, vec![shown_ready("p")]);
    assert_eq!(scene.ended(), ["ready p propagated 8500"]);
}

#[test]
fn a_new_list_finds_missed_deletions_and_invents_nothing() {
    let listed = vec![pod("p"), pod("q")];
    let mut scene = Scene::listed(listed, vec![service()], vec![slice("s", vec![shown_ready("p"), shown_ready("q")])]);
    scene.list(1000, Resource::Pods, [Event::Pod(pod("q"))].into_iter());
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec!["removed 1".to_owned()]));
    scene.list(1100, Resource::Services, [Event::Service(service())].into_iter());
    scene.list(1200, Resource::EndpointSlices, [Event::EndpointSlice(slice("s", vec![shown_ready("q")]))].into_iter());
    assert_eq!((scene.ended(), scene.pending()), (vec!["removed p censored".to_owned()], vec![]));
}

#[test]
fn slices_and_services_missing_from_a_new_list_are_gone() {
    let mut scene = Scene::with_pod();
    scene.list(1000, Resource::EndpointSlices, std::iter::empty());
    scene.pod(1400, unready("p"));
    assert_eq!(scene.ended(), ["unready p censored"], "it went unlisted, and nobody saw when");
    scene.pod(3000, pod("p"));
    scene.list(4000, Resource::Services, std::iter::empty());
    assert_eq!(scene.ended(), ["ready p withdrawn"]);
    assert_eq!(scene.tracker.standing().measured.len(), 0);
}

#[test]
fn a_pending_change_of_a_pod_that_changed_in_the_gap_has_lost_its_start() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    let unchanged = Pod { resource_version: scene.version, ..pod("p") };
    // A list that shows the same version keeps the start; `list` would give a new version.
    scene.feed(Seen::late(at(1500)), Event::Init(Resource::Pods));
    scene.feed(Seen::late(at(1500)), Event::Pod(unchanged));
    scene.feed(Seen::late(at(1500)), Event::InitDone(Resource::Pods));
    scene.shows(1600, vec![shown_ready("p")]);
    scene.pod(2000, unready("p"));
    scene.list(3000, Resource::Pods, [Event::Pod(unready("p"))].into_iter());
    scene.shows(3100, vec![shown_unready("p")]);
    assert_eq!(scene.ended(), ["ready p propagated 600", "unready p censored"]);
}

#[test]
fn while_a_watch_is_lost_nothing_misses_its_objective_and_nothing_is_timed() {
    let mut scene = Scene::listed(
        vec![pod("p"), pod("q")],
        vec![service()],
        vec![slice("s", vec![shown_ready("p"), shown_ready("q")])],
    );
    scene.lost(900, Resource::EndpointSlices);
    scene.pod(1000, unready("p"));
    scene.pod(1000, unready("q"));
    scene.tracker.advance(at(100_000));
    assert_eq!(scene.tracker.reports().count(), 0);
    assert_eq!(scene.pending(), ["unready 2"]);
    scene.apply(100_000, Arrival::Late, Event::EndpointSlice(slice("s", vec![shown_unready("p"), shown_ready("q")])));
    scene.restored(100_100, Resource::EndpointSlices);
    assert_eq!(scene.reported(), ["unready p censored"]);
    // Now the other change is known to be still pending.
    scene.tracker.advance(at(100_200));
    assert_eq!(scene.reported(), ["missed unready", "unready q expired 60000"]);
}

#[test]
fn a_change_that_ends_while_another_watch_is_lost_has_no_delay() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.lost(1500, Resource::Pods);
    scene.lost(1600, Resource::Services);
    scene.restored(1700, Resource::Services);
    scene.shows(9000, vec![shown_ready("p")]);
    assert_eq!(scene.reported(), ["ready p censored"]);
    scene.restored(9500, Resource::Pods);
    scene.pod(10_000, unready("p"));
    scene.shows(10_020, vec![shown_unready("p")]);
    assert_eq!(scene.reported(), ["met unready", "unready p propagated 20"]);
}

#[test]
fn what_a_replay_tells_long_after_the_slices_showed_it_is_censored_only_if_it_fell_into_the_gap() {
    for (lost, expected) in [(4200, vec!["unready p censored"]), (8000, vec![])] {
        let mut scene = Scene::with_pod();
        scene.shows(4000, vec![shown_unready("p")]);
        scene.lost(lost, Resource::Pods);
        scene.apply(50_000, Arrival::Late, Event::Pod(unready("p")));
        assert_eq!(scene.ended(), expected, "lost at {lost}");
    }
}

/// All watches are lost. A new Service is delivered before earlier events of its pods.
fn newcomer_before_its_pods() -> Scene {
    let pods = vec![unready("turns"), pod("fails"), pod("leaves")];
    let mut scene = Scene::listed(pods, vec![], vec![]);
    Resource::ALL.iter().for_each(|resource| scene.lost(1000, *resource));
    scene.list(2000, Resource::Services, [Event::Service(service())].into_iter());
    scene
}

#[test]
fn what_pods_did_before_a_service_came_is_no_change_for_it() {
    let mut scene = newcomer_before_its_pods();
    let shown = vec![shown_ready("turns"), shown_unready("fails"), shown_ready("arrives")];
    scene.list(2010, Resource::EndpointSlices, [Event::EndpointSlice(slice("s", shown))].into_iter());
    let pods = [pod("turns"), unready("fails"), pod("arrives")];
    scene.list(2020, Resource::Pods, pods.into_iter().map(Event::Pod));
    Resource::ALL.iter().for_each(|resource| scene.restored(2030, *resource));
    assert_eq!(scene.ended(), ["service - censored"], "the Service's own start alone");
    assert_eq!((scene.pending(), scene.out_of_sync()), (vec![], vec![]));
    // Later events are changes.
    scene.pod(3000, unready("turns"));
    scene.shows(3010, vec![shown_unready("turns"), shown_unready("fails"), shown_ready("arrives")]);
    assert_eq!(scene.ended(), ["unready turns propagated 10"]);
}

#[test]
fn what_disagrees_with_a_service_that_came_in_a_gap_is_pending_with_unknown_start() {
    let mut scene = newcomer_before_its_pods();
    let shown = vec![shown_unready("turns"), shown_ready("fails"), shown_ready("leaves")];
    scene.list(2010, Resource::EndpointSlices, [Event::EndpointSlice(slice("s", shown))].into_iter());
    scene.list(2020, Resource::Pods, [pod("turns"), unready("fails")].into_iter().map(Event::Pod));
    Resource::ALL.iter().for_each(|resource| scene.restored(2030, *resource));
    assert_eq!(scene.pending(), ["ready 1", "unready 1", "removed 1"]);
    scene.ended();
    scene.shows(2100, vec![shown_ready("turns"), shown_unready("fails")]);
    let mut ended = scene.ended();
    ended.sort_unstable();
    assert_eq!(ended, ["ready turns censored", "removed leaves censored", "unready fails censored"]);
}

#[test]
fn a_service_that_came_in_a_gap_is_not_compared_with_pods_from_before_it() {
    for reselected in [false, true] {
        // A new Service, or one that did not select these pods before.
        let before = Service { selector: BTreeMap::from([("app".to_owned(), "api".to_owned())]), ..service() };
        let services = reselected.then_some(before).into_iter().collect();
        let mut scene = Scene::listed(vec![unready("turns"), pod("fails"), pod("leaves")], services, vec![]);
        Resource::ALL.iter().for_each(|resource| scene.lost(1000, *resource));
        let shown = vec![shown_ready("turns"), shown_unready("fails")];
        scene.list(2000, Resource::EndpointSlices, [Event::EndpointSlice(slice("s", shown))].into_iter());
        scene.list(2010, Resource::Services, [Event::Service(service())].into_iter());
        scene.list(2020, Resource::Pods, [pod("turns"), unready("fails")].into_iter().map(Event::Pod));
        Resource::ALL.iter().for_each(|resource| scene.restored(2030, *resource));
        let of_pods: Vec<_> = scene.ended().into_iter().filter(|it| !it.starts_with("service")).collect();
        assert_eq!(of_pods, [""; 0], "reselected: {reselected}");
        assert_eq!((scene.pending(), scene.out_of_sync()), (vec![], vec![]));
    }
}

#[test]
fn a_service_is_no_newcomer_once_the_pod_watch_has_told_something_live() {
    let mut scene = Scene::listed(vec![unready("p"), pod("q")], vec![], vec![]);
    scene.list(2000, Resource::Services, [Event::Service(service())].into_iter());
    scene.shows(2010, vec![shown_unready("p"), shown_ready("q")]);
    scene.ended();
    scene.pod(3000, unready("q"));
    scene.shows(3010, vec![shown_unready("p"), shown_unready("q")]);
    scene.apply(4000, Arrival::Late, Event::Pod(pod("p")));
    scene.shows(4010, vec![shown_ready("p"), shown_unready("q")]);
    assert_eq!(scene.ended(), ["unready q propagated 10", "ready p censored"]);
}
