//! OpenMetrics text 1.0.0: the older text format, plus exemplars.

use super::{exemplar, family::Exemplars};
use crate::stats::Exemplar;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::{
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

/// The end of the answer.
pub(super) const END: &[u8] = b"# EOF\n";

/// Appends a family.
pub(super) fn write_family(bytes: &mut Vec<u8>, family: &MetricFamily, exemplars: &Exemplars) {
    let counter = family.get_field_type() == MetricType::COUNTER;
    // The family of a counter is named without the suffix of its samples.
    let name = if counter { family.name().trim_end_matches("_total") } else { family.name() };
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        _ => "gauge",
    };
    // Writes to memory do not fail, here and below.
    let _ = writeln!(bytes, "# TYPE {name} {kind}");
    let _ = writeln!(bytes, "# HELP {name} {}", escape(family.help()));
    for (row, metric) in family.get_metric().iter().enumerate() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::HISTOGRAM => write_histogram(bytes, name, metric, exemplars.get(&row)),
            MetricType::COUNTER => sample(bytes, name, "_total", labels, None, metric.get_counter().value()),
            _ => sample(bytes, name, "", labels, None, metric.get_gauge().value()),
        }
    }
}

fn write_histogram(bytes: &mut Vec<u8>, name: &str, metric: &Metric, exemplar: Option<&(Exemplar, SystemTime)>) {
    let histogram = metric.get_histogram();
    let finite = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let mut shown = exemplar;
    for (bound, count) in finite.chain([(f64::INFINITY, histogram.get_sample_count())]) {
        let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        sample(bytes, name, "_bucket", metric.get_label(), Some(&le), count as f64);
        // An exemplar belongs to the bucket in which it was counted: the first one whose bound is at least its value.
        if shown.is_some_and(|(exemplar, _)| exemplar.delay.as_secs_f64() <= bound)
            && let Some((Exemplar { pod, delay, .. }, wall)) = shown.take()
            && let Some(labels) = exemplar::labels(pod)
        {
            bytes.pop();
            let at = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
            let _ = writeln!(bytes, " # {{{}}} {} {at:.3}", labels.join(","), delay.as_secs_f64());
        }
    }
    sample(bytes, name, "_sum", metric.get_label(), None, histogram.get_sample_sum());
    sample(bytes, name, "_count", metric.get_label(), None, histogram.get_sample_count() as f64);
}

fn sample(bytes: &mut Vec<u8>, name: &str, suffix: &str, labels: &[LabelPair], le: Option<&str>, value: f64) {
    let mut pairs: Vec<_> = labels.iter().map(|pair| format!("{}=\"{}\"", pair.name(), escape(pair.value()))).collect();
    pairs.extend(le.map(|le| format!("le=\"{le}\"")));
    let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    let _ = writeln!(bytes, "{name}{suffix}{labels} {value}");
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
