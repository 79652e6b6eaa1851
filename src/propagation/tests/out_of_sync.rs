//! What is wrong now is shown until it is right.

use super::*;

#[test]
fn expiry_ends_the_change_and_not_the_state() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    assert_eq!(scene.out_of_sync(), ["p since 1000 traffic"]);
    scene.tracker.advance(at(61_001));
    assert_eq!(scene.reported(), ["missed ready", "ready p expired 60000"]);
    assert_eq!((scene.pending(), scene.out_of_sync()), (vec![], vec!["p since 1000 traffic".to_owned()]));
    scene.shows(90_000, vec![shown_ready("p")]);
    assert_eq!(scene.out_of_sync(), [""; 0]);
}

#[test]
fn a_fresh_tracker_names_the_same_as_an_old_one() {
    let pods = || vec![pod("unlisted"), unready("listed-ready"), terminating("listed-terminating")];
    let shown = || vec![shown_ready("listed-ready"), shown_ready("listed-terminating"), shown_ready("gone")];
    let mut old = Scene::listed(vec![], vec![service()], vec![]);
    for pod in pods() {
        old.pod(1000, pod);
    }
    old.shows(2000, shown());
    old.tracker.advance(at(500_000));
    old.pod(500_000, unready("listed-ready"));
    let fresh = Scene::listed(pods(), vec![service()], vec![slice("s", shown())]);
    let names = |scene: &Scene| -> Vec<_> {
        let mut names: Vec<_> =
            scene.tracker.out_of_sync_endpoints().map(|it| (it.pod.uid.to_string(), it.fault.traffic)).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&old), names(&fresh));
    assert_eq!(names(&old).len(), 4);
}

#[test]
fn an_endpoint_that_gets_no_traffic_is_told_apart() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    assert_eq!(scene.out_of_sync(), ["p since 1000 traffic"]);
    scene.shows(1020, vec![shown_unready("p")]);
    // A change of the phase alone does not wake the controller.
    scene.pod(2000, Pod { terminal: true, ..unready("p") });
    assert_eq!((scene.pending(), scene.out_of_sync()), (vec!["removed 1".to_owned()], vec!["p since 2000".to_owned()]));
    let summary: Vec<_> = scene.tracker.standing().out_of_sync.into_iter().map(|(_, faults)| faults).collect();
    assert_eq!(summary, [Faults { count: 1, oldest: at(2000), oldest_traffic: None }]);
}

#[test]
fn an_unready_or_terminating_pod_that_is_not_listed_is_in_sync() {
    let mut scene = Scene::listed(vec![unready("p"), terminating("q")], vec![service()], vec![slice("s", vec![])]);
    assert_eq!(scene.out_of_sync(), [""; 0]);
    scene.shows(1000, vec![shown_unready("p"), shown_terminating("q")]);
    assert_eq!(scene.out_of_sync(), [""; 0]);
}

#[test]
fn ports_that_are_not_the_services_are_out_of_sync() {
    let mut scene = Scene::with_pod();
    scene.service(1000, Service { ports: vec![port(9090)], ..service() });
    assert_eq!(
        (scene.pending(), scene.out_of_sync()),
        (vec!["service 1".to_owned()], vec!["p since 1000 traffic".into()])
    );
    scene.tracker.advance(at(100_000));
    assert_eq!((scene.pending(), scene.out_of_sync().len()), (vec![], 1));
    let ports = EndpointPort { name: String::new(), protocol: "TCP".into(), number: Some(9090), app_protocol: None };
    scene.slice(101_000, EndpointSlice { ports: vec![ports], ..slice("s", vec![shown_ready("p")]) });
    assert_eq!(scene.out_of_sync(), [""; 0]);
    // A daemon that starts with such a slice reports the same, and waits.
    let edited = Service { ports: vec![port(9090)], ..service() };
    let fresh = Scene::listed(vec![pod("p")], vec![edited], vec![slice("s", vec![shown_ready("p")])]);
    assert_eq!(
        (fresh.pending(), fresh.out_of_sync()),
        (vec!["service 1".to_owned()], vec!["p since 0 traffic".into()])
    );
}

#[test]
fn pods_that_left_the_slices_for_another_reason_have_no_change_of_their_own_later() {
    let shown = ["a", "b", "c"].map(shown_ready).to_vec();
    let mut scene = Scene::listed(["a", "b", "c"].map(pod).to_vec(), vec![service()], vec![slice("s", shown)]);
    // Their node is gone, so the controller leaves them out.
    scene.shows(1000, vec![shown_ready("c")]);
    assert_eq!(scene.out_of_sync(), ["a since 1000 traffic", "b since 1000 traffic"]);
    scene.delete_pod(4000, "a");
    scene.pod(4000, unready("b"));
    assert_eq!((scene.reported(), scene.pending(), scene.out_of_sync()), (vec![], vec![], vec![]));
}
