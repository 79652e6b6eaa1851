//! `/api/v1/histogram`: the HDR histograms themselves.

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

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramQuery {
    /// The Service and kind of change; the cluster if no Service is named.
    pub selection: Selection,
    /// How it is written.
    pub format: HistogramFormat,
    window: Window,
}

/// How a histogram is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistogramFormat {
    /// V2 with DEFLATE in base64, and percentiles as numbers.
    Json,
    /// Percentiles as HdrHistogram prints them.
    Text,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: &'a str,
    window: &'static str,
    unit: Unit,
    histograms: Vec<Entry<'a>>,
    /// All of them merged.
    merged: Merged,
}

/// How a value is turned into seconds.
#[derive(Debug, Serialize)]
struct Unit {
    /// Seconds of one unit.
    seconds: f64,
    /// The rule, for people.
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
    /// Delays since the start that were longer than the histogram's longest value and stand there.
    clamped: u64,
    significant_digits: u8,
    /// V2 with DEFLATE in base64.
    histogram: String,
    percentiles: Percentiles,
}

/// `[seconds, quantile, count]`: so many delays, which are that share of all, do not exceed so many seconds.
type Percentiles = Vec<(f64, f64, u64)>;

#[derive(Debug, Serialize)]
struct Merged {
    count: u64,
    percentiles: Percentiles,
}

/// The histograms that were asked for, one for each kind of change.
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

    /// Understands a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed, or half a Service is named.
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
    /// Whether the cluster is asked for, and not a Service.
    pub fn is_of_cluster(&self) -> bool {
        self.selection.service.is_none()
    }
}

// === impl Histograms ===

impl Histograms {
    /// Of the cluster.
    pub fn of_cluster(now: &Now<ClusterView>, query: &HistogramQuery) -> Self {
        let wanted = |change: Change| query.selection.change.is_none_or(|wanted| wanted == change);
        let all = Change::ALL.into_iter().zip(&now.value.delays).filter(|(change, _)| wanted(*change));
        let parts = all.map(|(change, delays)| Part::new(now, query, change, delays)).collect();
        Self { time: time(now, now.at), window: query.window, service: None, parts }
    }

    /// Of the one Service that was asked for; `None` if it is neither measured nor was lately.
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

    /// As HdrHistogram prints them, all kinds of change together.
    pub fn text(&self) -> String {
        hdr::percentiles(&self.merged())
    }

    /// As JSON, each kind of change by itself.
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
