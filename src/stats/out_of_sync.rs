//! Endpoints that the slices show wrongly now, by Service. This is a state: it does not depend on the outcome of the changes
//! behind it.

use super::Stats;
use crate::{
    ledger::Faults,
    model::Stamp,
    propagation::{ServiceName, Standing},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Out-of-sync endpoints of one Service or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutOfSync {
    /// Number of endpoints.
    pub endpoints: u64,
    /// Since when the oldest of them is out of sync.
    pub oldest: Option<Stamp>,
    /// The same for endpoints that get connections that they should not get, or do not get those that they should.
    pub oldest_traffic: Option<Stamp>,
}

/// Services whose sync state is known. A Service in sync has an entry with zero endpoints.
pub type OutOfSyncServices = BTreeMap<Arc<ServiceName>, OutOfSync>;

// === impl OutOfSync ===

impl OutOfSync {
    /// Counts another Service in.
    pub(super) fn add(&mut self, other: &Faults) {
        self.endpoints += other.count;
        self.oldest = earliest(self.oldest, Some(other.oldest));
        self.oldest_traffic = earliest(self.oldest_traffic, other.oldest_traffic);
    }
}

fn earliest(one: Option<Stamp>, other: Option<Stamp>) -> Option<Stamp> {
    [one, other].into_iter().flatten().min()
}

// === impl Stats ===

impl Stats {
    /// Measured Services with gauges of their own, sorted: where they are too many, those that count something come first.
    pub(super) fn named(&self, scopes: &[Standing]) -> Vec<(Arc<ServiceName>, Duration)> {
        let measured = scopes.iter().flat_map(|scope| &scope.measured);
        let mut named: Vec<_> = measured.filter(|(name, _)| self.has_own(name)).cloned().collect();
        if named.len() > self.limits.services {
            named.sort_unstable_by_key(|(name, _)| (!self.services.contains_key(name), name.clone()));
            named.truncate(self.limits.services);
        }
        named.sort_unstable();
        named
    }

    /// Out-of-sync endpoints, by the Service names from `name_of`. A scope whose first lists are not complete is left out,
    /// because its state is not known.
    pub(super) fn out_of_sync(
        scopes: &[Standing],
        name_of: impl Fn(&Arc<ServiceName>) -> Arc<ServiceName>,
    ) -> OutOfSyncServices {
        let known = || scopes.iter().filter(|scope| scope.is_measuring);
        let measured = known().flat_map(|scope| &scope.measured).map(|(name, _)| name);
        by_service(measured, known().flat_map(|scope| &scope.out_of_sync), name_of)
    }
}

/// Each measured Service, with its out-of-sync endpoints.
fn by_service<'a>(
    measured: impl Iterator<Item = &'a Arc<ServiceName>>,
    found: impl Iterator<Item = &'a (Arc<ServiceName>, Faults)>,
    name_of: impl Fn(&Arc<ServiceName>) -> Arc<ServiceName>,
) -> OutOfSyncServices {
    let mut services: OutOfSyncServices = measured.map(|name| (name_of(name), OutOfSync::default())).collect();
    for (service, faults) in found {
        services.entry(name_of(service)).or_default().add(faults);
    }
    services
}

#[cfg(test)]
mod tests;
