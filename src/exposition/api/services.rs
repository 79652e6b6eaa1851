//! `/api/v1/services`: a row for each Service and kind of change, or for each Service.

use super::{
    ByWindow, Quantiles, age,
    query::{Query, QueryError},
    seconds, time, windows,
};
use crate::{
    measuring::Now,
    propagation::{Outcome, ServiceName},
    stats::{Cut, Measured, Precision, Row, Selection, Table, Window},
};
use serde::Serialize;
use std::{cmp::Ordering, collections::BTreeMap, time::Duration};

/// Rows of an answer that does not say how many.
const LIMIT: usize = 1_000;

/// Most rows of an answer.
const MOST: usize = 100_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicesQuery {
    /// Which Services and kinds of change.
    pub selection: Selection,
    window: Option<Window>,
    by: By,
    sort: Sort,
    ascending: bool,
    limit: usize,
    offset: usize,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A Service and a kind of change.
    Change,
    /// A Service, its kinds of change merged.
    Service,
}

/// What rows are sorted by; the window is the one asked for, or since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    Count,
    P50,
    P90,
    P99,
    P999,
    Max,
    Pending,
    Oldest,
    Missed,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    /// Rows that were selected, of which this answer holds some.
    total: usize,
    offset: usize,
    services: Vec<Line<'a>>,
}

/// A row of the answer.
#[derive(Debug, Serialize)]
struct Line<'a> {
    namespace: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    /// `None` if the Service is gone.
    objective_seconds: Option<f64>,
    outcomes: BTreeMap<&'static str, u64>,
    /// Changes that missed their objective.
    missed: u64,
    pending: u64,
    oldest_pending_seconds: Option<f64>,
    windows: ByWindow,
}

// === impl ServicesQuery ===

impl ServicesQuery {
    /// Understands a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.selection()?;
        let sort = query.choice("sort", &Sort::NAMED)?.unwrap_or(Sort::Name);
        let order = query.choice("order", &[("asc", true), ("desc", false)])?;
        let parsed = Self {
            selection,
            window: query.window()?,
            by: query.choice("by", &[("change", By::Change), ("service", By::Service)])?.unwrap_or(By::Change),
            sort,
            // Names from the first, numbers from the worst.
            ascending: order.unwrap_or(sort == Sort::Name),
            limit: query.number("limit", (0, MOST), LIMIT)?,
            offset: query.number("offset", (0, usize::MAX), 0)?,
        };
        query.end()?;
        Ok(parsed)
    }

    fn compare(&self, a: &Line<'_>, b: &Line<'_>) -> Ordering {
        let name = |line: &Line<'_>| (line.namespace.to_owned(), line.service.to_owned());
        let by_name = || name(a).cmp(&name(b));
        if self.sort == Sort::Name {
            let order = by_name();
            return if self.ascending { order } else { order.reverse() };
        }
        let window = self.window.unwrap_or(Window::Start).as_str();
        match (self.sort.of(a, window), self.sort.of(b, window)) {
            // Nothing measured is neither fast nor slow: it comes last in either order.
            (Some(a), Some(b)) if self.ascending => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
        .then_with(by_name)
    }
}

// === impl Sort ===

impl Sort {
    const NAMED: [(&'static str, Self); 10] = [
        ("name", Self::Name),
        ("count", Self::Count),
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p99", Self::P99),
        ("p99_9", Self::P999),
        ("max", Self::Max),
        ("pending", Self::Pending),
        ("oldest", Self::Oldest),
        ("missed", Self::Missed),
    ];

    fn of(self, line: &Line<'_>, window: &str) -> Option<f64> {
        let quantiles = line.windows.get(window);
        match self {
            Self::Name => None,
            Self::Count => quantiles.map(|it| it.count as f64),
            Self::P50 => quantiles?.p50,
            Self::P90 => quantiles?.p90,
            Self::P99 => quantiles?.p99,
            Self::P999 => quantiles?.p99_9,
            Self::Max => quantiles?.max,
            Self::Pending => Some(line.pending as f64),
            Self::Oldest => line.oldest_pending_seconds,
            Self::Missed => Some(line.missed as f64),
        }
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    /// Of some rows of one Service; none if nothing has changed yet.
    fn of(service: &'a ServiceName, rows: &[&Row], query: &ServicesQuery, now: &Now<Table>) -> Self {
        let sums = |outcome: usize| rows.iter().map(|row| row.outcomes[outcome]).sum();
        let by_window = |window: Window| {
            let delays = rows.iter().filter_map(|row| row.delays.as_ref());
            let cuts: Vec<_> = delays.map(|delays| delays.cut(window, now.at)).collect();
            let all = Cut::merged(&cuts).unwrap_or_else(|| Cut::empty(Precision::Service));
            (window.as_str(), Quantiles::of(&all))
        };
        let oldest = rows.iter().filter_map(|row| row.oldest).min();
        let change = (query.by == By::Change).then(|| rows.first().map(|row| row.change.as_str())).flatten();
        Self {
            namespace: &service.namespace,
            service: &service.name,
            change,
            objective_seconds: objective(&now.value.measured, service).map(seconds),
            outcomes: Outcome::NAMES.iter().enumerate().map(|(at, name)| (*name, sums(at))).collect(),
            missed: rows.iter().map(|row| row.missed).sum(),
            pending: rows.iter().map(|row| row.pending).sum(),
            oldest_pending_seconds: oldest.map(|oldest| age(now, oldest)),
            windows: windows(query.window).map(by_window).collect(),
        }
    }
}

fn objective(measured: &[Measured], service: &ServiceName) -> Option<Duration> {
    let at = measured.binary_search_by(|it| (*it.service).cmp(service)).ok()?;
    Some(measured[at].objective)
}

/// The answer, as JSON.
///
/// # Errors
/// None in practice: all of it can be written as JSON.
pub fn services(now: &Now<Table>, query: &ServicesQuery) -> serde_json::Result<Vec<u8>> {
    let Table { rows, measured } = &now.value;
    let mut lines: Vec<Line<'_>> = match query.by {
        By::Change => rows.iter().map(|row| Line::of(&row.service, &[row], query, now)).collect(),
        By::Service => {
            // Services in which nothing has changed yet are in the list as well: people look for them.
            let mut services: BTreeMap<&ServiceName, Vec<&Row>> =
                measured.iter().map(|it| (&*it.service, Vec::new())).collect();
            for row in rows {
                services.entry(&row.service).or_default().push(row);
            }
            services.iter().map(|(service, rows)| Line::of(service, rows, query, now)).collect()
        }
    };
    lines.sort_by(|a, b| query.compare(a, b));
    let total = lines.len();
    let services = lines.into_iter().skip(query.offset).take(query.limit).collect();
    serde_json::to_vec(&Answer { time: time(now, now.at), total, offset: query.offset, services })
}
