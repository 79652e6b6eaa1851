//! The data for the JSON API and the page. Readers work on copies, outside the pipeline's thread.

use super::{ChangeStats, Delays, Distribution, Misses, OutOfSync, OutOfSyncServices, Stats};
use crate::{
    ledger::{Change, Outcome},
    model::Stamp,
    propagation::{PendingView, ServiceName, Tracker},
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
    /// The selected Services at present. To be fast, this copies the sparse cells and computes nothing. The reader works on the
    /// copy in another thread.
    pub fn table(&self, trackers: &[Tracker], selection: &Selection) -> Table {
        let mut rows: BTreeMap<(Arc<ServiceName>, Change), Row> = BTreeMap::new();
        let new = |key: &(Arc<ServiceName>, Change)| Row::new(key.0.clone(), key.1);
        for (service, stats) in self.services.iter().filter(|(service, _)| selection.takes(service)) {
            for (change, stats) in Change::ALL.into_iter().zip(&stats.changes) {
                let Some(stats) = stats.as_ref().filter(|_| selection.matches(service, change)) else { continue };
                rows.entry((service.clone(), change)).or_insert_with_key(new).take(stats);
            }
        }
        for PendingView { service, change, count, oldest } in trackers.iter().flat_map(Tracker::pending) {
            let service = self.shown_as(&service);
            if selection.matches(&service, change) {
                let row = rows.entry((service, change)).or_insert_with_key(new);
                row.pending += count;
                row.oldest = Some(row.oldest.map_or(oldest, |other| other.min(oldest)));
            }
        }
        let measured = trackers.iter().flat_map(Tracker::measured_services);
        let selected = measured.filter(|(name, _)| selection.takes(name) && self.has_own(name));
        let mut measured: Vec<_> =
            selected.map(|(name, objective)| Measured { service: name.clone(), objective }).collect();
        measured.sort_unstable_by(|a, b| a.service.cmp(&b.service));
        let mut out_of_sync = Self::out_of_sync(trackers, |name| self.shown_as(name));
        out_of_sync.retain(|name, _| selection.takes(name));
        Table { rows: rows.into_values().collect(), measured, out_of_sync }
    }

    /// The cluster as a whole at present.
    pub fn cluster(&self, trackers: &[Tracker], now: Stamp) -> ClusterView {
        let pending: Vec<_> = trackers.iter().flat_map(Tracker::pending).collect();
        let out_of_sync: Vec<_> = trackers.iter().flat_map(Tracker::out_of_sync).collect();
        let mut whole = OutOfSync::default();
        out_of_sync.iter().for_each(|it| whole.add(it));
        let late = oldest(pending.iter().map(|view| (&view.service, view.oldest)));
        let misrouted = oldest(out_of_sync.iter().filter_map(|it| Some((&it.service, it.oldest_traffic?))));
        let past_objective = |since: &HashMap<&Arc<ServiceName>, Stamp>| {
            let measured = trackers.iter().flat_map(Tracker::measured_services);
            let is_past =
                |(name, objective): &(_, _)| since.get(name).is_some_and(|since| now.since(*since) > *objective);
            measured.filter(is_past).count()
        };
        ClusterView {
            delays: self.cluster.each_ref().map(Delays::distribution).map(Clone::clone),
            missed: self.missed.clone(),
            services: trackers.iter().map(|tracker| tracker.measured_services().count()).sum(),
            pending: pending.iter().map(|view| view.count).sum(),
            oldest: pending.iter().map(|view| view.oldest).min(),
            late_services: past_objective(&late),
            out_of_sync: trackers.iter().any(Tracker::is_measuring).then_some(whole),
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
