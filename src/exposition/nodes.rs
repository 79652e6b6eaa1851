//! How a change spread over the nodes, for samples and answers.

use crate::programming::{NodeOutcome, Share, Spread};
use serde::Serialize;
use std::collections::BTreeMap;

/// How a change spread over the nodes, in a line.
#[derive(Debug, Serialize)]
pub(super) struct NodesLine<'a> {
    /// Number of nodes that had to follow.
    total: u32,
    /// On how many of them it ended in which way.
    outcomes: BTreeMap<&'static str, u32>,
    /// Time from the slice event until it was in effect on half of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_seconds: Option<f64>,
    /// The same for 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_seconds: Option<f64>,
    /// The same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    all_seconds: Option<f64>,
    /// The last one of those where it came into effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<&'a str>,
    /// Maximum error of these times, from the comparison of the clocks.
    error_seconds: f64,
}

// === impl NodesLine ===

impl<'a> From<&'a Spread> for NodesLine<'a> {
    fn from(spread: &'a Spread) -> Self {
        let [p50, p99, all] = Share::ALL.map(|share| spread.shares[share as usize].map(|delay| delay.as_secs_f64()));
        let outcomes = NodeOutcome::ALL.into_iter().zip(spread.outcomes).filter(|(_, nodes)| *nodes > 0);
        Self {
            total: spread.outcomes.iter().sum(),
            outcomes: outcomes.map(|(outcome, nodes)| (outcome.as_str(), nodes)).collect(),
            p50_seconds: p50,
            p99_seconds: p99,
            all_seconds: all,
            last: spread.last.as_deref(),
            error_seconds: spread.error.as_secs_f64(),
        }
    }
}
