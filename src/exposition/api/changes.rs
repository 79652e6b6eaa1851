//! `/api/v1/changes`: single changes, those that are pending and the last that ended.

use super::{
    age,
    query::{Query, QueryError},
    seconds, time,
};
use crate::{
    ledger::Outcome,
    pipeline::{Changes, Now},
    propagation::{Ended, PendingChange, PodRef, ServiceName},
    stats::{KEPT, Selection},
};
use serde::Serialize;
use std::{cmp::Reverse, str::FromStr};

/// Changes of each kind of list in an answer that does not say how many.
const LIMIT: usize = 100;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesQuery {
    selection: Selection,
    sort: Sort,
    limit: usize,
}

/// Which come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// The last that began or ended.
    Newest,
    /// The oldest of the pending, the longest delays of the ended.
    Slowest,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    /// Selected changes that are pending, of which the list holds some.
    pending_total: usize,
    pending: Vec<PendingLine<'a>>,
    /// Selected changes among the last that ended, of which the list holds some.
    ended_total: usize,
    ended: Vec<EndedLine<'a>>,
}

/// What every change has.
#[derive(Debug, Serialize)]
struct Line<'a> {
    namespace: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    change: &'static str,
}

#[derive(Debug, Serialize)]
struct PendingLine<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    started: String,
    age_seconds: f64,
    /// Whether it started then. If not it was first seen then, and the age is a lower bound.
    exact: bool,
}

#[derive(Debug, Serialize)]
struct EndedLine<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    outcome: &'static str,
    /// Where the delay is known. Of an expired change, its age.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<f64>,
    /// How much earlier the slice came than the change, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    reordered_seconds: Option<f64>,
    /// When it started, where the delay is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    ended: String,
}

// === impl ChangesQuery ===

impl FromStr for ChangesQuery {
    type Err = QueryError;

    /// Understands a query.
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
    fn new(service: &'a ServiceName, pod: Option<&'a PodRef>, change: &'static str) -> Self {
        Self {
            namespace: &service.namespace,
            service: &service.name,
            pod: pod.map(|pod| &*pod.name),
            uid: pod.map(|pod| pod.uid.to_string()),
            change,
        }
    }
}

// === impl PendingLine ===

impl<'a> PendingLine<'a> {
    fn new(pending: &'a PendingChange, now: &Now<Changes>) -> Self {
        Self {
            line: Line::new(&pending.service, pending.pod.as_ref(), pending.change.as_str()),
            started: time(now, pending.since),
            age_seconds: age(now, pending.since),
            exact: pending.exact,
        }
    }
}

// === impl EndedLine ===

impl<'a> EndedLine<'a> {
    fn new(ended: &'a Ended, now: &Now<Changes>) -> Self {
        let delay = ended.outcome.delay();
        let reordered = match ended.outcome {
            Outcome::Propagated { reordered, .. } => reordered,
            _ => None,
        };
        // A stamp lies after the clock's origin by more than any delay that it ended.
        let started = |delay| crate::model::Stamp::new(ended.at.since_origin().saturating_sub(delay));
        Self {
            line: Line::new(&ended.service, ended.pod.as_ref(), ended.change.as_str()),
            outcome: ended.outcome.as_str(),
            delay_seconds: delay.map(seconds),
            reordered_seconds: reordered.map(seconds),
            started: delay.map(|delay| time(now, started(delay))),
            ended: time(now, ended.at),
        }
    }
}

/// The answer, as JSON.
///
/// # Errors
/// None in practice: all of it can be written as JSON.
pub fn changes(now: &Now<Changes>, query: &ChangesQuery) -> serde_json::Result<Vec<u8>> {
    let Changes { pending, recent } = &now.value;
    let selected = |it: &&PendingChange| query.selection.matches(&it.service, it.change);
    let mut pending: Vec<_> = pending.iter().filter(selected).collect();
    let mut ended: Vec<_> = recent.select(&query.selection).collect();
    match query.sort {
        Sort::Newest => pending.sort_by_key(|it| Reverse(it.since)),
        Sort::Slowest => {
            pending.sort_by_key(|it| it.since);
            ended.sort_by_key(|it| Reverse(it.outcome.delay()));
        }
    }
    serde_json::to_vec(&Answer {
        time: time(now, now.at),
        pending_total: pending.len(),
        ended_total: ended.len(),
        pending: pending.into_iter().take(query.limit).map(|it| PendingLine::new(it, now)).collect(),
        ended: ended.into_iter().take(query.limit).map(|it| EndedLine::new(it, now)).collect(),
    })
}
