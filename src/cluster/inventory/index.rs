//! Finds the selectors that select an object, without comparing each object with each selector.

use std::collections::{BTreeMap, HashMap};

/// Labels, or what a selector asks of them.
pub(super) type Labels = BTreeMap<String, String>;

/// Selectors of all namespaces. Within its namespace each is found by one label that it asks for: the one that the fewest ask for. So
/// a label that all Services of a team have in common costs nothing.
pub(super) struct Index<T> {
    namespaces: HashMap<String, Selectors<T>>,
}

/// The selectors of one namespace.
struct Selectors<T> {
    entries: Vec<Entry<T>>,
    /// Positions in `entries`, by the key and the value of the label.
    by_label: HashMap<String, HashMap<String, Vec<usize>>>,
    /// Positions of those that ask for no label.
    rest: Vec<usize>,
}

struct Entry<T> {
    labels: Labels,
    value: T,
}

// === impl Index ===

impl<T> Index<T> {
    /// Of these selectors: the namespace, the labels that an object must have, and what stands for the selector.
    pub(super) fn new(selectors: impl IntoIterator<Item = (String, Labels, T)>) -> Self {
        let mut by_namespace: HashMap<String, Vec<Entry<T>>> = HashMap::new();
        for (namespace, labels, value) in selectors {
            by_namespace.entry(namespace).or_default().push(Entry { labels, value });
        }
        let of = |(namespace, entries)| (namespace, Selectors::new(entries));
        Self { namespaces: by_namespace.into_iter().map(of).collect() }
    }

    /// Those that select an object of this namespace with these labels, in the order in which they were given.
    pub(super) fn selecting(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = &T> {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        let (entries, candidates) = self.candidates(namespace, labels);
        let selecting = candidates.into_iter().map(|at| &entries[at]);
        selecting.filter(move |entry| entry.labels.iter().all(has)).map(|entry| &entry.value)
    }

    /// Those of this namespace, in the order in which they were given.
    pub(super) fn all(&self, namespace: &str) -> impl Iterator<Item = &T> {
        self.namespaces.get(namespace).into_iter().flat_map(|it| &it.entries).map(|entry| &entry.value)
    }

    /// Whether there is one for this namespace.
    pub(super) fn has_any(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// Those that are compared with the object.
    fn candidates(&self, namespace: &str, labels: &Labels) -> (&[Entry<T>], Vec<usize>) {
        let Some(Selectors { entries, by_label, rest }) = self.namespaces.get(namespace) else {
            return (&[], Vec::new());
        };
        let found = labels.iter().filter_map(|(key, value)| by_label.get(key)?.get(value));
        let mut candidates: Vec<_> = found.chain([rest]).flatten().copied().collect();
        candidates.sort_unstable();
        (entries, candidates)
    }
}

// === impl Selectors ===

impl<T> Selectors<T> {
    fn new(entries: Vec<Entry<T>>) -> Self {
        let mut uses: HashMap<(&String, &String), usize> = HashMap::new();
        for label in entries.iter().flat_map(|entry| &entry.labels) {
            *uses.entry(label).or_default() += 1;
        }
        let mut by_label: HashMap<String, HashMap<String, Vec<usize>>> = HashMap::new();
        let mut rest = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            match entry.labels.iter().min_by_key(|label| uses.get(label)) {
                Some((key, value)) => {
                    by_label.entry(key.clone()).or_default().entry(value.clone()).or_default().push(at);
                }
                None => rest.push(at),
            }
        }
        Self { entries, by_label, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection, prelude::*};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// A namespace of 10,000 Services, each with fifteen pods, and all with one label in common.
    #[test]
    fn a_pod_is_compared_with_its_own_service_only() {
        const SERVICES: usize = 10_000;
        let of = |number: usize| labels(&[("app", &format!("web-{number}")), ("part-of", "shop")]);
        let index = Index::new((0..SERVICES).map(|number| ("shop".to_owned(), of(number), number)));
        let mut compared = 0;
        for pod in 0..15 * SERVICES {
            let number = pod / 15;
            let mut labels = of(number);
            labels.insert("pod-template-hash".to_owned(), "5d4f".to_owned());
            compared += index.candidates("shop", &labels).1.len();
            assert!(index.selecting("shop", &labels).eq([&number]));
        }
        assert_eq!(compared, 15 * SERVICES, "each pod with one Service");
        assert_eq!(index.selecting("bank", &of(1)).count(), 0);
    }

    #[test]
    fn a_selector_without_labels_selects_all_of_its_namespace() {
        let index = Index::new([("shop".to_owned(), Labels::new(), 1), ("shop".to_owned(), labels(&[("a", "b")]), 2)]);
        assert!(index.selecting("shop", &labels(&[("c", "d")])).eq([&1]));
        assert!(index.selecting("shop", &labels(&[("a", "b")])).eq([&1, &2]));
    }

    fn some_labels() -> impl Strategy<Value = Labels> {
        collection::btree_map("[ab]", "[cd]", 0..3)
    }

    proptest! {
        #[test]
        fn it_finds_what_a_comparison_with_each_finds(
            selectors in collection::vec(("[xy]", some_labels()), 0..9),
            namespace in "[xyz]",
            labels in some_labels(),
        ) {
            let numbered = selectors.iter().cloned().enumerate();
            let index = Index::new(numbered.map(|(number, (namespace, labels))| (namespace, labels, number)));
            let selects = |(of, wanted): &(String, Labels)| {
                *of == namespace && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
            };
            let expected: Vec<_> = (0..selectors.len()).filter(|number| selects(&selectors[*number])).collect();
            let found: Vec<_> = index.selecting(&namespace, &labels).copied().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
