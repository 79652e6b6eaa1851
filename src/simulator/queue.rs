//! A queue of objects with due times.

use super::store::Key;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Objects to process, each once, with its due time.
#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BTreeMap<Key, Instant>,
    /// The same entries, by time.
    order: BTreeSet<(Instant, Key)>,
}

// === impl Queue ===

impl Queue {
    /// Adds an object. If it is already in the queue, its due time stays.
    pub(super) fn add(&mut self, key: Key, due: Instant) {
        if !self.due.contains_key(&key) {
            self.order.insert((due, key.clone()));
            self.due.insert(key, due);
        }
    }

    /// Removes the first object that is due.
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

    /// Removes all objects, each with its due time.
    pub(super) fn take(&mut self) -> BTreeMap<Key, Instant> {
        self.order.clear();
        std::mem::take(&mut self.due)
    }
}
