//! All measurements so far: for each Service and kind of change, and for the cluster.
//!
//! One owner writes, without locks. Readers get a [`Snapshot`], which is made between two writes. Current state, which is not counted,
//! arrives as plain data: the [`Standing`]s of all scopes.

mod bounds;
mod counts;
mod delays;
mod minutes;
mod misses;
mod native;
mod nodes;
mod out_of_sync;
mod recent;
mod sparse_histogram;
mod startup;
mod table;
mod windows;

pub use self::{
    bounds::{Bounds, BoundsError},
    delays::{Buckets, Delays, Distribution, Exemplar, WindowView},
    minutes::Minute,
    misses::Misses,
    native::{NativeBuckets, SCHEMA, ZERO_THRESHOLD},
    nodes::{JudgedSeries, NodesSnapshot, VisibleSeries},
    out_of_sync::{OutOfSync, OutOfSyncServices},
    recent::{KEPT, Recent, RecentChange},
    sparse_histogram::{
        MAX_UNITS, OCTAVES, Precision, SparseHistogram, UNITS_PER_SECOND, duration, empty_histogram, octave_end, units,
    },
    startup::{REPORTED, StartupSnapshot},
    table::{ClusterView, Measured, Row, Selection, Table},
    windows::Window,
};
use self::{counts::ChangeStats, nodes::NodeStats, startup::StartupStats};
use crate::{
    ledger::{Backlog, Change, Outcome},
    model::Stamp,
    propagation::{Report, ServiceName, Standing},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// How long a daemon keeps the numbers of a Service that is gone: a few scrapes, so that its last changes are not lost.
pub const RETENTION: Duration = Duration::from_secs(15 * 60);

/// Namespace and name under which all Services beyond the limit are counted. No object can have this name.
pub const OTHER: &str = "_other";

/// How many Services have their own numbers, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct SeriesLimits {
    /// Number of Services with their own numbers. The others share the numbers of [`OTHER`].
    pub services: usize,
    /// A Service without a change for this long loses its numbers until its next change.
    pub idle: Duration,
}

/// More Services have changes than can have their own numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The limit: [`SeriesLimits::services`].
    pub limit: usize,
    /// The first Service beyond the limit.
    pub first: Arc<ServiceName>,
}

/// All counts.
#[derive(Debug)]
pub struct Stats {
    bounds: Arc<Bounds>,
    limits: SeriesLimits,
    /// How long the numbers of a Service stay after the Service is gone.
    retention: Duration,
    services: HashMap<Arc<ServiceName>, ServiceStats>,
    /// Services counted under [`OTHER`]. They stay there until they are gone.
    overflowed: HashSet<Arc<ServiceName>>,
    other: Arc<ServiceName>,
    /// Delays of all Services, by kind of change.
    cluster: [Delays; Change::ALL.len()],
    /// Missed objectives of all Services, by kind of change.
    missed: [Misses; Change::ALL.len()],
    reordered: Delays,
    /// The hop to the nodes.
    nodes: Box<NodeStats>,
    /// The starts of pods, from the first of them on.
    startup: Option<Box<StartupStats>>,
    /// When counting started.
    created: Stamp,
}

/// The numbers of one Service.
#[derive(Debug)]
struct ServiceStats {
    changes: [Option<Box<ChangeStats>>; Change::ALL.len()],
    /// When the Service was last measured.
    alive: Stamp,
    /// When something was last counted.
    counted: Stamp,
}

/// All numbers at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment.
    pub at: Stamp,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
    /// Upper bounds of the buckets.
    pub bounds: Arc<Bounds>,
    /// By Service and kind of change, sorted.
    pub series: Vec<Series>,
    /// Measured Services, sorted, with their objectives.
    pub objectives: Vec<(Arc<ServiceName>, Duration)>,
    /// Out-of-sync endpoints of each measured Service. Services without their own gauges are combined.
    pub out_of_sync: OutOfSyncServices,
    /// Delays of all Services, by kind of change.
    pub cluster: [Buckets; Change::ALL.len()],
    /// How much earlier than their changes slices arrived, for changes whose slice arrived first.
    pub reordered: Buckets,
    /// Number of Services that are counted under [`OTHER`].
    pub overflowed: usize,
    /// Number of malformed annotations of Services.
    pub malformed_annotations: u64,
    /// How often the thread that reads the watches did not run.
    pub reader_stalls: u64,
    /// For how long it did not run.
    pub reader_stalled: Duration,
    /// The hop to the nodes, if there are agents.
    pub nodes: Option<NodesSnapshot>,
    /// The starts of pods, if they are followed.
    pub startup: Option<StartupSnapshot>,
}

/// The numbers of one kind of change of one Service.
#[derive(Clone, Debug)]
pub struct Series {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// Kind of change.
    pub change: Change,
    /// Ended changes, by [`Outcome::index`].
    pub outcomes: [u64; Outcome::NAMES.len()],
    /// When each outcome was first counted; the clock's origin if it never was.
    pub first: [Stamp; Outcome::NAMES.len()],
    /// When counting started.
    pub created: Stamp,
    /// Changes that met or missed their objective.
    pub judged: u64,
    /// Those that missed it.
    pub missed: u64,
    /// Delays, if there are any.
    pub delays: Option<Buckets>,
    /// Pending changes.
    pub pending: u64,
    /// Start of the oldest pending change.
    pub oldest: Option<Stamp>,
}

