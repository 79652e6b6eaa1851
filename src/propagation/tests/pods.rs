//! Changes of pods.

use super::*;

#[test]
fn each_kind_of_change_takes_from_its_event_to_the_slice_that_shows_it() {
    let mut scene = Scene::with_service();
    scene.pod(100, unready("p"));
    scene.shows(110, vec![shown_unready("p")]);
    assert_eq!(scene.ended(), [""; 0], "a pod that is listed as not ready has not changed what gets traffic");
    scene.pod(1000, pod("p"));
    assert_eq!(scene.pending(), ["ready 1"]);
    scene.shows(1025, vec![shown_ready("p")]);
    scene.pod(2000, unready("p"));
    scene.shows(2040, vec![shown_unready("p")]);
    scene.pod(3000, pod("p"));
    scene.shows(3007, vec![shown_ready("p")]);
    scene.pod(4000, terminating("p"));
    scene.shows(4019, vec![shown_terminating("p")]);
    scene.delete_pod(5000, "p");
    scene.shows(5044, vec![]);
    let expected = [
        "ready p propagated 25",
        "unready p propagated 40",
        "ready p propagated 7",
        "terminating p propagated 19",
        "removed p propagated 44",
    ];
    assert_eq!(scene.ended(), expected);
    assert_eq!(scene.pending(), [""; 0]);
}

#[test]
fn a_slice_that_arrives_first_counts_as_no_delay_and_says_by_how_much() {
    let mut scene = Scene::with_pod();
    scene.shows(1000, vec![shown_unready("p")]);
    scene.pod(1003, unready("p"));
    scene.shows(2000, vec![shown_ready("p")]);
    scene.pod(2001, pod("p"));
    scene.shows(3000, vec![shown_terminating("p")]);
    scene.pod(3002, terminating("p"));
    scene.shows(4000, vec![]);
    scene.delete_pod(4005, "p");
    scene.shows(5000, vec![shown_ready("q")]);
    scene.pod(5001, pod("q"));
    let expected = [
        "unready p propagated 0 early by 3",
        "ready p propagated 0 early by 1",
        "terminating p propagated 0 early by 2",
        "removed p propagated 0 early by 5",
        "ready q propagated 0 early by 1",
    ];
    assert_eq!(scene.ended(), expected);
}

#[test]
fn slices_may_be_several_steps_ahead() {
    let mut scene = Scene::with_service();
    scene.shows(1000, vec![shown_ready("p")]);
    scene.pod(1001, unready("p"));
    scene.pod(1002, pod("p"));
    assert_eq!(scene.ended(), ["ready p propagated 0 early by 2"]);
    scene.shows(2000, vec![]);
    scene.pod(2003, terminating("p"));
    scene.delete_pod(2004, "p");
    assert_eq!(scene.ended(), ["terminating p propagated 0 early by 3", "removed p propagated 0 early by 4"]);
    assert_eq!(scene.pending(), [""; 0]);
}

#[test]
fn what_showed_one_change_early_shows_no_second_one() {
    let mut scene = Scene::with_pod();
    scene.shows(1000, vec![shown_unready("p")]);
    scene.pod(1001, unready("p"));
    scene.pod(1500, pod("p"));
    scene.pod(1600, unready("p"));
    assert_eq!(scene.ended(), ["unready p propagated 0 early by 1", "ready p superseded"]);
    assert_eq!(scene.pending(), [""; 0]);
}

#[test]
fn a_slice_whose_stamp_is_older_than_the_pods_counts_as_no_delay() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.shows(998, vec![shown_ready("p")]);
    assert_eq!(scene.ended(), ["ready p propagated 0 early by 2"]);
}

#[test]
fn what_the_slices_showed_long_before_is_no_change() {
    let mut scene = Scene::with_pod();
    // The node is gone: the controller removes the pod's endpoint. The pod is deleted much later.
    scene.shows(1000, vec![]);
    scene.pod(41_000, terminating("p"));
    scene.delete_pod(41_001, "p");
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]));
}

