//! What is wrong now, and since when: a state, independent of the outcome of its change.

use crate::model::Stamp;
use foldhash::fast::RandomState;
use std::{collections::HashMap, hash::Hash};

/// What is out of sync, by its key.
#[derive(Debug)]
pub struct OutOfSync<K>(HashMap<K, Fault, RandomState>);

/// One thing that is out of sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Since when. If its start was not seen, since it was first seen.
    pub since: Stamp,
    /// Whether it sends connections to wrong endpoints, or keeps them from right ones.
    pub traffic: bool,
}

/// Things that are out of sync; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Number of things.
    pub count: u64,
    /// Since when the oldest is out of sync. Its age is a lower bound if the start was not seen.
    pub oldest: Stamp,
    /// The same for those that send connections to wrong endpoints, or keep them from right ones; `None` if none does.
    pub oldest_traffic: Option<Stamp>,
}

// === impl OutOfSync ===

impl<K> Default for OutOfSync<K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Copy + Eq + Hash> OutOfSync<K> {
    /// Records whether `key` is in sync at `at`; if not, whether this affects traffic.
    pub fn set(&mut self, key: K, traffic: Option<bool>, at: Stamp) {
        let Some(traffic) = traffic else {
            self.0.remove(&key);
            return;
        };
        self.0.entry(key).or_insert(Fault { since: at, traffic }).traffic = traffic;
    }

    /// Everything that is out of sync, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (K, Fault)> {
        self.0.iter().map(|(key, fault)| (*key, *fault))
    }

    /// What is out of sync, by a part of the key.
    pub fn summary<G: Eq + Hash>(&self, group: impl Fn(K) -> G) -> HashMap<G, Faults> {
        let mut summary = HashMap::new();
        for (key, Fault { since, traffic }) in self.iter() {
            let of = summary.entry(group(key)).or_insert(Faults { count: 0, oldest: since, oldest_traffic: None });
            of.count += 1;
            of.oldest = of.oldest.min(since);
            if traffic {
                of.oldest_traffic = Some(of.oldest_traffic.map_or(since, |oldest| oldest.min(since)));
            }
        }
        summary
    }

    /// Number that is out of sync.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything is in sync.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
