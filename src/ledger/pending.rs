//! Pending changes in one place, with their deadlines in order.

use super::Change;
use crate::model::Stamp;
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// Index of a pending change. The index of one that has ended is given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingId(u32);

/// A change that is expected and not reflected yet.
#[derive(Clone, Copy, Debug)]
pub struct Pending<K> {
    /// Who changed.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// When it started; where that is not known, when it was first seen.
    pub since: Stamp,
    /// Whether `since` is the time at which it started. If not, the change ends censored.
    pub exact: bool,
    /// The age within which it should be reflected.
    pub objective: Duration,
    /// Whether it may turn out to have been no change.
    pub doubt: Option<Doubt>,
    /// Whether it was said to have missed its objective.
    pub judged: bool,
}

/// A doubt about a change that is known only because the next hop contradicts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// If the change ends until then, it was none: the next hop was ahead of what ended it.
    pub until: Stamp,
    /// Whether that holds even if the next hop shows it again, as where an entry is absent for a moment while it moves.
    pub even_if_reflected: bool,
}

/// All pending changes, with their deadlines.
#[derive(Debug)]
pub(super) struct Pendings<K> {
    entries: slab::Slab<Entry<K>>,
    /// The next deadline of each entry, and of entries that ended before it.
    deadlines: BinaryHeap<Reverse<Deadline>>,
    started: u64,
}

#[derive(Debug)]
struct Entry<K> {
    pending: Pending<K>,
    serial: u64,
    expires: Stamp,
}

/// Ordered by time. `serial` tells whether the entry still holds the change that the deadline was set for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    at: Stamp,
    serial: u64,
    id: PendingId,
}

// === impl PendingId ===

impl PendingId {
    /// A small number by which it can be kept; never [`u32::MAX`].
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The index that was kept as `bits`.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    fn slot(self) -> usize {
        self.0 as usize
    }
}

// === impl Pendings ===

impl<K> Default for Pendings<K> {
    fn default() -> Self {
        Self { entries: slab::Slab::new(), deadlines: BinaryHeap::new(), started: 0 }
    }
}

impl<K> Pendings<K> {
    /// Starts to wait. A change is due when it is *older* than the objective, not when it is as old.
    pub(super) fn start(&mut self, pending: Pending<K>, expiry: Duration) -> PendingId {
        self.started += 1;
        let (serial, expires) = (self.started, pending.since.plus(expiry));
        let doubted_until = pending.doubt.map_or(pending.since, |doubt| doubt.until);
        let at = pending.since.plus(pending.objective).max(doubted_until).min(expires);
        let slot = self.entries.insert(Entry { pending, serial, expires });
        let id = PendingId(u32::try_from(slot).expect("each holds tens of bytes: memory ends before 2^32 of them"));
        self.deadlines.push(Reverse(Deadline { at, serial, id }));
        self.compact();
        id
    }

    /// Stops to wait.
    pub(super) fn remove(&mut self, id: PendingId) -> Pending<K> {
        self.entries.remove(id.slot()).pending
    }

    /// Its start is not sure any more.
    pub(super) fn taint(&mut self, id: PendingId) {
        self.entries[id.slot()].pending.exact = false;
    }

    /// The pending change.
    pub(super) fn get(&self, id: PendingId) -> &Pending<K> {
        &self.entries[id.slot()].pending
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending<K>> {
        self.entries.iter().map(|(_, entry)| &entry.pending)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The next change that has grown too old by `now`, and whether it is too old to be waited for. One that passes its objective is
    /// marked as judged; one that expires is still there, for the caller to remove.
    pub(super) fn next_due(&mut self, now: Stamp) -> Option<(PendingId, bool)> {
        while let Some(Reverse(next)) = self.deadlines.peek() {
            if next.at >= now {
                return None;
            }
            let Reverse(Deadline { at, serial, id }) = self.deadlines.pop()?;
            let Some(entry) = self.entries.get_mut(id.slot()).filter(|entry| entry.serial == serial) else { continue };
            if at >= entry.expires {
                return Some((id, true));
            }
            entry.pending.judged = true;
            self.deadlines.push(Reverse(Deadline { at: entry.expires, serial, id }));
            return Some((id, false));
        }
        None
    }

    /// Deadlines of changes that ended stay behind until their time; when they are the most part, they are thrown out.
    fn compact(&mut self) {
        if self.deadlines.len() > 1024 + 4 * self.entries.len() {
            let entries = &self.entries;
            let alive =
                |deadline: &Deadline| entries.get(deadline.id.slot()).is_some_and(|s| s.serial == deadline.serial);
            self.deadlines.retain(|Reverse(deadline)| alive(deadline));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_ended_changes_do_not_pile_up() {
        let mut pendings = Pendings::default();
        let objective = Duration::from_secs(3600);
        let pending = Pending {
            key: (),
            change: Change::Ready,
            since: Stamp::default(),
            exact: true,
            objective,
            doubt: None,
            judged: false,
        };
        for _ in 0..100_000 {
            let id = pendings.start(pending, objective);
            pendings.remove(id);
        }
        assert!(pendings.deadlines.len() <= 1025, "{} deadlines", pendings.deadlines.len());
    }
}
