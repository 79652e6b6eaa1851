//! minReadySeconds, the strategy of rollouts, and PodDisruptionBudgets.

use super::*;
use serde_json::json;

fn has_budget(limit: Limit) -> impl FnOnce(&mut Scene) {
    |scene| scene.backing.budgets = Some(vec![budget(limit)])
}

fn rolling(max_unavailable: Amount, max_surge: Amount) -> Strategy {
    Strategy::RollingUpdate { max_unavailable, max_surge }
}

#[test]
fn min_ready_seconds_below_the_measured_visibility() {
    let set = |seconds, slices: u64| {
        Scene::with(|scene| {
            scene.backing.workload.min_ready_seconds = seconds;
            scene.sample(Change::Ready).max = millis(slices);
        })
    };
    let finding = set(0, 3_000).finding();
    assert_eq!((finding.check.id, finding.severity), ("min-ready-seconds-too-short", Severity::Warning));
    // (3 s + 1 s for the nodes) and a quarter.
    assert!(finding.advice.starts_with("minReadySeconds: 5."), "{}", finding.advice);
    assert!(finding.check.why.contains("PodDisruptionBudgets ignore it"));
    assert_eq!(set(3, 3_000).found(), [""; 0]);
    assert_eq!(set(0, 300).finding().severity, Severity::Note);
    let nodes = Scene::with(|scene| scene.nodes(Change::Ready, 100, millis(9_000)));
    assert_eq!(nodes.found(), ["min-ready-seconds-too-short", "node-hop-dominates"]);
    let expired = Scene::with(|scene| {
        let sample = scene.sample(Change::Ready);
        (sample.max, sample.expired) = (millis(600_000), 1);
    });
    let finding = expired.finding();
    assert_eq!((finding.check.id, &finding.patch), ("min-ready-seconds-too-short", &None));
    assert!(finding.advice.contains("no figure is proposed"), "{}", finding.advice);
    let few = Scene::with(|scene| {
        scene.backing.workload.min_ready_seconds = 0;
        scene.sample(Change::Ready).count = 28;
    });
    assert_eq!(few.found(), [""; 0]);
}

#[test]
fn recreate_leaves_no_endpoint() {
    let recreate = |obstacles: &[Obstacle]| {
        Scene::with(|scene| {
            scene.backing.workload.strategy = Strategy::Recreate;
            scene.backing.workload.template.obstacles = obstacles.to_vec();
        })
        .finding()
    };
    let finding = recreate(&[]);
    assert_eq!((finding.check.id, finding.severity), ("rollout-recreate", Severity::Warning));
    // Whether old and new may run together, only the application's owner knows.
    assert_eq!(finding.patch, None);
    assert!(finding.advice.contains("only who knows the application"), "{}", finding.advice);
    for obstacle in [Obstacle::Claim, Obstacle::HostPath, Obstacle::HostPort, Obstacle::AntiAffinity] {
        // Often that is why, so there is no patch.
        let finding = recreate(&[obstacle]);
        assert!(finding.severity == Severity::Note && finding.patch.is_none(), "{finding:?}");
    }
}

/// With no pod that may be missing and no room for another one a rollout would never end.
#[test]
fn no_surge_is_advised_where_another_pod_may_not_run() {
    let with = |replicas, max_unavailable, obstacles: &[Obstacle]| {
        Scene::with(|scene| {
            scene.backing.workload.strategy = rolling(Amount::Number(max_unavailable), Amount::Number(0));
            scene.backing.workload.template.obstacles = obstacles.to_vec();
            scene.backing.workload.replicas = replicas;
            if let Some(Some(autoscaler)) = &mut scene.backing.autoscaler {
                autoscaler.minimum = replicas;
            }
        })
    };
    let of = |advice: crate::advice::Advice| {
        let found = advice.findings.into_iter().find(|finding| finding.check.id == "rollout-without-endpoints");
        let finding = found.expect("found");
        (finding.severity, finding.patch.map(|patch| patch.spec.tree()["strategy"]["rollingUpdate"].clone()))
    };
    let surge = json!({ "maxUnavailable": 0, "maxSurge": 1 });
    assert_eq!(of(with(3, 3, &[]).advice()), (Severity::Error, Some(surge.clone())));
    // The autoscaler lets several run.
    assert_eq!(of(with(1, 1, &[]).advice()), (Severity::Error, Some(surge)));
    let mut single = with(1, 1, &[]);
    single.backing.autoscaler = Some(None);
    assert_eq!(of(single.advice()), (Severity::Error, None));
    assert_eq!(of(with(1, 1, &[Obstacle::Claim]).advice()), (Severity::Note, None));
    // One of several can be stopped first.
    assert_eq!(of(with(3, 3, &[Obstacle::HostPort]).advice()), (Severity::Error, Some(json!({ "maxUnavailable": 1 }))));
}

