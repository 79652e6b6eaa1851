//! Changes of Services.

use super::*;

pub(super) fn labelled(uid: &str, app: &str) -> Pod {
    Pod { labels: BTreeMap::from([("app".to_owned(), app.to_owned())]), ..pod(uid) }
}

pub(super) fn selecting(app: &str) -> Service {
    Service { selector: BTreeMap::from([("app".to_owned(), app.to_owned())]), ..service() }
}

fn with_port(number: i32, slice: EndpointSlice) -> EndpointSlice {
    let ports = slice.ports.into_iter().map(|port| EndpointPort { number: Some(number), ..port }).collect();
    EndpointSlice { ports, ..slice }
}

#[test]
fn a_new_service_is_reflected_when_all_its_pods_are_listed() {
    let mut scene = Scene::listed(vec![pod("p"), unready("q")], vec![], vec![]);
    scene.service(1000, service());
    scene.shows(1020, vec![shown_ready("p")]);
    assert_eq!(scene.pending(), ["service 1"]);
    scene.slice(1030, slice("t", vec![shown_unready("q")]));
    assert_eq!(scene.ended(), ["service - propagated 30"]);
}

#[test]
fn a_new_service_without_pods_waits_for_its_empty_slice() {
    let mut scene = Scene::listed(vec![], vec![], vec![]);
    scene.service(1000, service());
    assert_eq!(scene.pending(), ["service 1"]);
    scene.shows(1015, vec![]);
    assert_eq!(scene.ended(), ["service - propagated 15"]);
}

#[test]
fn a_slice_may_arrive_before_the_service_that_caused_it() {
    let mut scene = Scene::listed(vec![pod("p")], vec![], vec![]);
    scene.shows(996, vec![shown_ready("p")]);
    scene.service(1000, service());
    assert_eq!(scene.ended(), ["service - propagated 0 early by 4"]);
}

#[test]
fn an_edited_selector_waits_for_the_new_pods_and_for_the_old_ones_to_go() {
    let pods = vec![pod("p"), labelled("q", "api")];
    let mut scene = Scene::listed(pods, vec![service()], vec![slice("s", vec![shown_ready("p")])]);
    scene.service(1000, selecting("api"));
    scene.shows(1010, vec![shown_ready("p"), shown_ready("q")]);
    assert_eq!(scene.pending(), ["service 1"], "p is still listed");
    scene.shows(1030, vec![shown_ready("q")]);
    assert_eq!(scene.ended(), ["service - propagated 30"], "and the pods themselves did not change");
}

#[test]
fn an_edited_port_waits_for_every_slice() {
    let both = vec![slice("s", vec![shown_ready("p")]), slice("t", vec![shown_ready("q")])];
    let mut scene = Scene::listed(vec![pod("p"), pod("q")], vec![service()], both);
    scene.service(1000, Service { ports: vec![port(9090)], ..service() });
    scene.slice(1010, with_port(9090, slice("s", vec![shown_ready("p")])));
    assert_eq!(scene.pending(), ["service 1"]);
    scene.slice(1025, with_port(9090, slice("t", vec![shown_ready("q")])));
    assert_eq!(scene.ended(), ["service - propagated 25"]);
}

#[test]
fn an_edit_that_changes_nothing_in_the_slices_is_no_change() {
    let mut scene = Scene::with_pod();
    scene.service(1000, Service { objective: Annotation::Set(millis(10)), ..service() });
    let named = ServicePort { target: TargetPort::Name("http".into()), ..port(0) };
    let http = crate::model::NamedPort { name: "http".into(), protocol: "TCP".into(), number: 8080 };
    let listed = vec![Pod { ports: vec![http], ..pod("p") }];
    let mut by_name = Scene::listed(listed, vec![service()], vec![slice("s", vec![shown_ready("p")])]);
    by_name.service(1000, Service { ports: vec![named], ..service() });
    for mut scene in [scene, by_name] {
        assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]));
    }
}

#[test]
fn a_newer_edit_supersedes_a_pending_one() {
    let mut scene = Scene::with_pod();
    scene.shows(500, vec![shown_ready("p"), shown_unready("q")]);
    scene.service(1000, Service { ports: vec![port(9090)], ..service() });
    scene.service(1100, service());
    assert_eq!(scene.ended(), ["service - superseded"]);
    assert_eq!(scene.pending(), [""; 0], "the slices never followed the first edit, so nothing is to be undone");
}

