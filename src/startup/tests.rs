use super::{phases::granularity, *};
use crate::{
    ledger::{Cause, Change, Hop, Outcome},
    model::{ContainerTimes, Families, Family, Pod, PodTimes, Probe, Probes, Resource, Seen, Stamp, Uid, WholeSecond},
    propagation::{Ended, PodRef, ServiceName, Subject},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

mod kinds;
mod random;

const SCOPE: usize = 0;

/// Seconds since 1970 at the origin of the stamps.
const ORIGIN: u64 = 1_000;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn second(at: i64) -> Option<WholeSecond> {
    Some(WholeSecond::new(at))
}

/// A stamp and the wall clock at this many seconds since 1970.
fn at(wall: f64) -> (Stamp, Duration) {
    let wall = Duration::from_secs_f64(wall);
    (Stamp::new(wall - seconds(ORIGIN)), wall)
}

fn pod(uid: &str, ready: bool) -> Pod {
    Pod {
        uid: Uid::from(uid),
        namespace: "shop".to_owned(),
        name: uid.to_owned(),
        resource_version: 1,
        labels: BTreeMap::new(),
        ready,
        terminating: false,
        terminal: false,
        families: Families::from_iter([Family::V4]),
        ports: Vec::new(),
    }
}

/// Times of a start: each step in its second, the last of them Ready.
fn times(steps: [i64; 6]) -> PodTimes {
    let [created, scheduled, initialized, started, containers_ready, ready] = steps.map(second);
    let mut containers = ContainerTimes::default();
    containers.add(started, 0);
    PodTimes {
        created,
        scheduled,
        initialized,
        containers_ready,
        ready_changed: ready,
        sandbox_changed: scheduled,
        containers,
        ..PodTimes::default()
    }
}

/// What the tests do with it: a watch of pods, as the pipeline would pass it on.
struct Scene {
    startup: Startup,
    /// Of each pod, as the tracker would know it.
    known: BTreeMap<String, bool>,
    /// Number of changes that ended.
    ended: u64,
}

impl Scene {
    /// All watches have listed, and there were no pods.
    fn new() -> Self {
        let mut startup = Startup::new(StartupSettings { expiry: seconds(600) });
        startup.list_began(SCOPE, Resource::Pods);
        startup.list_ended(SCOPE, Resource::Pods);
        Self { startup, known: BTreeMap::new(), ended: 0 }
    }

    /// An event of a pod.
    fn seen(&mut self, wall: f64, is_late: bool, pod: &Pod, times: &PodTimes) {
        let (stamp, wall) = at(wall);
        let seen = if is_late { Seen::late(stamp) } else { Seen::live(stamp) };
        let was_ready = self.known.insert(pod.name.clone(), pod.ready && !pod.terminating);
        if let Some(step) = self.startup.step(SCOPE, pod, was_ready) {
            self.startup.moved(SCOPE, seen, wall, pod, step, times);
        }
    }

    /// A new pod, not ready.
    fn created(&mut self, wall: f64, uid: &str) {
        self.seen(wall, false, &pod(uid, false), &PodTimes::default());
    }

    /// The pod is Ready, as these times say.
    fn ready(&mut self, wall: f64, uid: &str, times: &PodTimes) {
        self.seen(wall, false, &pod(uid, true), times);
    }

    /// The change `ready` of a pod that arrived at `wall` has ended.
    fn ended(&mut self, wall: f64, uid: &str, service: &str, outcome: Outcome) {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: service.into() });
        let key = Subject { service, pod: Some(PodRef { name: uid.into(), uid: Uid::from(uid) }) };
        let began = at(wall).0;
        let ended = Ended {
            hop: Hop::Slice,
            key,
            change: Change::Ready,
            cause: Cause::Pod,
            began,
            outcome,
            at: began,
            shown: None,
            by: None,
        };
        self.startup.ended(&ended, self.ended);
        self.ended += 1;
    }

    fn listed(&mut self, wall: f64, uid: &str, service: &str, millis: u64) {
        let delay = Duration::from_millis(millis);
        self.ended(wall, uid, service, Outcome::Propagated { delay, reordered: None });
    }

    fn kinds(&self) -> Vec<(&'static str, u64)> {
        let counted = Kind::ALL.iter().zip(self.startup.standing().kinds);
        counted.filter(|(_, count)| *count > 0).map(|(kind, count)| (kind.as_str(), count)).collect()
    }

    /// The phases of the last start, in milliseconds.
    fn phases(&self) -> Vec<(&'static str, u128)> {
        let last = self.startup.finished().newest().next();
        let phases = last.iter().flat_map(|timeline| timeline.phases.iter());
        phases.map(|(phase, took)| (phase.as_str(), took.as_millis())).collect()
    }

    /// The report hops since the last call: the change, and milliseconds.
    fn reported(&mut self) -> Vec<(Change, u128)> {
        let reports = self.startup.reports();
        let reported = reports.filter_map(|report| match report {
            Report::Reported { change, delay, .. } => Some((change, delay.as_millis())),
            Report::Phase { .. } => None,
        });
        reported.collect()
    }
}

