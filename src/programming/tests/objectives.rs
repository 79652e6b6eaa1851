//! Which changes meet their objective, here five seconds, on 99 % of the nodes.

use super::{Scene, endpoint, scene};
use crate::{ledger::Change, model::Annotation};
use std::time::Duration;

/// A pod that is ready at 1,000, and listed at 1,100, with this many nodes.
fn listed(nodes: usize) -> (Scene, Vec<String>) {
    let nodes: Vec<_> = (0..nodes).map(|node| format!("node-{node}")).collect();
    let mut scene = Scene::with_nodes(&nodes.iter().map(|node| &**node).collect::<Vec<_>>());
    scene.slice(1_100, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_100);
    (scene, nodes)
}

#[test]
fn it_is_met_as_soon_as_enough_nodes_were_in_time() {
    let (mut scene, nodes) = listed(200);
    for node in &nodes[..197] {
        scene.shows(node, 1_200, true, 7);
    }
    // The age counts from the arrival of the change.
    scene.shows(&nodes[197], 6_000, true, 7);
    assert_eq!(scene.missed(), [(Change::Ready, false)]);
    scene.shows(&nodes[198], 9_000, true, 7);
    scene.shows(&nodes[199], 9_000, true, 7);
    assert_eq!(scene.missed().len(), 1, "once");
}

#[test]
fn it_is_missed_as_soon_as_too_many_nodes_were_late() {
    let (mut scene, nodes) = listed(200);
    for node in &nodes[..2] {
        scene.shows(node, 6_001, true, 7);
    }
    scene.pass(7_100);
    assert_eq!(scene.missed(), []);
    scene.shows(&nodes[2], 6_001, true, 7);
    scene.pass(8_200);
    assert_eq!(scene.missed(), [(Change::Ready, true)]);
    nodes[3..].iter().for_each(|node| scene.shows(node, 1_200, true, 7));
    assert_eq!(scene.missed().len(), 1, "once");
}

/// An agent may tell half a minute later what its node did in time.
#[test]
fn nodes_that_show_nothing_are_late_once_they_would_have_told() {
    let (mut scene, nodes) = listed(2);
    scene.shows(&nodes[0], 1_200, true, 7);
    scene.pass(41_000);
    assert_eq!(scene.missed(), []);
    scene.pass(42_100);
    assert_eq!(scene.missed(), [(Change::Ready, true)]);
}

#[test]
fn nodes_that_are_silent_or_lost_something_are_not_late() {
    let (mut scene, nodes) = listed(2);
    scene.shows(&nodes[0], 1_200, true, 7);
    scene.programming.set_silent(&[nodes[1].as_str().into()].into(), &[].into(), scene::at(20_000));
    scene.pass(50_000);
    assert_eq!(scene.missed(), []);
    scene.programming.lost(&nodes[1], scene::at(60_000));
    scene.pass(700_000);
    assert_eq!((scene.missed(), scene.programming.size()), (vec![], (0, 0)), "it is never known");
}

/// Of a Service on few nodes, one that is silent takes away what is met. So it takes away what is missed too.
#[test]
fn with_too_many_silent_nodes_nothing_is_said() {
    for shows in [true, false] {
        let (mut scene, nodes) = listed(3);
        scene.programming.set_silent(&["node-2".into()].into(), &[].into(), scene::at(2_000));
        scene.shows(&nodes[0], 1_200, true, 7);
        if shows {
            scene.shows(&nodes[1], 9_000, true, 7);
        }
        scene.pass(50_000);
        assert_eq!(scene.missed(), []);
        scene.pass(700_000);
        assert_eq!(scene.missed(), [], "nor when it has ended");
    }
    let (mut scene, nodes) = listed(200);
    scene.programming.set_silent(&["node-199".into()].into(), &[].into(), scene::at(2_000));
    nodes[..3].iter().for_each(|node| scene.shows(node, 9_000, true, 7));
    scene.pass(10_100);
    assert_eq!(scene.missed(), [(Change::Ready, true)], "the other 199 could have been enough");
}

#[test]
fn with_too_many_silent_nodes_a_late_slice_misses_nothing() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.programming.set_silent(&["b".into()].into(), &[].into(), scene::at(500));
    scene.slice(6_100, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 6_100);
    scene.expired(Change::Removed);
    scene.pass(700_000);
    assert_eq!(scene.missed(), []);
}

/// The node never shows either of two opposite changes, and does what the slices say.
#[test]
fn nodes_that_merge_a_flap_are_not_late() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    for (at, change, p) in
        [(1_000, Change::Unready, endpoint("p", 7)), (1_500, Change::Ready, endpoint("p", 7).ready())]
    {
        scene.slice(at, &[p, endpoint("q", 8).ready()]);
        scene.carried(change, "p", at, at);
    }
    scene.pass(100_000);
    scene.pass(601_600);
    assert_eq!(scene.missed(), []);
}

#[test]
fn a_node_that_never_shows_it_is_late_also_if_the_expiry_comes_first() {
    let (mut scene, _) = listed(1);
    scene.pass(601_200);
    assert_eq!(scene.missed(), [(Change::Ready, true)]);
}

#[test]
fn a_change_that_slices_show_too_late_is_missed_before_the_nodes_follow() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.slice(6_100, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 6_100);
    scene.pass(7_200);
    assert_eq!(scene.missed(), [(Change::Ready, true)]);
    ["a", "b"].into_iter().for_each(|node| scene.shows(node, 6_110, true, 7));
    assert_eq!(scene.missed().len(), 1, "once");
}

#[test]
fn the_objective_of_the_service_counts() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.service.objective = Annotation::Set(Duration::from_millis(200));
    scene.update_service(10);
    scene.slice(1_100, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_100);
    scene.shows("a", 1_201, true, 7);
    assert_eq!(scene.missed(), [(Change::Ready, true)]);
}

#[test]
fn a_change_that_no_slice_shows_is_missed_if_a_kernel_would_have_to_follow() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.expired(Change::Ready);
    assert_eq!(scene.missed(), [(Change::Ready, true)]);
    scene.service.publish_not_ready_addresses = true;
    scene.update_service(10);
    scene.expired(Change::Ready);
    assert_eq!(scene.missed().len(), 1, "the kernel uses the pod already");
    scene.expired(Change::Removed);
    assert_eq!(scene.missed().len(), 2);
    scene.slice(1_000, &[endpoint("p", 7).ready().with_hints()]);
    scene.expired(Change::Removed);
    assert_eq!(scene.missed().len(), 2, "it is not known which nodes follow");
    scene.service.virtual_ips = None;
    scene.update_service(1_100);
    scene.expired(Change::Removed);
    assert_eq!(scene.missed().len(), 2, "no kernel follows");
}

#[test]
fn without_nodes_nothing_is_missed() {
    let mut scene = Scene::with_nodes(&[]);
    scene.expired(Change::Ready);
    assert_eq!(scene.missed(), []);
}
