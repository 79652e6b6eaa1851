//! Observations that fit no step yet. A node may show a change before the daemon has read the slice that asks for it.

use super::{nodes::NodeId, steps::Key};
use crate::model::{Interval, Stamp};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

/// How long an observation waits for its step. The watches of the daemon and of kube-proxy differ by much less.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Number of observations that may wait. A node that joins shows everything at once.
const ROOM: usize = 50_000;

/// Observations that wait.
#[derive(Debug, Default)]
pub(super) struct Early {
    by_key: HashMap<Key, Vec<Waiting>>,
    /// In the order of their arrival.
    order: VecDeque<(Stamp, Key)>,
}

/// An observation that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) node: NodeId,
    pub(super) adds: bool,
    /// `None` if its time is not known.
    pub(super) when: Option<Interval>,
    arrived: Stamp,
}

// === impl Early ===

impl Early {
    /// Keeps an observation.
    pub(super) fn push(&mut self, key: Key, node: NodeId, adds: bool, when: Option<Interval>, now: Stamp) {
        self.by_key.entry(key).or_default().push(Waiting { node, adds, when, arrived: now });
        self.order.push_back((now, key));
    }

    /// What each node showed last of this key, if that is in the given direction. What nodes showed in the other direction stays.
    pub(super) fn take(&mut self, key: &Key, adds: bool) -> Vec<Waiting> {
        let Some(waiting) = self.by_key.get_mut(key) else { return Vec::new() };
        let mut last: HashMap<NodeId, Waiting> = HashMap::new();
        for it in waiting.iter() {
            last.insert(it.node, *it);
        }
        last.retain(|_, it| it.adds == adds);
        waiting.retain(|it| !last.contains_key(&it.node));
        if waiting.is_empty() {
            self.by_key.remove(key);
        }
        last.into_values().collect()
    }

    /// Drops what has waited too long, or has no room. Calls `unmatched` for each.
    pub(super) fn expire(&mut self, now: Stamp, mut unmatched: impl FnMut(&Key)) {
        while let Some((arrived, key)) = self.order.front()
            && (now.since(*arrived) >= PATIENCE || self.order.len() > ROOM)
        {
            // It may have been taken.
            if let Some(waiting) = self.by_key.get_mut(key)
                && let Some(at) = waiting.iter().position(|it| it.arrived == *arrived)
            {
                waiting.remove(at);
                if waiting.is_empty() {
                    self.by_key.remove(key);
                }
                unmatched(key);
            }
            self.order.pop_front();
        }
    }
}
