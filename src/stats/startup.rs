//! What is counted of the starts of pods and of the report hop.

use super::{
    Bounds, Buckets, Delays, NativeBuckets, OTHER, Precision, Selection, SparseHistogram, Stats, WindowView, units,
};
use crate::{
    ledger::Change,
    model::Stamp,
    propagation::ServiceName,
    startup::{Phase, Report, Standing},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// The changes that the report hop has.
pub const REPORTED: [Change; 2] = [Change::Ready, Change::Unready];

/// The counts.
#[derive(Debug)]
pub(super) struct StartupStats {
    /// Times of the report hop, of all namespaces, by [`REPORTED`].
    reported: [Delays; REPORTED.len()],
    /// The same by namespace.
    namespaces: HashMap<Arc<str>, Of<{ REPORTED.len() }>>,
    /// Phases of all Services.
    phases: [Delays; Phase::ALL.len()],
    /// The same by Service.
    services: HashMap<Arc<ServiceName>, Of<{ Phase::ALL.len() }>>,
}

/// Distributions of one namespace or Service. Each is there from its first time on.
#[derive(Debug)]
struct Of<const N: usize> {
    distributions: [Option<Box<Distribution>>; N],
    /// When something was last counted.
    counted: Stamp,
}

/// A distribution that takes less memory than [`Delays`]: without classic buckets, and without windows. There are several for each Service.
#[derive(Clone, Debug)]
struct Distribution {
    native: NativeBuckets,
    histogram: SparseHistogram,
    sum: f64,
    max: Duration,
    created: Stamp,
}

/// The counts at one moment, and the current state.
#[derive(Clone, Debug)]
pub struct StartupSnapshot {
    /// The current state, and what it counts by itself.
    pub standing: Standing,
    /// Times of the report hop, of all namespaces, by [`REPORTED`].
    pub reported: [Buckets; REPORTED.len()],
    /// The same by namespace, sorted.
    pub namespaces: Vec<(Arc<str>, Change, Buckets)>,
    /// Phases of all Services.
    pub phases: [Buckets; Phase::ALL.len()],
    /// The same by Service, sorted.
    pub services: Vec<(Arc<ServiceName>, Phase, Buckets)>,
}

// === impl StartupStats ===

impl StartupStats {
    pub(super) fn new(bounds: &Arc<Bounds>, created: Stamp) -> Self {
        let delays = || Delays::new(bounds.clone(), Precision::Cluster, created);
        Self {
            reported: std::array::from_fn(|_| delays()),
            namespaces: HashMap::new(),
            phases: std::array::from_fn(|_| delays()),
            services: HashMap::new(),
        }
    }

    /// Forgets Services for which `has_own` does not hold, those and namespaces that were not counted for longer than `idle`, and old numbers.
    pub(super) fn sweep(&mut self, has_own: impl Fn(&Arc<ServiceName>) -> bool, idle: Duration, now: Stamp) {
        self.services.retain(|service, of| has_own(service) && now.since(of.counted) < idle);
        self.namespaces.retain(|_, of| now.since(of.counted) < idle);
        self.reported.iter_mut().chain(&mut self.phases).for_each(|delays| delays.forget(now));
    }
}

// === impl Stats ===

impl Stats {
    /// Counts what became known of the starts of pods.
    pub fn record_startup(&mut self, report: &Report, now: Stamp) {
        match report {
            Report::Reported { namespace, change, delay } => {
                let Some(index) = REPORTED.iter().position(|reported| reported == change) else { return };
                let most = self.limits.services;
                let stats = self.startup();
                stats.reported[index].record(*delay, now);
                let has_own = stats.namespaces.len() < most || stats.namespaces.contains_key(namespace);
                let name = if has_own { namespace.clone() } else { OTHER.into() };
                stats.namespaces.entry(name).or_insert_with(|| Of::new(now)).record(index, *delay, now);
            }
            Report::Phase { service, phase, took } => {
                let service = self.shown_as(service);
                let stats = self.startup();
                stats.phases[phase.index()].record(*took, now);
                stats.services.entry(service).or_insert_with(|| Of::new(now)).record(phase.index(), *took, now);
            }
        }
    }

    /// The counts of the starts of pods.
    pub fn startup_snapshot(&self, standing: Standing) -> StartupSnapshot {
        let none = || StartupStats::new(&self.bounds, self.created);
        let made;
        let StartupStats { reported, namespaces, phases, services } = match &self.startup {
            Some(stats) => stats,
            None => {
                made = none();
                &made
            }
        };
        let mut by_namespace = rows(namespaces, &REPORTED);
        by_namespace.sort_unstable_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        let mut by_service = rows(services, &Phase::ALL);
        by_service.sort_unstable_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        StartupSnapshot {
            standing,
            reported: reported.each_ref().map(Delays::buckets),
            namespaces: by_namespace,
            phases: phases.each_ref().map(Delays::buckets),
            services: by_service,
        }
    }

    /// How long each phase took since the start, for each selected Service that pods have started of, sorted.
    pub fn startup_table(&self, selection: &Selection) -> Vec<(Arc<ServiceName>, [WindowView; Phase::ALL.len()])> {
        let services = self.startup.iter().flat_map(|stats| &stats.services);
        let mut table: Vec<_> = services
            .filter(|(service, _)| selection.takes(service))
            .map(|(service, of)| (service.clone(), of.distributions.each_ref().map(view)))
            .collect();
        table.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        table
    }

    fn startup(&mut self) -> &mut StartupStats {
        let (bounds, created) = (&self.bounds, self.created);
        self.startup.get_or_insert_with(|| Box::new(StartupStats::new(bounds, created)))
    }
}

/// A row for each distribution that there is, in no order.
fn rows<K: Clone, L: Copy, const N: usize>(all: &HashMap<K, Of<N>>, labels: &[L; N]) -> Vec<(K, L, Buckets)> {
    let of_one = |(key, of): (&K, &Of<N>)| -> Vec<_> {
        let known = labels.iter().zip(&of.distributions).filter_map(|(label, it)| Some((*label, it.as_ref()?)));
        known.map(|(label, it)| (key.clone(), label, it.buckets())).collect()
    };
    all.iter().flat_map(of_one).collect()
}

fn view(distribution: &Option<Box<Distribution>>) -> WindowView {
    match distribution {
        Some(it) => WindowView { histogram: it.histogram.clone(), max: Some(it.max) },
        None => WindowView::empty(Precision::Service),
    }
}

// === impl Of ===

impl<const N: usize> Of<N> {
    fn new(now: Stamp) -> Self {
        Self { distributions: [const { None }; N], counted: now }
    }

    fn record(&mut self, index: usize, took: Duration, now: Stamp) {
        self.counted = now;
        self.distributions[index].get_or_insert_with(|| Box::new(Distribution::new(now))).record(took);
    }
}

// === impl Distribution ===

impl Distribution {
    fn new(created: Stamp) -> Self {
        Self {
            native: NativeBuckets::default(),
            histogram: SparseHistogram::new(Precision::Service),
            sum: 0.0,
            max: Duration::ZERO,
            created,
        }
    }

    fn record(&mut self, took: Duration) {
        self.native.record(took);
        self.histogram.record(self.histogram.precision().cell(units(took)));
        self.sum += took.as_secs_f64();
        self.max = self.max.max(took);
    }

    /// As Prometheus gets it. All times are in one classic bucket.
    fn buckets(&self) -> Buckets {
        Buckets {
            counts: [self.histogram.total()].into(),
            native: self.native.clone(),
            sum: self.sum,
            created: self.created,
            exemplar: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::SeriesLimits;

    fn at(seconds: u64) -> Stamp {
        Stamp::new(Duration::from_secs(seconds))
    }

    fn stats(services: usize) -> Stats {
        let limits = SeriesLimits { services, idle: Duration::from_secs(3600) };
        Stats::new(Bounds::DEFAULT.parse().expect("the default is valid"), limits, at(0))
    }

    fn reported(namespace: &str) -> Report {
        Report::Reported { namespace: namespace.into(), change: Change::Ready, delay: Duration::from_millis(400) }
    }

    fn phase(service: &str) -> Report {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: service.into() });
        Report::Phase { service, phase: Phase::Started, took: Duration::from_secs(3) }
    }

    #[test]
    fn namespaces_beyond_the_limit_share_one_row() {
        let mut stats = stats(2);
        for namespace in ["a", "b", "c", "d", "a"] {
            stats.record_startup(&reported(namespace), at(1));
        }
        let snapshot = stats.startup_snapshot(Standing::default());
        let rows = snapshot.namespaces.iter().map(|(name, _, buckets)| (&**name, buckets.counts[0]));
        assert_eq!(rows.collect::<Vec<_>>(), [(OTHER, 2), ("a", 2), ("b", 1)]);
        assert_eq!(snapshot.reported[0].counts.iter().sum::<u64>(), 5);
    }

    #[test]
    fn what_is_idle_loses_its_rows_and_the_whole_keeps_its_counts() {
        let mut stats = stats(100);
        stats.record_startup(&reported("a"), at(1));
        stats.record_startup(&phase("web"), at(1));
        let rows = |stats: &Stats| {
            let snapshot = stats.startup_snapshot(Standing::default());
            (snapshot.namespaces.len(), snapshot.phases[Phase::Started.index()].counts.iter().sum::<u64>())
        };
        stats.sweep(|_| true, at(3_000));
        assert_eq!(rows(&stats), (1, 1));
        stats.sweep(|_| true, at(3_700));
        assert_eq!(rows(&stats), (0, 1));
    }

    #[test]
    fn a_service_is_summed_up_by_phase() {
        let mut stats = stats(100);
        (0..3).for_each(|_| stats.record_startup(&phase("web"), at(1)));
        stats.record_startup(&phase("api"), at(1));
        let all = stats.startup_table(&Selection::default());
        assert_eq!(all.iter().map(|(name, _)| &*name.name).collect::<Vec<_>>(), ["api", "web"]);
        let web = Selection { service: Some("web".to_owned()), ..Selection::default() };
        let [(_, phases)] = &stats.startup_table(&web)[..] else { panic!("one Service") };
        let started = &phases[Phase::Started.index()];
        assert_eq!((started.histogram.total(), started.max), (3, Some(Duration::from_secs(3))));
        assert_eq!(phases[Phase::Total.index()].max, None);
    }
}
