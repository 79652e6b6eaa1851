//! OpenMetrics text 1.0.0: what the older text format says, with the exemplars that it cannot.

use super::{exemplar, families::Families, table::METRICS};
use crate::stats::Exemplar;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::{
    fmt::Write as _,
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

/// Appends all families and the end mark.
pub(super) fn encode(families: &Families, bytes: &mut Vec<u8>) {
    let mut text = String::new();
    for family in families.all() {
        let name = METRICS.iter().map(|metric| metric.name).find(|name| *name == family.name());
        let exemplar = |row| name.and_then(|name| families.exemplar(name, row));
        write_family(&mut text, family, exemplar);
    }
    text.push_str("# EOF\n");
    // Memory takes everything.
    let _ = bytes.write_all(text.as_bytes());
}

fn write_family<'a>(
    text: &mut String,
    family: &MetricFamily,
    exemplar: impl Fn(usize) -> Option<&'a (Exemplar, SystemTime)>,
) {
    let counter = family.get_field_type() == MetricType::COUNTER;
    // The family of a counter is named without the suffix that its samples have.
    let name = if counter { family.name().trim_end_matches("_total") } else { family.name() };
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        _ => "gauge",
    };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "# TYPE {name} {kind}");
    let _ = writeln!(text, "# HELP {name} {}", escape(family.help()));
    for (row, metric) in family.get_metric().iter().enumerate() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::HISTOGRAM => write_histogram(text, name, metric, exemplar(row)),
            MetricType::COUNTER => sample(text, name, "_total", labels, None, metric.get_counter().value()),
            _ => sample(text, name, "", labels, None, metric.get_gauge().value()),
        }
    }
}

fn write_histogram(text: &mut String, name: &str, metric: &Metric, exemplar: Option<&(Exemplar, SystemTime)>) {
    let histogram = metric.get_histogram();
    let finite = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let mut shown = exemplar;
    for (bound, count) in finite.chain([(f64::INFINITY, histogram.get_sample_count())]) {
        let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
        sample(text, name, "_bucket", metric.get_label(), Some(&le), count as f64);
        // An exemplar stands in the bucket that it was counted in, which is the first that reaches it.
        if shown.is_some_and(|(exemplar, _)| exemplar.delay.as_secs_f64() <= bound)
            && let Some((Exemplar { pod, delay, .. }, wall)) = shown.take()
            && let Some(labels) = exemplar::labels(pod)
        {
            text.pop();
            let at = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
            let _ = writeln!(text, " # {{{}}} {} {at:.3}", labels.join(","), delay.as_secs_f64());
        }
    }
    sample(text, name, "_sum", metric.get_label(), None, histogram.get_sample_sum());
    sample(text, name, "_count", metric.get_label(), None, histogram.get_sample_count() as f64);
}

fn sample(text: &mut String, name: &str, suffix: &str, labels: &[LabelPair], le: Option<&str>, value: f64) {
    let mut pairs: Vec<_> = labels.iter().map(|pair| format!("{}=\"{}\"", pair.name(), escape(pair.value()))).collect();
    pairs.extend(le.map(|le| format!("le=\"{le}\"")));
    let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    let _ = writeln!(text, "{name}{suffix}{labels} {value}");
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
