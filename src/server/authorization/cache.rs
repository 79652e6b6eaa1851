//! Answers that are valid for a limited time.

use super::KEPT;
use std::{collections::HashMap, hash::Hash, time::Duration};
use tokio::time::Instant;

/// Up to [`KEPT`] values, each with its own end of validity. The caller provides the time.
pub(super) struct Cache<K, V>(HashMap<K, (V, Instant)>);

// === impl Cache ===

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// A value that is still valid.
    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.0.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    /// A value that is valid, or became invalid at most `late` ago.
    pub(super) fn get_late(&self, key: &K, now: Instant, late: Duration) -> Option<V> {
        self.0.get(key).filter(|(_, until)| now < *until + late).map(|(value, _)| value.clone())
    }

    /// Stores a value for `lifetime`. If there is no room, it replaces the value that expires first.
    pub(super) fn put(&mut self, key: K, value: V, now: Instant, lifetime: Duration) {
        if self.0.len() >= KEPT && !self.0.contains_key(&key) {
            self.0.retain(|_, (_, until)| now < *until);
        }
        if self.0.len() >= KEPT
            && !self.0.contains_key(&key)
            && let Some(shortest) = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| key.clone())
        {
            self.0.remove(&shortest);
        }
        self.0.insert(key, (value, now + lifetime));
    }
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_value_holds_until_its_time() {
        let (mut cache, now) = (Cache::default(), Instant::now());
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
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.put(usize::MAX, (), now, 2 * SECOND);
        for key in 0..KEPT {
            cache.put(key, (), now, 10 * SECOND);
        }
        assert_eq!(cache.0.len(), KEPT);
        assert_eq!(cache.get(&usize::MAX, now), None, "it would have ended first");
        cache.put(usize::MAX, (), now + 10 * SECOND, SECOND);
        assert_eq!(cache.0.len(), 1, "the others had ended");
    }
}