#[test]
fn max_unavailable_that_allows_no_endpoint() {
    let with = |max_unavailable, minimum| {
        Scene::with(|scene| {
            scene.backing.workload.strategy = rolling(max_unavailable, Amount::Number(1));
            if let Some(Some(autoscaler)) = &mut scene.backing.autoscaler {
                autoscaler.minimum = minimum;
            }
        })
    };
    assert_eq!(with(Amount::Number(3), 3).finding().check.id, "rollout-without-endpoints");
    assert_eq!(with(Amount::Percent(99), 3).found(), [""; 0]);
    // With the autoscaler's minimum, not with the replicas there are.
    let finding = with(Amount::Number(2), 2).finding();
    assert_eq!(finding.rule, "with 2 pods, 2 may be missing at once");
    assert_eq!(with(Amount::Percent(50), 2).found(), [""; 0]);
}

#[test]
fn a_rollout_without_surge_and_with_a_slow_start() {
    let with = |surge, median| {
        Scene::with(|scene| {
            scene.backing.workload.strategy = rolling(Amount::Number(1), surge);
            scene.backing.startup = Some(StartTimes { pods: 3, median, longest: median, source: StartSource::Status });
        })
    };
    assert_eq!(with(Amount::Number(0), 10).finding().check.id, "rollout-without-surge");
    assert_eq!(with(Amount::Number(0), 9).found(), [""; 0]);
    assert_eq!(with(Amount::Percent(1), 10).found(), [""; 0]);
    assert!(with(Amount::Number(0), 10).finding().patch.is_some());
    let mut single = with(Amount::Number(0), 10);
    single.backing.workload.replicas = 1;
    single.backing.autoscaler = Some(None);
    let advice = single.advice();
    let finding = advice.findings.iter().find(|it| it.check == checks::ROLLOUT_NO_SURGE).expect("found");
    assert_eq!(finding.patch, None, "never more than one runs");
    let mut bound = with(Amount::Number(0), 10);
    bound.backing.workload.template.obstacles = vec![Obstacle::HostPort];
    let finding = bound.finding();
    assert!(finding.severity == Severity::Note && finding.patch.is_none(), "{finding:?}");
}

#[test]
fn no_budget() {
    let none = |scene: &mut Scene| scene.backing.budgets = Some(Vec::new());
    let finding = Scene::with(none).finding();
    assert_eq!((finding.check.id, finding.severity), ("pod-disruption-budget-missing", Severity::Warning));
    // May not be read.
    assert_eq!(Scene::with(|scene| scene.backing.budgets = None).found(), [""; 0]);
    let daemon_set = Scene::with(|scene| {
        none(scene);
        scene.backing.workload.kind = WorkloadKind::DaemonSet;
    });
    assert_eq!(daemon_set.found(), [""; 0]);
}

#[test]
fn a_budget_that_blocks_every_eviction() {
    let found = |limit| Scene::with(has_budget(limit)).found();
    assert_eq!(found(Limit::MaxUnavailable(Amount::Percent(0))), ["pod-disruption-budget-blocks"]);
    assert_eq!(found(Limit::MinAvailable(Amount::Percent(100))), ["pod-disruption-budget-blocks"]);
    // The autoscaler may go down to three pods.
    let finding = Scene::with(|scene| {
        scene.backing.workload.replicas = 9;
        has_budget(Limit::MinAvailable(Amount::Number(3)))(scene);
    })
    .finding();
    assert_eq!(finding.rule, "with 3 pods, the minimum of autoscaler web, no pod may be evicted");
    assert_eq!(finding.target.kind, "PodDisruptionBudget");
    assert_eq!(found(Limit::MinAvailable(Amount::Number(2))), [""; 0]);
}

/// A budget counts the pods of all workloads that it selects together.
#[test]
fn a_budget_of_several_workloads() {
    let canary = |limit, pods| {
        Scene::with(|scene| {
            scene.backing.workload.replicas = 1;
            scene.backing.workload.ignored = Some("autoscaling=a canary".to_owned());
            scene.backing.autoscaler = Some(None);
            scene.backing.budgets = Some(vec![Budget {
                name: "web".to_owned(),
                limit,
                lets_unhealthy_go: true,
                pods,
                selected: None,
                overlaps: false,
            }]);
        })
        .advice()
        .findings
        .into_iter()
        .find(|finding| finding.check == checks::BUDGET_BLOCKS)
    };
    let least = |number| Limit::MinAvailable(Amount::Number(number));
    assert_eq!(canary(least(2), Some(4)), None);
    let blocks = canary(least(4), Some(4)).expect("blocks");
    assert_eq!(blocks.rule, "with 4 pods of all workloads that it selects, no pod may be evicted");
    assert!(blocks.patch.is_some());
    // Some of its pods belong to another owner, of which nobody knows how many it wants.
    assert_eq!(canary(least(2), None), None);
    let never = canary(Limit::MaxUnavailable(Amount::Number(0)), None).expect("blocks");
    assert_eq!(never.rule, "whatever the number of pods, no pod may be evicted");
}

