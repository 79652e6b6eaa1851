//! Changes that were overtaken by their opposites, but may still be written.
//!
//! A controller that saw only `unready` may write it after `ready` came. The slices already showed `ready`, so nothing was
//! pending. Once they contradict `ready`, it is a change after all, since its own arrival.

use super::key::{Key, ServiceId};
use crate::{
    ledger::{Change, ChangeSet},
    model::{Seen, Stamp},
};
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

/// The overtaken changes that may still be written.
#[derive(Debug, Default)]
pub(super) struct Overtaken {
    memories: HashMap<Key, Memory, RandomState>,
    /// The end of each memory. Some are of ended memories.
    deadlines: BinaryHeap<Reverse<(Stamp, Key)>>,
}

/// The changes of a pod or Service that the slices showed at once, and what they overtook.
#[derive(Debug)]
struct Memory {
    overtaken: Written,
    /// The changes that the slices showed at once. Never empty.
    answers: Answers,
}

/// Changes that the slices showed at once, and when they arrived. Mostly one.
pub(super) type Answers = SmallVec<[(Change, Seen); 1]>;

/// Changes that were overtaken, but may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// When the last of them would have expired.
    pub(super) until: Stamp,
    kinds: ChangeSet,
}

// === impl Written ===

impl Written {
    /// One change of this kind.
    pub(super) fn new(change: Change, until: Stamp) -> Self {
        Self { until, kinds: change.into() }
    }

    /// The kinds of both.
    pub(super) fn or(self, other: Self) -> Self {
        Self { until: self.until.max(other.until), kinds: self.kinds.union(other.kinds) }
    }
}

// === impl Overtaken ===

impl Overtaken {
    /// Number of keys with a memory.
    pub(super) fn len(&self) -> usize {
        self.memories.len()
    }

    /// Changes of `key` that were overtaken, if they may still be written after `now`.
    pub(super) fn get(&self, key: Key, now: Stamp) -> Option<Written> {
        self.memories.get(&key).map(|memory| memory.overtaken).filter(|overtaken| overtaken.until > now)
    }

    /// Remembers that the slices showed `change` at once. Says whether this is the first memory of the key.
    pub(super) fn remember(&mut self, key: Key, change: Change, seen: Seen, overtaken: Written) -> bool {
        let mut is_new = false;
        let memory = self.memories.entry(key).or_insert_with(|| {
            is_new = true;
            Memory { overtaken, answers: Answers::new() }
        });
        if is_new || memory.overtaken.until != overtaken.until {
            self.deadlines.push(Reverse((overtaken.until, key)));
        }
        memory.overtaken = overtaken;
        memory.answers.push((change, seen));
        is_new
    }

    /// Removes and returns the answers that `which` selects. Says whether the key has no memory
    /// left.
    pub(super) fn take(&mut self, key: Key, mut which: impl FnMut(Change) -> bool) -> (Answers, bool) {
        let Some(memory) = self.memories.get_mut(&key) else { return (Answers::new(), false) };
        let (taken, kept) = memory.answers.iter().copied().partition(|(change, _)| which(*change));
        memory.answers = kept;
        let is_empty = memory.answers.is_empty();
        if is_empty {
            self.memories.remove(&key);
        }
        (taken, is_empty)
    }

    /// Forgets the answers that `opposes` selects. Returns what was overtaken, and whether the key has no memory left.
    pub(super) fn oppose(&mut self, key: Key, opposes: impl Fn(Change) -> bool) -> (Option<Written>, bool) {
        let Some(memory) = self.memories.get_mut(&key) else { return (None, false) };
        let overtaken = memory.overtaken;
        memory.answers.retain(|(change, _)| !opposes(*change));
        let is_empty = memory.answers.is_empty();
        if is_empty {
            self.memories.remove(&key);
        }
        (Some(overtaken), is_empty)
    }

    /// The kinds of overtaken change of `key` that may still be written at `now`.
    pub(super) fn writable(&self, key: Key, now: Stamp) -> impl Iterator<Item = Change> + use<> {
        let overtaken = self.memories.get(&key).map(|memory| memory.overtaken);
        overtaken.filter(|overtaken| now <= overtaken.until).into_iter().flat_map(|overtaken| overtaken.kinds.iter())
    }

    /// The keys with a memory of a Service and its pods.
    pub(super) fn keys_of(&self, service: ServiceId) -> Vec<Key> {
        self.memories.keys().filter(|key| key.service == service).copied().collect()
    }

    /// Its times are no longer certain.
    pub(super) fn taint(&mut self, key: Key) {
        let answers = self.memories.get_mut(&key).into_iter().flat_map(|memory| &mut memory.answers);
        answers.for_each(|(_, seen)| *seen = Seen::late(seen.at));
    }

    /// All keys with a memory.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.memories.keys().copied()
    }

    /// Forgets a key. Says whether it had a memory.
    pub(super) fn forget(&mut self, key: Key) -> bool {
        self.memories.remove(&key).is_some()
    }

    /// Removes and returns the next key with a memory that ends before `now`.
    pub(super) fn next_forgotten(&mut self, now: Stamp) -> Option<Key> {
        while self.deadlines.peek().is_some_and(|Reverse((until, _))| *until < now) {
            let Reverse((until, key)) = self.deadlines.pop()?;
            if self.memories.get(&key).is_some_and(|memory| memory.overtaken.until == until) {
                self.memories.remove(&key);
                return Some(key);
            }
        }
        None
    }
}