#[test]
fn what_a_deleted_or_ignored_service_was_owed_is_withdrawn() {
    let ignored = Service { ignore: Annotation::Set(true), ..service() };
    let edits = [Event::ServiceDeleted(service()), Event::Service(ignored), Event::Service(selecting("api"))];
    for edit in edits {
        let mut scene = Scene::with_service();
        scene.pod(1000, pod("p"));
        scene.apply(1100, Arrival::Live, edit);
        assert_eq!(scene.ended(), ["ready p withdrawn"]);
        assert_eq!(scene.pending(), [""; 0]);
    }
}

#[test]
fn a_service_that_is_no_longer_ignored_starts_from_what_it_is() {
    let ignored = Service { ignore: Annotation::Set(true), ..service() };
    let mut scene = Scene::listed(vec![], vec![ignored], vec![slice("s", vec![])]);
    scene.pod(1000, pod("p"));
    scene.shows(1010, vec![shown_ready("p")]);
    scene.service(2000, service());
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]));
    scene.pod(3000, unready("p"));
    scene.shows(3010, vec![shown_unready("p")]);
    assert_eq!(scene.ended(), ["unready p propagated 10"]);
}

#[test]
fn a_service_made_anew_under_its_name_is_another() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.service(1100, Service { uid: Uid::from("anew"), ..service() });
    assert_eq!(scene.ended(), ["ready p withdrawn"]);
    assert_eq!(scene.pending(), ["service 1"]);
    // The old one is deleted late. This does not end the new one.
    scene.apply(1200, Arrival::Live, Event::ServiceDeleted(service()));
    scene.shows(1300, vec![shown_ready("p")]);
    assert_eq!(scene.pending(), ["service 1"], "a slice of the old one shows nothing of the new one");
    scene.apply(1400, Arrival::Live, Event::EndpointSliceDeleted(slice("s", vec![])));
    scene.slice(1500, slice_of("anew", "t", vec![shown_ready("p")]));
    assert_eq!(scene.ended(), ["service - propagated 400"]);
}

#[test]
fn an_edit_stops_waiting_for_a_pod_that_goes_away() {
    let mut scene = Scene::listed(vec![pod("p"), pod("q")], vec![], vec![]);
    scene.service(1000, service());
    scene.shows(1020, vec![shown_ready("p")]);
    scene.delete_pod(9000, "q");
    assert_eq!(scene.ended(), ["service - withdrawn"], "no slice event ended it, so it has no delay");
}

#[test]
fn an_edit_that_selects_a_pod_again_supersedes_only_what_it_opposes() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(1100, Pod { ready: false, ..labelled("p", "api") });
    assert_eq!(scene.pending(), ["unready 1", "removed 1"]);
    scene.service(1200, selecting("api"));
    assert_eq!(scene.ended(), ["removed p superseded"]);
    scene.shows(1300, vec![shown_unready("p")]);
    assert_eq!(scene.ended(), ["unready p propagated 300"]);
}

#[test]
fn an_edit_stops_waiting_for_a_pod_to_go_that_is_expected_again() {
    let mut scene = Scene::with_pod();
    scene.service(1000, selecting("api"));
    assert_eq!(scene.pending(), ["service 1"], "p is still listed");
    scene.pod(1100, labelled("p", "api"));
    assert_eq!(scene.ended(), ["service - withdrawn"]);
    assert_eq!(scene.pending(), [""; 0]);
}

#[test]
fn a_newer_edit_supersedes_one_that_only_waited_for_pods_the_newer_excludes() {
    let mut scene = Scene::listed(vec![pod("p")], vec![], vec![slice("s", vec![])]);
    scene.service(1000, service());
    scene.service(1100, selecting("api"));
    assert_eq!(scene.ended(), ["service - superseded"]);
}

#[test]
fn what_the_slices_showed_before_the_service_was_deleted_is_not_for_the_next_of_its_name() {
    let mut scene = Scene::with_pod();
    scene.shows(1000, vec![shown_ready("p"), shown_ready("q")]);
    // Each watch has its own reader. This one was a little faster than the other.
    scene.apply(999, Arrival::Live, Event::ServiceDeleted(service()));
    scene.service(1100, Service { uid: Uid::from("anew"), ..service() });
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec!["service 1".to_owned()]));
    // Its own slice may arrive before it, like any other slice.
    let mut scene = Scene::with_pod();
    scene.slice(1000, slice_of("anew", "t", vec![shown_ready("p")]));
    scene.apply(1010, Arrival::Live, Event::ServiceDeleted(service()));
    scene.service(1020, Service { uid: Uid::from("anew"), ..service() });
    assert_eq!(scene.ended(), ["service - propagated 0 early by 20"]);
}

