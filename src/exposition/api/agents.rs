//! `/api/v1/agents` and `/api/v1/agents/observations`: the agents, and what they sent.

use super::{
    query::{Query, QueryError},
    seconds,
};
use crate::{
    collector::{AgentView, Agents, Told, What},
    dataplane::{Backend, Event, FamilyPlane, Planes, When},
    model::{Family, Stamp},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{str::FromStr, time::SystemTime};

/// Number of observations in an answer, if the query does not give one.
const LIMIT: usize = 100;

/// Maximum number of observations in an answer: all that are kept.
const MOST: usize = 10_000;

/// Which observations are requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationsQuery {
    node: Option<String>,
    /// Part of a frontend, such as `10.96.0.10:53`.
    contains: Option<String>,
    limit: usize,
}

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Stamp,
    wall: SystemTime,
}

#[derive(Debug, Serialize)]
struct AgentsAnswer {
    time: String,
    connected: usize,
    silent: usize,
    agents: Vec<Agent>,
}

#[derive(Debug, Serialize)]
struct Agent {
    node: String,
    version: String,
    /// `None` while it is not connected.
    connected_since: Option<String>,
    /// Time since it last sent something. A probe is due every ten seconds.
    heard_seconds_ago: f64,
    /// `None` until they are known.
    planes: Option<PlanesLine>,
    /// The maximum error of its clock, as of the last comparison; `None` before the first.
    clock_error_seconds: Option<f64>,
    clock_steps: u64,
    observations: Observations,
}

#[derive(Debug, Serialize)]
struct Observations {
    received: u64,
    untimed: u64,
    duplicate: u64,
    lost: u64,
}

#[derive(Debug, Serialize)]
struct PlanesLine {
    ipv4: Option<&'static str>,
    ipv6: Option<&'static str>,
    /// What was found if there are no rules that can be watched.
    unseen: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct ObservationsAnswer {
    time: String,
    observations: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    node: String,
    /// The middle of the interval in which it happened; `None` if that is not known.
    time: Option<String>,
    /// Half of that interval.
    error_seconds: Option<f64>,
    #[serde(flatten)]
    what: Kind,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind {
    /// New connections go to other endpoints than before.
    Change {
        frontend: String,
        added: Vec<String>,
        removed: Vec<String>,
        /// Whether it was found after a gap, and so happened at an unknown time within it.
        in_gap: bool,
    },
    /// Changes may have been missed.
    Gap { reason: &'static str },
    /// This many observations did not arrive.
    Lost { observations: u64 },
    /// The agent has started.
    Started,
    /// What the kernel does now.
    State,
    /// The address families for which the agent sees the node's data plane.
    DataPlane { families: Vec<&'static str> },
}

/// All agents, as JSON.
///
/// # Errors
/// None in practice: all of it can be written as JSON.
pub fn agents(agents: &Agents) -> serde_json::Result<Vec<u8>> {
    let now = Moment::of(agents);
    let summary = agents.summary();
    serde_json::to_vec(&AgentsAnswer {
        time: now.time(now.at),
        connected: summary.connected,
        silent: summary.silent,
        agents: agents.list().into_iter().map(|view| Agent::new(view, now)).collect(),
    })
}

/// The last observations of the agents, as JSON, the newest first.
///
/// # Errors
/// None in practice: all of it can be written as JSON.
pub fn observations(agents: &Agents, query: &ObservationsQuery) -> serde_json::Result<Vec<u8>> {
    let now = Moment::of(agents);
    let told = agents.recent(query.limit, |told| query.matches(told));
    serde_json::to_vec(&ObservationsAnswer {
        time: now.time(now.at),
        observations: told.iter().map(|told| Line::new(told, now)).collect(),
    })
}

// === impl ObservationsQuery ===

impl FromStr for ObservationsQuery {
    type Err = QueryError;

    /// Parses a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let (node, contains) = (query.text("node"), query.text("q"));
        let limit = query.number("limit", (0, MOST), LIMIT)?;
        query.end()?;
        Ok(Self { node, contains, limit })
    }
}

impl ObservationsQuery {
    fn matches(&self, told: &Told) -> bool {
        let of_node = self.node.as_deref().is_none_or(|node| node == &*told.node);
        of_node && self.contains.as_deref().is_none_or(|part| frontend(told).is_some_and(|it| it.contains(part)))
    }
}

// === impl Moment ===

impl Moment {
    fn of(agents: &Agents) -> Self {
        Self { at: agents.now(), wall: SystemTime::now() }
    }

    /// The wall clock's time at a stamp, as text.
    fn time(self, stamp: Stamp) -> String {
        let wall = self.wall.checked_sub(self.at.since(stamp)).and_then(|wall| Timestamp::try_from(wall).ok());
        wall.map(|wall| format!("{wall:.6}")).unwrap_or_default()
    }
}

// === impl Agent ===

impl Agent {
    fn new(view: AgentView, now: Moment) -> Self {
        let counts = view.counts;
        Self {
            node: view.node.to_string(),
            version: view.version,
            connected_since: view.connected_since.map(|since| now.time(since)),
            heard_seconds_ago: seconds(now.at.since(view.heard)),
            planes: view.planes.as_ref().map(PlanesLine::new),
            clock_error_seconds: view.clock_error.map(seconds),
            clock_steps: counts.steps,
            observations: Observations {
                received: counts.received,
                untimed: counts.untimed,
                duplicate: counts.duplicate,
                lost: counts.lost,
            },
        }
    }
}

// === impl PlanesLine ===

impl PlanesLine {
    fn new(Planes { families, unseen }: &Planes) -> Self {
        let [ipv4, ipv6] = families.map(|FamilyPlane { decides, .. }| decides.map(|mode| mode.as_str()));
        Self { ipv4, ipv6, unseen: unseen.iter().map(|unseen| unseen.as_str()).collect() }
    }
}

// === impl Line ===

impl Line {
    fn new(told: &Told, now: Moment) -> Self {
        let name = frontend(told);
        Self {
            node: told.node.to_string(),
            time: told.when.map(|when| now.time(when.middle())),
            error_seconds: told.when.map(|when| seconds(when.error())),
            what: match &told.what {
                What::Event(Event::Changed(observation)) => Kind::Change {
                    frontend: name.unwrap_or_default(),
                    added: texts(&observation.change.added),
                    removed: texts(&observation.change.removed),
                    in_gap: matches!(observation.when, When::Gap(_)),
                },
                // It is not kept: it is no observation.
                What::Event(Event::State(_)) => Kind::State,
                What::Event(Event::Gap(gap)) => Kind::Gap { reason: gap.loss.as_str() },
                What::Lost(observations) => Kind::Lost { observations: *observations },
                What::Follows(families) => Kind::DataPlane { families: families.iter().map(Family::as_str).collect() },
                What::Started => Kind::Started,
            },
        }
    }
}

/// The frontend of a change, such as `10.96.0.10:53/UDP`.
fn frontend(told: &Told) -> Option<String> {
    let What::Event(Event::Changed(observation)) = &told.what else { return None };
    let frontend = observation.change.frontend;
    let socket = Backend { address: frontend.address, port: frontend.port };
    Some(format!("{socket}/{}", frontend.protocol.as_str()))
}

fn texts(endpoints: &[Backend]) -> Vec<String> {
    endpoints.iter().map(Backend::to_string).collect()
}
