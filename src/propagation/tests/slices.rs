//! Slices that are written again and again.

use super::*;
use crate::model::SliceEndpoint;

/// An endpoint, or what came in place of one.
#[derive(Hash)]
struct Sent(Option<Endpoint>);

#[derive(Debug)]
struct NoEndpoint;

impl SliceEndpoint for Sent {
    type Error = NoEndpoint;

    fn read(&self) -> Result<Option<Endpoint>, NoEndpoint> {
        self.0.clone().map(Some).ok_or(NoEndpoint)
    }
}

#[test]
fn only_what_changed_in_a_slice_moves_anything() {
    let mut scene = Scene::listed(
        vec![pod("p"), pod("q"), unready("r")],
        vec![service()],
        vec![slice("s", vec![shown_ready("p"), shown_ready("q"), shown_unready("r")])],
    );
    // In another order, as another writer may have it.
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
fn an_endpoint_that_is_none_leaves_its_slice_as_it_was() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, unready("p"));
    let endpoints = [Some(shown_unready("p")), Some(shown_ready("never-kept")), None].map(Sent).into();
    let EndpointSlice { uid, namespace, name, resource_version, owner, ports, .. } = slice("s", vec![]);
    let broken = EndpointSlice { uid, namespace, name, resource_version, owner, ports, endpoints };
    scene.tracker.apply(Seen::live(at(1010)), Event::EndpointSlice(broken)).expect_err("no endpoint");
    assert_eq!((scene.ended(), scene.tracker.size().pods), (vec![], 1));
    scene.shows(1020, vec![shown_unready("p")]);
    assert_eq!(scene.ended(), ["unready p propagated 20"]);
}
