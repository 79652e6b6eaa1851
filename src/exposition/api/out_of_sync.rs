//! `/api/v1/out-of-sync`: each endpoint that the slices now show differently from what its pod and Service say.

use super::{
    age,
    query::{Query, QueryError},
    time,
};
use crate::{pipeline::Now, propagation::OutOfSyncEndpoint, stats::Selection};
use serde::Serialize;
use std::str::FromStr;

/// Default number of endpoints in an answer.
const LIMIT: usize = 100;

/// Maximum number of endpoints in an answer.
const MOST: usize = 10_000;

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfSyncQuery {
    selection: Selection,
    traffic: Option<bool>,
    limit: usize,
}

/// The answer. Endpoints that affect traffic come first, and the oldest of them first.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    /// Number of selected endpoints. The list may contain fewer.
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
    /// A lower bound if the start was not seen.
    age_seconds: f64,
    /// Whether the endpoint gets connections that it should not get, or does not get those that it should.
    traffic: bool,
}

// === impl OutOfSyncQuery ===

impl FromStr for OutOfSyncQuery {
    type Err = QueryError;

    /// Parses a query.
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
        self.selection.takes(&it.service) && self.traffic.is_none_or(|wanted| wanted == it.fault.traffic)
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
            since: time(now, it.fault.since),
            age_seconds: age(now, it.fault.since),
            traffic: it.fault.traffic,
        }
    }
}

/// The answer, as JSON.
///
/// # Errors
/// None in practice: all values can be written as JSON.
pub fn out_of_sync(now: &Now<Vec<OutOfSyncEndpoint>>, query: &OutOfSyncQuery) -> serde_json::Result<Vec<u8>> {
    let mut selected: Vec<_> = now.value.iter().filter(|it| query.matches(it)).collect();
    let order = |it: &OutOfSyncEndpoint| (!it.fault.traffic, it.fault.since, it.service.clone(), it.pod.name.clone());
    selected.sort_by_cached_key(|it| order(it));
    serde_json::to_vec(&Answer {
        time: time(now, now.at),
        total: selected.len(),
        endpoints: selected.into_iter().take(query.limit).map(|it| Line::new(it, now)).collect(),
    })
}
