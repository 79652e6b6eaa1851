//! One Service, its pods, and nodes that follow.

mod nodes;
mod objectives;
mod random;
mod routes;
mod scene;

use self::scene::{Scene, backend, endpoint, frontend};
use super::*;
use crate::ledger::Change;
use std::time::Duration;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_change_is_followed_to_each_node() {
    let mut scene = Scene::with_nodes(&["a", "b", "c"]);
    scene.slice(1_100, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_100);
    for (node, at) in [("b", 1_140), ("a", 1_120), ("c", 1_400)] {
        scene.shows(node, at, true, 7);
    }
    assert_eq!(scene.delays(), [millis(40), millis(20), millis(300)]);
    let spread = scene.spread();
    assert_eq!(spread.shares, [Some(millis(40)), Some(millis(300)), Some(millis(300))]);
    assert_eq!((spread.last.as_deref(), spread.outcomes), (Some("c"), [3, 0, 0, 0, 0, 0]));
    let visible = scene.visible();
    assert_eq!(visible, [(Share::Half, millis(140)), (Share::Most, millis(400)), (Share::All, millis(400))]);
    assert_eq!(scene.programming.size(), (0, 0));
}

/// What is slowest must not be missing from the times of a share.
#[test]
fn shares_that_are_never_reached_expire() {
    let mut scene = Scene::with_nodes(&["a", "b", "c", "d"]);
    scene.slice(1_100, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_100);
    // Of the third nothing is known. The fourth shows nothing.
    ["a", "b"].into_iter().for_each(|node| scene.shows(node, 1_200, true, 7));
    scene.programming.lost("c", scene::at(2_000));
    scene.pass(601_200);
    assert_eq!(scene.visible(), [(Share::Half, millis(200))]);
    assert_eq!(scene.expired_shares(), [(Share::Most, millis(600_100)), (Share::All, millis(600_100))]);
    scene.expired(Change::Removed);
    assert_eq!(scene.expired_shares()[2..], Share::ALL.map(|share| (share, millis(600_000))), "no slice showed it");
}

#[test]
fn shares_of_nodes_that_are_not_known_do_not_expire() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.slice(1_100, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_100);
    scene.shows("a", 1_200, true, 7);
    scene.programming.lost("b", scene::at(2_000));
    scene.pass(601_200);
    assert_eq!(scene.expired_shares(), []);
}

/// A pod that is published before it is ready has changed the kernel then. That it turns ready soon after does not.
#[test]
fn a_pod_that_is_ready_soon_after_it_is_published_changes_no_kernel() {
    for mut scene in [Scene::with_nodes(&["a"]), Scene::with_nodes(&["a"]).with_both_families()] {
        scene.service.publish_not_ready_addresses = true;
        scene.update_service(10);
        // Ready in the slice: it is published.
        scene.slice(1_000, &[endpoint("p", 7).ready()]);
        scene.shows("a", 1_050, true, 7);
        scene.carried(Change::Ready, "p", 1_400, 1_450);
        assert_eq!(scene.outcomes(), [(NodeOutcome::NotApplicable, 1)]);
    }
}

#[test]
fn a_removal_is_followed_too() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.slice(1_100, &[endpoint("p", 7).terminating(), endpoint("q", 8).ready()]);
    scene.carried(Change::Terminating, "p", 1_000, 1_100);
    scene.shows("a", 1_150, false, 7);
    assert_eq!(scene.delays(), [millis(50)]);
    // It leaves the slice now. The kernel did not use it any more.
    scene.slice(2_000, &[endpoint("q", 8).ready()]);
    scene.carried(Change::Removed, "p", 1_990, 2_000);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::NotApplicable, 1)]);
}

#[test]
fn the_opposite_in_one_sync_is_superseded() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.synced(&[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.slice(1_000, &[endpoint("p", 7), endpoint("q", 8).ready()]);
    scene.carried(Change::Unready, "p", 1_000, 1_000);
    scene.slice(1_500, &[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.carried(Change::Ready, "p", 1_500, 1_500);
    // The first node shows both. The second one does not change anything.
    scene.shows("a", 1_200, false, 7);
    scene.shows("a", 1_600, true, 7);
    assert_eq!(scene.delays(), [millis(200), millis(100)]);
    let standing = scene.programming.standing(scene::at(20_000));
    assert_eq!((standing.pending, standing.stale), ([0; 5], Vec::new()), "it does what the slices say");
    // Both end at the expiry of the first.
    scene.pass(601_200);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 2), (NodeOutcome::Superseded, 2)]);
}

