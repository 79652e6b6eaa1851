//! Builds metric families row by row.

use super::{
    Histograms, native,
    table::{Kind, Metric},
};
use crate::{
    cluster::event::Stamp,
    stats::{Bounds, Buckets, Exemplar},
};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Row, MetricFamily};
use std::{collections::BTreeMap, time::SystemTime};

/// Metric families under construction, by name.
#[derive(Debug)]
pub(super) struct Families {
    histograms: Histograms,
    /// The same moment on both clocks.
    at: Stamp,
    wall: SystemTime,
    families: BTreeMap<String, MetricFamily>,
    /// Exemplars by family and number of the row, for formats that have them at classic buckets.
    exemplars: BTreeMap<(&'static str, usize), (Exemplar, SystemTime)>,
}

impl Families {
    /// None yet. `at` and `wall` are the same moment.
    pub(super) fn new(histograms: Histograms, at: Stamp, wall: SystemTime) -> Self {
        Self { histograms, at, wall, families: BTreeMap::new(), exemplars: BTreeMap::new() }
    }

    /// Adds a counter or a gauge. Labels come in the order of the metric's names.
    pub(super) fn value(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        let mut row = Row::from_label(pairs(metric, labels));
        match metric.kind {
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                row.set_gauge(gauge);
            }
            Kind::Counter | Kind::Histogram => {
                let mut counter = Counter::default();
                counter.set_value(value);
                row.set_counter(counter);
            }
        }
        self.push(metric, row);
    }

    /// Adds a histogram. Labels come in the order of the metric's names.
    pub(super) fn histogram(&mut self, metric: &'static Metric, labels: &[&str], bounds: &Bounds, buckets: &Buckets) {
        let mut histogram = Histogram::default();
        if self.histograms != Histograms::Native {
            histogram.set_bucket(classic(bounds, buckets));
        }
        histogram.set_sample_count(buckets.counts.iter().sum());
        histogram.set_sample_sum(buckets.sum);
        if self.histograms != Histograms::Classic {
            native::add_buckets(&mut histogram, buckets, |exemplar| self.wall_at(exemplar.at));
        }
        native::add_start(&mut histogram, self.wall_at(buckets.created));
        if let Some(exemplar) = &buckets.exemplar {
            let row = self.families.get(metric.name).map_or(0, |family| family.get_metric().len());
            self.exemplars.insert((metric.name, row), (exemplar.clone(), self.wall_at(exemplar.at)));
        }
        let mut row = Row::from_label(pairs(metric, labels));
        row.set_histogram(histogram);
        self.push(metric, row);
    }

    fn wall_at(&self, at: Stamp) -> SystemTime {
        self.wall.checked_sub(self.at.since(at)).unwrap_or(SystemTime::UNIX_EPOCH) + at.since(self.at)
    }

    fn push(&mut self, metric: &'static Metric, row: Row) {
        if !self.families.contains_key(metric.name) {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(metric.kind.into());
            self.families.insert(metric.name.to_owned(), family);
        }
        if let Some(family) = self.families.get_mut(metric.name) {
            family.mut_metric().push(row);
        }
    }

    /// Adds families that somebody else made.
    pub(super) fn merge(&mut self, families: Vec<MetricFamily>) {
        self.families.extend(families.into_iter().map(|family| (family.name().to_owned(), family)));
    }

    /// All families, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &MetricFamily> {
        self.families.values()
    }

    /// The exemplar of a row, and the wall clock's time of it.
    pub(super) fn exemplar(&self, family: &'static str, row: usize) -> Option<&(Exemplar, SystemTime)> {
        self.exemplars.get(&(family, row))
    }
}

/// Cumulated buckets. The last count has no bound; encoders add it from the total.
fn classic(bounds: &Bounds, buckets: &Buckets) -> Vec<Bucket> {
    let mut cumulated = 0;
    let bucket = |(bound, count): (&f64, &u64)| {
        cumulated += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulated);
        bucket
    };
    bounds.seconds().iter().zip(&buckets.counts).map(bucket).collect()
}

fn pairs(metric: &Metric, values: &[&str]) -> Vec<LabelPair> {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut pairs: Vec<_> = metric.labels.iter().zip(values).map(pair).collect();
    // As every other exporter writes them.
    pairs.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    pairs
}
