//! The starts of pods as JSON.

use super::*;
use crate::{
    model::{ContainerTimes, Families, Family, Pod, PodTimes, Probe, Probes, Resource, Seen, WholeSecond},
    pipeline::StartsView,
    startup::{Startup, StartupSettings},
};
use std::collections::BTreeMap;

/// Two pods that started a second apart, each with a cold start of 14 s.
fn view(selection: &Selection) -> StartsView {
    let mut startup = Startup::new(StartupSettings { expiry: Duration::from_secs(600) });
    startup.list_began(0, Resource::Pods);
    startup.list_ended(0, Resource::Pods);
    let mut stats = stats();
    for (number, (service, uid)) in [("cart", "a"), ("search", "b")].into_iter().enumerate() {
        let mut pod = Pod {
            uid: Uid::from(uid),
            namespace: "shop".to_owned(),
            name: format!("{service}-{uid}"),
            resource_version: 1,
            labels: BTreeMap::new(),
            ready: false,
            terminating: false,
            terminal: false,
            families: Families::from_iter([Family::V4]),
            ports: Vec::new(),
        };
        assert_eq!(startup.step(0, &pod, None), None);
        pod.ready = true;
        let step = startup.step(0, &pod, Some(false)).expect("it is Ready");
        let second = |after: i64| Some(WholeSecond::new(4_000 + number as i64 + after));
        let mut containers = ContainerTimes::default();
        containers.add(second(2), 0);
        let period = Duration::from_secs(10);
        let probe = Probe { initial_delay: Duration::ZERO, period, successes: 1 };
        let times = PodTimes {
            created: second(0),
            scheduled: second(1),
            initialized: second(1),
            containers_ready: second(16),
            ready_changed: second(16),
            containers,
            probes: vec![Probes { startup: None, readiness: Some(probe) }],
            ..PodTimes::default()
        };
        let arrived = Duration::from_millis(4_016_250 + 1_000 * number as u64);
        startup.moved(0, Seen::live(Stamp::new(arrived)), arrived, &pod, step, &times);
        let mut ready = ended(&name("shop", service), Change::Ready, 0, 0);
        ready.key.pod = Some(PodRef { name: pod.name.as_str().into(), uid: pod.uid.clone() });
        ready.began = Stamp::new(arrived);
        ready.outcome = match uid {
            "a" => Outcome::Propagated { delay: Duration::from_millis(40), reordered: None },
            _ => Outcome::Censored,
        };
        startup.ended(&ready, number as u64);
    }
    startup.reports().for_each(|report| stats.record_startup(&report, Stamp::new(NOW)));
    StartsView {
        standing: startup.standing(),
        services: stats.startup_table(selection),
        finished: startup.finished().clone(),
    }
}

fn ask(query: &str) -> Value {
    let query = StartupQuery::from_str(query).expect("valid");
    let now = now(Some(view(&query.selection)));
    serde_json::from_slice(&startup(&now, &query).expect("JSON")).expect("JSON")
}

#[test]
fn each_start_is_told_with_its_phases_the_newest_first() {
    let answer = ask("");
    assert_eq!((&answer["followed"], &answer["starting"]), (&true.into(), &0.into()));
    assert_eq!((&answer["pods_total"], &answer["kinds"]["first_start"]), (&2.into(), &2.into()));
    let pods: Vec<_> = answer["pods"].as_array().expect("pods").iter().map(|pod| &pod["pod"]).collect();
    assert_eq!(pods, ["search-b", "cart-a"]);
    let cart = &answer["pods"][1];
    let phases: Vec<_> = cart["phases"].as_array().expect("phases").iter().map(|it| it.to_string()).collect();
    let expected = [
        r#"{"phase":"scheduled","seconds":1.0}"#,
        r#"{"phase":"initialized","seconds":0.0}"#,
        r#"{"phase":"started","seconds":1.0}"#,
        r#"{"phase":"containers_ready","seconds":14.0}"#,
        r#"{"phase":"reported","seconds":0.25}"#,
        r#"{"phase":"listed","seconds":0.04}"#,
    ];
    assert_eq!(phases, expected);
    assert_eq!((&cart["total_seconds"], &cart["probe_granularity_seconds"]), (&16.29.into(), &10.0.into()));
    assert_eq!(cart["created"], "1970-01-01T01:06:40Z", "a whole second has no fraction");
    assert_eq!(cart["arrived"], "1970-01-01T01:06:56.250000Z");
    let search = &answer["pods"][0];
    assert_eq!((&search["outcome"], &search["total_seconds"]), (&"censored".into(), &Value::Null));
}

#[test]
fn the_phases_of_each_service_are_summed_up() {
    let answer = ask("service=cart&limit=1");
    assert_eq!((&answer["services_total"], &answer["pods_total"]), (&1.into(), &1.into()));
    let cart = &answer["services"][0];
    assert_eq!(cart["service"], "cart");
    let cold_start = &cart["phases"]["containers_ready"];
    assert_eq!((&cold_start["count"], &cold_start["max"]), (&1.into(), &14.0.into()));
    assert!(about(&cold_start["p50"], 14.0), "{cold_start}");
    assert_eq!(cart["phases"]["readiness_gates"], Value::Null, "it had none");
    assert_eq!(ask("limit=0")["pods"], Value::Array(Vec::new()));
}

#[test]
fn a_daemon_that_does_not_follow_starts_says_so() {
    let query = StartupQuery::from_str("").expect("valid");
    let answer: Value = serde_json::from_slice(&startup(&now(None), &query).expect("JSON")).expect("JSON");
    assert_eq!((&answer["followed"], &answer["pods"]), (&false.into(), &Value::Array(Vec::new())));
    let error = StartupQuery::from_str("sort=newest").expect_err("not a parameter");
    assert_eq!(error.to_string(), "unknown parameter \"sort\"");
}