#[test]
fn a_sync_that_merges_is_counted_for_the_last_change() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("q", 8).ready()]);
    let (with, without) =
        ([endpoint("p", 7).ready(), endpoint("q", 8).ready()], [endpoint("p", 7), endpoint("q", 8).ready()]);
    for (at, ready) in [(1_000, true), (1_300, false), (1_600, true)] {
        scene.slice(at, if ready { &with } else { &without });
        scene.carried(if ready { Change::Ready } else { Change::Unready }, "p", at, at);
    }
    scene.shows("a", 1_700, true, 7);
    assert_eq!(scene.delays(), [millis(100)]);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::Superseded, 2)]);
    scene.pass(20_000);
    assert_eq!(scene.programming.size(), (0, 0));
}

#[test]
fn a_node_that_is_late_for_an_overtaken_change_has_to_follow_its_opposite() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.slice(1_000, &[endpoint("p", 7), endpoint("q", 8).ready()]);
    scene.carried(Change::Unready, "p", 1_000, 1_000);
    scene.slice(1_500, &[endpoint("p", 7).ready(), endpoint("q", 8).ready()]);
    scene.carried(Change::Ready, "p", 1_500, 1_500);
    scene.shows("a", 9_000, false, 7);
    assert_eq!(scene.delays(), [millis(8_000)]);
    let standing = scene.programming.standing(scene::at(9_000));
    assert_eq!(standing.pending[Change::Ready.index()], 1);
    assert_eq!(standing.stale.len(), 1, "it takes the endpoint for gone");
    scene.shows("a", 9_600, true, 7);
    assert_eq!(scene.delays(), [millis(8_000), millis(8_100)]);
    assert_eq!(scene.programming.standing(scene::at(9_600)).stale, Vec::new());
}

#[test]
fn a_node_may_be_ahead_of_the_daemons_watch() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.synced(&[]);
    scene.shows("a", 990, true, 7);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 950, 1_000);
    scene.shows("b", 1_020, true, 7);
    assert_eq!(scene.delays(), [millis(0), millis(20)]);
    scene.pass(10_000);
    assert_eq!(scene.programming.standing(scene::at(10_000)).unmatched, Unmatched::default());
}

#[test]
fn what_fits_no_change_is_counted() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[endpoint("p", 7).ready()]);
    scene.shows("a", 1_000, false, 9);
    let other = crate::model::Frontend { port: 81, ..frontend() };
    scene.observes("a", 1_000, other, true, 9);
    scene.pass(4_000);
    assert_eq!(scene.programming.standing(scene::at(4_000)).unmatched, Unmatched::default());
    scene.pass(7_000);
    let unmatched = Unmatched { no_change: 1, no_service: 1 };
    assert_eq!(scene.programming.standing(scene::at(7_000)).unmatched, unmatched);
}

#[test]
fn the_slice_may_come_before_the_pod() {
    let mut scene = Scene::with_nodes(&["a"]);
    scene.synced(&[]);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.shows("a", 1_010, true, 7);
    scene.pass(1_300);
    scene.carried(Change::Ready, "p", 1_300, 1_000);
    assert_eq!(scene.delays(), [millis(10)]);
    assert_eq!(scene.visible().last(), Some(&(Share::All, millis(0))), "it was in effect before the pod's event");
}

#[test]
fn a_service_that_goes_away_withdraws_what_nodes_have_not_shown() {
    let mut scene = Scene::with_nodes(&["a", "b"]);
    scene.synced(&[]);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 1_000, 1_000);
    scene.shows("a", 1_100, true, 7);
    scene.delete_service(1_200);
    assert_eq!(scene.outcomes(), [(NodeOutcome::InEffect, 1), (NodeOutcome::Withdrawn, 1)]);
    scene.shows("a", 1_300, false, 7);
    scene.pass(20_000);
    assert_eq!(scene.programming.standing(scene::at(20_000)).unmatched, Unmatched::default());
}

#[test]
fn a_change_ends_once_per_node_also_with_two_ports_and_families() {
    let mut scene = Scene::with_nodes(&["a"]).with_ports(&[80, 443]).with_both_families();
    scene.synced(&[]);
    scene.slice(1_000, &[endpoint("p", 7).ready()]);
    scene.slice_v6(1_050, &[endpoint("p", 7).ready()]);
    scene.carried(Change::Ready, "p", 990, 1_050);
    let frontends = scene.frontends();
    assert_eq!(frontends.len(), 4);
    for (number, frontend) in frontends.into_iter().enumerate() {
        assert!(scene.delays().is_empty());
        let backend = backend(&frontend, 7);
        scene.observes_backend("a", 1_010 + 20 * number as u64, frontend, true, backend);
    }
    assert_eq!(scene.delays(), [millis(20)], "the last one was shown at 1,070");
}
