//! A change from its start to its outcome, whatever caused it and whichever hop it is on.
//!
//! Pure: it knows no pods and no slices, only keys. Who watches the cluster says that a change starts, that something ends it,
//! and that time passes; the ledger says how it ended and whether it met its objective. All is judged by stamps: when somebody
//! looks changes when a thing is reported, never what is reported.
//!
//! Beside the changes, which are events, it keeps a state: what is [out of sync](OutOfSync) now, and since when.

mod change;
mod out_of_sync;
mod pending;

pub use self::{
    change::{Change, Outcome},
    out_of_sync::{Fault, OutOfSync},
    pending::{Doubt, Pending, PendingId},
};

use self::pending::Pendings;
use crate::model::{Seen, Stamp};
use std::time::Duration;

/// Changes that are not reflected yet, by who they are about.
#[derive(Debug)]
pub struct Ledger<K> {
    pendings: Pendings<K>,
    /// Age at which a change is given up.
    expiry: Duration,
    /// Whether something may happen now that is not seen, or not in time.
    blind: bool,
}

/// Why a pending change ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The next hop showed it.
    Reflected,
    /// Its opposite came first.
    Superseded,
    /// Nobody expects it any more.
    Withdrawn,
}

/// A change that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<K> {
    /// Who changed.
    pub key: K,
    /// Kind of change.
    pub change: Change,
    /// How it ended; `None` if it turned out to have been no change.
    pub outcome: Option<Outcome>,
    /// When it ended; of a change that was given up, when it reached that age.
    pub at: Stamp,
    /// Whether it missed its objective, if that is known only now.
    pub missed: Option<bool>,
    /// When it would have been given up.
    pub expires: Stamp,
}

/// What time makes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due<K> {
    /// It has missed its objective, and is still pending.
    Missed(K, Change),
    /// It was given up.
    Expired(Closed<K>),
}

// === impl Ledger ===

impl<K: Copy> Ledger<K> {
    /// Nothing is pending. Changes are given up at the age of `expiry`.
    pub fn new(expiry: Duration) -> Self {
        Self { pendings: Pendings::default(), expiry, blind: false }
    }

    /// Says whether something may happen unseen from now on. Until all is seen again no change misses its objective and none
    /// is given up, and a change that ends has no delay.
    pub fn set_blind(&mut self, blind: bool) {
        self.blind = blind;
    }

    /// Whether something may happen unseen.
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// Starts to wait for a change to be reflected, within `objective` if all is well. `since` is its start, or a lower bound
    /// of it where it came late.
    pub fn start(&mut self, key: K, change: Change, since: Seen, objective: Duration) -> PendingId {
        self.start_in_doubt(key, change, since, objective, None)
    }

    /// The same of a change that is known only because the next hop contradicts it.
    pub fn start_in_doubt(
        &mut self,
        key: K,
        change: Change,
        since: Seen,
        objective: Duration,
        doubt: Option<Doubt>,
    ) -> PendingId {
        let (since, exact) = (since.at, !since.is_late());
        self.pendings.start(Pending { key, change, since, exact, objective, doubt, judged: false }, self.expiry)
    }

    /// Ends a change by an event of this time.
    pub fn end(&mut self, id: PendingId, seen: Seen, cause: Cause) -> Closed<K> {
        let pending = self.pendings.remove(id);
        let age = seen.at.since(pending.since);
        let sure = !self.blind && !seen.is_late();
        let outlived = sure && age > self.expiry;
        let outcome = match cause {
            _ if !pending.exact => Outcome::Censored,
            Cause::Withdrawn if !outlived => Outcome::Withdrawn,
            // It may have ended before, unseen.
            _ if !sure => Outcome::Censored,
            _ if outlived => Outcome::Expired { age: self.expiry },
            Cause::Reflected => Outcome::propagated(pending.since, seen.at),
            Cause::Superseded | Cause::Withdrawn => Outcome::Superseded,
        };
        let passed = pending.objective < self.expiry && age > pending.objective;
        let missed = match outcome {
            Outcome::Expired { .. } => Some(true),
            Outcome::Propagated { delay, .. } => Some(delay > pending.objective),
            _ => (sure && passed).then_some(true),
        };
        let expires = pending.since.plus(self.expiry);
        let at = if matches!(outcome, Outcome::Expired { .. }) { expires } else { seen.at };
        let is_none = |doubt: Doubt| seen.at <= doubt.until && (cause != Cause::Reflected || doubt.even_if_reflected);
        let outcome = (!pending.doubt.is_some_and(is_none)).then_some(outcome);
        let missed = missed.filter(|_| !pending.judged && outcome.is_some());
        Closed { key: pending.key, change: pending.change, outcome, at, missed, expires }
    }

    /// The next change that has grown too old by `now`: older than its objective, or than any is waited for. Nothing does
    /// while it is [blind](Self::set_blind).
    pub fn next_due(&mut self, now: Stamp) -> Option<Due<K>> {
        if self.blind {
            return None;
        }
        let (id, expired) = self.pendings.next_due(now)?;
        if !expired {
            let pending = self.pendings.get(id);
            return Some(Due::Missed(pending.key, pending.change));
        }
        let pending = self.pendings.remove(id);
        let outcome = Some(if pending.exact { Outcome::Expired { age: self.expiry } } else { Outcome::Censored });
        let expires = pending.since.plus(self.expiry);
        let missed = (pending.exact && !pending.judged).then_some(true);
        Some(Due::Expired(Closed { key: pending.key, change: pending.change, outcome, at: expires, missed, expires }))
    }

    /// The start of a change is not sure any more: it will end censored.
    pub fn taint(&mut self, id: PendingId) {
        self.pendings.taint(id);
    }

    /// All that is pending, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Pending<K>> {
        self.pendings.iter()
    }

    /// How many changes are pending.
    pub fn len(&self) -> usize {
        self.pendings.len()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