#[test]
fn a_change_overtaken_by_its_opposite_is_never_paired_with_a_later_slice() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(1500, pod("p"));
    assert_eq!(scene.ended(), ["unready p superseded"]);
    scene.pod(2000, unready("p"));
    scene.shows(2010, vec![shown_unready("p")]);
    assert_eq!(scene.ended(), ["unready p propagated 10"]);
}

#[test]
fn a_pod_that_turns_unready_before_it_was_shown_leaves_nothing_pending() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.pod(1001, unready("p"));
    assert_eq!(scene.ended(), ["ready p superseded"]);
    scene.delete_pod(1002, "p");
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]), "never listed, so nothing to remove");
}

#[test]
fn a_pod_on_its_way_out_is_shown_by_what_shows_the_next_step() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    scene.pod(1100, Pod { ready: false, ..terminating("p") });
    scene.delete_pod(1200, "p");
    assert_eq!(scene.pending(), ["unready 1", "terminating 1", "removed 1"]);
    scene.shows(1250, vec![]);
    let expected = ["unready p propagated 250", "terminating p propagated 150", "removed p propagated 50"];
    assert_eq!(scene.ended(), expected);
}

#[test]
fn a_pod_that_ends_or_loses_its_labels_is_removed() {
    for leaving in [Pod { terminal: true, ..pod("p") }, Pod { labels: BTreeMap::new(), ..pod("p") }] {
        let mut scene = Scene::with_pod();
        scene.pod(1000, leaving);
        scene.shows(1030, vec![]);
        assert_eq!(scene.ended(), ["removed p propagated 30"]);
    }
}

#[test]
fn a_pod_without_an_address_does_not_count() {
    let mut scene = Scene::with_service();
    scene.pod(1000, Pod { families: Families::NONE, ..pod("p") });
    assert_eq!(scene.pending(), [""; 0]);
    scene.pod(2000, pod("p"));
    assert_eq!(scene.pending(), ["ready 1"]);
}

#[test]
fn identity_is_the_uid_not_the_name_or_the_address() {
    let mut scene = Scene::with_pod();
    let successor = Pod { name: "web-p".into(), ..pod("q") };
    scene.delete_pod(1000, "p");
    scene.pod(1001, successor);
    scene.shows(1020, vec![shown_ready("p")]);
    assert_eq!(scene.ended(), [""; 0], "the old pod is still shown under its name, the new one is not");
    scene.shows(1050, vec![shown_ready("q")]);
    assert_eq!(scene.ended(), ["removed p propagated 50", "ready q propagated 49"]);
}

#[test]
fn an_endpoint_that_moves_between_slices_never_left() {
    let mut scene = Scene::with_pod();
    scene.slice(1000, slice("t", vec![shown_ready("p")]));
    scene.shows(1001, vec![]);
    scene.shows(1002, vec![shown_ready("p")]);
    scene.apply(1003, Arrival::Live, Event::EndpointSliceDeleted(slice("t", vec![])));
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]));
    scene.slice(2000, slice("t", vec![shown_ready("p")]));
    scene.delete_pod(3000, "p");
    scene.shows(3010, vec![]);
    assert_eq!(scene.ended(), ["terminating p propagated 0 early by 0"; 0], "another slice still shows it");
    scene.slice(3020, slice("t", vec![]));
    assert_eq!(scene.ended(), ["removed p propagated 20"]);
}

