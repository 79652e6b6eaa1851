//! `/api/v1/startup`: the pods that started last, phase by phase, and how long the phases of each Service take.

use super::{
    Quantiles,
    query::{Query, QueryError},
    seconds, time,
};
use crate::{
    model::WholeSecond,
    pipeline::{Now, StartsView},
    propagation::ServiceName,
    startup::{KEPT, Kind, Phase, Timeline},
    stats::{Selection, WindowView},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{collections::BTreeMap, str::FromStr};

/// Default number of pods and of Services in an answer.
const LIMIT: usize = 100;

/// Largest number of Services in an answer.
const SERVICES: usize = 100_000;

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupQuery {
    /// Which Services.
    pub selection: Selection,
    limit: usize,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    /// Whether starts are followed: `--pod-startup`. If not, all else is empty.
    followed: bool,
    /// Pods that are followed until they are Ready and listed.
    starting: usize,
    /// Pods that became Ready, by what came before.
    kinds: BTreeMap<&'static str, u64>,
    /// Number of selected Services with starts. The list may contain fewer.
    services_total: usize,
    services: Vec<ServiceLine<'a>>,
    /// Number of selected starts among the last. The list may contain fewer.
    pods_total: usize,
    /// The newest first.
    pods: Vec<PodLine<'a>>,
}

/// One Service, since the daemon started.
#[derive(Debug, Serialize)]
struct ServiceLine<'a> {
    namespace: &'a str,
    service: &'a str,
    /// By phase.
    phases: BTreeMap<&'static str, Quantiles>,
}

#[derive(Debug, Serialize)]
struct PodLine<'a> {
    namespace: &'a str,
    service: &'a str,
    pod: &'a str,
    uid: String,
    /// The whole second of its creation, by the clock of the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// When the watch delivered that it was Ready.
    arrived: String,
    /// How its change `ready` ended on the slice hop.
    outcome: &'static str,
    /// The known phases in their order. Those before `reported` are whole seconds of other machines' clocks.
    phases: Vec<PhaseLine>,
    /// How much of `containers_ready` may be the granularity of the probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    probe_granularity_seconds: Option<f64>,
    /// From its creation until the slices listed it, if all of it is plausible.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct PhaseLine {
    phase: &'static str,
    seconds: f64,
}

// === impl StartupQuery ===

impl FromStr for StartupQuery {
    type Err = QueryError;

    /// Parses a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.services();
        let limit = query.number("limit", (0, SERVICES.max(KEPT)), LIMIT)?;
        query.end()?;
        Ok(Self { selection, limit })
    }
}

// === impl ServiceLine ===

impl<'a> ServiceLine<'a> {
    fn new(name: &'a ServiceName, phases: &[WindowView; Phase::ALL.len()]) -> Self {
        let known = Phase::ALL.iter().zip(phases).filter(|(_, view)| view.max.is_some());
        let phases = known.map(|(phase, view)| (phase.as_str(), Quantiles::of(view))).collect();
        Self { namespace: &name.namespace, service: &name.name, phases }
    }
}

// === impl PodLine ===

impl<'a> PodLine<'a> {
    fn new(timeline: &'a Timeline, now: &Now<Option<StartsView>>) -> Self {
        let phases = timeline.phases.iter().filter(|(phase, _)| *phase != Phase::Total);
        Self {
            namespace: &timeline.service.namespace,
            service: &timeline.service.name,
            pod: &timeline.pod.name,
            uid: timeline.pod.uid.to_string(),
            created: timeline.created.and_then(text),
            arrived: time(now, timeline.arrived),
            outcome: timeline.outcome.as_str(),
            phases: phases.map(|(phase, took)| PhaseLine { phase: phase.as_str(), seconds: seconds(took) }).collect(),
            probe_granularity_seconds: timeline.granularity.map(seconds),
            total_seconds: timeline.total().map(seconds),
        }
    }
}

/// A whole second, without a fraction that nobody knows.
fn text(second: WholeSecond) -> Option<String> {
    Timestamp::from_second(second.since_1970()).ok().map(|time| time.to_string())
}

/// The answer, as JSON. Without a view starts are not followed.
///
/// # Errors
/// None in practice: all values can be written as JSON.
pub fn startup(now: &Now<Option<StartsView>>, query: &StartupQuery) -> serde_json::Result<Vec<u8>> {
    let view = now.value.as_ref();
    let selected = |timeline: &&Timeline| query.selection.takes(&timeline.service);
    let timelines: Vec<_> = view.iter().flat_map(|view| view.finished.newest()).filter(selected).collect();
    let services = view.map(|view| &*view.services).unwrap_or_default();
    let standing = view.map(|view| view.standing).unwrap_or_default();
    serde_json::to_vec(&Answer {
        time: time(now, now.at),
        followed: view.is_some(),
        starting: standing.waiting + standing.settling,
        kinds: Kind::ALL.iter().zip(standing.kinds).map(|(kind, count)| (kind.as_str(), count)).collect(),
        services_total: services.len(),
        services: services.iter().take(query.limit).map(|(name, phases)| ServiceLine::new(name, phases)).collect(),
        pods_total: timelines.len(),
        pods: timelines.into_iter().take(query.limit).map(|timeline| PodLine::new(timeline, now)).collect(),
    })
}
