//! Slices that are written repeatedly.

use super::*;
use crate::model::{EndpointsChange, EndpointsPart, SliceVersion};

#[test]
fn only_what_changed_in_a_slice_moves_anything() {
    let mut scene = Scene::listed(
        vec![pod("p"), pod("q"), unready("r")],
        vec![service()],
        vec![slice("s", vec![shown_ready("p"), shown_ready("q"), shown_unready("r")])],
    );
    // In another order, as another writer may do it.
    scene.shows(1000, vec![shown_unready("r"), shown_ready("p"), shown_ready("q")]);
    scene.pod(2000, pod("r"));
    scene.pod(2000, unready("p"));
    scene.shows(2030, vec![shown_ready("r"), shown_ready("p"), shown_ready("q")]);
    assert_eq!(
        (scene.ended(), scene.pending()),
        (vec!["ready r propagated 30".to_owned()], vec!["unready 1".to_owned()])
    );
    scene.shows(2040, vec![shown_ready("q"), shown_unready("p"), shown_ready("r")]);
    scene.delete_pod(3000, "q");
    scene.shows(3010, vec![shown_unready("p"), shown_ready("r")]);
    assert_eq!(scene.ended(), ["unready p propagated 40", "removed q propagated 10"]);
    assert_eq!(scene.tracker.size().pods, 2);
}

#[test]
fn a_change_of_endpoints_goes_on_from_the_version_before() {
    let pods = ["p", "q", "r", "t"];
    let endpoints = pods.map(shown_ready).to_vec();
    let mut scene = Scene::listed(pods.map(pod).to_vec(), vec![service()], vec![slice("s", endpoints)]);
    let change = |scene: &mut Scene, millis, endpoints| {
        let change = EndpointsChange { uid: Uid::from("s"), name: "web-s".into(), resource_version: 0, endpoints };
        scene.apply(millis, Arrival::Live, Event::EndpointsChanged(change));
    };
    scene.pod(1000, unready("q"));
    scene.delete_pod(1000, "t");
    let new = EndpointsPart::New(shown_unready("q"));
    change(&mut scene, 1010, vec![EndpointsPart::Kept(0..1), new, EndpointsPart::Kept(2..3)]);
    let mut ended = scene.ended();
    ended.sort_unstable();
    assert_eq!(ended, ["removed t propagated 10", "unready q propagated 10"]);
    // The positions are those of the previous version: p, q, r.
    scene.delete_pod(2000, "p");
    change(&mut scene, 2010, vec![EndpointsPart::Kept(1..3)]);
    assert_eq!(scene.ended(), ["removed p propagated 10"]);
    assert_eq!((scene.out_of_sync(), scene.tracker.size().pods), (vec![], 2));
}

#[test]
fn a_change_names_the_version_of_the_slice_that_showed_it() {
    let mut scene = Scene::with_pod();
    let shown_by = |scene: &mut Scene| -> Vec<Option<SliceVersion>> {
        let ended = |report| match report {
            Report::Ended(ended) => Some(ended.by.map(|version| (*version).clone())),
            Report::Judged { .. } => None,
        };
        scene.tracker.reports().filter_map(ended).collect()
    };
    let version_of = |scene: &Scene, uid: &str| {
        Some(SliceVersion { uid: Uid::from(uid), name: format!("web-{uid}").into(), resource_version: scene.version })
    };
    scene.pod(1000, unready("p"));
    scene.shows(1010, vec![shown_unready("p")]);
    let version = version_of(&scene, "s");
    assert_eq!(shown_by(&mut scene), [version]);
    // The slice event comes first.
    scene.shows(2000, vec![shown_ready("p")]);
    let version = version_of(&scene, "s");
    scene.pod(2010, pod("p"));
    assert_eq!(shown_by(&mut scene), [version]);
    // It moves to another slice. When both slices are gone, it is listed in none.
    scene.slice(3000, slice("t", vec![shown_ready("p")]));
    scene.apply(3001, Arrival::Live, Event::EndpointSliceDeleted(slice("s", vec![])));
    scene.delete_pod(4000, "p");
    scene.apply(4010, Arrival::Live, Event::EndpointSliceDeleted(slice("t", vec![])));
    let version = version_of(&scene, "t");
    assert_eq!(shown_by(&mut scene), [version]);
    scene.pod(5000, pod("q"));
    scene.pod(5010, unready("q"));
    assert_eq!(shown_by(&mut scene), [None], "superseded");
}
