//! Follows the kernel's rules through its notifications: which commits are complete or missed, and what each one changed.
//!
//! ```text
//!            dumped                    datagram: commits one by one
//!  Lost ─────────────────► Following ◄────────────────┐
//!   ▲                          │ └────────────────────┘
//!   └──────────────────────────┘
//!     overrun, overflow, a jump of the generation, a malformed message
//! ```
//!
//! It is pure: datagrams and dumps go in with their stamps, and reports come out.

use super::{
    netlink::{
        attributes::Malformed,
        message::{Message, Part, Parts, kind},
    },
    observation::{Commit, Gap, Loss, Observation, Report, SetChange, When},
    ruleset::Ruleset,
};
use crate::model::Stamp;
use std::collections::VecDeque;

/// All rules of one generation. The generation did not change during the dump.
#[derive(Debug)]
pub(crate) struct Dump {
    /// The generation.
    pub(crate) generation: u32,
    /// Its rules, committed.
    pub(crate) rules: Ruleset,
    /// When these rules were known to be current.
    pub(crate) at: Stamp,
}

/// When a datagram arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When it was received.
    pub(crate) at: Stamp,
    /// Set if the datagram may have waited in the socket because the receiving thread did not run: since when.
    pub(crate) unread_since: Option<Stamp>,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commits of any program that were read.
    pub commits: u64,
    /// Changes that were reported, including those of gaps.
    pub changes: u64,
    /// Losses, in the order of [`Loss::ALL`]. A new dump follows each of them, except the last kind.
    pub losses: [u64; Loss::ALL.len()],
    /// Dumps that succeeded, including the first.
    pub dumps: u64,
    /// Current number of rules that send packets to endpoints that could not be read.
    pub unread: u64,
}

/// The rules, and up to which point they are known.
#[derive(Debug)]
pub(crate) struct Follower {
    rules: Ruleset,
    standing: Standing,
    /// What has arrived of the commit after the last one.
    begun: Option<Begun>,
    counts: Counts,
    reports: VecDeque<Report>,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    /// Nothing is known yet.
    Unknown,
    /// Complete up to a generation, and known to be right at this time.
    Following { generation: u32, at: Stamp },
    /// Something was missed after this time.
    Lost { since: Stamp, loss: Loss },
}

/// A commit whose end has not arrived yet.
#[derive(Clone, Copy, Debug)]
struct Begun {
    first: Stamp,
    messages: u32,
    /// Set if any part of it may have waited in the socket: since when.
    unread_since: Option<Stamp>,
}

// === impl Follower ===

impl Follower {
    /// Knows nothing.
    pub(crate) fn new() -> Self {
        Self {
            rules: Ruleset::new(),
            standing: Standing::Unknown,
            begun: None,
            counts: Counts::default(),
            reports: VecDeque::new(),
        }
    }

    /// Whether it needs a dump to continue. Everything that was sent before the dump begins may be dropped.
    pub(crate) fn needs_dump(&self) -> bool {
        !matches!(self.standing, Standing::Following { .. })
    }

    /// The generation whose rules it knows.
    pub(crate) fn generation(&self) -> Option<u32> {
        match self.standing {
            Standing::Following { generation, .. } => Some(generation),
            _ => None,
        }
    }

    /// The rules.
    pub(crate) fn rules(&self) -> &Ruleset {
        &self.rules
    }

    /// The counts.
    pub(crate) fn counts(&self) -> Counts {
        Counts { unread: self.rules.unread() as u64, ..self.counts }
    }

    /// The next report that is due.
    pub(crate) fn report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Something was missed.
    pub(crate) fn lost(&mut self, loss: Loss) {
        if let Standing::Following { at, .. } = self.standing {
            self.counts.losses[loss as usize] += 1;
            self.standing = Standing::Lost { since: at, loss };
            self.begun = None;
            // The next dump needs the memory.
            self.rules.forget();
        }
    }

    /// Takes a datagram.
    pub(crate) fn datagram(&mut self, arrival: Arrival, bytes: &[u8]) {
        for part in Parts::new(bytes) {
            let applied = match part {
                Ok(Part::Message(message)) => self.message(arrival, &message),
                Ok(_) => Ok(()),
                Err(malformed) => Err(malformed),
            };
            if let Err(Malformed) = applied {
                self.lost(Loss::Malformed);
            }
        }
    }

    fn message(&mut self, arrival: Arrival, message: &Message<'_>) -> Result<(), Malformed> {
        let Standing::Following { generation, .. } = self.standing else { return Ok(()) };
        let next = generation.wrapping_add(1);
        // Numbers wrap around. Half of them are before the next one, half after it.
        match message.generation.wrapping_sub(next as u16) as i16 {
            0 => {}
            // The dump already contains it.
            ..0 => return Ok(()),
            1.. => {
                self.lost(Loss::MissedGeneration);
                return Ok(());
            }
        }
        let Arrival { at, unread_since } = arrival;
        let begun = self.begun.get_or_insert(Begun { first: at, messages: 0, unread_since });
        begun.unread_since = begun.unread_since.or(unread_since);
        if message.kind != kind::NEW_GENERATION {
            begun.messages += 1;
            return self.rules.apply(message);
        }
        let begun = *begun;
        self.begun = None;
        if message.new_generation()? != next {
            self.lost(Loss::MissedGeneration);
            return Ok(());
        }
        self.standing = Standing::Following { generation: next, at };
        self.counts.commits += 1;
        let commit = Commit { first: begun.first, end: at, messages: begun.messages, generation: next };
        let changes = self.rules.commit();
        match begun.unread_since {
            Some(since) if !changes.is_empty() => {
                self.counts.losses[Loss::NotRunning as usize] += 1;
                let gap = Gap { since, until: at, loss: Loss::NotRunning };
                self.reports.push_back(Report::Gap(gap));
                self.tell(changes, When::Gap(gap));
            }
            _ => self.tell(changes, When::Commit(commit)),
        }
        Ok(())
    }

    /// Takes a dump. All datagrams that are passed in from now on were sent after the dump began.
    pub(crate) fn dumped(&mut self, dump: Dump) {
        let Dump { generation, rules, at } = dump;
        let before = std::mem::replace(&mut self.rules, rules);
        match self.standing {
            Standing::Unknown => self.reports.push_back(Report::State { at, sets: self.rules.sets().clone() }),
            Standing::Lost { since, loss } => {
                let gap = Gap { since, until: at, loss };
                self.reports.push_back(Report::Gap(gap));
                let changes = before.into_sets().become_like(self.rules.sets());
                self.tell(changes, When::Gap(gap));
            }
            Standing::Following { .. } => {}
        }
        self.standing = Standing::Following { generation, at };
        self.begun = None;
        self.counts.dumps += 1;
    }

    fn tell(&mut self, changes: Vec<SetChange>, when: When) {
        self.counts.changes += changes.len() as u64;
        self.reports.extend(changes.into_iter().map(|change| Report::Changed(Observation { change, when })));
    }
}

#[cfg(test)]
mod tests;
