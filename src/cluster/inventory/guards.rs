//! PodDisruptionBudgets and HorizontalPodAutoscalers.

use super::{
    index::{Index, Labels},
    list::{InventoryError, Lists},
    reach::{Reach, Selecting},
    template::amount,
};
use crate::model::spec::{Autoscaler, Budget, Limit, Scaled, Workload};
use k8s_openapi::api::{autoscaling::v2::HorizontalPodAutoscaler, policy::v1::PodDisruptionBudget};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// All of them, as far as they may be read.
#[derive(Default)]
pub(super) struct Guards {
    budgets: Option<Index<Numbered>>,
    number: usize,
    /// Namespaces and names of all budgets, also of those that select no pod.
    names: HashSet<(String, String)>,
    /// By the namespace, and the kind and name of what they scale.
    autoscalers: Option<HashMap<(String, Scaled), Autoscaler>>,
}

/// A budget with its position.
struct Numbered {
    position: usize,
    selector: Selector,
    budget: Budget,
}

// === impl Guards ===

impl Guards {
    pub(super) async fn read(lists: &mut Lists<'_>) -> Result<Self, InventoryError> {
        let mut names = HashSet::new();
        let named = |it: PodDisruptionBudget| {
            names.insert((it.namespace()?, it.name_any()));
            budget(&it)
        };
        let budgets = lists.any("poddisruptionbudgets.policy", named).await?.readable();
        let autoscalers =
            lists.any("horizontalpodautoscalers.autoscaling", |it: HorizontalPodAutoscaler| autoscaler(it)).await?;
        let number = budgets.as_ref().map_or(0, Vec::len);
        let numbered = |(position, (namespace, labels, (selector, budget)))| {
            (namespace, labels, Numbered { position, selector, budget })
        };
        let by_target = |(namespace, it): (String, Autoscaler)| ((namespace, it.target.clone()), it);
        Ok(Self {
            budgets: budgets.map(|budgets| Index::new(budgets.into_iter().enumerate().map(numbered))),
            number,
            names,
            // Of several for one workload the first counts.
            autoscalers: autoscalers.readable().map(|all| all.into_iter().rev().map(by_target).collect()),
        })
    }

    /// How many budgets there are.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Positions of the budgets that select pods with these labels.
    pub(super) fn selecting(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = usize> {
        self.matching(namespace, labels).map(|it| it.position)
    }

    fn matching(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = &Numbered> {
        let selecting = self.budgets.iter().flat_map(move |budgets| budgets.selecting(namespace, labels));
        selecting.filter(move |it| it.selector.matches(labels))
    }

    /// Whether this namespace has a budget.
    pub(super) fn has_any(&self, namespace: &str) -> bool {
        self.budgets.as_ref().is_some_and(|budgets| budgets.has_any(namespace))
    }

    /// Those that select pods of this workload, by the labels of its template or those of `own`, the pods that it has; `None` if they may
    /// not be read.
    pub(super) fn budgets(&self, workload: &Workload, own: Option<&Selecting>, reach: &Reach) -> Option<Vec<Budget>> {
        let labels = &workload.template.labels;
        let by_template: BTreeSet<_> = self.selecting(&workload.namespace, labels).collect();
        let of_pods = |it: &Numbered| own.is_some_and(|own| own.budgets.contains_key(&it.position));
        let overlaps = |position| {
            by_template.len() > 1 && by_template.contains(&position)
                || own.is_some_and(|own| own.overlapping.contains(&position))
        };
        let here = self.budgets.as_ref()?.all(&workload.namespace);
        let selecting = here.filter(|it| by_template.contains(&it.position) || of_pods(it));
        let budget = |it: &Numbered| Budget {
            pods: reach.pods(it.position),
            selected: reach.selected(it.position),
            overlaps: overlaps(it.position),
            ..it.budget.clone()
        };
        Some(selecting.map(budget).collect())
    }

    /// Whether one has this namespace and name.
    pub(super) fn has_budget(&self, name: &(String, String)) -> bool {
        self.names.contains(name)
    }

    /// The fewest pods that this workload may have.
    pub(super) fn fewest(&self, workload: &Workload) -> u32 {
        workload.fewest(self.autoscaler(workload).flatten().as_ref())
    }

    /// The one that scales this workload; `None` if they may not be read.
    pub(super) fn autoscaler(&self, workload: &Workload) -> Option<Option<Autoscaler>> {
        let target = Scaled { kind: workload.kind.as_str().to_owned(), name: workload.name.clone() };
        Some(self.autoscalers.as_ref()?.get(&(workload.namespace.clone(), target)).cloned())
    }
}

/// A budget with its namespace, the labels that its selector asks for, and the whole selector.
fn budget(object: &PodDisruptionBudget) -> Option<(String, Labels, (Selector, Budget))> {
    let spec = object.spec.as_ref()?;
    // None selects no pod.
    let selector = spec.selector.clone()?;
    let labels = selector.match_labels.clone().unwrap_or_default();
    let selector = Selector::try_from(selector).ok()?;
    let limit = match (&spec.min_available, &spec.max_unavailable) {
        (_, Some(most)) => Limit::MaxUnavailable(amount(most)?),
        (Some(least), None) => Limit::MinAvailable(amount(least)?),
        (None, None) => Limit::Unset,
    };
    let lets_unhealthy_go = spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow");
    let budget =
        Budget { name: object.name_any(), limit, lets_unhealthy_go, pods: None, selected: None, overlaps: false };
    Some((object.namespace()?, labels, (selector, budget)))
}

fn autoscaler(object: HorizontalPodAutoscaler) -> Option<(String, Autoscaler)> {
    let (namespace, name) = (object.namespace()?, object.name_any());
    let spec = object.spec;
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    let target = Scaled { kind: spec.scale_target_ref.kind, name: spec.scale_target_ref.name };
    let minimum = spec.min_replicas.map_or(1, number);
    Some((namespace, Autoscaler { name, target, minimum, maximum: number(spec.max_replicas) }))
}
