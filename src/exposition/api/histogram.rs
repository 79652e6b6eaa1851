//! `/api/v1/histogram`: HDR histograms.

use super::{
    super::hdr,
    query::{Query, QueryError},
    time,
};
use crate::{
    ledger::Change,
    pipeline::Now,
    propagation::ServiceName,
    stats::{
        ClusterView, Distribution, Precision, Selection, SparseHistogram, Table, UNITS_PER_SECOND, Window, WindowView,
    },
};
use hdrhistogram::Histogram;
use serde::{Serialize, ser::Error};
use std::{str::FromStr, sync::Arc};

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramQuery {
    /// The Service and kind of change; the whole cluster if no Service is given.
    pub selection: Selection,
    /// The format.
    pub format: HistogramFormat,
    window: Window,
}

/// The format of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistogramFormat {
    /// V2 with DEFLATE in base64, and percentiles as numbers.
    Json,
    /// Percentiles in HdrHistogram's text format.
    Text,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: &'a str,
    window: &'static str,
    unit: Unit,
    histograms: Vec<Entry<'a>>,
    /// All histograms merged.
    merged: Merged,
}

/// How to convert a value to seconds.
#[derive(Debug, Serialize)]
struct Unit {
    /// Seconds per unit.
    seconds: f64,
    /// The rule in words.
    rule: &'static str,
}

const UNIT: Unit = Unit {
    seconds: 1.0 / UNITS_PER_SECOND as f64,
    rule: "a value v stands for delays of more than v and at most v + 1 units: seconds = (v + 1) * unit",
};

#[derive(Debug, Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    change: &'static str,
    count: u64,
    /// Number of delays since the start that were longer than the histogram's maximum. They are counted at the maximum.
    clamped: u64,
    significant_digits: u8,
    /// V2 with DEFLATE in base64.
    histogram: String,
    percentiles: Percentiles,
}

/// `[seconds, quantile, count]`: this number of delays, which is this share of all, are at most this long.
type Percentiles = Vec<(f64, f64, u64)>;

#[derive(Debug, Serialize)]
struct Merged {
    count: u64,
    percentiles: Percentiles,
}

/// The requested histograms, one for each kind of change.
#[derive(Debug)]
pub struct Histograms {
    time: String,
    window: Window,
    /// `None` for the cluster.
    service: Option<Arc<ServiceName>>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    change: Change,
    clamped: u64,
    view: WindowView,
}

// === impl HistogramQuery ===

impl FromStr for HistogramQuery {
    type Err = QueryError;

    /// Parses a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed, or if only one of namespace and service is given.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.one_service()?;
        let formats = [("json", HistogramFormat::Json), ("text", HistogramFormat::Text)];
        let format = query.choice("format", &formats)?.unwrap_or(HistogramFormat::Json);
        let window = query.window()?.unwrap_or(Window::Start);
        query.end()?;
        Ok(Self { selection, format, window })
    }
}

impl HistogramQuery {
    /// Whether the query is about the whole cluster, and not about a Service.
    pub fn is_of_cluster(&self) -> bool {
        self.selection.service.is_none()
    }
}

// === impl Histograms ===

impl Histograms {
    /// For the cluster.
    pub fn of_cluster(now: &Now<ClusterView>, query: &HistogramQuery) -> Self {
        let wanted = |change: Change| query.selection.change.is_none_or(|wanted| wanted == change);
        let all = Change::ALL.into_iter().zip(&now.value.delays).filter(|(change, _)| wanted(*change));
        let parts = all.map(|(change, delays)| Part::new(now, query, change, delays)).collect();
        Self { time: time(now, now.at), window: query.window, service: None, parts }
    }

    /// For one Service; `None` if it is not measured, and was not recently.
    pub fn of_service(now: &Now<Table>, query: &HistogramQuery) -> Option<Self> {
        let Table { rows, measured, .. } = &now.value;
        let service = rows.iter().map(|row| &row.service).chain(measured.iter().map(|it| &it.service)).next()?.clone();
        let all = rows.iter().filter_map(|row| Some((row.change, row.delays.as_ref()?)));
        let parts = all.map(|(change, delays)| Part::new(now, query, change, delays)).collect();
        Some(Self { time: time(now, now.at), window: query.window, service: Some(service), parts })
    }

    /// All kinds of change together.
    fn merged(&self) -> Histogram<u64> {
        let precision = if self.service.is_some() { Precision::Service } else { Precision::Cluster };
        let merged = SparseHistogram::merged(self.parts.iter().map(|part| &part.view.histogram));
        merged.unwrap_or_else(|| SparseHistogram::new(precision)).to_histogram()
    }

    /// In HdrHistogram's text format, all kinds of change together.
    pub fn text(&self) -> String {
        hdr::percentiles(&self.merged())
    }

    /// As JSON, with each kind of change separately.
    ///
    /// # Errors
    /// None in practice: it is encoded in memory.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        let entry = |part: &Part| {
            let sparse = &part.view.histogram;
            let histogram = sparse.to_histogram();
            Ok(Entry {
                namespace: self.service.as_ref().map(|service| &*service.namespace),
                service: self.service.as_ref().map(|service| &*service.name),
                change: part.change.as_str(),
                count: sparse.total(),
                clamped: part.clamped,
                significant_digits: sparse.precision().digits(),
                histogram: hdr::encode(&histogram).map_err(serde_json::Error::custom)?,
                percentiles: percentiles(&histogram),
            })
        };
        let merged = self.merged();
        serde_json::to_vec(&Answer {
            time: &self.time,
            window: self.window.as_str(),
            unit: UNIT,
            histograms: self.parts.iter().map(entry).collect::<serde_json::Result<_>>()?,
            merged: Merged { count: merged.len(), percentiles: percentiles(&merged) },
        })
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    hdr::steps(histogram).into_iter().map(|step| (step.seconds, step.quantile, step.count)).collect()
}

// === impl Part ===

impl Part {
    fn new<T>(now: &Now<T>, query: &HistogramQuery, change: Change, delays: &Distribution) -> Self {
        Self { change, clamped: delays.clamped(), view: delays.view(query.window, now.at) }
    }
}