#[test]
fn the_phases_of_a_start_add_up_to_the_time_until_it_is_listed() {
    let mut scene = Scene::new();
    scene.created(2_000.1, "a");
    scene.ready(2_020.25, "a", &times([2_000, 2_001, 2_003, 2_006, 2_020, 2_020]));
    scene.listed(2_020.25, "a", "web", 40);
    let expected = [
        ("scheduled", 1_000),
        ("initialized", 2_000),
        ("started", 3_000),
        ("containers_ready", 14_000),
        ("reported", 250),
        ("listed", 40),
        ("total", 20_290),
    ];
    assert_eq!(scene.phases(), expected);
    assert_eq!(scene.kinds(), [("first_start", 1)]);
    assert_eq!(scene.reported(), [(Change::Ready, 250)]);
    let Standing { waiting, settling, .. } = scene.startup.standing();
    assert_eq!((waiting, settling), (0, 0), "nothing is kept of it but its timeline");
}

#[test]
fn a_readiness_gate_is_a_phase_of_its_own() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    let gated = PodTimes { has_gates: true, ..times([2_000, 2_000, 2_000, 2_001, 2_002, 2_032]) };
    scene.ready(2_032.5, "a", &gated);
    scene.listed(2_032.5, "a", "web", 10);
    assert!(scene.phases().contains(&("readiness_gates", 30_000)), "{:?}", scene.phases());
    assert!(scene.phases().contains(&("containers_ready", 1_000)));
}

#[test]
fn without_gates_a_ready_before_its_containers_is_implausible_too() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    scene.ready(2_004.5, "a", &times([2_000, 2_000, 2_000, 2_001, 2_004, 2_003]));
    scene.listed(2_004.5, "a", "web", 10);
    assert!(!scene.phases().iter().any(|(phase, _)| ["readiness_gates", "total"].contains(phase)));
    assert_eq!(scene.startup.standing().implausible[Phase::ReadinessGates.index()], 1);
}

#[test]
fn each_service_of_a_pod_has_its_own_end_and_none_is_waited_for_afterwards() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    scene.ready(2_003.5, "a", &times([2_000, 2_000, 2_001, 2_002, 2_003, 2_003]));
    scene.startup.expected_by(&Uid::from("a"), 2);
    scene.listed(2_003.5, "a", "web", 20);
    assert_eq!(scene.startup.standing().settling, 1, "the other may be slow");
    scene.ended(2_003.5, "a", "metrics", Outcome::Expired { age: seconds(600) });
    assert_eq!(scene.startup.standing().settling, 0);
    let ends = scene.startup.finished().newest().map(|it| (&*it.service.name, it.outcome.as_str(), it.total()));
    let expected = [("metrics", "expired", None), ("web", "propagated", Some(Duration::from_millis(3_520)))];
    assert_eq!(ends.collect::<Vec<_>>(), expected);
    // A pod that no Service selects has no timeline, and takes no memory.
    scene.created(2_010.0, "stray");
    scene.ready(2_011.0, "stray", &times([2_010, 2_010, 2_010, 2_010, 2_010, 2_010]));
    scene.startup.expected_by(&Uid::from("stray"), 0);
    assert_eq!(scene.startup.standing().settling, 0);
    assert_eq!(scene.startup.finished().newest().count(), 2);
}

#[test]
fn a_service_that_never_tells_is_forgotten_after_the_expiry() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    scene.ready(2_003.5, "a", &times([2_000, 2_000, 2_001, 2_002, 2_003, 2_003]));
    scene.startup.forget(at(2_603.0).0);
    assert_eq!(scene.startup.standing().settling, 1);
    scene.startup.forget(at(3_204.0).0);
    assert_eq!(scene.startup.standing().settling, 0);
}

#[test]
fn a_time_out_of_order_is_counted_and_leaves_its_phase_and_the_total_out() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    // The scheduler's clock is five seconds behind that of the API server.
    scene.ready(2_004.5, "a", &times([2_000, 1_995, 2_001, 2_002, 2_004, 2_004]));
    scene.listed(2_004.5, "a", "web", 20);
    let phases = scene.phases();
    assert_eq!(phases.first(), Some(&("initialized", 6_000)), "as these two clocks say");
    assert!(!phases.iter().any(|(phase, _)| ["scheduled", "total"].contains(phase)), "{phases:?}");
    let implausible = scene.startup.standing().implausible;
    assert_eq!(implausible[Phase::Scheduled.index()], 1);
    assert_eq!(implausible.iter().sum::<u64>(), 1);
}

