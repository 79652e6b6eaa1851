//! Looks back at one rollout: each lever has a case in which it would have helped, and one in which it would not.

use super::*;
use crate::{
    advice::{Help, Lever, in_rollout},
    model::{Stamp, Uid},
    propagation::{PodRef, ServiceName},
    rollout::{HopDelay, Leg, Moment, PodReport, Report, ServiceReport, Serving},
};
use std::sync::Arc;

const KINDS: [(Change, Leg); 2] = [(Change::Ready, Leg::Slices), (Change::Terminating, Leg::Slices)];

/// A rollout of three pods in which each change took 300 ms to the slices.
fn report() -> Report {
    let pod = |number: usize| PodRef { name: format!("web-{number}").into(), uid: Uid::from(&*format!("u{number}")) };
    let first_seen = Moment { at: Stamp::default(), exact: true };
    let pods = (0..3).map(|number| PodReport {
        pod: pod(number),
        first_seen,
        ready: Some(first_seen),
        turned_unready: 0,
        leaving: None,
        gone: None,
    });
    let delay = |number: usize, (change, leg)| HopDelay {
        pod: pod(number),
        change,
        leg,
        delay: millis(100 * (1 + number as u64)),
        is_pending: false,
        missed: false,
    };
    let service = ServiceReport {
        service: Arc::new(ServiceName { namespace: "shop".into(), name: "web".into() }),
        objective: millis(5_000),
        serving: Serving { wanted: 3, at_begin: 3, least: 3, ..Serving::default() },
        endpoints: vec![crate::rollout::EndpointReport::default(); 3],
        delays: KINDS.into_iter().flat_map(|kind| (0..3).map(move |number| delay(number, kind))).collect(),
        censored: 0,
    };
    Report {
        begin: Stamp::default(),
        end: Stamp::new(millis(10_000)),
        unseen: Duration::ZERO,
        pods: pods.collect(),
        services: vec![service],
    }
}

fn help(scene: &Scene, report: &Report, lever: Lever) -> Help {
    let subject = Subject {
        service: scene.service.clone(),
        backings: vec![scene.backing.clone()],
        unread: Vec::new(),
        measured: None,
    };
    let helps = in_rollout(report, &report.services[0], &subject, &scene.facts);
    helps.into_iter().find(|help| help.lever == lever).expect("each lever is there")
}

#[test]
fn nothing_would_have_helped_a_sound_workload() {
    let (scene, report) = (Scene::sound(), report());
    for lever in [Lever::MinReadySeconds, Lever::PreStop, Lever::RollingUpdate, Lever::ReadinessProbe] {
        let help = help(&scene, &report, lever);
        assert!(!help.helps && help.better.is_none() && help.findings.is_empty(), "{help:?}");
    }
}

#[test]
fn min_ready_seconds_helps_if_a_pod_was_stopped_too_early_and_it_is_too_short() {
    let mut report = report();
    let mut scene = Scene::with(|scene| scene.backing.workload.min_ready_seconds = 0);
    assert!(!help(&scene, &report, Lever::MinReadySeconds).helps, "none was stopped too early");
    report.services[0].serving.hurried = 2;
    let short = help(&scene, &report, Lever::MinReadySeconds);
    assert!(short.helps && short.happened.starts_with("2 times a pod was stopped"), "{short:?}");
    assert!(short.happened.ends_with("300 ms to the slices (the nodes were not measured)"), "{short:?}");
    assert_eq!(short.better.as_deref(), Some("minReadySeconds: at least 1"));
    scene.backing.workload.min_ready_seconds = 1;
    assert!(!help(&scene, &report, Lever::MinReadySeconds).helps, "it waited longer than the slices took");
    // With the nodes it takes longer.
    let mut of_nodes = report.services[0].delays[2].clone();
    (of_nodes.leg, of_nodes.delay) = (Leg::Nodes, millis(900));
    report.services[0].delays.push(of_nodes);
    let nodes = help(&scene, &report, Lever::MinReadySeconds);
    assert!(nodes.helps && nodes.happened.ends_with("300 ms to the slices and 900 ms to the last node"), "{nodes:?}");
    assert_eq!(nodes.better.as_deref(), Some("minReadySeconds: at least 2"));
    scene.backing.workload.strategy = Strategy::Recreate;
    assert!(!help(&scene, &report, Lever::MinReadySeconds).helps, "Recreate waits for nothing");
}

