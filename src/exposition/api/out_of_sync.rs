//! `/api/v1/out-of-sync`: each endpoint that the slices show now otherwise than its pod and Service say.

use super::{
    age,
    query::{Query, QueryError},
    time,
};
use crate::{pipeline::Now, propagation::OutOfSyncEndpoint, stats::Selection};
use serde::Serialize;
use std::str::FromStr;

/// Endpoints of an answer that does not say how many.
const LIMIT: usize = 100;

/// Most endpoints of an answer.
const MOST: usize = 10_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfSyncQuery {
    selection: Selection,
    traffic: Option<bool>,
    limit: usize,
}

/// The answer. What leads traffic wrongly comes first, and of that the oldest.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    /// Selected endpoints, of which the list holds some.
    total: usize,
    endpoints: Vec<Line<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    namespace: &'a str,
    service: &'a str,
    pod: &'a str,
    uid: String,
    since: String,
    /// A lower bound where nobody saw it begin.
    age_seconds: f64,
    /// Whether it gets connections that it should not get, or lacks those that it should.
    traffic: bool,
}

// === impl OutOfSyncQuery ===

impl FromStr for OutOfSyncQuery {
    type Err = QueryError;

    /// Understands a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.services();
        let traffic = query.choice("traffic", &[("true", true), ("false", false)])?;
        let limit = query.number("limit", (0, MOST), LIMIT)?;
        query.end()?;
        Ok(Self { selection, traffic, limit })
    }
}

impl OutOfSyncQuery {
    fn matches(&self, it: &OutOfSyncEndpoint) -> bool {
        self.selection.takes(&it.service) && self.traffic.is_none_or(|wanted| wanted == it.traffic)
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(it: &'a OutOfSyncEndpoint, now: &Now<Vec<OutOfSyncEndpoint>>) -> Self {
        Self {
            namespace: &it.service.namespace,
            service: &it.service.name,
            pod: &it.pod.name,
            uid: it.pod.uid.to_string(),
            since: time(now, it.since),
            age_seconds: age(now, it.since),
            traffic: it.traffic,
        }
    }
}

/// The answer, as JSON.
///
/// # Errors
/// None in practice: all of it can be written as JSON.
pub fn out_of_sync(now: &Now<Vec<OutOfSyncEndpoint>>, query: &OutOfSyncQuery) -> serde_json::Result<Vec<u8>> {
    let mut selected: Vec<_> = now.value.iter().filter(|it| query.matches(it)).collect();
    let order = |it: &OutOfSyncEndpoint| (!it.traffic, it.since, it.service.clone(), it.pod.name.clone());
    selected.sort_by_cached_key(|it| order(it));
    serde_json::to_vec(&Answer {
        time: time(now, now.at),
        total: selected.len(),
        endpoints: selected.into_iter().take(query.limit).map(|it| Line::new(it, now)).collect(),
    })
}