#[test]
fn a_node_whose_clock_is_ahead_reports_in_no_time_and_is_counted() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    scene.ready(2_004.5, "a", &times([2_000, 2_000, 2_001, 2_002, 2_007, 2_007]));
    scene.listed(2_004.5, "a", "web", 20);
    assert_eq!(scene.reported(), [(Change::Ready, 0)]);
    assert_eq!(scene.startup.standing().negative, 1);
    let phases = scene.phases();
    assert!(!phases.iter().any(|(phase, _)| ["reported", "total"].contains(phase)), "{phases:?}");
    // Ready before it was created: that is no time at all.
    scene.created(2_010.0, "b");
    scene.ready(2_012.0, "b", &times([2_010, 2_010, 2_010, 2_010, 2_010, 1_000]));
    assert_eq!(scene.reported(), []);
    assert_eq!(scene.startup.standing().implausible[Phase::Reported.index()], 1);
}

#[test]
fn a_phase_between_times_that_are_not_there_is_not_guessed() {
    let mut scene = Scene::new();
    scene.created(2_000.0, "a");
    let mut partial = times([2_000, 2_001, 2_001, 2_002, 2_004, 2_004]);
    partial.initialized = None;
    scene.ready(2_004.5, "a", &partial);
    scene.listed(2_004.5, "a", "web", 20);
    let expected =
        [("scheduled", 1_000), ("containers_ready", 2_000), ("reported", 500), ("listed", 20), ("total", 4_520)];
    assert_eq!(scene.phases(), expected);
}

#[test]
fn what_arrives_late_has_no_times_of_arrival() {
    let mut scene = Scene::new();
    scene.seen(2_001.0, true, &pod("a", false), &PodTimes::default());
    // Replayed after a gap: each event was delivered, and none when it happened.
    scene.seen(2_050.0, true, &pod("a", true), &times([2_000, 2_000, 2_001, 2_002, 2_004, 2_004]));
    scene.ended(2_050.0, "a", "web", Outcome::Censored);
    assert_eq!(scene.reported(), []);
    let expected = [("scheduled", 0), ("initialized", 1_000), ("started", 1_000), ("containers_ready", 2_000)];
    assert_eq!(scene.phases(), expected);
}

#[test]
fn the_way_over_the_nodes_is_the_last_phase() {
    use crate::programming::{NodeOutcome, Share, Spread};
    let mut scene = Scene::new();
    for uid in ["a", "b"] {
        scene.created(2_000.0, uid);
        scene.ready(2_004.5, uid, &times([2_000, 2_000, 2_001, 2_002, 2_004, 2_004]));
        scene.listed(2_004.5, uid, "web", 20);
    }
    let timeline = scene.startup.finished().newest().last().cloned().expect("a start");
    let mut shares = [None; Share::ALL.len()];
    shares[Share::All as usize] = Some(Duration::from_millis(700));
    let spread = Spread {
        number: timeline.number,
        subject: Subject { service: timeline.service, pod: Some(timeline.pod) },
        change: Change::Ready,
        cause: Cause::Pod,
        began: timeline.arrived,
        shown: timeline.arrived,
        by: Arc::new(crate::model::SliceVersion { uid: Uid::from("s"), name: "s".into(), resource_version: 1 }),
        outcomes: [0; NodeOutcome::ALL.len()],
        shares,
        last: None,
        error: Duration::ZERO,
        at: timeline.arrived,
    };
    scene.startup.spread(&spread);
    let in_effect = scene.startup.finished().newest().map(|it| (&*it.pod.name, it.phases.get(Phase::InEffect)));
    assert_eq!(in_effect.collect::<Vec<_>>(), [("b", None), ("a", Some(Duration::from_millis(700)))]);
    let counted = scene.startup.reports().filter(|it| matches!(it, Report::Phase { phase: Phase::InEffect, .. }));
    assert_eq!(counted.count(), 1);
    // Of a change that is no start.
    scene.startup.spread(&Spread { number: 99, ..spread });
    assert_eq!(scene.startup.reports().count(), 0);
}

#[test]
fn the_granularity_of_probes_is_a_bound_and_never_more_than_the_cold_start() {
    let probe = |delay, period| Some(Probe { initial_delay: seconds(delay), period: seconds(period), successes: 1 });
    let readiness = |delay, period| Probes { startup: None, readiness: probe(delay, period) };
    let bound = |probes: &[Probes], cold| granularity(probes, seconds(cold)).map(|it| it.as_secs());
    assert_eq!(bound(&[], 14), None);
    // After more than a period a probe has failed, and the application became ready since then.
    assert_eq!(bound(&[readiness(0, 10)], 14), Some(10));
    assert_eq!(bound(&[readiness(0, 10)], 7), Some(7), "perhaps it was ready at once");
    // Nothing was asked before the initial delay.
    assert_eq!(bound(&[readiness(30, 10)], 35), Some(35));
    assert_eq!(bound(&[readiness(30, 10)], 60), Some(10));
    // The start-up probe comes first.
    let both = Probes { startup: probe(0, 5), readiness: probe(0, 2) };
    assert_eq!(bound(&[both], 60), Some(7));
    assert_eq!(bound(&[readiness(0, 1), both], 60), Some(7), "which container was last is not known");
}
