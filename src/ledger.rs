//! A change on one hop, from its start to its outcome, independent of its cause.
//!
//! Pure: it knows no pods and no slices, only keys. The caller says that a change starts, that something ends
//! it, and that time passes. The ledger says how it ended and whether it met its objective. It judges only by stamps: the time of
//! processing decides when something is reported, but never what is reported.
//!
//! In addition to the changes, which are events, it keeps a state: what is [out of sync](OutOfSync) now, and since when.
//!
//! ```text
//! start(key, Cause) ──► Pending ──► end(key, Ending) or next_due(now) ──► Ended ──► carried(): the start of the next hop
//! ```
//!
//! A change that has [propagated](Outcome::Propagated) on one hop is a [`Carried`]. The next hop continues from it.

mod change;
mod ended;
mod hop;
mod out_of_sync;
mod pending;

pub use self::{
    change::{Change, ChangeSet, Outcome},
    ended::{Carried, Ended},
    hop::{Cause, Hop},
    out_of_sync::{Fault, Faults, OutOfSync},
    pending::{Backlog, Doubt, Pending},
};

use self::pending::Pendings;
use crate::model::{Seen, Stamp};
use std::{collections::HashMap, hash::Hash, time::Duration};

/// Changes that are not shown behind this hop yet, by key: at most one of each kind.
#[derive(Debug)]
pub struct Ledger<K> {
    pendings: Pendings<K>,
    judge: Judge,
}

/// What decides how a change ends, beside its own stamps.
#[derive(Clone, Copy, Debug)]
struct Judge {
    hop: Hop,
    /// Age at which a change expires.
    expiry: Duration,
    /// Whether something may happen now that is seen late or not at all.
    blind: bool,
}

/// A change that must be shown behind this hop, and its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Kind of change.
    pub change: Change,
    /// What started it.
    pub cause: Cause,
    /// Its start. If it arrived late, a lower bound of its age.
    pub seen: Seen,
    /// The age within which it should be reflected.
    pub objective: Duration,
}

/// Why a pending change ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending<V> {
    /// What is behind this hop showed it.
    Reflected {
        /// The version that showed it, if known.
        by: Option<V>,
    },
    /// Its opposite arrived first.
    Superseded,
    /// It is no longer expected.
    Withdrawn,
}

/// A change that is no longer pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed<K, V> {
    /// Its subject.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// How it ended; `None` if it was no change.
    pub ended: Option<Ended<K, V>>,
    /// Whether it missed its objective, if that is known only now.
    pub missed: Option<bool>,
    /// When it would have expired.
    pub expires: Stamp,
}

/// The effect of time on a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due<K, V> {
    /// It has missed its objective, and is still pending.
    Missed(K, Change),
    /// It expired.
    Expired(Closed<K, V>),
}

// === impl Ledger ===

impl<K: Copy + Eq + Hash> Ledger<K> {
    /// A ledger for this hop, with nothing pending. Changes expire at the age of `expiry`.
    pub fn new(hop: Hop, expiry: Duration) -> Self {
        Self { pendings: Pendings::default(), judge: Judge { hop, expiry, blind: false } }
    }

    /// Says whether something may happen unseen from now on. While the ledger is blind, no change misses its objective or
    /// expires, and a change that ends has no delay.
    pub fn set_blind(&mut self, blind: bool) {
        self.judge.blind = blind;
    }

    /// Starts to wait for a change to be reflected. If one of this kind is already pending, that one goes on.
    pub fn start(&mut self, key: K, start: Start) {
        self.pendings.start(Pending::new(key, start), self.judge.expiry);
    }

    /// The same for a change that is known only because what is behind this hop contradicts it.
    pub fn start_in_doubt(&mut self, key: K, start: Start, doubt: Doubt) {
        self.pendings.start(Pending { doubt: Some(doubt), ..Pending::new(key, start) }, self.judge.expiry);
    }

    /// Ends the change of this kind, if it is pending, because of an event at this time.
    pub fn end<V>(&mut self, key: K, change: Change, seen: Seen, ending: Ending<V>) -> Option<Closed<K, V>> {
        let pending = self.pendings.remove(key, change)?;
        Some(self.judge.close(pending, seen, ending))
    }

    /// Ends those pending changes of `key` as superseded that `opposes` selects, because of an event at this time, and passes each to
    /// `closed`. Returns the kinds that were pending.
    pub fn supersede<V>(
        &mut self,
        key: K,
        opposes: impl Fn(Change) -> bool,
        seen: Seen,
        mut closed: impl FnMut(Closed<K, V>),
    ) -> ChangeSet {
        let judge = self.judge;
        self.pendings.remove_where(key, opposes, |pending| closed(judge.close(pending, seen, Ending::Superseded)))
    }

