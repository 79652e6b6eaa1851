//! Answers that are valid for a limited time.

use std::{collections::HashMap, hash::Hash, time::Duration};
use tokio::time::Instant;

/// A limited number of values, each with its own end of validity. The caller provides the time.
#[derive(Debug)]
pub struct Cache<K, V> {
    bound: usize,
    values: HashMap<K, (V, Instant)>,
}

// === impl Cache ===

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// For at most `bound` values.
    pub fn new(bound: usize) -> Self {
        Self { bound, values: HashMap::new() }
    }

    /// A value that is still valid.
    pub fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.values.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    /// A value that is valid, or became invalid at most `late` ago.
    pub fn get_late(&self, key: &K, now: Instant, late: Duration) -> Option<V> {
        self.values.get(key).filter(|(_, until)| now < *until + late).map(|(value, _)| value.clone())
    }

    /// Stores a value for `lifetime`. If there is no room, it replaces the value that expires first.
    pub fn put(&mut self, key: K, value: V, now: Instant, lifetime: Duration) {
        if self.values.len() >= self.bound && !self.values.contains_key(&key) {
            self.values.retain(|_, (_, until)| now < *until);
        }
        if self.values.len() >= self.bound
            && !self.values.contains_key(&key)
            && let Some(shortest) = self.values.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone())
        {
            self.values.remove(&shortest);
        }
        self.values.insert(key, (value, now + lifetime));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: usize = 1024;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_value_holds_until_its_time() {
        let (mut cache, now) = (Cache::new(KEPT), Instant::now());
        cache.put("a", 1, now, 10 * SECOND);
        assert_eq!(cache.get(&"a", now + 9 * SECOND), Some(1));
        assert_eq!(cache.get(&"a", now + 10 * SECOND), None);
        assert_eq!(cache.get_late(&"a", now + 12 * SECOND, 3 * SECOND), Some(1));
        assert_eq!(cache.get_late(&"a", now + 13 * SECOND, 3 * SECOND), None);
        cache.put("a", 2, now + 11 * SECOND, SECOND);
        assert_eq!(cache.get(&"a", now + 11 * SECOND), Some(2));
    }

    #[test]
    fn it_is_bounded_and_loses_what_ends_first() {
        let (mut cache, now) = (Cache::new(KEPT), Instant::now());
        cache.put(usize::MAX, (), now, 2 * SECOND);
        for key in 0..KEPT {
            cache.put(key, (), now, 10 * SECOND);
        }
        assert_eq!(cache.values.len(), KEPT);
        assert_eq!(cache.get(&usize::MAX, now), None, "it would have ended first");
        cache.put(usize::MAX, (), now + 10 * SECOND, SECOND);
        assert_eq!(cache.values.len(), 1, "the others had ended");
    }
}
