//! Nodes that join, leave, fall silent or lose what they observed.

use super::{Scene, endpoint, frontend};
use super::{millis, scene};
use crate::{
    ledger::Change,
    model::{Families, Family},
    programming::{NodeOutcome, Share, Unmatched},
};
use std::{collections::HashSet, sync::Arc};

fn names(names: &[&str]) -> HashSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// A change that only the first of the nodes has shown.
fn half_shown(nodes: &[&str]) -> Scene {
    let mut scene = Scene::with_nodes(nodes);
    scene.synced(&[]);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_000);
    scene.shows(nodes[0], 1_100, true, 7);
    scene
}

#[test]
fn a_node_that_joins_later_need_not_follow() {
    let mut scene = half_shown(&["a", "b"]);
    scene.follow("c", 1_200);
    scene.shows("c", 1_300, true, 7);
    scene.shows("b", 1_400, true, 7);
    assert_eq!(scene.spread().outcomes, [2, 0, 0, 0, 0, 0]);
    scene.pass(10_000);
    assert_eq!(scene.programming.standing(scene::at(10_000)).unmatched, Unmatched { no_change: 1, no_service: 0 });
}

#[test]
fn a_node_that_has_lost_observations_is_censored_and_goes_on() {
    let mut scene = half_shown(&["a", "b"]);
    scene.programming.lost("b", scene::at(2_000));
    scene.drain();
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::Censored, 1)]);
    let spread = scene.spread();
    assert_eq!(spread.shares, [Some(millis(100)), None, None], "half of the nodes are known, all are not");
    scene.slice(3_000, &[endpoint("p", 7)]);
    scene.carried(Change::Unready, "p", 3_000, 3_000);
    scene.shows("b", 3_050, false, 7);
    assert_eq!(scene.delays(), [millis(100), millis(50)]);
}

#[test]
fn an_observation_without_a_time_is_censored() {
    let mut scene = half_shown(&["a", "b"]);
    scene.observes_somewhen("b", 5_000, true, 7);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::Censored, 1)]);
}

#[test]
fn a_slice_that_was_read_late_gives_no_delay() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[]);
    scene.slice_late(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_000);
    scene.shows("a", 1_100, true, 7);
    assert_eq!(scene.outcomes(), [(NodeOutcome::Censored, 1)]);
}

#[test]
fn a_node_that_never_follows_expires_and_a_silent_one_is_censored() {
    let mut scene = half_shown(&["a", "b", "c"]);
    scene.programming.set_silent(&names(&["c"]), &names(&[]), scene::at(40_000));
    let standing = scene.programming.standing(scene::at(40_000));
    assert_eq!(standing.pending[Change::Ready.index()], 1);
    assert_eq!(standing.oldest[Change::Ready.index()], Some(scene::at(1_000)));
    let stale: Vec<_> = standing.stale.iter().map(|it| (it.nodes.clone(), it.since)).collect();
    assert_eq!(stale, [(vec![Arc::from("b")], scene::at(1_000))]);
    scene.pass(600_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1)]);
    scene.pass(602_000);
    let expected = [(NodeOutcome::InEffect, 1), (NodeOutcome::Censored, 1), (NodeOutcome::Expired, 1)];
    assert_eq!(scene.outcomes(), expected);
    assert_eq!(scene.programming.size(), (0, 0));
    // The change has ended. The node is still behind, until it follows.
    let stale = |scene: &Scene| scene.programming.standing(scene::at(900_000)).stale;
    let [only] = &*stale(&scene) else { panic!("{:?}", stale(&scene)) };
    assert_eq!((&only.nodes, only.since), (&vec![Arc::from("b")], scene::at(1_000)));
    scene.shows("b", 910_000, true, 7);
    assert_eq!(stale(&scene), []);
}

