//! Which pods a Service selects, and which Services select a pod.
//!
//! Pods of one workload have the same labels. So pods are grouped by label set, and a selector is matched once per set, not
//! once per pod. An index from one label of each selector finds the Services of a set. It skips a Service if its indexed
//! label is not in the set.

use super::{
    intern::Interner,
    key::{PodId, ServiceId},
};
use foldhash::fast::RandomState;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A key and a value that a pod has or a selector requires.
type Label = (Arc<str>, Arc<str>);

/// Index of a label set.
pub(super) type SetId = usize;

/// The selectors of all Services and the label sets of all pods. Names and labels are other people's strings, so the maps of these have
/// the standard hash, which resists chosen collisions.
#[derive(Debug, Default)]
pub(super) struct Membership {
    strings: Interner<str>,
    sets: slab::Slab<LabelSet>,
    by_labels: HashMap<Arc<Labels>, SetId, RandomState>,
    namespaces: HashMap<Arc<str>, Namespace>,
    selectors: HashMap<ServiceId, Selector, RandomState>,
}

/// Identity of a label set. Labels are sorted by key. All strings are interned: equal ones share one allocation, so their addresses are
/// compared and hashed.
#[derive(Debug)]
struct Labels {
    namespace: Arc<str>,
    labels: Box<[Label]>,
}

/// Pods with the same labels in the same namespace. It exists while it has members.
#[derive(Debug)]
struct LabelSet {
    identity: Arc<Labels>,
    members: HashSet<PodId, RandomState>,
    /// The Services whose selector matches.
    services: Vec<ServiceId>,
}

#[derive(Debug, Default)]
struct Namespace {
    sets: HashSet<SetId, RandomState>,
    /// From one label of each selector to the Services that are found by it.
    index: HashMap<Label, Vec<ServiceId>>,
}

#[derive(Debug)]
struct Selector {
    namespace: Arc<str>,
    /// Never empty.
    labels: Box<[Label]>,
    /// The label under which the index has it.
    indexed: Label,
}

// === impl Membership ===

impl Membership {
    /// Puts a pod into the set of its labels.
    pub(super) fn join(&mut self, pod: PodId, namespace: &str, labels: &BTreeMap<String, String>) -> SetId {
        let identity = Labels {
            namespace: self.strings.intern(namespace),
            labels: labels.iter().map(|(k, v)| (self.strings.intern(k), self.strings.intern(v))).collect(),
        };
        let id = match self.by_labels.get(&identity) {
            Some(id) => *id,
            None => self.new_set(Arc::new(identity)),
        };
        self.sets[id].members.insert(pod);
        id
    }

    fn new_set(&mut self, identity: Arc<Labels>) -> SetId {
        let namespace = self.namespaces.entry(identity.namespace.clone()).or_default();
        let mut services: Vec<_> = identity
            .labels
            .iter()
            .filter_map(|label| namespace.index.get(label))
            .flatten()
            .copied()
            .filter(|service| self.selectors[service].matches(&identity))
            .collect();
        services.shrink_to_fit();
        let id = self.sets.insert(LabelSet { identity: identity.clone(), members: HashSet::default(), services });
        namespace.sets.insert(id);
        self.by_labels.insert(identity, id);
        id
    }

    /// Takes a pod out of its set. The set is removed with its last member.
    pub(super) fn leave(&mut self, pod: PodId, set: SetId) {
        let members = &mut self.sets[set].members;
        members.remove(&pod);
        if !members.is_empty() {
            return;
        }
        let LabelSet { identity, .. } = self.sets.remove(set);
        self.by_labels.remove(&identity);
        if let Some(namespace) = self.namespaces.get_mut(&identity.namespace) {
            namespace.sets.remove(&set);
        }
        self.drop_if_empty(&identity.namespace);
    }

    /// The Services that select the members of `set`.
    pub(super) fn services(&self, set: SetId) -> &[ServiceId] {
        &self.sets[set].services
    }

