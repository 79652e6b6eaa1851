//! Silence is not health: the age of a change counts before it ends.

use super::*;

#[test]
fn a_change_misses_its_objective_when_its_age_passes_it_not_when_it_ends() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.tracker.advance(at(6000));
    assert_eq!(scene.judged(), (0, 0));
    scene.tracker.advance(at(6001));
    assert_eq!(scene.judged(), (0, 1));
    assert_eq!(scene.pending(), ["ready 1"]);
    scene.shows(9000, vec![shown_ready("p")]);
    assert_eq!(scene.judged(), (0, 0), "said once");
}

#[test]
fn a_change_in_time_is_good_and_one_that_lost_its_sense_is_neither() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.shows(6000, vec![shown_ready("p")]);
    assert_eq!(scene.judged(), (1, 0));
    scene.pod(7000, unready("p"));
    scene.pod(7100, pod("p"));
    scene.tracker.advance(at(50_000));
    assert_eq!(scene.judged(), (0, 0));
}

#[test]
fn an_annotation_overrides_the_objective() {
    let strict = Service { objective: Annotation::Set(millis(100)), ..service() };
    let mut scene = Scene::listed(vec![], vec![strict], vec![slice("s", vec![])]);
    scene.pod(1000, pod("p"));
    scene.tracker.advance(at(1101));
    assert_eq!(scene.judged(), (0, 1));
    let objectives: Vec<_> = scene.tracker.standing().measured.iter().map(|(_, objective)| *objective).collect();
    assert_eq!(objectives, [millis(100)]);
}

#[test]
fn what_is_never_reflected_expires_at_its_age_and_is_missed_once() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.tracker.advance(at(61_001));
    assert_eq!(scene.ended(), ["ready p expired 60000"]);
    assert_eq!(scene.pending(), [""; 0]);
    scene.shows(70_000, vec![shown_ready("p")]);
    assert_eq!(scene.ended(), [""; 0], "a change ends once");
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.tracker.advance(at(61_001));
    assert_eq!(scene.judged(), (0, 1));
}

#[test]
fn a_change_of_unknown_start_is_missed_by_its_lower_bound_and_never_good() {
    let mut scene = Scene::listed(vec![pod("p"), pod("q")], vec![service()], vec![slice("s", vec![])]);
    scene.shows(1000, vec![shown_ready("p")]);
    assert_eq!(scene.judged(), (0, 0));
    scene.tracker.advance(at(5001));
    assert_eq!(scene.judged(), (0, 1));
    scene.tracker.advance(at(60_001));
    assert_eq!(scene.ended(), ["ready q censored"]);
}

#[test]
fn the_oldest_pending_change_is_told_by_kind() {
    let mut scene = Scene::with_pod();
    scene.pod(1000, pod("q"));
    scene.pod(2000, pod("r"));
    scene.pod(3000, unready("p"));
    let mut views = scene.tracker.standing().pending;
    views.sort_unstable_by_key(|(_, change, _)| *change);
    let views: Vec<_> = views.iter().map(|(_, change, backlog)| (*change, backlog.count, backlog.oldest)).collect();
    assert_eq!(views, [(Change::Ready, 2, at(1000)), (Change::Unready, 1, at(3000))]);
}

#[test]
fn a_change_is_held_to_the_objective_it_started_under() {
    let mut scene = Scene::with_service();
    scene.pod(1000, pod("p"));
    scene.service(1500, Service { objective: Annotation::Set(millis(100)), ..service() });
    scene.shows(2000, vec![shown_ready("p")]);
    assert_eq!(scene.judged(), (1, 0));
    scene.pod(3000, unready("p"));
    scene.service(3010, service());
    scene.shows(3200, vec![shown_unready("p")]);
    assert_eq!(scene.judged(), (0, 1));
}

#[test]
fn a_slice_that_came_first_and_is_stamped_later_is_held_to_the_objective() {
    let strict = Service { objective: Annotation::Set(millis(2)), ..service() };
    let mut scene = Scene::listed(vec![], vec![strict], vec![slice("s", vec![])]);
    scene.shows(1003, vec![shown_ready("p")]);
    scene.pod(1000, pod("p"));
    assert_eq!(scene.judged(), (0, 1));
}