#[test]
fn a_silent_node_that_comes_back_gives_its_true_delay() {
    let mut scene = half_shown(&["a", "b"]);
    scene.programming.set_silent(&names(&["b"]), &names(&[]), scene::at(40_000));
    // It was cut off. Its agent kept the observation.
    scene.programming.set_silent(&names(&[]), &names(&[]), scene::at(60_000));
    scene.shows("b", 1_200, true, 7);
    assert_eq!(scene.delays(), [millis(100), millis(200)]);
}

#[test]
fn half_of_the_nodes_are_told_before_the_last_one_follows() {
    let mut scene = half_shown(&["a", "b"]);
    scene.pass(35_000);
    assert!(scene.visible().is_empty());
    scene.pass(37_000);
    assert_eq!(scene.visible(), [(Share::Half, millis(100))]);
    scene.shows("b", 50_000, true, 7);
    assert_eq!(scene.visible()[1..], [(Share::Most, millis(49_000)), (Share::All, millis(49_000))]);
}

#[test]
fn a_node_that_is_gone_is_withdrawn_and_its_place_is_free() {
    let mut scene = half_shown(&["a", "b"]);
    scene.programming.set_silent(&names(&[]), &names(&["b"]), scene::at(5_000));
    scene.drain();
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::Withdrawn, 1)]);
    assert_eq!(scene.programming.standing(scene::at(5_000)).following, 1);
    scene.follow("c", 6_000);
    scene.slice(7_000, &[endpoint("p", 7)]);
    scene.carried(Change::Unready, "p", 7_000, 7_000);
    for node in ["a", "c"] {
        scene.shows(node, 7_100, false, 7);
    }
    assert_eq!(scene.delays(), [100; 3].map(millis));
}

#[test]
fn a_node_whose_data_plane_is_not_seen_takes_no_part() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.programming.set_follows("b", Families::NONE, scene::at(10));
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_000);
    scene.observes("a", 1_100, frontend(), true, 7);
    assert_eq!(scene.spread().outcomes, [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_node_without_ipv6_rules_need_not_follow_them() {
    let mut scene = Scene::with_nodes(&["a"]).with_both_families();
    scene.programming.set_follows("a", [Family::V4].into_iter().collect(), scene::at(10));
    scene.synced(&[]);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.slice_v6(1_050, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 990, 1_050);
    scene.shows("a", 1_100, true, 7);
    assert_eq!(scene.spread().outcomes, [1, 0, 0, 0, 0, 0]);
    scene.state("a", 2_000, &[7]);
    assert_eq!(scene.programming.standing(scene::at(20_000)).stale, []);
}

#[test]
fn a_node_that_was_behind_when_its_agent_came_is_stale() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.synced(&[endpoint("p", 7).ready()]);
    scene.state("a", 1_000, &[7]);
    scene.state("b", 1_000, &[9]);
    let stale = |scene: &Scene, at| -> Vec<_> {
        let standing = scene.programming.standing(scene::at(at));
        standing.stale.into_iter().map(|it| (it.nodes, it.since)).collect()
    };
    assert_eq!(stale(&scene, 6_000), []);
    assert_eq!(stale(&scene, 6_001), [(vec![Arc::from("b")], scene::at(1_000))], "a lower bound of its age");
    // While it is not known what the node does, its changes are not judged.
    scene.slice(7_000, &[endpoint("p", 7)]);
    scene.carried(Change::Unready, "p", 7_000, 7_000);
    scene.shows("a", 7_100, false, 7);
    assert_eq!(scene.programming.standing(scene::at(60_000)).pending, [0; 5]);
    scene.pass(700_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::Censored, 1)]);
    scene.shows("b", 701_000, false, 9);
    assert_eq!(stale(&scene, 800_000), []);
}

#[test]
fn a_state_is_compared_with_what_is_on_its_way() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.synced(&[]);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_000);
    // One node has shown it, and this was not told. The other one is about to.
    scene.state("a", 1_100, &[7]);
    scene.state("b", 1_100, &[]);
    assert_eq!(scene.outcomes(), [(NodeOutcome::Censored, 1)]);
    scene.shows("b", 1_200, true, 7);
    assert_eq!(scene.delays(), [millis(200)]);
    assert_eq!(scene.programming.standing(scene::at(20_000)).stale, []);
}