/// A summary of one Service, all kinds of change together.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Ended changes.
    pub changes: u64,
    /// Median delay.
    pub p50: Option<Duration>,
    /// The delay that one change in a hundred exceeds.
    pub p99: Option<Duration>,
    /// Longest delay.
    pub max: Option<Duration>,
    /// Pending changes.
    pub pending: u64,
    /// Age of the oldest pending change.
    pub oldest: Option<Duration>,
}

/// A summary of all Services.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// The whole cluster.
    pub cluster: Summary,
    /// Each Service that is measured now or was recently.
    pub services: BTreeMap<Arc<ServiceName>, Summary>,
}

// === impl Stats ===

impl Stats {
    /// Empty counts. Counting starts at `created`.
    pub fn new(bounds: Bounds, limits: SeriesLimits, created: Stamp) -> Self {
        let bounds = Arc::new(bounds);
        let delays = || Delays::new(bounds.clone(), Precision::Cluster, created);
        Self {
            cluster: std::array::from_fn(|_| delays()),
            missed: Default::default(),
            reordered: delays(),
            nodes: Box::new(NodeStats::new(&bounds, created)),
            startup: None,
            created,
            services: HashMap::new(),
            overflowed: HashSet::new(),
            other: Arc::new(ServiceName { namespace: OTHER.into(), name: OTHER.into() }),
            limits,
            retention: RETENTION,
            bounds,
        }
    }

    /// The same counts, which keep the numbers of Services that are gone.
    pub fn keeping_all(self) -> Self {
        Self { retention: Duration::MAX, ..self }
    }

    /// Counts a report of the tracker. Tells the caller if a Service is the first one that is counted under [`OTHER`].
    pub fn record(&mut self, report: &Report, now: Stamp) -> Option<Overflow> {
        let had_room = self.overflowed.is_empty();
        self.count(report, now);
        let first = if had_room { self.overflowed.iter().next()?.clone() } else { return None };
        Some(Overflow { limit: self.limits.services, first })
    }

    fn count(&mut self, report: &Report, now: Stamp) {
        match report {
            Report::Judged { service, change, missed } => {
                let name = self.counted_as(service);
                let stats = change_of(&mut self.services, name, *change, now);
                stats.judged += 1;
                if *missed {
                    stats.missed.count(now);
                    self.missed[change.index()].count(now);
                }
            }
            Report::Ended(ended) => {
                let bounds = self.bounds.clone();
                let name = self.counted_as(&ended.key.service);
                let stats = change_of(&mut self.services, name, ended.change, now);
                stats.count(ended.outcome, now);
                let Some(delay) = ended.outcome.delay() else { return };
                let expired = matches!(ended.outcome, Outcome::Expired { .. });
                let of_service = stats.delays.get_or_insert_with(|| Delays::new(bounds, Precision::Service, now));
                if let Some(pod) = &ended.key.pod {
                    of_service.exemplify(pod, delay, ended.at);
                }
                for delays in [of_service, &mut self.cluster[ended.change.index()]] {
                    if expired { delays.record_expired(delay, ended.at) } else { delays.record(delay, ended.at) }
                }
                if let Outcome::Propagated { reordered: Some(lead), .. } = ended.outcome {
                    self.reordered.record(lead, ended.at);
                }
            }
        }
    }

    /// The name under which a Service is counted.
    fn counted_as(&mut self, service: &Arc<ServiceName>) -> Arc<ServiceName> {
        if self.has_own(service) {
            return service.clone();
        }
        self.overflowed.insert(service.clone());
        self.other.clone()
    }

    /// Whether a Service has its own numbers, or would get them with its first change.
    fn has_own(&self, service: &Arc<ServiceName>) -> bool {
        self.services.contains_key(service)
            || (self.services.len() < self.limits.services && !self.overflowed.contains(service))
    }

    /// The name under which the present state of a Service is shown.
    fn shown_as(&self, service: &Arc<ServiceName>) -> Arc<ServiceName> {
        if self.has_own(service) { service.clone() } else { self.other.clone() }
    }

    /// Forgets Services that have not been `measured` for [`RETENTION`], unless it [keeps all](Self::keeping_all), and numbers that have not changed for long.
    pub fn sweep(&mut self, measured: impl Fn(&ServiceName) -> bool, now: Stamp) {
        self.overflowed.retain(|name| measured(name));
        let (other, shares, retention) = (self.other.clone(), !self.overflowed.is_empty(), self.retention);
        self.services.retain(|name, stats| {
            if measured(name) || (*name == other && shares) {
                stats.alive = now;
            }
            for change in stats.changes.iter_mut().flatten() {
                change.missed.forget(now);
                if let Some(delays) = &mut change.delays {
                    delays.forget(now);
                }
            }
            now.since(stats.alive) < retention && now.since(stats.counted) < self.limits.idle
        });
        for delays in self.cluster.iter_mut().chain([&mut self.reordered]) {
            delays.forget(now);
        }
        self.missed.iter_mut().for_each(|missed| missed.forget(now));
        let (services, other) = (&self.services, &self.other);
        let has_own = |service: &Arc<ServiceName>| services.contains_key(service) || service == other;
        self.nodes.sweep(has_own, now);
        if let Some(startup) = &mut self.startup {
            startup.sweep(has_own, self.limits.idle, now);
        }
    }

