//! `/api/v1/changes`: single changes, both pending ones and the last ones that ended.

use super::{
    age,
    query::{Query, QueryError},
    seconds, time,
};
use crate::{
    exposition::{nodes::NodesLine, slice::SliceLine},
    ledger::{Cause, Change, Outcome},
    pipeline::{Changes, Now},
    propagation::{PendingChange, Subject},
    stats::{KEPT, RecentChange, Selection},
};
use serde::Serialize;
use std::{cmp::Reverse, str::FromStr};

/// Default number of changes in each list of an answer.
const LIMIT: usize = 100;

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesQuery {
    selection: Selection,
    sort: Sort,
    limit: usize,
}

/// The order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// The newest first: those that started or ended last.
    Newest,
    /// The slowest first: the oldest pending changes, and the longest delays of ended ones.
    Slowest,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    /// Number of selected pending changes. The list may contain fewer.
    pending_total: usize,
    pending: Vec<PendingLine<'a>>,
    /// Number of selected changes among the last that ended. The list may contain fewer.
    ended_total: usize,
    /// Since when the last that ended are all, whatever is selected; `null` if they are all since the daemon started.
    ended_since: Option<String>,
    ended: Vec<EndedLine<'a>>,
}

/// The fields of every change.
#[derive(Debug, Serialize)]
struct Line<'a> {
    namespace: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    change: &'static str,
    /// What started it.
    cause: &'static str,
}

#[derive(Debug, Serialize)]
struct PendingLine<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    started: String,
    age_seconds: f64,
    /// Whether this is the start. If not, the change was first seen then, and its age is a lower bound.
    exact: bool,
}

#[derive(Debug, Serialize)]
struct EndedLine<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    outcome: &'static str,
    /// If the delay is known. For an expired change this is its age.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<f64>,
    /// How much earlier than the change the slice arrived, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    reordered_seconds: Option<f64>,
    /// The start, if the delay is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    ended: String,
    /// What showed it, where it propagated.
    #[serde(skip_serializing_if = "Option::is_none")]
    slice: Option<SliceLine<'a>>,
    /// How it spread over the nodes, once it has ended on each of them. Only with agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<NodesLine<'a>>,
    /// Whether it is followed to the nodes, and has not ended on each of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nodes_pending: bool,
}

// === impl ChangesQuery ===

impl FromStr for ChangesQuery {
    type Err = QueryError;

    /// Parses a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.selection()?;
        let sort = query.choice("sort", &[("newest", Sort::Newest), ("slowest", Sort::Slowest)])?;
        let limit = query.number("limit", (0, KEPT), LIMIT)?;
        query.end()?;
        Ok(Self { selection, sort: sort.unwrap_or(Sort::Newest), limit })
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(Subject { service, pod }: &'a Subject, change: Change, cause: Cause) -> Self {
        Self {
            namespace: &service.namespace,
            service: &service.name,
            pod: pod.as_ref().map(|pod| &*pod.name),
            uid: pod.as_ref().map(|pod| pod.uid.to_string()),
            change: change.as_str(),
            cause: cause.as_str(),
        }
    }
}

// === impl PendingLine ===

impl<'a> PendingLine<'a> {
    fn new(pending: &'a PendingChange, now: &Now<Changes>) -> Self {
        Self {
            line: Line::new(&pending.key, pending.change, pending.cause),
            started: time(now, pending.since),
            age_seconds: age(now, pending.since),
            exact: pending.exact,
        }
    }
}

// === impl EndedLine ===

impl<'a> EndedLine<'a> {
    fn new(change: &'a RecentChange, now: &Now<Changes>) -> Self {
        let RecentChange { ended, is_followed, spread } = change;
        let delay = ended.outcome.delay();
        let reordered = match ended.outcome {
            Outcome::Propagated { reordered, .. } => reordered,
            _ => None,
        };
        Self {
            line: Line::new(&ended.key, ended.change, ended.cause),
            outcome: ended.outcome.as_str(),
            delay_seconds: delay.map(seconds),
            reordered_seconds: reordered.map(seconds),
            started: delay.map(|_| time(now, ended.began)),
            ended: time(now, ended.at),
            slice: ended.by.as_deref().map(SliceLine::from),
            nodes: spread.as_deref().map(NodesLine::from),
            nodes_pending: *is_followed && spread.is_none(),
        }
    }
}

/// The answer, as JSON.
///
/// # Errors
/// None in practice: all values can be written as JSON.
pub fn changes(now: &Now<Changes>, query: &ChangesQuery) -> serde_json::Result<Vec<u8>> {
    let Changes { pending, recent } = &now.value;
    let selected = |it: &&PendingChange| query.selection.matches(&it.key.service, it.change);
    let mut pending: Vec<_> = pending.iter().filter(selected).collect();
    let mut ended: Vec<_> = recent.select(&query.selection).collect();
    match query.sort {
        Sort::Newest => pending.sort_by_key(|it| Reverse(it.since)),
        Sort::Slowest => {
            pending.sort_by_key(|it| it.since);
            ended.sort_by_key(|it| Reverse(it.ended.outcome.delay()));
        }
    }
    serde_json::to_vec(&Answer {
        time: time(now, now.at),
        pending_total: pending.len(),
        ended_total: ended.len(),
        ended_since: now.value.recent.since().map(|since| time(now, since)),
        pending: pending.into_iter().take(query.limit).map(|it| PendingLine::new(it, now)).collect(),
        ended: ended.into_iter().take(query.limit).map(|it| EndedLine::new(it, now)).collect(),
    })
}