#[test]
fn a_pre_stop_sleep_helps_if_pods_were_listed_for_longer_than_it() {
    let mut report = report();
    let mut scene = Scene::with(|scene| scene.container().pre_stop = None);
    let missing = help(&scene, &report, Lever::PreStop);
    assert!(missing.helps && missing.set == "web has no preStop hook", "{missing:?}");
    assert_eq!(missing.better.as_deref(), Some("lifecycle.preStop.sleep.seconds: at least 1"));
    // What is to be set for the future needs more samples.
    assert_eq!(missing.findings[0].check.id, "pre-stop-missing");
    assert_eq!(missing.findings[0].measured, None);
    scene.container().pre_stop = Some(Hook::Http { path: "/drain".to_owned() });
    assert!(!help(&scene, &report, Lever::PreStop).helps, "its length cannot be told");
    scene.container().pre_stop = Some(Hook::Sleep { seconds: 1 });
    assert!(!help(&scene, &report, Lever::PreStop).helps, "it sleeps for longer");
    // Of 40 pods there are enough.
    let delays = &mut report.services[0].delays;
    let (slowest, number) = (delays[5].clone(), delays.len());
    delays.extend(std::iter::repeat_n(HopDelay { delay: millis(4_000), ..slowest }, 40));
    assert_eq!(delays.len(), number + 40);
    let short = help(&scene, &report, Lever::PreStop);
    assert!(short.helps, "{short:?}");
    let measured = short.findings[0].measured.as_deref().unwrap_or_default();
    assert!(measured.contains("maximum of 43") && measured.contains("from 1 rollout"), "{measured}");
    scene.service.publishes_not_ready = true;
    assert!(!help(&scene, &report, Lever::PreStop).helps, "no sleep is long enough");
}

#[test]
fn the_strategy_helps_if_it_lets_endpoints_be_missing_that_no_ready_pod_fills() {
    let mut report = report();
    let serving = &mut report.services[0].serving;
    (serving.least, serving.missing, serving.waiting) = (1, millis(3_000), millis(3_000));
    let rolling = |unavailable| Strategy::RollingUpdate {
        max_unavailable: Amount::Percent(unavailable),
        max_surge: Amount::Number(0),
    };
    let mut scene = Scene::with(|scene| scene.backing.workload.strategy = rolling(34));
    assert!(!help(&scene, &report, Lever::RollingUpdate).helps, "ready pods were waiting");
    report.services[0].serving.waiting = millis(1_000);
    let helpful = help(&scene, &report, Lever::RollingUpdate);
    assert!(helpful.helps && helpful.happened.starts_with("2.0 s of endpoint time"), "{helpful:?}");
    assert_eq!(helpful.better.as_deref(), Some("maxUnavailable: 0 and maxSurge: 1"));
    // A third of three is less than one pod. Without a surge one is stopped all the same.
    scene.backing.workload.strategy = rolling(33);
    assert!(help(&scene, &report, Lever::RollingUpdate).helps);
    scene.backing.workload.template.obstacles = vec![Obstacle::Claim];
    let bound = help(&scene, &report, Lever::RollingUpdate);
    let better = "nothing, if the volume can be mounted by one pod only; otherwise maxUnavailable: 0 and maxSurge: 1";
    assert!(!bound.helps && bound.better.as_deref() == Some(better), "{bound:?}");
    scene.backing.workload.template.obstacles.clear();
    scene.backing.workload.strategy =
        Strategy::RollingUpdate { max_unavailable: Amount::Percent(33), max_surge: Amount::Number(1) };
    assert!(!help(&scene, &report, Lever::RollingUpdate).helps, "none may be missing");
    scene.backing.workload.strategy = Strategy::Recreate;
    assert!(help(&scene, &report, Lever::RollingUpdate).helps);
    scene.backing.workload.kind = WorkloadKind::StatefulSet;
    scene.backing.workload.strategy = rolling(33);
    let set = help(&scene, &report, Lever::RollingUpdate);
    assert!(!set.helps && set.better.is_some_and(|better| better.starts_with("nothing here")));
}

#[test]
fn a_probe_that_is_passed_too_early_shows() {
    let mut report = report();
    report.pods[1].turned_unready = 2;
    let help = help(&Scene::sound(), &report, Lever::ReadinessProbe);
    assert!(help.helps && help.happened.contains("2 in all"), "{help:?}");
}
