//! Pending changes in one place, found by key, with their deadlines in order.

use super::{Cause, Change, ChangeSet, Ended, Hop, Outcome, Start};
use crate::model::Stamp;
use foldhash::fast::RandomState;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::Entry as Place},
    hash::Hash,
    time::Duration,
};

/// A change that is expected and not reflected yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending<K> {
    /// Its subject.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// What started it.
    pub cause: Cause,
    /// When it started. If that is not known, when it was first seen.
    pub since: Stamp,
    /// Whether `since` is the real start. If not, the change ends censored.
    pub exact: bool,
    /// The age within which it should be reflected.
    pub objective: Duration,
    /// Set if it may turn out to be no change.
    pub doubt: Option<Doubt>,
    /// Whether a miss of its objective was already reported.
    pub judged: bool,
}

/// A doubt about a change that is known only because what is behind this hop contradicts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// If the change ends by this time, it was none: what is behind this hop was ahead of what ended it.
    pub until: Stamp,
    /// Whether this applies even if the change is reflected, for example because an entry is absent for a moment while it moves.
    pub even_if_reflected: bool,
}

/// Pending changes of one kind, of several keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Number of changes.
    pub count: u64,
    /// When the oldest started. Its age is a lower bound if the start was not seen.
    pub oldest: Stamp,
}

/// All pending changes, with their deadlines.
#[derive(Debug)]
pub(super) struct Pendings<K> {
    entries: slab::Slab<Entry<K>>,
    /// Each key in it has a pending change.
    by_key: HashMap<K, Kinds, RandomState>,
    /// The next deadline of each entry. Some are of entries that ended.
    deadlines: BinaryHeap<Reverse<Deadline>>,
    started: u64,
}

#[derive(Debug)]
struct Entry<K> {
    pending: Pending<K>,
    serial: u64,
    expires: Stamp,
}

/// Slots of the pending changes of one key, by kind. Small, because an outage has as many as pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds([u32; Change::ALL.len()]);

/// Ordered by time. `serial` shows whether the entry still has the change of this deadline.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    at: Stamp,
    serial: u64,
    slot: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

// === impl Pending ===

impl<K> Pending<K> {
    /// A change that starts now.
    pub(super) fn new(key: K, start: Start) -> Self {
        let Start { change, cause, seen, objective } = start;
        let exact = !seen.is_late();
        Self { key, change, cause, since: seen.at, exact, objective, doubt: None, judged: false }
    }

    /// Its end.
    pub(super) fn ended<V>(self, hop: Hop, outcome: Outcome, at: Stamp, by: Option<(Stamp, Option<V>)>) -> Ended<K, V> {
        let Self { key, change, cause, since: began, .. } = self;
        let (shown, by) = by.map_or((None, None), |(shown, by)| (Some(shown), by));
        Ended { hop, key, change, cause, began, outcome, at, shown, by }
    }

    /// The same with another key.
    pub fn map_key<N>(self, key: impl FnOnce(K) -> N) -> Pending<N> {
        let Self { key: old, change, cause, since, exact, objective, doubt, judged } = self;
        Pending { key: key(old), change, cause, since, exact, objective, doubt, judged }
    }
}

// === impl Kinds ===

impl Kinds {
    const EMPTY: Self = Self([NONE; Change::ALL.len()]);

    fn get(self, change: Change) -> Option<u32> {
        Some(self.0[change.index()]).filter(|slot| *slot != NONE)
    }
}

// === impl Pendings ===

impl<K> Default for Pendings<K> {
    fn default() -> Self {
        Self { entries: slab::Slab::new(), by_key: HashMap::default(), deadlines: BinaryHeap::new(), started: 0 }
    }
}

impl<K: Copy + Eq + Hash> Pendings<K> {
    /// Starts to wait, unless a change of this kind is pending. A change is due when it is *older* than the objective, not when it has
    /// the same age.
    pub(super) fn start(&mut self, pending: Pending<K>, expiry: Duration) {
        let known = self.by_key.entry(pending.key).or_insert(Kinds::EMPTY);
        if known.get(pending.change).is_some() {
            return;
        }
        self.started += 1;
        let (serial, expires) = (self.started, pending.since.plus(expiry));
        let doubted_until = pending.doubt.map_or(pending.since, |doubt| doubt.until);
        let at = pending.since.plus(pending.objective).max(doubted_until).min(expires);
        let slot = u32::try_from(self.entries.vacant_key());
        let slot = slot.expect("each holds tens of bytes: memory ends before 2^32 of them");
        known.0[pending.change.index()] = slot;
        self.entries.insert(Entry { pending, serial, expires });
        self.deadlines.push(Reverse(Deadline { at, serial, slot }));
        self.compact();
    }

