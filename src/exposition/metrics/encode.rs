//! Selects the format for a scraper, and encodes the answer.

use super::{
    family::{Context, Exemplars, Family},
    openmetrics,
    table::Metric,
};
use flate2::{Compression, write::GzEncoder};
use mediatype::{MediaType, MediaTypeList, ReadParams, names};
use prometheus::{Encoder, PROTOBUF_FORMAT, ProtobufEncoder, TEXT_FORMAT, TextEncoder, proto::MetricFamily};
use std::{
    io::{self, Write},
    slice,
};

/// A format of Prometheus metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4, which all scrapers read.
    Text,
    /// OpenMetrics text 1.0.0, which has exemplars.
    OpenMetrics,
    /// Delimited protobuf, which has native histograms, exemplars and start timestamps.
    Protobuf,
}

// === impl Format ===

impl Format {
    /// The preferred format of a scraper, by its `Accept` header. Text if there is no header, or if no format matches.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for media in MediaTypeList::new(accept).flatten() {
            let quality = quality(&media);
            if let Some(format) = Self::of(&media)
                && quality > best.0
            {
                best = (quality, format);
            }
        }
        best.1
    }

    fn of(media: &MediaType) -> Option<Self> {
        let parameter = |name| media.get_param(mediatype::Name::new_unchecked(name));
        let is = |name, value: &str| parameter(name).is_none_or(|given| given.as_str().eq_ignore_ascii_case(value));
        match (media.ty.as_str(), media.subty.as_str()) {
            ("application", "vnd.google.protobuf") => {
                let ours = is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited");
                ours.then_some(Self::Protobuf)
            }
            ("application", "openmetrics-text") => is("version", "1.0.0").then_some(Self::OpenMetrics),
            ("text", "plain" | "*") | ("*", "*") => is("version", "0.0.4").then_some(Self::Text),
            _ => None,
        }
    }

    /// The `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => TEXT_FORMAT,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => PROTOBUF_FORMAT,
        }
    }
}

fn quality(media: &MediaType) -> f64 {
    media.get_param(names::Q).and_then(|value| value.as_str().parse().ok()).unwrap_or(1.0)
}

/// The answer to a scrape, while it is built. Only one family at a time exists as objects, because these are several times as
/// large as the encoded bytes.
#[derive(Debug)]
pub(super) struct Page {
    context: Context,
    bytes: Vec<u8>,
}

// === impl Page ===

impl Page {
    /// The format of the answer.
    pub(super) fn format(&self) -> Format {
        self.context.format
    }

    /// An empty answer.
    pub(super) fn new(context: Context) -> Self {
        Self { context, bytes: Vec::new() }
    }

    /// Adds a family, unless it has no rows.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub(super) fn family(&mut self, metric: &'static Metric, rows: impl FnOnce(&mut Family)) -> prometheus::Result<()> {
        let mut family = Family::new(metric, self.context);
        rows(&mut family);
        match family.finish() {
            Some((family, exemplars)) => self.append(&family, &exemplars),
            None => Ok(()),
        }
    }

    /// Adds a family that another crate built.
    ///
    /// # Errors
    /// If it has no rows.
    pub(super) fn append(&mut self, family: &MetricFamily, exemplars: &Exemplars) -> prometheus::Result<()> {
        match self.context.format {
            Format::Text => TextEncoder::new().encode(slice::from_ref(family), &mut self.bytes),
            Format::Protobuf => ProtobufEncoder::new().encode(slice::from_ref(family), &mut self.bytes),
            Format::OpenMetrics => {
                openmetrics::write_family(&mut self.bytes, family, exemplars);
                Ok(())
            }
        }
    }

    /// The whole answer.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.context.format == Format::OpenMetrics {
            self.bytes.extend_from_slice(openmetrics::END);
        }
        self.bytes
    }
}

/// Compresses an answer. Speed matters more than size, because each scrape needs new bytes.
///
/// # Errors
/// None in practice: it writes to memory.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
