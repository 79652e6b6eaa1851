//! Effective sets: where new connections of each frontend may go. This module only compares them.

use super::observation::{Backend, Frontend, SetChange};
use std::collections::HashMap;

/// The endpoints of each frontend that has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveSets {
    /// Ascending, without duplicates, never empty: a client sees no difference between a Service without endpoints and one that
    /// the kernel does not know. It cannot connect to either.
    sets: HashMap<Frontend, Box<[Backend]>, foldhash::fast::RandomState>,
}

// === impl EffectiveSets ===

impl EffectiveSets {
    /// The endpoints of a frontend, ascending.
    pub fn get(&self, frontend: &Frontend) -> &[Backend] {
        self.sets.get(frontend).map(|endpoints| &**endpoints).unwrap_or_default()
    }

    /// All frontends with endpoints, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (&Frontend, &[Backend])> {
        self.sets.iter().map(|(frontend, endpoints)| (frontend, &**endpoints))
    }

    /// How many frontends have endpoints.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether no frontend has endpoints.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Sets the endpoints of a frontend. They must be ascending and without duplicates. Returns the change, if there is one.
    pub fn set(&mut self, frontend: Frontend, endpoints: &[Backend]) -> Option<SetChange> {
        let change = compare(frontend, self.get(&frontend), endpoints)?;
        if endpoints.is_empty() {
            self.sets.remove(&frontend);
        } else {
            self.sets.insert(frontend, endpoints.into());
        }
        Some(change)
    }

    /// Takes over the sets of `other`, and returns the changes, ordered by frontend.
    pub fn become_like(&mut self, other: &Self) -> Vec<SetChange> {
        let mut frontends: Vec<_> = self.sets.keys().chain(other.sets.keys()).copied().collect();
        frontends.sort_unstable();
        frontends.dedup();
        frontends.into_iter().filter_map(|frontend| self.set(frontend, other.get(&frontend))).collect()
    }

    /// Applies a change of other sets.
    pub fn apply(&mut self, change: &SetChange) {
        let kept = self.get(&change.frontend).iter().filter(|endpoint| !change.removed.contains(endpoint));
        let mut endpoints: Vec<_> = kept.chain(&change.added).copied().collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        self.set(change.frontend, &endpoints);
    }
}

impl FromIterator<(Frontend, Vec<Backend>)> for EffectiveSets {
    fn from_iter<I: IntoIterator<Item = (Frontend, Vec<Backend>)>>(sets: I) -> Self {
        let mut all = Self::default();
        for (frontend, mut endpoints) in sets {
            endpoints.sort_unstable();
            endpoints.dedup();
            all.set(frontend, &endpoints);
        }
        all
    }
}

/// How two ascending sets differ.
fn compare(frontend: Frontend, before: &[Backend], after: &[Backend]) -> Option<SetChange> {
    let without = |all: &[Backend], others: &[Backend]| -> Vec<_> {
        all.iter().filter(|endpoint| others.binary_search(endpoint).is_err()).copied().collect()
    };
    if before == after {
        return None;
    }
    Some(SetChange { frontend, added: without(after, before), removed: without(before, after) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::observation::Protocol;
    use proptest::{collection::vec, prelude::*};
    use std::net::Ipv4Addr;

    fn frontend(port: u16) -> Frontend {
        Frontend { address: Ipv4Addr::new(10, 96, 0, 10).into(), protocol: Protocol::Tcp, port }
    }

    fn endpoint(host: u8) -> Backend {
        Backend { address: Ipv4Addr::new(10, 244, 0, host).into(), port: 8080 }
    }

    fn endpoints(hosts: &[u8]) -> Vec<Backend> {
        hosts.iter().copied().map(endpoint).collect()
    }

    #[test]
    fn the_same_endpoints_are_no_change() {
        let mut sets = EffectiveSets::default();
        assert_eq!(sets.set(frontend(80), &[]), None);
        let change = sets.set(frontend(80), &endpoints(&[1, 2])).expect("a change");
        assert_eq!((change.added, change.removed), (endpoints(&[1, 2]), vec![]));
        assert_eq!(sets.set(frontend(80), &endpoints(&[1, 2])), None);
        let change = sets.set(frontend(80), &endpoints(&[2, 3])).expect("a change");
        assert_eq!((change.added, change.removed), (endpoints(&[3]), endpoints(&[1])));
        let change = sets.set(frontend(80), &[]).expect("a change");
        assert_eq!((change.added, change.removed), (vec![], endpoints(&[2, 3])));
        assert!(sets.is_empty());
    }

    fn some_sets() -> impl Strategy<Value = EffectiveSets> {
        vec((0u16..4, vec(0u8..5, 0..4)), 0..6)
            .prop_map(|sets| sets.into_iter().map(|(port, hosts)| (frontend(port), endpoints(&hosts))).collect())
    }

    proptest! {
        /// Applying the changes gives the same sets.
        #[test]
        fn changes_lead_from_one_state_to_the_other(before in some_sets(), after in some_sets()) {
            let mut told = before.clone();
            let mut sets = before.clone();
            let changes = sets.become_like(&after);
            prop_assert!(changes.iter().all(|change| !change.added.is_empty() || !change.removed.is_empty()));
            changes.iter().for_each(|change| told.apply(change));
            prop_assert_eq!(&told, &after);
            prop_assert_eq!(&sets, &after);
            prop_assert!(sets.become_like(&after).is_empty());
        }
    }
}
