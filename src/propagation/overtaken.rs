//! Changes that were overtaken by their opposites, and may be written all the same.
//!
//! A controller that saw only `unready` may write it after `ready` has come. The slices happened to show `ready`, so that nothing
//! was pending; once they contradict it, `ready` is a change after all, and has been since it came.

use super::{membership::ServiceId, subject::Subject};
use crate::{
    cluster::event::{Seen, Stamp},
    ledger::Change,
};
use foldhash::fast::RandomState;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

/// The overtaken changes that may still be written.
#[derive(Debug, Default)]
pub(super) struct Overtaken {
    memories: HashMap<Subject, Memory, RandomState>,
    /// Until when each memory lasts, and memories that ended before.
    deadlines: BinaryHeap<Reverse<(Stamp, Subject)>>,
}

/// What the slices showed of a pod in a Service when it overtook an earlier change of its own.
#[derive(Debug)]
struct Memory {
    /// When the overtaken change would have been given up.
    until: Stamp,
    /// The changes that overtook it, which the slices showed at once. Never empty.
    answers: Vec<(Change, Seen)>,
}

// === impl Overtaken ===

impl Overtaken {
    /// How many pods it remembers something of.
    pub(super) fn len(&self) -> usize {
        self.memories.len()
    }

    /// Until when a change of `subject` that was overtaken may still be written, if one may at `now`.
    pub(super) fn until(&self, subject: Subject, now: Stamp) -> Option<Stamp> {
        self.memories.get(&subject).map(|memory| memory.until).filter(|until| *until > now)
    }

    /// Remembers that the slices showed `change` at once. Says whether nothing of the subject was remembered before.
    pub(super) fn remember(&mut self, subject: Subject, change: Change, seen: Seen, until: Stamp) -> bool {
        let mut is_new = false;
        let memory = self.memories.entry(subject).or_insert_with(|| {
            is_new = true;
            Memory { until, answers: Vec::with_capacity(1) }
        });
        if is_new || memory.until != until {
            memory.until = until;
            self.deadlines.push(Reverse((until, subject)));
        }
        memory.answers.push((change, seen));
        is_new
    }

    /// Takes out the answers that have come to nothing or to something. Says whether nothing is remembered of the subject any
    /// more.
    pub(super) fn take(
        &mut self,
        subject: Subject,
        mut which: impl FnMut(Change) -> bool,
    ) -> (Vec<(Change, Seen)>, bool) {
        let Some(memory) = self.memories.get_mut(&subject) else { return (Vec::new(), false) };
        let taken = memory.answers.extract_if(.., |(change, _)| which(*change)).collect();
        let is_empty = memory.answers.is_empty();
        if is_empty {
            self.memories.remove(&subject);
        }
        (taken, is_empty)
    }

    /// Whether something is remembered that may still be written at `now`.
    pub(super) fn is_awaited(&self, subject: Subject, now: Stamp) -> bool {
        self.memories.get(&subject).is_some_and(|memory| now <= memory.until)
    }

    /// A Service and its pods of which something is remembered.
    pub(super) fn subjects_of(&self, service: ServiceId) -> Vec<Subject> {
        self.memories.keys().filter(|subject| subject.service == service).copied().collect()
    }

    /// When the subject changed is not sure any more.
    pub(super) fn taint(&mut self, subject: Subject) {
        let answers = self.memories.get_mut(&subject).into_iter().flat_map(|memory| &mut memory.answers);
        answers.for_each(|(_, seen)| *seen = Seen::late(seen.at));
    }

    /// All of which something is remembered.
    pub(super) fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.memories.keys().copied()
    }

    /// Forgets a subject. Says whether something was remembered.
    pub(super) fn forget(&mut self, subject: Subject) -> bool {
        self.memories.remove(&subject).is_some()
    }

    /// The next subject whose memory ends before `now`.
    pub(super) fn next_forgotten(&mut self, now: Stamp) -> Option<Subject> {
        while self.deadlines.peek().is_some_and(|Reverse((until, _))| *until < now) {
            let Reverse((until, subject)) = self.deadlines.pop()?;
            if self.memories.get(&subject).is_some_and(|memory| memory.until == until) {
                self.memories.remove(&subject);
                return Some(subject);
            }
        }
        None
    }
}