#[test]
fn what_slices_showed_before_the_service_was_measured_again_was_there_before() {
    let ignored = Service { ignore: Annotation::Set(true), ..service() };
    let mut scene = Scene::with_service();
    scene.shows(1000, vec![shown_ready("p")]);
    scene.service(1100, ignored);
    scene.service(1200, service());
    assert_eq!(scene.pending(), ["removed 1"], "a pod is listed that does not exist");
    scene.pod(1300, pod("p"));
    assert_eq!((scene.ended(), scene.pending()), (vec!["removed p censored".to_owned()], vec![]));
}

#[test]
fn a_pod_that_takes_the_place_of_an_excluded_one_does_not_stand_in_the_way() {
    let mut scene = Scene::listed(vec![pod("p")], vec![service()], vec![]);
    scene.service(1000, selecting("api"));
    scene.delete_pod(1100, "p");
    assert_eq!(scene.ended(), ["ready p censored"], "the first lists did not agree on it");
    scene.shows(1200, vec![shown_ready("stray")]);
    assert_eq!(scene.ended(), ["service - propagated 200"]);
}

#[test]
fn a_family_that_the_service_dropped_is_awaited_until_no_slice_lists_its_pods() {
    let both = families(&Family::ALL);
    let dual = Service { families: both, ..service() };
    let p = Pod { families: both, ..pod("p") };
    let v6 = |endpoints| {
        let owner = Some(SliceOwner { uid: Uid::from("service"), service: "web".into(), family: Family::V6 });
        EndpointSlice { owner, ..slice("s6", endpoints) }
    };
    let slices = vec![slice("s", vec![shown_ready("p")]), v6(vec![shown_ready("p")])];
    let mut scene = Scene::listed(vec![p], vec![dual], slices);
    scene.service(1000, service());
    assert_eq!(
        (scene.pending(), scene.out_of_sync()),
        (vec!["service 1".to_owned()], vec!["p since 1000 traffic".into()])
    );
    scene.apply(1500, Arrival::Live, Event::EndpointSliceDeleted(v6(vec![])));
    assert_eq!((scene.ended(), scene.out_of_sync()), (vec!["service - propagated 500".to_owned()], vec![]));
}

#[test]
fn a_service_that_a_finalizer_holds_is_expected_to_show_nothing_more() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.service(1100, Service { terminating: true, ..service() });
    assert_eq!(scene.ended(), ["ready p withdrawn"]);
    scene.pod(1200, pod("q"));
    scene.tracker.advance(at(90_000));
    assert_eq!((scene.reported(), scene.out_of_sync()), (vec![], vec![]));
}

#[test]
fn a_service_that_is_measured_again_starts_from_what_is_wrong_then() {
    type Edit = fn(&mut Service);
    let edits: [Edit; 3] = [
        |service| service.ignore = Annotation::Set(true),
        |service| service.selector.clear(),
        |service| service.external_name = true,
    ];
    for edit in edits {
        let shown = ["a", "b", "c"].map(shown_ready).to_vec();
        let mut scene = Scene::listed(["a", "b", "c"].map(pod).to_vec(), vec![service()], vec![slice("s", shown)]);
        let mut left_out = service();
        edit(&mut left_out);
        scene.service(1000, left_out);
        scene.delete_pod(2000, "b");
        scene.pod(2000, unready("a"));
        assert_eq!((scene.pending(), scene.out_of_sync()), (vec![], vec![]));
        scene.service(3000, service());
        assert_eq!(scene.pending(), ["unready 1", "removed 1"]);
        assert_eq!(scene.out_of_sync(), ["a since 3000 traffic", "b since 3000 traffic"]);
        scene.tracker.advance(at(8001));
        assert_eq!(scene.reported(), ["missed removed", "missed unready"]);
        scene.shows(9000, vec![shown_unready("a"), shown_ready("c")]);
        assert_eq!(scene.reported(), ["removed b censored", "unready a censored"]);
        assert_eq!(scene.out_of_sync(), [""; 0]);
    }
}