    /// Whether `service` selects a pod that is in `set`.
    pub(super) fn selects(&self, service: ServiceId, set: SetId) -> bool {
        self.sets[set].services.contains(&service)
    }

    /// Whether `set` is the set of these labels.
    pub(super) fn is_set_of(&self, set: SetId, labels: &BTreeMap<String, String>) -> bool {
        let known = &self.sets[set].identity.labels;
        known.len() == labels.len()
            && known.iter().zip(labels).all(|((k, v), (key, value))| **k == **key && **v == **value)
    }

    /// The pods that `service` selects.
    pub(super) fn pods(&self, service: ServiceId) -> Vec<PodId> {
        let Some(selector) = self.selectors.get(&service) else { return Vec::new() };
        let Some(namespace) = self.namespaces.get(&selector.namespace) else { return Vec::new() };
        let selected = namespace.sets.iter().filter(|set| selector.matches(&self.sets[**set].identity));
        selected.flat_map(|set| self.sets[*set].members.iter().copied()).collect()
    }

    /// Replaces the selector of `service`. An empty one selects nothing.
    pub(super) fn select(&mut self, service: ServiceId, namespace: &str, selector: &BTreeMap<String, String>) {
        self.unselect(service);
        let labels: Box<[Label]> =
            selector.iter().map(|(k, v)| (self.strings.intern(k), self.strings.intern(v))).collect();
        let namespace = self.strings.intern(namespace);
        let scope = self.namespaces.entry(namespace.clone()).or_default();
        // The label by which the fewest other Services are found.
        let Some(indexed) = labels.iter().min_by_key(|label| scope.index.get(*label).map_or(0, Vec::len)).cloned()
        else {
            self.drop_if_empty(&namespace);
            return;
        };
        scope.index.entry(indexed.clone()).or_default().push(service);
        let selector = Selector { namespace, labels, indexed };
        for set in &scope.sets {
            let set = &mut self.sets[*set];
            if selector.matches(&set.identity) {
                set.services.push(service);
            }
        }
        self.selectors.insert(service, selector);
    }

    /// Removes the selector of `service`.
    pub(super) fn unselect(&mut self, service: ServiceId) {
        let Some(selector) = self.selectors.remove(&service) else { return };
        let Some(namespace) = self.namespaces.get_mut(&selector.namespace) else { return };
        if let Some(found) = namespace.index.get_mut(&selector.indexed) {
            found.retain(|other| *other != service);
            if found.is_empty() {
                namespace.index.remove(&selector.indexed);
            }
        }
        for set in &namespace.sets {
            self.sets[*set].services.retain(|other| *other != service);
        }
        self.drop_if_empty(&selector.namespace);
    }

    fn drop_if_empty(&mut self, namespace: &Arc<str>) {
        if self.namespaces.get(namespace).is_some_and(|it| it.sets.is_empty() && it.index.is_empty()) {
            self.namespaces.remove(namespace);
        }
    }
}

// === impl Labels ===

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.namespace, &other.namespace)
            && self.labels.len() == other.labels.len()
            && self.labels.iter().zip(&other.labels).all(|(one, another)| is_same(one, another))
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let strings = self.labels.iter().flat_map(|(key, value)| [key, value]);
        strings.chain([&self.namespace]).for_each(|string| Arc::as_ptr(string).cast::<u8>().hash(state));
    }
}

// === impl Selector ===

impl Selector {
    fn matches(&self, pod: &Labels) -> bool {
        Arc::ptr_eq(&self.namespace, &pod.namespace)
            && self.labels.iter().all(|wanted| pod.labels.iter().any(|label| is_same(label, wanted)))
    }
}

/// Whether two interned labels are the same. A namespace may have as many label sets as pods, and a new selector is compared with each.
fn is_same((key, value): &Label, (other_key, other_value): &Label) -> bool {
    Arc::ptr_eq(key, other_key) && Arc::ptr_eq(value, other_value)
}
