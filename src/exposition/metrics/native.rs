//! Parts of Prometheus' protobuf that the types of the prometheus crate lack: native buckets, exemplars, start timestamps.
//!
//! The types keep unknown fields and encode them. Field numbers are those of `io.prometheus.client.Histogram` in
//! github.com/prometheus/client_model, `metrics.proto`. The text encoder ignores the unknown fields.

use super::exemplar;
use crate::stats::{Buckets, Exemplar, SCHEMA, ZERO_THRESHOLD};
use prometheus::proto::{Counter, Histogram};
use prost::Message;
use protobuf::UnknownValue;
use std::time::{SystemTime, UNIX_EPOCH};

const SCHEMA_FIELD: u32 = 5;
const ZERO_THRESHOLD_FIELD: u32 = 6;
const ZERO_COUNT_FIELD: u32 = 7;
const POSITIVE_SPAN_FIELD: u32 = 12;
const POSITIVE_DELTA_FIELD: u32 = 13;
const START_TIMESTAMP_FIELD: u32 = 15;
const EXEMPLARS_FIELD: u32 = 16;

/// Field of `io.prometheus.client.Counter`.
const COUNTER_START_TIMESTAMP_FIELD: u32 = 3;

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ExemplarMessage {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// Adds the native buckets and their exemplar. Classic buckets could have one exemplar for each bucket.
pub(super) fn add_buckets(histogram: &mut Histogram, buckets: &Buckets, wall: impl Fn(&Exemplar) -> SystemTime) {
    let (spans, deltas) = buckets.native.spans_and_deltas();
    let fields = histogram.special_fields.mut_unknown_fields();
    fields.add_value(SCHEMA_FIELD, UnknownValue::sint32(SCHEMA));
    fields.add_value(ZERO_THRESHOLD_FIELD, UnknownValue::double(ZERO_THRESHOLD));
    fields.add_varint(ZERO_COUNT_FIELD, buckets.native.zero);
    for (offset, length) in spans {
        let span = BucketSpan { offset: Some(offset), length: Some(length) };
        fields.add_length_delimited(POSITIVE_SPAN_FIELD, span.encode_to_vec());
    }
    for delta in deltas {
        fields.add_value(POSITIVE_DELTA_FIELD, UnknownValue::sint64(delta));
    }
    if let Some(exemplar) = &buckets.exemplar
        && let Some(labels) = exemplar::labels(&exemplar.pod)
    {
        let label = |(name, value): (&str, String)| LabelPair { name: Some(name.to_owned()), value: Some(value) };
        let message = ExemplarMessage {
            label: labels.into_iter().map(label).collect(),
            value: Some(exemplar.delay.as_secs_f64()),
            timestamp: Some(timestamp(wall(exemplar))),
        };
        fields.add_length_delimited(EXEMPLARS_FIELD, message.encode_to_vec());
    }
}

/// Sets the time when counting started, so that the first scrape does not count as an increase from zero.
pub(super) fn add_start(histogram: &mut Histogram, start: SystemTime) {
    let fields = histogram.special_fields.mut_unknown_fields();
    fields.add_length_delimited(START_TIMESTAMP_FIELD, timestamp(start).encode_to_vec());
}

/// The same for a counter. If Prometheus supports it, the first value of a new series then counts as an increase.
pub(super) fn add_counter_start(counter: &mut Counter, start: SystemTime) {
    let fields = counter.special_fields.mut_unknown_fields();
    fields.add_length_delimited(COUNTER_START_TIMESTAMP_FIELD, timestamp(start).encode_to_vec());
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The nanoseconds of a second fit.
    Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() as i32 }
}
