//! The data for the JSON API and the page. Readers work on copies, outside the pipeline's thread.

use super::{ChangeStats, Delays, Distribution, Misses, OutOfSync, OutOfSyncServices, Stats};
use crate::{
    ledger::{Backlog, Change, Outcome},
    model::Stamp,
    propagation::{ServiceName, Standing},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// The selected Services and kinds of change. The default selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only Services in this namespace.
    pub namespace: Option<String>,
    /// Only Services with this name.
    pub service: Option<String>,
    /// Only Services with this text in `namespace/name`.
    pub contains: Option<String>,
    /// Only this kind of change.
    pub change: Option<Change>,
}

/// One kind of change of one Service.
#[derive(Clone, Debug)]
pub struct Row {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// Kind of change.
    pub change: Change,
    /// Changes that ended, by [`Outcome::index`].
    pub outcomes: [u64; Outcome::NAMES.len()],
    /// Changes that missed their objective.
    pub missed: Misses,
    /// Delays, if there are any.
    pub delays: Option<Distribution>,
    /// Pending changes.
    pub pending: u64,
    /// Start of the oldest pending change.
    pub oldest: Option<Stamp>,
}

/// A Service that is measured, whether anything has changed or not.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// Its objective.
    pub objective: Duration,
}

/// All selected rows at one moment.
#[derive(Clone, Debug)]
pub struct Table {
    /// By Service and kind of change.
    pub rows: Vec<Row>,
    /// By Service.
    pub measured: Vec<Measured>,
    /// Out-of-sync endpoints of each selected Service.
    pub out_of_sync: OutOfSyncServices,
}

/// The cluster as a whole at one moment.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// Delays of all Services, by kind of change.
    pub delays: [Distribution; Change::ALL.len()],
    /// Changes of all Services that missed their objective, by kind of change.
    pub missed: [Misses; Change::ALL.len()],
    /// Services that are measured.
    pub services: usize,
    /// Pending changes.
    pub pending: u64,
    /// Start of the oldest pending change.
    pub oldest: Option<Stamp>,
    /// Services with a change that has been pending for longer than their objective.
    pub late_services: usize,
    /// Out-of-sync endpoints; `None` before the first lists are complete.
    pub out_of_sync: Option<OutOfSync>,
    /// Services whose endpoints have affected traffic for longer than their objective.
    pub misrouted_services: usize,
}

// === impl Selection ===

impl Selection {
    /// Whether the selection includes this Service, for any kind of change.
    pub fn takes(&self, name: &ServiceName) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|wanted| wanted == text);
        is(&self.namespace, &name.namespace)
            && is(&self.service, &name.name)
            && self.contains.as_ref().is_none_or(|part| name.to_string().contains(part.as_str()))
    }

    /// Whether the selection includes this kind of change of this Service.
    pub fn matches(&self, name: &ServiceName, change: Change) -> bool {
        self.change.is_none_or(|wanted| wanted == change) && self.takes(name)
    }
}

// === impl Row ===

impl Row {
    fn new(service: Arc<ServiceName>, change: Change) -> Self {
        Self {
            service,
            change,
            outcomes: Default::default(),
            missed: Misses::default(),
            delays: None,
            pending: 0,
            oldest: None,
        }
    }

    fn take(&mut self, stats: &ChangeStats) {
        (self.outcomes, self.missed) = (stats.outcomes, stats.missed.clone());
        self.delays = stats.delays.as_ref().map(|delays| delays.distribution().clone());
    }
}

// === impl Stats ===

impl Stats {
    /// The selected Services as they are now. Copies the sparse cells and works nothing out, so as to be brief: whoever asks
    /// works on the copy elsewhere.
    pub fn table(&self, scopes: &[Standing], selection: &Selection) -> Table {
        let mut rows: BTreeMap<(Arc<ServiceName>, Change), Row> = BTreeMap::new();
        let new = |key: &(Arc<ServiceName>, Change)| Row::new(key.0.clone(), key.1);
        for (service, stats) in self.services.iter().filter(|(service, _)| selection.takes(service)) {
            for (change, stats) in Change::ALL.into_iter().zip(&stats.changes) {
                let Some(stats) = stats.as_ref().filter(|_| selection.matches(service, change)) else { continue };
                rows.entry((service.clone(), change)).or_insert_with_key(new).take(stats);
            }
        }
        for (service, change, Backlog { count, oldest }) in scopes.iter().flat_map(|scope| &scope.pending) {
            let service = self.shown_as(service);
            if selection.matches(&service, *change) {
                let row = rows.entry((service, *change)).or_insert_with_key(new);
                row.pending += count;
                row.oldest = Some(row.oldest.map_or(*oldest, |other| other.min(*oldest)));
            }
        }
        let measured = scopes.iter().flat_map(|scope| &scope.measured);
        let selected = measured.filter(|(name, _)| selection.takes(name) && self.has_own(name));
        let mut measured: Vec<_> =
            selected.map(|(name, objective)| Measured { service: name.clone(), objective: *objective }).collect();
        measured.sort_unstable_by(|a, b| a.service.cmp(&b.service));
        let mut out_of_sync = Self::out_of_sync(scopes, |name| self.shown_as(name));
        out_of_sync.retain(|name, _| selection.takes(name));
        Table { rows: rows.into_values().collect(), measured, out_of_sync }
    }

    /// The cluster as a whole as it is now.
    pub fn cluster(&self, scopes: &[Standing], now: Stamp) -> ClusterView {
        let pending = || scopes.iter().flat_map(|scope| &scope.pending);
        let out_of_sync = || scopes.iter().flat_map(|scope| &scope.out_of_sync);
        let measured = || scopes.iter().flat_map(|scope| &scope.measured);
        let mut whole = OutOfSync::default();
        out_of_sync().for_each(|(_, faults)| whole.add(faults));
        let late = oldest(pending().map(|(service, _, backlog)| (service, backlog.oldest)));
        let misrouted = oldest(out_of_sync().filter_map(|(service, faults)| Some((service, faults.oldest_traffic?))));
        let past_objective = |since: &HashMap<&Arc<ServiceName>, Stamp>| {
            let is_past =
                |(name, objective): &&(_, _)| since.get(name).is_some_and(|since| now.since(*since) > *objective);
            measured().filter(is_past).count()
        };
        ClusterView {
            delays: self.cluster.each_ref().map(Delays::distribution).map(Clone::clone),
            missed: self.missed.clone(),
            services: measured().count(),
            pending: pending().map(|(_, _, backlog)| backlog.count).sum(),
            oldest: pending().map(|(_, _, backlog)| backlog.oldest).min(),
            late_services: past_objective(&late),
            out_of_sync: scopes.iter().any(|scope| scope.is_measuring).then_some(whole),
            misrouted_services: past_objective(&misrouted),
        }
    }
}

/// The earliest moment of each Service.
fn oldest<'a>(moments: impl Iterator<Item = (&'a Arc<ServiceName>, Stamp)>) -> HashMap<&'a Arc<ServiceName>, Stamp> {
    let mut oldest = HashMap::new();
    for (service, at) in moments {
        let first = oldest.entry(service).or_insert(at);
        *first = at.min(*first);
    }
    oldest
}
