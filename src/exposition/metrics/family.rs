//! One metric family, while it is built.

use super::{
    Format, Histograms, native,
    table::{Kind, Metric},
};
use crate::{
    model::Stamp,
    stats::{Bounds, Buckets, Exemplar},
};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric as Row, MetricFamily};
use std::{collections::BTreeMap, time::SystemTime};

/// Exemplars by row number, each with its wall clock time, for formats that attach them to classic buckets.
pub(super) type Exemplars = BTreeMap<usize, (Exemplar, SystemTime)>;

/// Common data of all families of a scrape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) format: Format,
    pub(super) histograms: Histograms,
    /// The same moment on both clocks.
    pub(super) at: Stamp,
    pub(super) wall: SystemTime,
}

/// The rows of one metric.
#[derive(Debug)]
pub(super) struct Family {
    context: Context,
    metric: &'static Metric,
    rows: Vec<Row>,
    exemplars: Exemplars,
}

// === impl Context ===

impl Context {
    fn wall_at(&self, at: Stamp) -> SystemTime {
        self.wall.checked_sub(self.at.since(at)).unwrap_or(SystemTime::UNIX_EPOCH) + at.since(self.at)
    }
}

// === impl Family ===

impl Family {
    /// A family without rows.
    pub(super) fn new(metric: &'static Metric, context: Context) -> Self {
        Self { context, metric, rows: Vec::new(), exemplars: Exemplars::new() }
    }

    /// Adds a gauge, or a counter that has counted since the daemon started. Labels are in the order of the metric's label names.
    pub(super) fn value(&mut self, labels: &[&str], value: f64) {
        if self.metric.kind == Kind::Counter {
            return self.count(labels, value, Stamp::default());
        }
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut row = Row::from_label(pairs(self.metric, labels));
        row.set_gauge(gauge);
        self.rows.push(row);
    }

    /// Adds a counter that has counted since `created`.
    pub(super) fn count(&mut self, labels: &[&str], value: f64, created: Stamp) {
        let mut counter = Counter::default();
        counter.set_value(value);
        if self.context.format == Format::Protobuf {
            native::add_counter_start(&mut counter, self.context.wall_at(created));
        }
        let mut row = Row::from_label(pairs(self.metric, labels));
        row.set_counter(counter);
        self.rows.push(row);
    }

    /// Adds a histogram. Labels are in the order of the metric's label names.
    pub(super) fn histogram(&mut self, labels: &[&str], bounds: &Bounds, buckets: &Buckets) {
        self.add_histogram(self.context.histograms, labels, Some(bounds), buckets);
    }

    /// Adds a histogram that has only native buckets.
    pub(super) fn native_histogram(&mut self, labels: &[&str], buckets: &Buckets) {
        self.add_histogram(Histograms::Native, labels, None, buckets);
    }

    fn add_histogram(&mut self, histograms: Histograms, labels: &[&str], bounds: Option<&Bounds>, buckets: &Buckets) {
        let format = self.context.format;
        let mut histogram = Histogram::default();
        if let Some(bounds) = bounds.filter(|_| histograms != Histograms::Native) {
            histogram.set_bucket(classic(bounds, buckets));
        }
        histogram.set_sample_count(buckets.counts.iter().sum());
        histogram.set_sample_sum(buckets.sum);
        if format == Format::Protobuf {
            if histograms != Histograms::Classic {
                native::add_buckets(&mut histogram, buckets, |exemplar| self.context.wall_at(exemplar.at));
            }
            native::add_start(&mut histogram, self.context.wall_at(buckets.created));
        }
        if let Some(exemplar) = &buckets.exemplar {
            self.exemplars.insert(self.rows.len(), (exemplar.clone(), self.context.wall_at(exemplar.at)));
        }
        let mut row = Row::from_label(pairs(self.metric, labels));
        row.set_histogram(histogram);
        self.rows.push(row);
    }

    /// The family for the encoder, and its exemplars; `None` if there are no rows.
    pub(super) fn finish(self) -> Option<(MetricFamily, Exemplars)> {
        if self.rows.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(self.metric.kind.into());
        family.set_metric(self.rows);
        Some((family, self.exemplars))
    }
}

/// Cumulative buckets. The last count has no bound; encoders add it from the total.
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
    // The usual format of other exporters.
    pairs.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    pairs
}