    /// Ends a change that was reflected at `shown`, before it arrived. It is never pending.
    pub fn reflected_before<V>(&self, key: K, start: Start, shown: Seen, by: Option<V>) -> Closed<K, V> {
        let Start { change, seen, objective, .. } = start;
        let is_timed = !seen.is_late() && !shown.is_late() && !self.judge.blind;
        let (outcome, by) = if is_timed {
            (Outcome::propagated(seen.at, shown.at), Some((shown.at, by)))
        } else {
            (Outcome::Censored, None)
        };
        // What shows it was processed first, but its stamp may be the later one.
        let missed = outcome.delay().map(|delay| delay > objective);
        let ended = Some(Pending::new(key, start).ended(self.judge.hop, outcome, seen.at, by));
        Closed { key, change, ended, missed, expires: seen.at.plus(self.judge.expiry) }
    }

    /// The next change that is too old at `now`: it missed its objective, or has expired. There is none
    /// while the ledger is [blind](Self::set_blind).
    pub fn next_due<V>(&mut self, now: Stamp) -> Option<Due<K, V>> {
        if self.judge.blind {
            return None;
        }
        let (key, change, expired) = self.pendings.next_due(now)?;
        if !expired {
            return Some(Due::Missed(key, change));
        }
        let pending = self.pendings.remove(key, change)?;
        let outcome = if pending.exact { Outcome::Expired { age: self.judge.expiry } } else { Outcome::Censored };
        let expires = pending.since.plus(self.judge.expiry);
        let missed = (pending.exact && !pending.judged).then_some(true);
        let ended = Some(pending.ended(self.judge.hop, outcome, expires, None));
        Some(Due::Expired(Closed { key, change, ended, missed, expires }))
    }

    /// The starts of all pending changes of `key` are no longer certain, so they will end censored.
    pub fn taint(&mut self, key: K) {
        self.pendings.taint(key);
    }

    /// The kinds of change that are pending for `key`.
    pub fn pending(&self, key: K) -> ChangeSet {
        self.pendings.kinds(key)
    }

    /// All pending changes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Pending<K>> {
        self.pendings.iter()
    }

    /// The pending changes, by a part of the key and by kind.
    pub fn backlog<G: Eq + Hash>(&self, group: impl Fn(&K) -> G) -> HashMap<(G, Change), Backlog> {
        let mut backlog = HashMap::new();
        for Pending { key, change, since, .. } in self.iter() {
            let of = backlog.entry((group(key), *change)).or_insert(Backlog { count: 0, oldest: *since });
            of.count += 1;
            of.oldest = of.oldest.min(*since);
        }
        backlog
    }

    /// Number of pending changes.
    pub fn len(&self) -> usize {
        self.pendings.len()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Judge ===

impl Judge {
    /// The end of a change that was pending.
    fn close<K: Copy, V>(self, pending: Pending<K>, seen: Seen, ending: Ending<V>) -> Closed<K, V> {
        let Pending { key, change, .. } = pending;
        let age = seen.at.since(pending.since);
        let sure = !self.blind && !seen.is_late();
        let outlived = sure && age > self.expiry;
        let outcome = match ending {
            _ if !pending.exact => Outcome::Censored,
            Ending::Withdrawn if !outlived => Outcome::Withdrawn,
            // It may have ended earlier, unseen.
            _ if !sure => Outcome::Censored,
            _ if outlived => Outcome::Expired { age: self.expiry },
            Ending::Reflected { .. } => Outcome::propagated(pending.since, seen.at),
            Ending::Superseded | Ending::Withdrawn => Outcome::Superseded,
        };
        let passed = pending.objective < self.expiry && age > pending.objective;
        let missed = match outcome {
            Outcome::Expired { .. } => Some(true),
            Outcome::Propagated { delay, .. } => Some(delay > pending.objective),
            _ => (sure && passed).then_some(true),
        };
        let expires = pending.since.plus(self.expiry);
        let at = if matches!(outcome, Outcome::Expired { .. }) { expires } else { seen.at };
        let is_reflected = matches!(ending, Ending::Reflected { .. });
        let is_none = |doubt: Doubt| seen.at <= doubt.until && (!is_reflected || doubt.even_if_reflected);
        let by = match (outcome, ending) {
            (Outcome::Propagated { .. }, Ending::Reflected { by }) => Some((seen.at, by)),
            _ => None,
        };
        let ended = Some(pending.ended(self.hop, outcome, at, by)).filter(|_| !pending.doubt.is_some_and(is_none));
        let missed = missed.filter(|_| !pending.judged && ended.is_some());
        Closed { key, change, ended, missed, expires }
    }
}

#[cfg(test)]
mod tests;
