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

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The Service and kind of change; the cluster if no Service is named.
    pub selection: Selection,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct History {
    time: String,
    /// Length of an interval.
    interval_seconds: f64,
    /// Of the Service; `None` for the cluster, or if it is not measured any more.
    objective_seconds: Option<f64>,
    /// The longest delay of each of an interval's counts. The last holds what is longer as well.
    bounds: [f64; OCTAVES],
    /// The oldest first. The last is not over; there are none before the start.
    intervals: Vec<Interval>,
}

/// The changes that ended in a minute.
#[derive(Debug, Serialize)]
struct Interval {
    start: String,
    /// Changes whose age passed their objective then, whether they have ended or not.
    missed: u64,
    #[serde(flatten)]
    delays: Quantiles,
    /// Delays by the bound that they do not exceed.
    counts: [u64; OCTAVES],
}

// === impl HistoryQuery ===

impl FromStr for HistoryQuery {
    type Err = QueryError;

    /// Understands a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed, or half a Service is named.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.one_service()?;
        query.end()?;
        Ok(Self { selection })
    }
}

impl HistoryQuery {
    /// Whether the cluster is asked for, and not a Service.
    pub fn is_of_cluster(&self) -> bool {
        self.selection.service.is_none()
    }
}

// === impl History ===

impl History {
    /// Of the cluster.
    pub fn of_cluster(now: &Now<ClusterView>, query: &HistoryQuery) -> Self {
        let ClusterView { delays, missed, .. } = &now.value;
        let wanted = |change: &Change| query.selection.change.is_none_or(|wanted| wanted == *change);
        let kinds: Vec<_> = Change::ALL.into_iter().filter(wanted).map(Change::index).collect();
        let delays: Vec<_> = kinds.iter().map(|kind| &delays[*kind]).collect();
        let missed: Vec<_> = kinds.iter().map(|kind| &missed[*kind]).collect();
        Self::new(now, Precision::Cluster, None, &delays, &missed)
    }

    /// Of the one Service that was asked for; `None` if it is neither measured nor was lately.
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
    /// None in practice: all of it can be written as JSON.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}
