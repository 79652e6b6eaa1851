//! A distribution of delays, counted twice: in Prometheus' buckets, exactly, and in HDR cells, for quantiles.

use super::{
    Bounds, NativeBuckets,
    minutes::Minute,
    sparse_histogram::{MAX_UNITS, Precision, SparseHistogram, units},
    windows::{Intervals, Window},
};
use crate::{model::Stamp, propagation::PodRef};
use std::{sync::Arc, time::Duration};

/// A distribution of delays.
#[derive(Clone, Debug)]
pub struct Delays {
    bounds: Arc<Bounds>,
    buckets: Buckets,
    distribution: Distribution,
}

/// HDR cells of a distribution, since counting started and in recent windows.
#[derive(Clone, Debug)]
pub struct Distribution {
    histogram: SparseHistogram,
    intervals: Intervals,
    max: Duration,
    /// Number of delays that were too long for the cells. They are counted in the last one.
    clamped: u64,
}

/// A distribution over one window.
#[derive(Clone, Debug)]
pub struct WindowView {
    /// The counted delays.
    pub histogram: SparseHistogram,
    /// The longest delay, exactly; `None` if there is none.
    pub max: Option<Duration>,
}

/// The data of a distribution that Prometheus gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// Counts by bucket, not cumulative: one for each bound, and one for longer delays.
    pub counts: Box<[u64]>,
    /// The same delays in the buckets of a native histogram. An expired change is counted at its age.
    pub native: NativeBuckets,
    /// The sum of all delays, in seconds.
    pub sum: f64,
    /// When counting started.
    pub created: Stamp,
    /// A slow change, as the exemplar.
    pub exemplar: Option<Exemplar>,
}

/// The change behind a slow delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The pod.
    pub pod: PodRef,
    /// The delay.
    pub delay: Duration,
    /// When it ended.
    pub at: Stamp,
}

/// How long a slow change stays the exemplar, before any other change replaces it.
const EXEMPLAR_AGE: Duration = Duration::from_secs(300);

// === impl Delays ===

impl Delays {
    /// An empty distribution. Counting starts at `created`.
    pub fn new(bounds: Arc<Bounds>, precision: Precision, created: Stamp) -> Self {
        let counts = vec![0; bounds.buckets()].into_boxed_slice();
        let buckets = Buckets { counts, native: NativeBuckets::default(), sum: 0.0, created, exemplar: None };
        Self { bounds, buckets, distribution: Distribution::new(precision) }
    }

    /// Counts a delay that became known at `at`.
    pub fn record(&mut self, delay: Duration, at: Stamp) {
        let bucket = self.bounds.bucket(delay);
        self.count(bucket, delay, at);
    }

    /// Counts a change that expired at `age`. It exceeds every bound, because its delay is unknown.
    pub fn record_expired(&mut self, age: Duration, at: Stamp) {
        self.count(self.bounds.buckets() - 1, age, at);
    }

    fn count(&mut self, bucket: usize, delay: Duration, at: Stamp) {
        self.buckets.counts[bucket] += 1;
        self.buckets.native.record(delay);
        self.buckets.sum += delay.as_secs_f64();
        self.distribution.record(delay, at);
    }

    /// Uses `pod` as the exemplar, if its delay is the longest of the last five minutes.
    pub fn exemplify(&mut self, pod: &PodRef, delay: Duration, at: Stamp) {
        let stands = |shown: &Exemplar| shown.delay > delay && at.since(shown.at) < EXEMPLAR_AGE;
        if !self.buckets.exemplar.as_ref().is_some_and(stands) {
            self.buckets.exemplar = Some(Exemplar { pod: pod.clone(), delay, at });
        }
    }

    /// The data for Prometheus.
    pub fn buckets(&self) -> Buckets {
        self.buckets.clone()
    }

    /// The HDR cells.
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// Drops data that are older than every window.
    pub fn forget(&mut self, now: Stamp) {
        self.distribution.intervals.forget(now);
    }
}

// === impl Distribution ===

impl Distribution {
    fn new(precision: Precision) -> Self {
        Self {
            histogram: SparseHistogram::new(precision),
            intervals: Intervals::default(),
            max: Duration::ZERO,
            clamped: 0,
        }
    }

    fn record(&mut self, delay: Duration, at: Stamp) {
        let units = units(delay);
        let cell = self.histogram.precision().cell(units);
        self.histogram.record(cell);
        self.intervals.record(at, cell, delay);
        self.max = self.max.max(delay);
        self.clamped += u64::from(units > MAX_UNITS);
    }

    /// Number of delays since the start that were longer than an hour. They are counted in the last cell.
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// What was counted in a window that ends now.
    pub fn view(&self, window: Window, now: Stamp) -> WindowView {
        let precision = self.histogram.precision();
        match window {
            Window::Start => {
                WindowView { max: (self.histogram.total() > 0).then_some(self.max), histogram: self.histogram.clone() }
            }
            window => WindowView {
                max: self.intervals.longest(window, now),
                histogram: self.intervals.histogram(window, now, precision),
            },
        }
    }

    /// The counts in one minute of the last hour. The longest delay is known only to the histogram's precision, because its exact
    /// value is kept only for the windows.
    pub fn during(&self, minute: Minute) -> WindowView {
        let histogram = self.intervals.between(minute.intervals(), self.histogram.precision());
        WindowView { max: histogram.quantile(1.0).map(|longest| longest.min(self.max)), histogram }
    }
}

// === impl WindowView ===

impl WindowView {
    /// An empty distribution.
    pub fn empty(precision: Precision) -> Self {
        Self { histogram: SparseHistogram::new(precision), max: None }
    }

    /// Merges several distributions with the same precision.
    pub fn merged(parts: &[Self]) -> Option<Self> {
        let histogram = SparseHistogram::merged(parts.iter().map(|part| &part.histogram))?;
        Some(Self { histogram, max: parts.iter().filter_map(|part| part.max).max() })
    }

    /// The delay that a share `q` of all delays does not exceed, within the precision; `None` if there are no delays.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        Some(self.histogram.quantile(q)?.min(self.max?))
    }
}
