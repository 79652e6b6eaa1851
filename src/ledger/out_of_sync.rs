//! What is wrong now, and since when: a state, whatever became of the change that led to it.

use crate::model::Stamp;
use foldhash::fast::RandomState;
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
};

/// What is out of sync, by who it is about.
#[derive(Debug)]
pub struct OutOfSync<K>(HashMap<K, Fault, RandomState>);

/// One thing that is out of sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Since when; where nobody saw it begin, since it was first seen.
    pub since: Stamp,
    /// Whether it sends connections where they should not go, or keeps them from where they should.
    pub traffic: bool,
}

/// Things that are out of sync together, one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How many there are.
    pub count: u64,
    /// Since when the oldest of them is; a lower bound of its age where nobody saw it begin.
    pub oldest: Stamp,
    /// The same of those that send connections where they should not go, or keep them from where they should; `None` if none does.
    pub oldest_traffic: Option<Stamp>,
}

// === impl OutOfSync ===

impl<K> Default for OutOfSync<K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Copy + Eq + Hash> OutOfSync<K> {
    /// Notes how `key` is at `at`: in sync, or not and with what effect on traffic.
    pub fn set(&mut self, key: K, traffic: Option<bool>, at: Stamp) {
        match (traffic, self.0.entry(key)) {
            (Some(traffic), Entry::Occupied(mut fault)) => fault.get_mut().traffic = traffic,
            (Some(traffic), Entry::Vacant(free)) => drop(free.insert(Fault { since: at, traffic })),
            (None, Entry::Occupied(fault)) => drop(fault.remove()),
            (None, Entry::Vacant(_)) => {}
        }
    }

    /// All that is out of sync, in no order.
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

    /// How many are out of sync.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all is in sync.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
