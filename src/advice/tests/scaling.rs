//! Replicas, autoscalers, and where pods are.

use super::*;
use serde_json::json;

#[test]
fn one_replica() {
    let one = |scene: &mut Scene| {
        scene.backing.workload.replicas = 1;
        scene.backing.autoscaler = Some(None);
    };
    let scene = Scene::with(one);
    assert_eq!(scene.finding().check.id, "single-replica");
    // Two of a singleton would do its work twice.
    assert_eq!(scene.finding().patch, None);
    assert!(scene.finding().advice.contains("only who knows the application"), "{}", scene.finding().advice);
    for obstacle in [Obstacle::Claim, Obstacle::HostPort] {
        let bound = Scene::with(|scene| {
            one(scene);
            scene.backing.workload.template.obstacles = vec![obstacle];
        });
        assert!(bound.finding().patch.is_none(), "{obstacle}");
    }
    // Whether the application replicates its data is not known.
    let stateful = Scene::with(|scene| {
        one(scene);
        scene.backing.workload.kind = WorkloadKind::StatefulSet;
    });
    assert!(stateful.finding().patch.is_none());
    // May not be read, so there may be an autoscaler.
    let unknown = Scene::with(|scene| {
        one(scene);
        scene.backing.autoscaler = None;
    });
    assert_eq!(unknown.found(), [""; 0]);
}

#[test]
fn an_autoscaler_with_a_minimum_of_one() {
    let with_maximum = |maximum| {
        let scene = Scene::with(|scene| {
            if let Some(Some(autoscaler)) = &mut scene.backing.autoscaler {
                (autoscaler.minimum, autoscaler.maximum) = (1, maximum);
            }
        });
        scene.finding()
    };
    let finding = with_maximum(2);
    assert_eq!((finding.check.id, finding.target.kind), ("autoscaler-minimum-one", "HorizontalPodAutoscaler"));
    assert_eq!(finding.patch.expect("has one").spec.tree(), json!({ "minReplicas": 2 }));
    // Never more than one runs, which may be meant so.
    let finding = with_maximum(1);
    assert_eq!(finding.patch, None);
    assert!(finding.advice.starts_with("minReplicas: 2 and maxReplicas: 2, if two may"), "{}", finding.advice);
}

#[test]
fn an_autoscaler_that_cannot_help_in_time() {
    let started = |median, pods| {
        Scene::with(|scene| {
            scene.backing.startup = Some(StartTimes { pods, median, longest: median, source: StartSource::Status });
            scene.container().startup = Some(probe(http("/live"), 1, 200));
        })
    };
    let finding = started(60, 3).finding();
    assert_eq!(finding.check.id, "autoscaler-lags");
    assert_eq!(finding.rule, "a pod helps 60 s + 15 s = 75 s after the load has risen, at the earliest");
    assert_eq!(started(59, 3).found(), [""; 0]);
    assert_eq!(started(60, 2).found(), [""; 0]);
}

#[test]
fn no_autoscaler_is_a_note() {
    let finding = Scene::with(|scene| scene.backing.autoscaler = Some(None)).finding();
    assert_eq!((finding.check.id, finding.severity), ("autoscaler-missing", Severity::Note));
    let daemon_set = Scene::with(|scene| {
        scene.backing.autoscaler = Some(None);
        scene.backing.workload.kind = WorkloadKind::DaemonSet;
    });
    assert_eq!(daemon_set.found(), [""; 0]);
}

#[test]
fn endpoints_on_one_node_or_in_one_zone_now() {
    let places = |places: &[(&str, &str)]| {
        let places = places.iter().map(|(node, zone)| place(node, zone)).collect();
        Scene::with(|scene| scene.service.places = places)
    };
    assert_eq!(places(&[("a", "1"), ("a", "1")]).finding().check.id, "endpoints-on-one-node");
    assert_eq!(places(&[("a", "1"), ("b", "1")]).finding().check.id, "endpoints-in-one-zone");
    assert_eq!(places(&[("a", "1"), ("b", "2")]).found(), [""; 0]);
    assert_eq!(places(&[("a", "1")]).found(), [""; 0]);
    let mut one_zone = places(&[("a", "1"), ("b", "1")]);
    one_zone.facts.zones = Some(1);
    assert_eq!(one_zone.found(), [""; 0]);
    one_zone.facts.zones = None;
    assert_eq!(one_zone.found(), [""; 0]);
}

#[test]
fn no_rule_for_spreading() {
    let unset = |scene: &mut Scene| scene.backing.workload.template.has_spread_constraints = false;
    let finding = Scene::with(unset).finding();
    assert_eq!((finding.check.id, finding.severity), ("spread-not-set", Severity::Note));
    let with_affinity = Scene::with(|scene| {
        unset(scene);
        scene.backing.workload.template.has_anti_affinity = true;
    });
    assert_eq!(with_affinity.found(), [""; 0]);
}

#[test]
fn a_local_policy_with_one_endpoint_a_node() {
    let finding = Scene::with(|scene| scene.service.is_local_outside = true).finding();
    assert_eq!(finding.check.id, "local-policy-one-endpoint");
    let two = Scene::with(|scene| {
        scene.service.is_local_outside = true;
        scene.service.places.push(place("a", "1"));
    });
    assert_eq!(two.found(), [""; 0]);
}