#[test]
fn dual_stack_is_reflected_with_the_last_family() {
    let both = families(&Family::ALL);
    let dual = Service { families: both, ..service() };
    let v6 = |endpoints| {
        let owner = Some(SliceOwner { uid: Uid::from("service"), service: "web".into(), family: Family::V6 });
        EndpointSlice { owner, ..slice("six", endpoints) }
    };
    let mut scene = Scene::listed(vec![], vec![dual], vec![slice("s", vec![]), v6(vec![])]);
    scene.pod(1000, Pod { families: both, ..pod("p") });
    scene.shows(1010, vec![shown_ready("p")]);
    assert_eq!(scene.pending(), ["ready 1"]);
    scene.slice(1030, v6(vec![shown_ready("p")]));
    scene.pod(2000, pod("q"));
    scene.shows(2010, vec![shown_ready("p"), shown_ready("q")]);
    assert_eq!(scene.ended(), ["ready p propagated 30", "ready q propagated 10"], "q has no IPv6 address");
    scene.pod(3000, Pod { families: both, ..unready("p") });
    scene.shows(3010, vec![shown_unready("p"), shown_ready("q")]);
    assert_eq!(scene.pending(), ["unready 1"]);
    scene.slice(3050, v6(vec![shown_unready("p")]));
    assert_eq!(scene.ended(), ["unready p propagated 50"]);
}

#[test]
fn where_unready_pods_are_published_serving_tells_readiness() {
    let published = Service { publish_not_ready_addresses: true, ..service() };
    let mut scene = Scene::listed(vec![], vec![published], vec![slice("s", vec![])]);
    scene.pod(1000, unready("p"));
    scene.shows(1010, vec![shown("p", true, false, false)]);
    scene.pod(2000, pod("p"));
    assert_eq!(scene.pending(), ["ready 1"], "ready is true already, serving is not");
    scene.shows(2020, vec![shown("p", true, true, false)]);
    scene.pod(3000, unready("p"));
    scene.shows(3030, vec![shown("p", true, false, false)]);
    scene.pod(4000, Pod { ready: false, ..terminating("p") });
    scene.shows(4040, vec![shown("p", true, false, true)]);
    let expected = ["ready p propagated 20", "unready p propagated 30", "terminating p propagated 40"];
    assert_eq!(scene.ended(), expected);
}

#[test]
fn each_service_of_a_pod_has_a_change_of_its_own() {
    let other = Service { name: "api".into(), uid: Uid::from("other"), ..service() };
    let of_other = |endpoints| {
        let owner = Some(SliceOwner { uid: Uid::from("other"), service: "api".into(), family: Family::V4 });
        EndpointSlice { owner, ..slice("o", endpoints) }
    };
    let mut scene = Scene::listed(vec![], vec![service(), other], vec![slice("s", vec![]), of_other(vec![])]);
    scene.pod(1000, pod("p"));
    scene.pod(1001, Pod { labels: BTreeMap::from([("app".into(), "db".into())]), ..pod("of-none") });
    scene.shows(1010, vec![shown_ready("p")]);
    scene.slice(1020, of_other(vec![shown_ready("p")]));
    assert_eq!(scene.ended(), ["ready p propagated 10", "ready p propagated 20"]);
    assert_eq!(scene.pending(), [""; 0]);
}

#[test]
fn slices_of_other_writers_and_services_without_selector_are_left_alone() {
    let by_hand = Service { selector: BTreeMap::new(), ..service() };
    let mut scene = Scene::listed(vec![], vec![by_hand], vec![slice("s", vec![])]);
    scene.pod(1000, pod("p"));
    scene.shows(1010, vec![shown_ready("p")]);
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]));
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.slice(1010, EndpointSlice { owner: None, ..slice("m", vec![shown_ready("p")]) });
    assert_eq!(scene.pending(), ["ready 1"], "a mirrored slice shows nothing");
}

#[test]
fn a_ready_pod_becomes_ready_in_a_family_it_gains_and_starts_nothing_by_losing_one() {
    let both = families(&Family::ALL);
    let dual = Service { families: both, ..service() };
    let mut scene = Scene::listed(vec![pod("p")], vec![dual], vec![slice("s", vec![shown_ready("p")])]);
    scene.pod(1000, Pod { families: both, ..pod("p") });
    assert_eq!(scene.pending(), ["ready 1"]);
    scene.tracker.advance(at(61_001));
    assert_eq!(scene.ended(), ["ready p expired 60000"]);
    scene.shows(62_000, vec![]);
    scene.pod(63_000, pod("p"));
    assert_eq!((scene.ended(), scene.pending()), (vec![], vec![]));
}
