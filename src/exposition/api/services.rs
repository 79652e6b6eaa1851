//! `/api/v1/services`: a row for each Service and kind of change, or for each Service.

use super::{
    Quantiles, age,
    query::{Query, QueryError},
    seconds, time, windows,
};
use crate::{
    ledger::Outcome,
    model::Stamp,
    pipeline::Now,
    propagation::ServiceName,
    stats::{Measured, Precision, Row, Selection, Table, Window, WindowView},
};
use serde::Serialize;
use std::{cmp::Ordering, collections::BTreeMap, str::FromStr, time::Duration};

/// Default number of rows in an answer.
const LIMIT: usize = 1_000;

/// Maximum number of rows in an answer.
const MOST: usize = 100_000;

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicesQuery {
    /// The selected Services and kinds of change.
    pub selection: Selection,
    window: Option<Window>,
    by: By,
    /// Rows of stuck Services come before all others, whatever the sort order.
    stuck_first: bool,
    /// Only rows of stuck Services.
    stuck_only: bool,
    sort: Sort,
    ascending: bool,
    limit: usize,
    offset: usize,
}

/// The meaning of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A Service and a kind of change.
    Change,
    /// A Service, with all kinds of change merged.
    Service,
}

/// The sort key. Keys of a window use the requested window, or the time since the start.
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
    OutOfSync,
    OldestOutOfSync,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    /// Number of selected rows. This answer may contain fewer.
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
    /// Changes that missed their objective, since the start.
    missed: u64,
    pending: u64,
    oldest_pending_seconds: Option<f64>,
    /// Out of sync is a property of the Service, not of a kind of change.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    state: Option<OutOfSyncState>,
    windows: BTreeMap<&'static str, InWindow>,
}

/// What the slices show wrongly now. `None` if the Service is gone, or if the first lists are not complete.
#[derive(Debug, Default, Serialize)]
struct OutOfSyncState {
    out_of_sync: Option<u64>,
    oldest_out_of_sync_seconds: Option<f64>,
    oldest_out_of_sync_traffic_seconds: Option<f64>,
    stuck: Option<Stuck>,
}

/// What has been wrong with a Service for longer than its objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stuck {
    /// An endpoint is out of sync, but no traffic is affected.
    OutOfSync,
    /// A change is pending.
    Late,
    /// Traffic is affected: a pod gets connections that it should not get, or does not get those that it should.
    Traffic,
}

/// What was counted in a window.
#[derive(Debug, Serialize)]
struct InWindow {
    #[serde(flatten)]
    quantiles: Quantiles,
    missed: u64,
}

// === impl ServicesQuery ===

impl FromStr for ServicesQuery {
    type Err = QueryError;

    /// Parses a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.selection()?;
        let sort = query.choice("sort", &Sort::NAMED)?.unwrap_or(Sort::Name);
        let stuck = [("stuck", true)];
        let order = query.choice("order", &[("asc", true), ("desc", false)])?;
        let parsed = Self {
            selection,
            window: query.window()?,
            by: query.choice("by", &[("change", By::Change), ("service", By::Service)])?.unwrap_or(By::Change),
            stuck_first: query.choice("first", &stuck)?.is_some(),
            stuck_only: query.choice("only", &stuck)?.is_some(),
            sort,
            // Names in ascending order, numbers with the worst first.
            ascending: order.unwrap_or(sort == Sort::Name),
            limit: query.number("limit", (0, MOST), LIMIT)?,
            offset: query.number("offset", (0, usize::MAX), 0)?,
        };
        query.end()?;
        let of_services = parsed.stuck_first || parsed.stuck_only || parsed.sort.is_of_services();
        if of_services && parsed.by != By::Service {
            return Err(QueryError::OfServices);
        }
        Ok(parsed)
    }
}

impl ServicesQuery {
    fn compare(&self, a: &Line<'_>, b: &Line<'_>) -> Ordering {
        let first = |line: &Line<'_>| line.state.as_ref()?.stuck.filter(|_| self.stuck_first);
        first(b).cmp(&first(a)).then_with(|| self.compare_by_sort(a, b))
    }