#[test]
fn a_budget_without_a_limit_lets_no_pod_go() {
    let finding = Scene::with(has_budget(Limit::Unset)).finding();
    assert_eq!(finding.check.id, "pod-disruption-budget-blocks");
    assert_eq!(finding.set, "neither minAvailable nor maxUnavailable");
    assert_eq!(finding.patch.expect("has one").spec.tree(), serde_json::json!({ "maxUnavailable": 1 }));
}

/// For a single pod it may be meant so.
#[test]
fn a_budget_that_protects_a_single_pod_is_not_patched() {
    let finding = Scene::with(|scene| {
        scene.backing.workload.replicas = 1;
        scene.backing.workload.kind = WorkloadKind::StatefulSet;
        scene.backing.autoscaler = None;
        has_budget(Limit::MaxUnavailable(Amount::Number(0)))(scene);
        scene.backing.budgets.iter_mut().flatten().for_each(|budget| budget.pods = Some(1));
    })
    .finding();
    assert_eq!((finding.check.id, finding.patch), ("pod-disruption-budget-blocks", None));
    assert_eq!(finding.rule, "with 1 pod, no pod may be evicted");
    assert!(finding.advice.contains("maxUnavailable: 1 now") && finding.advice.contains("Or leave it"));
}

#[test]
fn a_budget_that_keeps_pods_that_crash() {
    let finding = Scene::with(|scene| {
        let limit = Limit::MaxUnavailable(Amount::Number(1));
        scene.backing.budgets = Some(vec![Budget { lets_unhealthy_go: false, ..budget(limit) }]);
    })
    .finding();
    assert_eq!((finding.check.id, finding.severity), ("pod-disruption-budget-keeps-unhealthy", Severity::Note));
}

/// An operator marks its pods with labels, and has budgets for them.
#[test]
fn budgets_that_select_some_of_the_pods() {
    let with = |has_unguarded, names: &[&str], limit: Limit, selected| {
        Scene::with(|scene| {
            let new = |name: &&str| Budget {
                name: (*name).to_owned(),
                limit: limit.clone(),
                lets_unhealthy_go: true,
                pods: Some(3),
                selected: Some(selected),
                overlaps: false,
            };
            scene.backing.budgets = Some(names.iter().map(new).collect());
            scene.backing.has_unguarded = has_unguarded;
        })
    };
    let least = |number| Limit::MinAvailable(Amount::Number(number));
    // A second budget for the primary would keep it from being evicted.
    let finding = with(true, &["primary"], least(0), 1).finding();
    assert_eq!((finding.check.id, finding.severity), ("pod-disruption-budget-missing", Severity::Note));
    assert_eq!(
        (finding.patch, &*finding.set),
        (None, "PodDisruptionBudget primary selects some of its pods, and none selects the rest")
    );
    // The primary and the others have one each: no pod has two.
    assert_eq!(with(false, &["primary", "replicas"], least(0), 1).found(), [""; 0]);
    let blocks = with(false, &["primary"], least(1), 1).finding();
    assert_eq!((blocks.check.id, blocks.patch), ("pod-disruption-budget-blocks", None));
    assert_eq!(blocks.rule, "with 3 pods, of which it selects 1, no pod may be evicted");
    assert!(blocks.advice.ends_with("Otherwise minAvailable: 0."), "{}", blocks.advice);
    assert_eq!(with(false, &["replicas"], least(1), 2).found(), [""; 0]);
}

#[test]
fn two_budgets_for_the_same_pods() {
    let finding = Scene::with(|scene| {
        let budgets = scene.backing.budgets.as_mut().expect("can be read");
        budgets[0].overlaps = true;
        budgets.push(Budget { name: "other".to_owned(), ..budgets[0].clone() });
    })
    .finding();
    assert_eq!((finding.check.id, finding.severity), ("pod-disruption-budgets-overlap", Severity::Error));
    assert_eq!(finding.set, "PodDisruptionBudgets web, other");
}