    /// Stops waiting.
    pub(super) fn remove(&mut self, key: K, change: Change) -> Option<Pending<K>> {
        let Place::Occupied(mut known) = self.by_key.entry(key) else { return None };
        let slot = known.get().get(change)?;
        known.get_mut().0[change.index()] = NONE;
        if *known.get() == Kinds::EMPTY {
            known.remove();
        }
        Some(self.entries.remove(slot as usize).pending)
    }

    /// Stops waiting for the changes of `key` that `which` selects, and passes each to `removed`. Returns all kinds that were pending.
    pub(super) fn remove_where(
        &mut self,
        key: K,
        which: impl Fn(Change) -> bool,
        mut removed: impl FnMut(Pending<K>),
    ) -> ChangeSet {
        let Place::Occupied(mut known) = self.by_key.entry(key) else { return ChangeSet::default() };
        let (mut kinds, mut is_empty) = (ChangeSet::default(), true);
        for (change, slot) in Change::ALL.into_iter().zip(&mut known.get_mut().0).filter(|(_, slot)| **slot != NONE) {
            kinds = kinds.union(change.into());
            if which(change) {
                removed(self.entries.remove(std::mem::replace(slot, NONE) as usize).pending);
            } else {
                is_empty = false;
            }
        }
        if is_empty {
            known.remove();
        }
        kinds
    }

    /// The starts of all pending changes of `key` are no longer certain.
    pub(super) fn taint(&mut self, key: K) {
        let known = self.by_key.get(&key).copied().unwrap_or(Kinds::EMPTY);
        for slot in Change::ALL.into_iter().filter_map(|change| known.get(change)) {
            self.entries[slot as usize].pending.exact = false;
        }
    }

    /// The slot of a pending change. When the change ends, another change may get the slot.
    #[cfg(test)]
    pub(super) fn find(&self, key: K, change: Change) -> Option<u32> {
        self.by_key.get(&key)?.get(change)
    }

    /// The kinds that are pending for `key`.
    pub(super) fn kinds(&self, key: K) -> ChangeSet {
        let known = self.by_key.get(&key).copied().unwrap_or(Kinds::EMPTY);
        Change::ALL.into_iter().filter(|change| known.get(*change).is_some()).collect()
    }

    /// All pending changes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending<K>> {
        self.entries.iter().map(|(_, entry)| &entry.pending)
    }

    /// Number of pending changes.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The next change that is too old at `now`, and whether it has expired. A change that passes its objective is
    /// marked as judged. A change that has expired stays here until the caller removes it.
    pub(super) fn next_due(&mut self, now: Stamp) -> Option<(K, Change, bool)> {
        while let Some(Reverse(next)) = self.deadlines.peek() {
            if next.at >= now {
                return None;
            }
            let Reverse(Deadline { at, serial, slot }) = self.deadlines.pop()?;
            let Some(entry) = self.entries.get_mut(slot as usize).filter(|entry| entry.serial == serial) else {
                continue;
            };
            let Pending { key, change, .. } = entry.pending;
            if at >= entry.expires {
                return Some((key, change, true));
            }
            entry.pending.judged = true;
            self.deadlines.push(Reverse(Deadline { at: entry.expires, serial, slot }));
            return Some((key, change, false));
        }
        None
    }

    /// Deadlines of ended changes stay here until their time. When they are the majority, they are removed.
    fn compact(&mut self) {
        if self.deadlines.len() > 1024 + 4 * self.entries.len() {
            let entries = &self.entries;
            let alive =
                |deadline: &Deadline| entries.get(deadline.slot as usize).is_some_and(|s| s.serial == deadline.serial);
            self.deadlines.retain(|Reverse(deadline)| alive(deadline));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seen;

    #[test]
    fn deadlines_of_ended_changes_do_not_pile_up() {
        let mut pendings = Pendings::default();
        let objective = Duration::from_secs(3600);
        let seen = Seen::live(Stamp::default());
        let pending = Pending::new((), Start { change: Change::Ready, cause: Cause::Pod, seen, objective });
        for _ in 0..100_000 {
            pendings.start(pending, objective);
            pendings.remove((), Change::Ready);
        }
        assert!(pendings.deadlines.len() <= 1025, "{} deadlines", pendings.deadlines.len());
        assert!(pendings.by_key.is_empty());
    }
}