    fn compare_by_sort(&self, a: &Line<'_>, b: &Line<'_>) -> Ordering {
        let name = |line: &Line<'_>| (line.namespace.to_owned(), line.service.to_owned());
        let by_name = || name(a).cmp(&name(b));
        if self.sort == Sort::Name {
            let order = by_name();
            return if self.ascending { order } else { order.reverse() };
        }
        let window = self.window.unwrap_or(Window::Start).as_str();
        match (self.sort.of(a, window), self.sort.of(b, window)) {
            // A row without measurements is neither fast nor slow. It comes last in both orders.
            (Some(a), Some(b)) if self.ascending => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
        .then_with(by_name)
    }
}

// === impl Sort ===

impl Sort {
    const NAMED: [(&'static str, Self); 12] = [
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
        ("out_of_sync", Self::OutOfSync),
        ("oldest_out_of_sync", Self::OldestOutOfSync),
    ];

    /// Whether it is a property of a Service, not of a kind of change.
    fn is_of_services(self) -> bool {
        matches!(self, Self::OutOfSync | Self::OldestOutOfSync)
    }

    fn of(self, line: &Line<'_>, window: &str) -> Option<f64> {
        let counted = line.windows.get(window);
        let quantiles = counted.map(|it| &it.quantiles);
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
            Self::Missed => counted.map(|it| it.missed as f64),
            Self::OutOfSync => line.state.as_ref()?.out_of_sync.map(|endpoints| endpoints as f64),
            Self::OldestOutOfSync => line.state.as_ref()?.oldest_out_of_sync_seconds,
        }
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    /// For one kind of change of a Service.
    fn of_change(row: &'a Row, query: &ServicesQuery, now: &Now<Table>) -> Self {
        Self { change: Some(row.change.as_str()), ..Self::of(&row.service, &[row], query, now) }
    }

    /// For all kinds of change of a Service. Its values are empty if nothing has changed yet. `None` if it is not selected.
    fn of_service(service: &'a ServiceName, rows: &[&Row], query: &ServicesQuery, now: &Now<Table>) -> Option<Self> {
        let state = OutOfSyncState::of(service, rows, now);
        let wanted = !query.stuck_only || state.stuck.is_some();
        wanted.then(|| Self { state: Some(state), ..Self::of(service, rows, query, now) })
    }

    fn of(service: &'a ServiceName, rows: &[&Row], query: &ServicesQuery, now: &Now<Table>) -> Self {
        let sums = |outcome: usize| rows.iter().map(|row| row.outcomes[outcome]).sum();
        let by_window = |window: Window| {
            let delays = rows.iter().filter_map(|row| row.delays.as_ref());
            let views: Vec<_> = delays.map(|delays| delays.view(window, now.at)).collect();
            let all = WindowView::merged(&views).unwrap_or_else(|| WindowView::empty(Precision::Service));
            let missed = rows.iter().map(|row| row.missed.within(window, now.at)).sum();
            (window.as_str(), InWindow { quantiles: Quantiles::of(&all), missed })
        };
        Self {
            namespace: &service.namespace,
            service: &service.name,
            change: None,
            objective_seconds: objective(&now.value.measured, service).map(seconds),
            outcomes: Outcome::NAMES.iter().enumerate().map(|(at, name)| (*name, sums(at))).collect(),
            missed: rows.iter().map(|row| row.missed.total()).sum(),
            pending: rows.iter().map(|row| row.pending).sum(),
            oldest_pending_seconds: oldest_pending(rows).map(|oldest| age(now, oldest)),
            state: None,
            windows: windows(query.window).map(by_window).collect(),
        }
    }
}

fn oldest_pending(rows: &[&Row]) -> Option<Stamp> {
    rows.iter().filter_map(|row| row.oldest).min()
}

// === impl OutOfSyncState ===

impl OutOfSyncState {
    fn of(service: &ServiceName, rows: &[&Row], now: &Now<Table>) -> Self {
        let out_of_sync = now.value.out_of_sync.get(service);
        let objective = objective(&now.value.measured, service);
        let is_late = |since: Option<Stamp>| {
            since.zip(objective).is_some_and(|(since, objective)| now.at.since(since) > objective)
        };
        let (oldest, traffic) = out_of_sync.map_or((None, None), |it| (it.oldest, it.oldest_traffic));
        let stuck = [(traffic, Stuck::Traffic), (oldest_pending(rows), Stuck::Late), (oldest, Stuck::OutOfSync)];
        Self {
            out_of_sync: out_of_sync.map(|it| it.endpoints),
            oldest_out_of_sync_seconds: oldest.map(|since| age(now, since)),
            oldest_out_of_sync_traffic_seconds: traffic.map(|since| age(now, since)),
            stuck: stuck.into_iter().find(|(since, _)| is_late(*since)).map(|(_, stuck)| stuck),
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
/// None in practice: all values can be written as JSON.
pub fn services(now: &Now<Table>, query: &ServicesQuery) -> serde_json::Result<Vec<u8>> {
    let Table { rows, measured, out_of_sync } = &now.value;
    let mut lines: Vec<Line<'_>> = match query.by {
        By::Change => rows.iter().map(|row| Line::of_change(row, query, now)).collect(),
        By::Service => {
            // The list also contains Services in which nothing has changed yet, because users search for them.
            let mut services: BTreeMap<&ServiceName, Vec<&Row>> =
                measured.iter().map(|it| (&*it.service, Vec::new())).collect();
            services.extend(out_of_sync.keys().map(|service| (&**service, Vec::new())));
            for row in rows {
                services.entry(&row.service).or_default().push(row);
            }
            services.iter().filter_map(|(service, rows)| Line::of_service(service, rows, query, now)).collect()
        }
    };
    lines.sort_by(|a, b| query.compare(a, b));
    let total = lines.len();
    let services = lines.into_iter().skip(query.offset).take(query.limit).collect();
    serde_json::to_vec(&Answer { time: time(now, now.at), total, offset: query.offset, services })
}
