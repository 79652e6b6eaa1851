//! Which endpoints kernels use, and on which nodes.

use super::{Scene, endpoint, millis, scene};
use crate::{
    ledger::Change,
    programming::{NodeOutcome, Unmatched},
};

/// kube-proxy sends connections to terminating endpoints if none is ready.
#[test]
fn the_last_endpoint_goes_on_while_it_terminates() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready()]);
    scene.slice(1_000, &[endpoint("p", 7).terminating()]);
    scene.carried(Change::Terminating, "p", 990, 1_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::NotApplicable, 1)], "the kernel goes on to use it");
    // Another one is ready now: this removes the first one too.
    scene.slice(2_000, &[endpoint("p", 7).terminating(), endpoint("q", 8).ready()]);
    scene.carried(Change::Ready, "q", 1_990, 2_000);
    scene.shows("a", 2_100, false, 7);
    scene.shows("a", 2_100, true, 8);
    assert_eq!(scene.delays(), [millis(100)]);
    scene.pass(20_000);
    assert_eq!(scene.programming.standing(scene::at(20_000)).unmatched, Unmatched::default());
    assert_eq!(scene.programming.size(), (0, 0));
}

#[test]
fn local_traffic_concerns_the_endpoints_own_node() {
    let mut scene = Scene::with_nodes(&["a", "b"]).with_local_traffic();
    scene.slice(1_000, &[endpoint("p", 7).ready().on("a")]);
    scene.carried(Change::Ready, "p", 990, 1_000);
    scene.shows("a", 1_100, true, 7);
    assert_eq!(scene.spread().outcomes, [1, 0, 0, 0, 0, 0]);
    // It is the last one on its node, and not the last one of the Service.
    scene.slice(2_000, &[endpoint("p", 7).terminating().on("a"), endpoint("q", 8).ready().on("b")]);
    scene.carried(Change::Terminating, "p", 1_990, 2_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::NotApplicable, 2)]);
}

#[test]
fn with_hints_it_is_not_known_which_nodes_follow() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("q", 8).ready()]);
    scene.slice(1_000, &[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.carried(Change::Ready, "p", 990, 1_000);
    scene.slice(1_050, &[endpoint("p", 7).ready().with_hints(), endpoint("q", 8).ready().with_hints()]);
    assert_eq!(scene.outcomes(), [(NodeOutcome::NotApplicable, 1)]);
    scene.slice(2_000, &[endpoint("q", 8).ready().with_hints()]);
    scene.carried(Change::Removed, "p", 1_990, 2_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::NotApplicable, 2)]);
}

#[test]
fn without_a_cluster_ip_no_kernel_follows() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.service.virtual_ips = None;
    scene.update_service(10);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 990, 1_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::NotApplicable, 1)]);
}

#[test]
fn an_edit_of_the_target_port_is_one_change() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready()]);
    let before = super::backend(&super::frontend(), 7);
    scene.service.ports[0].target = crate::model::TargetPort::Number(9_999);
    scene.update_service(5_000);
    scene.slice(5_100, &[endpoint("p", 7).ready()]);
    scene.carried_of(Change::Service, None, 5_000, 5_100);
    let after = crate::model::Backend { port: 9_999, ..before };
    scene.observes_backend("a", 5_150, super::frontend(), false, before);
    assert!(scene.delays().is_empty());
    scene.observes_backend("a", 5_160, super::frontend(), true, after);
    assert_eq!(scene.delays(), [millis(60)]);
}

#[test]
fn endpoints_of_an_initial_list_are_no_change() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready()]);
    scene.pass(700_000);
    assert!(scene.outcomes().is_empty());
    assert_eq!(scene.programming.size(), (0, 0));
}

/// kube-proxy also uses slices that others write, and these are not known here.
#[test]
fn a_service_without_a_selector_is_never_stale() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.service.selector.clear();
    scene.update_service(10);
    scene.state("a", 1_000, &[7]);
    assert_eq!(scene.programming.standing(scene::at(60_000)).stale, []);
}

/// kube-proxy adds their endpoints to those of the controller's slices.
#[test]
fn with_slices_of_others_it_is_not_known_what_nodes_do() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready()]);
    scene.slice(1_000, &[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.carried(Change::Ready, "q", 990, 1_000);
    scene.foreign_slice(1_050, true);
    assert_eq!(scene.outcomes(), [(NodeOutcome::NotApplicable, 1)]);
    scene.slice(2_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Removed, "q", 1_990, 2_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::NotApplicable, 2)]);
    // The node has one more endpoint than the controller's slices list.
    scene.state("a", 3_000, &[7, 9]);
    assert_eq!(scene.programming.standing(scene::at(60_000)).stale, []);
    scene.expired(Change::Ready);
    assert_eq!(scene.missed(), []);
    // It is gone, and all is as before.
    scene.foreign_slice(61_000, false);
    scene.slice(62_000, &[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.carried(Change::Ready, "q", 61_990, 62_000);
    scene.shows("a", 62_100, true, 8);
    assert_eq!(scene.delays(), [millis(100)]);
}

/// No slice changes, so it is no change of the slice hop. The nodes follow all the same.
#[test]
fn an_edit_of_the_service_s_own_port_gives_no_figure_but_is_waited_for() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.synced(&[endpoint("p", 7).ready()]);
    if let Some(virtual_ips) = &mut scene.service.virtual_ips {
        virtual_ips.ports = vec![81];
    }
    scene.update_service(5_000);
    let (before, after) = (scene::frontend(), crate::model::Frontend { port: 81, ..scene::frontend() });
    let backend = super::backend(&before, 7);
    scene.observes_backend("a", 5_100, before, false, backend);
    scene.observes_backend("a", 5_100, after, true, backend);
    let standing = scene.programming.standing(scene::at(20_000));
    assert_eq!(standing.stale.iter().flat_map(|it| &it.nodes).map(|it| &**it).collect::<Vec<_>>(), ["b"]);
    scene.observes_backend("b", 20_100, before, false, backend);
    scene.observes_backend("b", 20_100, after, true, backend);
    scene.pass(40_000);
    let standing = scene.programming.standing(scene::at(40_000));
    assert_eq!((standing.stale, standing.unmatched), (Vec::new(), Unmatched::default()));
    assert_eq!((scene.outcomes(), scene.missed(), scene.programming.size()), (vec![], vec![], (0, 0)));
    // The next change is followed at the new port.
    scene.slice(41_000, &[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.carried(Change::Ready, "q", 40_990, 41_000);
    let other = crate::model::Backend { address: super::backend(&before, 8).address, ..backend };
    for node in ["a", "b"] {
        scene.observes_backend(node, 41_200, after, true, other);
    }
    assert_eq!(scene.delays(), [millis(200), millis(200)]);
}
