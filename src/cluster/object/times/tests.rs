use super::*;
use crate::{
    cluster::wire::Time,
    model::ContainerTimes,
    simulator::messages::{
        self, Container, ContainerState, ContainerStatus, Pod, PodCondition, PodSpec, ReadinessGate, Running,
    },
};
use prost::Message;

fn time(seconds: i64) -> Option<Time> {
    Some(Time { seconds })
}

fn condition(kind: &str, status: &str, seconds: i64) -> PodCondition {
    PodCondition { kind: kind.into(), status: status.into(), last_transition_time: time(seconds) }
}

fn running(seconds: i64, restart_count: i32) -> ContainerStatus {
    let running = Running { started_at: time(seconds) };
    ContainerStatus { state: Some(ContainerState { running: Some(running) }), restart_count }
}

fn of(conditions: Vec<PodCondition>) -> Pod {
    let mut pod = Pod::default();
    pod.status.get_or_insert_default().conditions = conditions;
    pod
}

fn decoded(pod: &Pod, with_spec: bool) -> PodTimes {
    decode_times(&pod.encode_to_vec(), with_spec).expect("a pod")
}

#[test]
fn all_times_of_a_pod_are_read() {
    let mut pod = of(vec![
        condition("PodScheduled", "True", 101),
        condition("PodReadyToStartContainers", "True", 102),
        condition("Initialized", "True", 103),
        condition("ContainersReady", "True", 110),
        condition("Ready", "False", 104),
        condition("example.org/gate", "True", 111),
        condition("AllContainersRestarting", "False", 99),
        condition("PodScheduled", "True", 999),
    ]);
    pod.metadata.creation_timestamp = time(100);
    let status = pod.status.get_or_insert_default();
    status.container_statuses = vec![running(105, 0), running(107, 2)];
    status.init_container_statuses = vec![ContainerStatus::default(), running(104, 3)];
    let second = |seconds| Some(WholeSecond::new(seconds));
    let expected = PodTimes {
        created: second(100),
        scheduled: second(101),
        sandbox_changed: second(102),
        initialized: second(103),
        containers_ready: second(110),
        ready_changed: second(104),
        all_restarting_changed: second(99),
        containers: ContainerTimes {
            number: 2,
            running: 2,
            first_started: second(105),
            last_started: second(107),
            restarts: 2,
        },
        init_restarts: 3,
        has_gates: false,
        probes: Vec::new(),
    };
    assert_eq!(decoded(&pod, true), expected);
}

#[test]
fn a_condition_that_is_not_true_and_a_time_that_is_not_set_are_no_times() {
    let mut untimed = condition("ContainersReady", "True", 0);
    untimed.last_transition_time = None;
    let mut pod = of(vec![condition("PodScheduled", "False", 7), condition("Initialized", "Unknown", 8), untimed]);
    // Go's zero time is an empty message.
    pod.status.get_or_insert_default().container_statuses = vec![ContainerStatus::default()];
    let times = decoded(&pod, true);
    assert_eq!((times.scheduled, times.initialized, times.containers_ready), (None, None, None));
    assert_eq!((times.created, times.ready_changed), (None, None));
    assert_eq!((times.containers.number, times.containers.running), (1, 0), "it waits");
}

#[test]
fn probes_are_those_of_containers_that_keep_running_and_only_if_asked_for() {
    let probe = |initial_delay_seconds, period_seconds, success_threshold| {
        Some(messages::Probe { initial_delay_seconds, period_seconds, success_threshold })
    };
    let container = |readiness_probe, startup_probe, policy: Option<&str>| Container {
        readiness_probe,
        startup_probe,
        restart_policy: policy.map(Into::into),
        ..Container::default()
    };
    let mut pod = of(Vec::new());
    pod.spec = Some(PodSpec {
        containers: vec![container(probe(5, 10, 1), probe(0, 2, 1), None), container(None, None, None)],
        init_containers: vec![container(probe(1, 3, 2), None, Some("Always")), container(probe(9, 9, 9), None, None)],
        readiness_gates: vec![ReadinessGate { condition_type: "example.org/gate".into() }],
        ..PodSpec::default()
    });
    let seconds = Duration::from_secs;
    let of = |initial_delay, period, successes| {
        Some(Probe { initial_delay: seconds(initial_delay), period: seconds(period), successes })
    };
    let times = decoded(&pod, true);
    assert!(times.has_gates);
    let expected =
        [Probes { startup: of(0, 2, 1), readiness: of(5, 10, 1) }, Probes { startup: None, readiness: of(1, 3, 2) }];
    assert_eq!(times.probes, expected);
    assert_eq!(decoded(&pod, false), PodTimes::default());
}

#[test]
fn what_is_no_pod_is_an_error_and_no_panic() {
    // A status that is longer than the message, and one whose condition is.
    for bytes in [&[0x1a, 9][..], &[0x1a, 2, 0x12, 9]] {
        let error = decode_times(bytes, true).expect_err("cut off");
        assert!(error.to_string().starts_with("malformed Pod: "), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_no_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
        let _ = decode_times(&bytes, true);
    }
}
