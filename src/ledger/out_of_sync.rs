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

    /// How many are out of sync.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all is in sync.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
