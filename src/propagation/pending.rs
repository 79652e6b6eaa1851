//! Changes that are not reflected yet, and what their age will make of them.

use super::{
    change::Change,
    membership::{PodId, ServiceId},
};
use crate::cluster::event::Stamp;
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// Index of a pending change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PendingId(pub(super) u32);

/// A change that is expected and not reflected yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// The Service whose endpoints must change.
    pub(super) service: ServiceId,
    /// The pod; `None` for a change of the Service itself.
    pub(super) pod: Option<PodId>,
    /// Kind of change.
    pub(super) change: Change,
    /// When it started; where that is not known, when it was first seen.
    pub(super) since: Stamp,
    /// Whether `since` is the time at which it started. If not, the change ends censored.
    pub(super) exact: bool,
    /// Whether its age has passed the objective.
    pub(super) missed: bool,
}

/// What a pending change has grown too old for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Its Service's objective.
    Objective,
    /// To be waited for.
    Expiry,
}

/// All pending changes, with their deadlines.
#[derive(Debug, Default)]
pub(super) struct Pendings {
    entries: slab::Slab<Slot>,
    /// The next deadline of each entry, and of entries that ended before it.
    deadlines: BinaryHeap<Reverse<Deadline>>,
    started: u64,
}

#[derive(Debug)]
struct Slot {
    pending: Pending,
    serial: u64,
    expires: Stamp,
}

/// Ordered by time. `serial` tells whether the slot still holds the change that the deadline was set for.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    at: Stamp,
    serial: u64,
    id: PendingId,
}

// === impl Pendings ===

impl Pendings {
    /// Starts to wait. A change is due when it is *older* than the objective, not when it is as old.
    pub(super) fn start(&mut self, pending: Pending, objective: Duration, expiry: Duration) -> PendingId {
        self.started += 1;
        let (serial, expires) = (self.started, pending.since.plus(expiry));
        let slot = self.entries.insert(Slot { pending, serial, expires });
        let id = PendingId(u32::try_from(slot).expect("each holds tens of bytes: memory ends before 2^32 of them"));
        let at = pending.since.plus(objective.min(expiry));
        self.deadlines.push(Reverse(Deadline { at, serial, id }));
        self.compact();
        id
    }

    /// Stops to wait.
    pub(super) fn end(&mut self, id: PendingId) -> Pending {
        self.entries.remove(id.0 as usize).pending
    }

    /// The time from which on `id` was no longer sure: its start is not known any more.
    pub(super) fn taint(&mut self, id: PendingId) {
        self.entries[id.0 as usize].pending.exact = false;
    }

    /// The pending change.
    pub(super) fn get(&self, id: PendingId) -> &Pending {
        &self.entries[id.0 as usize].pending
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.entries.iter().map(|(_, slot)| &slot.pending)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The next change that has grown too old by `now`. One that passes its objective is marked as missed; one that
    /// expires is still there, for the caller to end.
    pub(super) fn next_due(&mut self, now: Stamp) -> Option<(PendingId, Due)> {
        while let Some(Reverse(next)) = self.deadlines.peek() {
            if next.at >= now {
                return None;
            }
            let Reverse(Deadline { at, serial, id }) = self.deadlines.pop()?;
            let Some(slot) = self.entries.get_mut(id.0 as usize).filter(|slot| slot.serial == serial) else { continue };
            if at >= slot.expires {
                return Some((id, Due::Expiry));
            }
            slot.pending.missed = true;
            self.deadlines.push(Reverse(Deadline { at: slot.expires, serial, id }));
            return Some((id, Due::Objective));
        }
        None
    }

    /// Deadlines of changes that ended stay behind until their time; when they are the most part, they are thrown out.
    fn compact(&mut self) {
        if self.deadlines.len() > 1024 + 4 * self.entries.len() {
            let entries = &self.entries;
            let alive =
                |deadline: &Deadline| entries.get(deadline.id.0 as usize).is_some_and(|s| s.serial == deadline.serial);
            self.deadlines.retain(|Reverse(deadline)| alive(deadline));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(since: u64) -> Pending {
        let since = Stamp::new(Duration::from_secs(since));
        Pending { service: 0, pod: None, change: Change::Service, since, exact: true, missed: false }
    }

    fn at(seconds: f64) -> Stamp {
        Stamp::new(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_change_passes_its_objective_and_then_expires() {
        let mut pendings = Pendings::default();
        let id = pendings.start(pending(10), Duration::from_secs(5), Duration::from_secs(60));
        assert_eq!(pendings.next_due(at(15.0)), None, "as old as the objective is not older");
        assert_eq!(pendings.next_due(at(15.001)), Some((id, Due::Objective)));
        assert!(pendings.get(id).missed);
        assert_eq!(pendings.next_due(at(70.0)), None);
        assert_eq!(pendings.next_due(at(70.001)), Some((id, Due::Expiry)));
        pendings.end(id);
        assert_eq!(pendings.next_due(at(1000.0)), None);
    }

    #[test]
    fn a_deadline_never_hits_the_next_change_in_the_same_place() {
        let mut pendings = Pendings::default();
        let first = pendings.start(pending(0), Duration::from_secs(5), Duration::from_secs(60));
        pendings.end(first);
        let second = pendings.start(pending(4), Duration::from_secs(5), Duration::from_secs(60));
        assert_eq!(first, second, "the place is used again");
        assert_eq!(pendings.next_due(at(6.0)), None);
        assert_eq!(pendings.next_due(at(9.5)), Some((second, Due::Objective)));
    }

    #[test]
    fn deadlines_of_ended_changes_do_not_pile_up() {
        let mut pendings = Pendings::default();
        for _ in 0..100_000 {
            let id = pendings.start(pending(0), Duration::from_secs(3600), Duration::from_secs(3600));
            pendings.end(id);
        }
        assert!(pendings.deadlines.len() <= 1025, "{} deadlines", pendings.deadlines.len());
    }
}
