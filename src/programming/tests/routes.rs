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
