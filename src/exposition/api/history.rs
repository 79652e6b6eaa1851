//! `/api/v1/history`: the last hour by the minute.

use super::{
    Quantiles,
    query::{Query, QueryError},
    seconds, time,
};
use crate::{
    ledger::Change,
    pipeline::Now,
    stats::{ClusterView, Distribution, Minute, Misses, OCTAVES, Precision, Selection, Table, WindowView, octave_end},
};
use serde::Serialize;
use std::str::FromStr;

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The Service and kind of change; the whole cluster if no Service is given.
    pub selection: Selection,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct History {
    time: String,
    /// Length of an interval.
    interval_seconds: f64,
    /// The objective of the Service; `None` for the cluster, or if the Service is no longer measured.
    objective_seconds: Option<f64>,
    /// The upper bound of each count in an interval, in seconds. The last count also includes longer delays.
    bounds: [f64; OCTAVES],
    /// The oldest interval first. The last one is not complete. There are none before the start.
    intervals: Vec<Interval>,
}

/// The changes that ended in a minute.
#[derive(Debug, Serialize)]
struct Interval {
    start: String,
    /// Changes whose age passed their objective in this minute, whether they have ended or not.
    missed: u64,
    #[serde(flatten)]
    delays: Quantiles,
    /// Number of delays up to each bound and above the previous one.
    counts: [u64; OCTAVES],
}

// === impl HistoryQuery ===

impl FromStr for HistoryQuery {
    type Err = QueryError;

    /// Parses a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed, or if only one of namespace and service is given.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.one_service()?;
        query.end()?;
        Ok(Self { selection })
    }
}

impl HistoryQuery {
    /// Whether the query is about the whole cluster, and not about a Service.
    pub fn is_of_cluster(&self) -> bool {
        self.selection.service.is_none()
    }
}

// === impl History ===

impl History {
    /// For the cluster.
    pub fn of_cluster(now: &Now<ClusterView>, query: &HistoryQuery) -> Self {
        let ClusterView { delays, missed, .. } = &now.value;
        let wanted = |change: &Change| query.selection.change.is_none_or(|wanted| wanted == *change);
        let kinds: Vec<_> = Change::ALL.into_iter().filter(wanted).map(Change::index).collect();
        let delays: Vec<_> = kinds.iter().map(|kind| &delays[*kind]).collect();
        let missed: Vec<_> = kinds.iter().map(|kind| &missed[*kind]).collect();
        Self::new(now, Precision::Cluster, None, &delays, &missed)
    }

    /// For one Service; `None` if it is not measured, and was not recently.
    pub fn of_service(now: &Now<Table>) -> Option<Self> {
        let Table { rows, measured, .. } = &now.value;
        if rows.is_empty() && measured.is_empty() {
            return None;
        }
        let objective = measured.first().map(|it| seconds(it.objective));
        let delays: Vec<_> = rows.iter().filter_map(|row| row.delays.as_ref()).collect();
        let missed: Vec<_> = rows.iter().map(|row| &row.missed).collect();
        Some(Self::new(now, Precision::Service, objective, &delays, &missed))
    }

    fn new<T>(
        now: &Now<T>,
        precision: Precision,
        objective_seconds: Option<f64>,
        delays: &[&Distribution],
        missed: &[&Misses],
    ) -> Self {
        let interval = |minute: Minute| {
            let views: Vec<_> = delays.iter().map(|delays| delays.during(minute)).collect();
            let all = WindowView::merged(&views).unwrap_or_else(|| WindowView::empty(precision));
            Interval {
                start: time(now, minute.start()),
                missed: missed.iter().map(|missed| missed.during(minute)).sum(),
                delays: Quantiles::of(&all),
                counts: all.histogram.octaves(),
            }
        };
        Self {
            time: time(now, now.at),
            interval_seconds: seconds(Minute::LENGTH),
            objective_seconds,
            bounds: std::array::from_fn(octave_end),
            intervals: Minute::of_the_last_hour(now.at).map(interval).collect(),
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// None in practice: all values can be written as JSON.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}