    /// All numbers as they are now.
    pub fn snapshot(&self, scopes: &[Standing], now: Stamp, wall: SystemTime) -> Snapshot {
        let mut series: BTreeMap<(Arc<ServiceName>, Change), Series> = BTreeMap::new();
        for (service, stats) in &self.services {
            for change in Change::ALL {
                let Some(stats) = &stats.changes[change.index()] else { continue };
                let mut row = Series::new(service.clone(), change);
                (row.outcomes, row.judged, row.missed) = (stats.outcomes, stats.judged, stats.missed.total());
                (row.first, row.created) = (stats.first, stats.created);
                row.delays = stats.delays.as_ref().map(Delays::buckets);
                series.insert((service.clone(), change), row);
            }
        }
        for (service, change, Backlog { count, oldest }) in scopes.iter().flat_map(|scope| &scope.pending) {
            let service = self.shown_as(service);
            let key = (service.clone(), *change);
            let row = series.entry(key).or_insert_with(|| Series::new(service, *change));
            row.pending += count;
            row.oldest = Some(row.oldest.map_or(*oldest, |other| other.min(*oldest)));
        }
        let objectives = self.named(scopes);
        let is_named = |name: &Arc<ServiceName>| objectives.binary_search_by(|(named, _)| named.cmp(name)).is_ok();
        let out_of_sync =
            Self::out_of_sync(scopes, |name| if is_named(name) { name.clone() } else { self.other.clone() });
        Snapshot {
            at: now,
            wall,
            bounds: self.bounds.clone(),
            series: series.into_values().collect(),
            objectives,
            out_of_sync,
            cluster: std::array::from_fn(|change| self.cluster[change].buckets()),
            reordered: self.reordered.buckets(),
            overflowed: self.overflowed.len(),
            malformed_annotations: 0,
            reader_stalls: 0,
            reader_stalled: Duration::ZERO,
            nodes: None,
            startup: None,
        }
    }

    /// A summary of all Services, as they are now.
    pub fn overview(&self, scopes: &[Standing], now: Stamp) -> Overview {
        let mut overview = Overview::default();
        for (name, _) in scopes.iter().flat_map(|scope| &scope.measured) {
            overview.services.entry(name.clone()).or_default();
        }
        for (name, stats) in &self.services {
            let changes = || stats.changes.iter().flatten();
            let delays = changes().filter_map(|change| change.delays.as_ref());
            let mut summary = Summary::of(delays, now);
            summary.changes = changes().map(|change| change.outcomes.iter().sum::<u64>()).sum();
            overview.services.insert(name.clone(), summary);
        }
        let mut cluster = Summary::of(self.cluster.iter(), now);
        cluster.changes = overview.services.values().map(|summary| summary.changes).sum();
        for (service, _, backlog) in scopes.iter().flat_map(|scope| &scope.pending) {
            let age = now.since(backlog.oldest);
            for summary in [overview.services.entry(service.clone()).or_default(), &mut cluster] {
                summary.pending += backlog.count;
                summary.oldest = summary.oldest.max(Some(age));
            }
        }
        overview.cluster = cluster;
        overview
    }
}

/// The numbers of one kind of change of one Service, created if there are none.
fn change_of(
    services: &mut HashMap<Arc<ServiceName>, ServiceStats>,
    name: Arc<ServiceName>,
    change: Change,
    now: Stamp,
) -> &mut ChangeStats {
    let new = || ServiceStats { changes: Default::default(), alive: now, counted: now };
    let stats = services.entry(name).or_insert_with(new);
    (stats.alive, stats.counted) = (now, now);
    stats.changes[change.index()].get_or_insert_with(|| Box::new(ChangeStats::new(now)))
}

// === impl Series ===

impl Series {
    fn new(service: Arc<ServiceName>, change: Change) -> Self {
        Self {
            service,
            change,
            outcomes: Default::default(),
            first: Default::default(),
            created: Stamp::default(),
            judged: 0,
            missed: 0,
            delays: None,
            pending: 0,
            oldest: None,
        }
    }
}

// === impl Summary ===

impl Summary {
    fn of<'a>(parts: impl Iterator<Item = &'a Delays>, now: Stamp) -> Self {
        let views: Vec<_> = parts.map(|delays| delays.distribution().view(Window::Start, now)).collect();
        let Some(all) = WindowView::merged(&views) else { return Self::default() };
        Self { p50: all.quantile(0.5), p99: all.quantile(0.99), max: all.max, ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