#[test]
fn a_node_that_is_ahead_of_the_slices_is_not_behind() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[]);
    scene.state("a", 1_000, &[7]);
    scene.slice(1_100, &[endpoint("p", 7).ready()]);
    assert_eq!(scene.programming.standing(scene::at(20_000)).stale, []);
}

#[test]
fn a_state_makes_good_what_was_lost() {
    let mut scene = half_shown(&["a", "b"]);
    scene.programming.lost("b", scene::at(2_000));
    scene.state("b", 2_100, &[7]);
    scene.slice(3_000, &[endpoint("p", 7)]);
    scene.carried(Change::Unready, "p", 3_000, 3_000);
    scene.pass(700_000);
    assert!(scene.outcomes().contains(&(NodeOutcome::Expired, 2)), "{:?}", scene.outcomes());
}

/// A change has several steps on each node. It ends once, also if they all end at once.
#[test]
fn what_ends_several_steps_at_once_ends_their_change_once() {
    let begin = || {
        let mut scene = Scene::with_nodes(&["a", "b"]).with_ports(&[80, 443, 8443]);
        scene.synced(&[]);
        scene.slice(1_000, &[endpoint("p", 7).ready()]);
        scene.carried(Change::Ready, "p", 1_000, 1_000);
        let frontends = scene.frontends();
        frontends.iter().for_each(|frontend| scene.observes("a", 1_100, *frontend, true, 7));
        scene
    };
    let expected = |outcome| [(NodeOutcome::InEffect, 1), (outcome, 1)];
    let mut scene = begin();
    scene.programming.lost("b", scene::at(2_000));
    scene.drain();
    assert_eq!(scene.outcomes(), expected(NodeOutcome::Censored));
    let mut scene = begin();
    scene.delete_service(2_000);
    assert_eq!(scene.outcomes(), expected(NodeOutcome::Withdrawn));
    let mut scene = begin();
    scene.pass(700_000);
    assert_eq!(scene.outcomes(), expected(NodeOutcome::Expired));
    scene.pass(702_000);
    assert_eq!(scene.programming.size(), (0, 0));
}

#[test]
fn a_change_that_there_is_no_room_for_is_censored() {
    let mut scene = Scene::with_nodes(&["a", "b"]).with_ports(&[80, 443]);
    // The first of the two ports has room.
    scene.programming.limit(2);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_000);
    scene.shows("a", 1_100, true, 7);
    assert_eq!(scene.outcomes(), [(NodeOutcome::Censored, 2)]);
    assert_eq!(scene.programming.standing(scene::at(2_000)).overflowed, 1);
    assert_eq!(scene.programming.size(), (0, 0));
}

#[test]
fn without_nodes_nothing_is_said_of_a_change() {
    let mut scene = Scene::with_nodes(&[]);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_000);
    assert!(scene.outcomes().is_empty());
    assert_eq!((scene.spreads().count(), scene.programming.size()), (0, (0, 0)));
}

/// Deleted and created again in a gap, with the same clusterIP. The old one is found to be gone after the new one has come.
#[test]
fn a_cluster_ip_may_go_to_another_service() {
    let mut scene = Scene::with_nodes(&["a"]);
    let old = scene.service.clone();
    scene.service.uid = "another".into();
    scene.update_service(1_000);
    scene.programming.apply(0, crate::model::Seen::late(scene::at(1_100)), &crate::model::Event::ServiceDeleted(old));
    scene.shows("a", 2_100, false, 9);
    scene.pass(10_000);
    assert_eq!(scene.programming.standing(scene::at(10_000)).unmatched, Unmatched { no_change: 1, no_service: 0 });
}
