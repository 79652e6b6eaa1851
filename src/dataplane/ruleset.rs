//! All tables of a node that decide where connections of Services go, and their combined result.
//!
//! Both modes of kube-proxy may have a table at the same time: during a change of mode, or if one mode left its rules behind. Their
//! chains have the same hook priority. The kernel then runs the chain first that was added last (seen on kernel 6.18). If that chain
//! sends a connection somewhere, this is final; if it does not know the frontend, the other table decides.

use super::{
    effective::EffectiveSets,
    iptables,
    netlink::{
        attributes::Malformed,
        message::{Message, kind},
    },
    nftables,
    observation::{FamilyPlane, Mode, SetChange},
    rule::values,
    table::{Candidates, Table},
};
use crate::model::Family;
use std::mem;

/// The kernel's rules for Services.
#[derive(Debug)]
pub(crate) struct Ruleset {
    /// By family, then by mode.
    tables: [[Table; 2]; 2],
    planes: [FamilyPlane; 2],
    sets: EffectiveSets,
}

// === impl Ruleset ===

impl Ruleset {
    /// No rules.
    pub(crate) fn new() -> Self {
        let tables = Family::ALL.map(|family| [Mode::Nftables, Mode::Iptables].map(|mode| Table::new(mode, family)));
        Self { tables, planes: Default::default(), sets: EffectiveSets::default() }
    }

    /// What the kernel did after the last commit.
    pub(crate) fn sets(&self) -> &EffectiveSets {
        &self.sets
    }

    /// The same, without the rules.
    pub(crate) fn into_sets(self) -> EffectiveSets {
        self.sets
    }

    /// Forgets the rules, but not what the kernel did after the last commit.
    pub(crate) fn forget(&mut self) {
        *self = Self { sets: mem::take(&mut self.sets), ..Self::new() };
    }

    /// Which modes these rules belong to.
    pub(crate) fn planes(&self) -> [FamilyPlane; 2] {
        self.planes
    }

    /// Number of rules that send packets to endpoints that could not be read.
    pub(crate) fn unread(&self) -> usize {
        self.tables.iter().flatten().map(Table::unread).sum()
    }

    /// Applies a message of any table.
    ///
    /// # Errors
    /// It is malformed; the rules are no longer known.
    pub(crate) fn apply(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let Some(family) = family(message.family) else { return Ok(()) };
        if message.kind == kind::NEW_GENERATION {
            return Ok(());
        }
        // In all kinds of message the first attribute is the name of the table.
        let [table] = values(message.attributes(), [1])?;
        match watched(table.ok_or(Malformed)?.text()?) {
            Some(mode) => self.tables[family as usize][mode as usize].apply(message),
            None => Ok(()),
        }
    }

    /// Computes how the messages since the last commit changed what the kernel does.
    pub(crate) fn commit(&mut self) -> Vec<SetChange> {
        let mut changes = Vec::new();
        for (family, (tables, plane)) in Family::ALL.into_iter().zip(self.tables.iter_mut().zip(&mut self.planes)) {
            let before = *plane;
            let candidates = tables.each_mut().map(Table::commit);
            let [nftables, iptables] = &*tables;
            let (first, second) = if nftables.entered() > iptables.entered() {
                *plane =
                    FamilyPlane { decides: Some(Mode::Nftables), behind: iptables.entered().map(|_| Mode::Iptables) };
                (nftables, iptables)
            } else {
                *plane = FamilyPlane {
                    decides: iptables.entered().map(|_| Mode::Iptables),
                    behind: nftables.entered().map(|_| Mode::Nftables),
                };
                (iptables, nftables)
            };
            let mut touched = match candidates {
                [Candidates::Some(some), Candidates::Some(more)] if *plane == before => [some, more].concat(),
                _ => {
                    let known = self.sets.iter().map(|(frontend, _)| *frontend).filter(|it| it.family() == family);
                    known.chain(first.frontends()).chain(second.frontends()).collect()
                }
            };
            touched.sort_unstable();
            touched.dedup();
            for frontend in touched {
                let mut endpoints = first.endpoints(&frontend);
                if endpoints.is_empty() {
                    endpoints = second.endpoints(&frontend);
                }
                changes.extend(self.sets.set(frontend, &endpoints));
            }
        }
        changes
    }
}

/// The mode of the table with this name.
pub(crate) fn watched(table: &str) -> Option<Mode> {
    match table {
        nftables::TABLE => Some(Mode::Nftables),
        iptables::TABLE => Some(Mode::Iptables),
        _ => None,
    }
}

/// The family with this number in the kernel.
pub(crate) fn family(number: u8) -> Option<Family> {
    match number {
        2 => Some(Family::V4),
        10 => Some(Family::V6),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
