//! The JSON of `/api/v1/`: queries and their answers.
//!
//! Durations are numbers of seconds, times are RFC 3339 in UTC. A malformed query is an error, so that users do not get the
//! answer to a different question.

mod advice;
mod agents;
mod changes;
mod histogram;
mod history;
mod nodes;
mod out_of_sync;
mod overview;
mod query;
mod services;
mod startup;

pub use self::{
    advice::{AdviceQuery, advice},
    agents::{ObservationsQuery, agents, observations},
    changes::{ChangesQuery, changes},
    histogram::{HistogramFormat, HistogramQuery, Histograms},
    history::{History, HistoryQuery},
    out_of_sync::{OutOfSyncQuery, out_of_sync},
    overview::overview,
    query::QueryError,
    services::{ServicesQuery, services},
    startup::{StartupQuery, startup},
};

use crate::{
    model::Stamp,
    pipeline::Now,
    stats::{Window, WindowView},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// The distribution of delays over one window.
#[derive(Debug, Serialize)]
pub(crate) struct Quantiles {
    /// Number of delays.
    count: u64,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    /// The longest delay, exactly.
    max: Option<f64>,
}

// === impl Quantiles ===

impl Quantiles {
    fn of(view: &WindowView) -> Self {
        let quantile = |q| view.quantile(q).map(seconds);
        Self {
            count: view.histogram.total(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: view.max.map(seconds),
        }
    }
}

/// Distributions by the name of their window.
type ByWindow = BTreeMap<&'static str, Quantiles>;

/// The requested windows: one, or all.
fn windows(wanted: Option<Window>) -> impl Iterator<Item = Window> {
    Window::ALL.into_iter().filter(move |window| wanted.is_none_or(|wanted| wanted == *window))
}

/// The wall clock's time at `stamp`, as text. A stamp is at most as old as the process.
fn time<T>(now: &Now<T>, stamp: Stamp) -> String {
    let ago = now.at.since(stamp);
    let wall = now.wall.checked_sub(ago).and_then(|wall| Timestamp::try_from(wall).ok());
    wall.map(|wall| format!("{wall:.6}")).unwrap_or_default()
}

/// Time since `stamp`, in seconds.
fn age<T>(now: &Now<T>, stamp: Stamp) -> f64 {
    seconds(now.at.since(stamp))
}

/// Seconds for JSON, rounded once. `Duration::as_secs_f64` adds two numbers, which may give a false last digit.
fn seconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e9
}

#[cfg(test)]
mod tests;
