//! The daemon's JSON, as far as commands read it. [`exposition`](crate::exposition) writes it.

use crate::{ledger::Change, programming::NodeOutcome, propagation::ServiceName};
use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, TryFromFloatSecsError},
};

#[derive(Deserialize)]
pub(in crate::commands) struct Overview {
    pub(in crate::commands) uptime_seconds: Seconds,
    /// Only with agents.
    pub(in crate::commands) nodes: Option<IgnoredAny>,
    pub(in crate::commands) watches: Vec<Watch>,
}

/// A watch of the daemon.
#[derive(Deserialize)]
pub(in crate::commands) struct Watch {
    pub(in crate::commands) synced: bool,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Services {
    pub(in crate::commands) services: Vec<Line>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Line {
    pub(in crate::commands) namespace: String,
    pub(in crate::commands) service: String,
    /// Not if rows are Services.
    #[serde(default)]
    pub(in crate::commands) change: String,
    pub(in crate::commands) objective_seconds: Option<Seconds>,
    /// Since the start.
    #[serde(default)]
    pub(in crate::commands) outcomes: BTreeMap<String, u64>,
    /// Since the start.
    pub(in crate::commands) missed: u64,
    pub(in crate::commands) pending: u64,
    pub(in crate::commands) oldest_pending_seconds: Option<Seconds>,
    pub(in crate::commands) windows: BTreeMap<String, Quantiles>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Quantiles {
    pub(in crate::commands) count: u64,
    pub(in crate::commands) p50: Option<Seconds>,
    pub(in crate::commands) p90: Option<Seconds>,
    pub(in crate::commands) p99: Option<Seconds>,
    pub(in crate::commands) p99_9: Option<Seconds>,
    pub(in crate::commands) max: Option<Seconds>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Histograms {
    pub(in crate::commands) histograms: Vec<Histogram>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Histogram {
    pub(in crate::commands) change: String,
    pub(in crate::commands) count: u64,
    /// `[seconds, quantile, count]`.
    pub(in crate::commands) percentiles: Vec<(Seconds, f64, u64)>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Changes {
    pub(in crate::commands) time: Timestamp,
    pub(in crate::commands) pending: Vec<PendingLine>,
    /// Not if `ended` reaches back to the daemon's start.
    pub(in crate::commands) ended_since: Option<Timestamp>,
    pub(in crate::commands) ended: Vec<Ended>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct PendingLine {
    pub(in crate::commands) namespace: String,
    pub(in crate::commands) service: String,
    pub(in crate::commands) pod: Option<String>,
    pub(in crate::commands) uid: Option<String>,
    pub(in crate::commands) change: String,
    pub(in crate::commands) cause: String,
    pub(in crate::commands) started: Timestamp,
    pub(in crate::commands) exact: bool,
}

/// What showed a change.
#[derive(Deserialize)]
pub(in crate::commands) struct Slice {
    pub(in crate::commands) name: String,
    pub(in crate::commands) uid: String,
    pub(in crate::commands) resource_version: String,
}

#[derive(Deserialize)]
pub(in crate::commands) struct OutOfSync {
    pub(in crate::commands) endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Endpoint {
    pub(in crate::commands) namespace: String,
    pub(in crate::commands) service: String,
    pub(in crate::commands) pod: String,
    pub(in crate::commands) uid: String,
    pub(in crate::commands) age_seconds: Seconds,
    pub(in crate::commands) traffic: bool,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Ended {
    pub(in crate::commands) namespace: String,
    pub(in crate::commands) service: String,
    pub(in crate::commands) pod: Option<String>,
    pub(in crate::commands) uid: Option<String>,
    pub(in crate::commands) change: String,
    pub(in crate::commands) cause: String,
    pub(in crate::commands) outcome: String,
    pub(in crate::commands) delay_seconds: Option<Seconds>,
    pub(in crate::commands) reordered_seconds: Option<Seconds>,
    pub(in crate::commands) started: Option<Timestamp>,
    pub(in crate::commands) ended: Timestamp,
    pub(in crate::commands) slice: Option<Slice>,
    pub(in crate::commands) nodes: Option<Nodes>,
    #[serde(default)]
    pub(in crate::commands) nodes_pending: bool,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Nodes {
    pub(in crate::commands) outcomes: BTreeMap<String, u32>,
    pub(in crate::commands) p50_seconds: Option<Seconds>,
    pub(in crate::commands) p99_seconds: Option<Seconds>,
    pub(in crate::commands) all_seconds: Option<Seconds>,
    pub(in crate::commands) last: Option<String>,
    pub(in crate::commands) error_seconds: Seconds,
}

/// A duration in seconds, as the daemon writes it. Anything else than a duration makes the answer malformed.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(try_from = "f64")]
pub(in crate::commands) struct Seconds(pub(in crate::commands) Duration);

#[derive(Deserialize)]
pub(in crate::commands) struct Agents {
    pub(in crate::commands) agents: Vec<Agent>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Agent {
    pub(in crate::commands) planes: Option<Planes>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Planes {
    pub(in crate::commands) ipv4: Option<String>,
    pub(in crate::commands) ipv6: Option<String>,
}

/// Without `--pod-startup` it has no pods.
#[derive(Deserialize)]
pub(in crate::commands) struct Startup {
    pub(in crate::commands) pods: Vec<Start>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct Start {
    pub(in crate::commands) namespace: String,
    pub(in crate::commands) service: String,
    pub(in crate::commands) pod: String,
    pub(in crate::commands) phases: Vec<PhaseLine>,
}

#[derive(Deserialize)]
pub(in crate::commands) struct PhaseLine {
    pub(in crate::commands) phase: String,
    pub(in crate::commands) seconds: Seconds,
}

/// The kind of change with this name; `None` if it is none.
pub(in crate::commands) fn kind(name: &str) -> Option<Change> {
    Change::ALL.into_iter().find(|change| change.as_str() == name)
}

/// Names a Service.
pub(in crate::commands) fn name(namespace: &str, name: &str) -> Arc<ServiceName> {
    Arc::new(ServiceName { namespace: namespace.into(), name: name.into() })
}

// === impl Overview ===

impl Overview {
    /// Where it is.
    pub(in crate::commands) const PATH: &str = "/api/v1/overview";
}

// === impl Nodes ===

impl Nodes {
    /// Whether it is not known when one of them followed.
    pub(in crate::commands) fn is_open(&self) -> bool {
        let open = [NodeOutcome::Censored, NodeOutcome::Expired];
        open.iter().any(|outcome| self.outcomes.get(outcome.as_str()).is_some_and(|nodes| *nodes > 0))
    }

    /// The longest time that is known, of all nodes or of a part of them.
    pub(in crate::commands) fn at_least(&self) -> Duration {
        let shares = [self.p50_seconds, self.p99_seconds, self.all_seconds];
        shares.into_iter().flatten().map(|Seconds(took)| took).max().unwrap_or_default()
    }
}

// === impl Seconds ===

impl TryFrom<f64> for Seconds {
    type Error = TryFromFloatSecsError;

    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        Duration::try_from_secs_f64(seconds).map(Self)
    }
}
