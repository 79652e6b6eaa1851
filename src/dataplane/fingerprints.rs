//! What the kernel does now, in short: a fingerprint of the backends of each frontend, to tell a daemon that does not know it.

use super::{
    event::StatePart,
    observation::{Frontend, Report},
};
use crate::model::Fingerprint;
use foldhash::fast::RandomState;
use std::collections::HashMap;

/// Number of frontends in one event: some ten kilobytes.
const PART: usize = 400;

/// The fingerprints, once the kernel's state is known.
#[derive(Debug, Default)]
pub(super) struct Fingerprints(Option<HashMap<Frontend, Fingerprint, RandomState>>);

// === impl Fingerprints ===

impl Fingerprints {
    /// Follows a report of a reader.
    pub(super) fn follow(&mut self, report: &Report) {
        match report {
            Report::State { sets, .. } => {
                let of = |(frontend, backends): (&Frontend, &[_])| (*frontend, backends.iter().collect());
                self.0 = Some(sets.iter().map(of).collect());
            }
            Report::Changed(observation) => {
                let Some(known) = &mut self.0 else { return };
                let change = &observation.change;
                let set = known.entry(change.frontend).or_default();
                *set = change.removed.iter().fold(*set, |set, backend| set.without(backend));
                *set = change.added.iter().fold(*set, |set, backend| set.with(backend));
                if *set == Fingerprint::default() {
                    known.remove(&change.frontend);
                }
            }
            Report::Gap(_) | Report::Planes(_) => {}
        }
    }

    /// All of it, in parts; `None` if it is not known yet.
    pub(super) fn parts(&self) -> Option<Vec<StatePart>> {
        let all: Vec<_> = self.0.as_ref()?.iter().map(|(frontend, set)| (*frontend, *set)).collect();
        let chunks = all.chunks(PART).map(<[_]>::to_vec);
        let mut parts: Vec<_> = chunks.map(|frontends| StatePart { frontends, is_last: false }).collect();
        match parts.last_mut() {
            Some(last) => last.is_last = true,
            None => parts.push(StatePart { frontends: Vec::new(), is_last: true }),
        }
        Some(parts)
    }
}
