//! What waits for its time.

use super::store::Key;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Objects to be looked at, each once, with the time it is due.
#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BTreeMap<Key, Instant>,
    /// The same entries, by time.
    order: BTreeSet<(Instant, Key)>,
}

// === impl Queue ===

impl Queue {
    /// Adds an object. One that waits already keeps its time.
    pub(super) fn add(&mut self, key: Key, due: Instant) {
        if !self.due.contains_key(&key) {
            self.order.insert((due, key.clone()));
            self.due.insert(key, due);
        }
    }

    /// Takes the first object whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.due.remove(&key);
        Some(key)
    }

    /// When the first object is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes all, each with the time it was due.
    pub(super) fn take(&mut self) -> BTreeMap<Key, Instant> {
        self.order.clear();
        std::mem::take(&mut self.due)
    }
}
