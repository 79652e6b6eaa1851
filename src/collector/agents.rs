//! The agents that are connected, or were until recently: which events each has sent, and how its clock compares.

mod admitted;
mod counts;
mod node;

pub(super) use self::admitted::Admitted;
pub use self::counts::{Counts, NodeCounts, Summary};

use self::node::{Node, Stream};
use super::{
    output::{Events, Output, Room},
    refusal::Refusal,
    timeline::{Reading, Timeline},
    told::{Recent, Told, What},
};
use crate::{
    cluster::clock::Clock,
    dataplane::{self, Planes, messages::Hello},
    model::Stamp,
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// Maximum number of known nodes: twice as many as in the largest clusters.
const KNOWN: usize = 10_000;

/// Minimum time between log lines about refusals for the same reason.
const LOGGED: Duration = Duration::from_secs(60);

/// All agents, and what they sent.
#[derive(Debug)]
pub struct Agents {
    clock: Clock,
    state: Mutex<State>,
    output: Output,
}

#[derive(Debug, Default)]
struct State {
    timeline: Timeline,
    nodes: HashMap<Arc<str>, Node>,
    /// Number of the next stream.
    next: u64,
    recent: Recent,
    counts: Counts,
    /// When each kind of refusal was last logged.
    logged: [Option<Stamp>; Refusal::REASONS.len()],
}

/// One agent.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// Name of its node.
    pub node: Arc<str>,
    /// Its version.
    pub version: String,
    /// Since when it is connected, if it is.
    pub connected_since: Option<Stamp>,
    /// When it last sent something.
    pub heard: Stamp,
    /// The data planes of the node, once they are known.
    pub planes: Option<Planes>,
    /// The maximum error of its clock, as of the last comparison.
    pub clock_error: Option<Duration>,
    /// The counts.
    pub counts: NodeCounts,
}

// === impl Agents ===

impl Agents {
    /// No agents yet. Their clocks will be compared to this one.
    pub(super) fn new(clock: Clock) -> (Arc<Self>, Events) {
        let (output, events) = Output::new();
        let agents = Self { clock, state: Mutex::default(), output };
        agents.read_clocks();
        (Arc::new(agents), events)
    }

    /// Waits until there is room to pass this number of events on; `None` if there never is.
    pub(super) async fn room(&self, events: usize) -> Option<Room<'_>> {
        self.output.room(events).await
    }

    /// Reads the clocks for the timeline. Must be called every [`EVERY`](super::timeline::EVERY).
    pub(super) fn read_clocks(&self) {
        let reading = self.reading();
        self.state.lock().timeline.read(reading);
    }

    fn reading(&self) -> Reading {
        let before = dataplane::clock::now();
        let stamp = self.clock.now();
        Reading { before, stamp, after: dataplane::clock::now() }
    }

    /// Lets the agent of a node in. If the node already has one, that one must leave: its future completes.
    ///
    /// # Errors
    /// If there are too many agents.
    pub(super) fn admit(
        self: &Arc<Self>,
        node: &Arc<str>,
        hello: Hello,
        room: &mut Room<'_>,
    ) -> Result<(Admitted, oneshot::Receiver<()>), Refusal> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let state = &mut *state;
        if !state.nodes.contains_key(node) {
            state.make_room(now)?;
        }
        let State { nodes, recent, counts, next, .. } = state;
        let mut tell = |what| {
            let told = Arc::new(Told { node: node.clone(), when: None, what });
            room.send(told.clone());
            recent.push(told);
        };
        let known = match nodes.entry(node.clone()) {
            Entry::Vacant(free) => {
                tell(What::Started);
                free.insert(Node::starting(&hello, NodeCounts::default(), now))
            }
            Entry::Occupied(known) => {
                let known = known.into_mut();
                if known.epoch != hello.epoch {
                    tell(What::Started);
                    *known = Node::starting(&hello, known.counts, now);
                }
                known
            }
        };
        known.come_back(now);
        let elsewhere = hello.acknowledged.saturating_sub(known.taken);
        if elsewhere > 0 {
            known.taken = hello.acknowledged;
            known.has_state = false;
            known.counts.lost = known.counts.lost.saturating_add(elsewhere);
            counts.lost_elsewhere = counts.lost_elsewhere.saturating_add(elsewhere);
            tell(What::Lost(elsewhere));
        }
        let (leave, replaced) = oneshot::channel();
        let number = *next;
        *next += 1;
        known.version = hello.version;
        known.heard = now;
        known.stream = Some(Stream { number, since: now, _replaced: leave });
        let (taken, wants_state) = (known.taken, !known.has_state);
        Ok((Admitted { agents: self.clone(), node: node.clone(), number, taken, wants_state }, replaced))
    }

    /// Counts a refusal, and logs it unless one for the same reason was logged recently.
    pub(super) fn refuse(&self, refusal: &Refusal, peer: &str) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let index = refusal.index();
        state.counts.refused[index] += 1;
        if state.logged[index].is_none_or(|at| now.since(at) >= LOGGED) {
            state.logged[index] = Some(now);
            let reason = Refusal::REASONS[index];
            tracing::warn!(
                peer,
                reason,
                "an agent is refused: {refusal}; more for this reason within a minute are only counted"
            );
        }
    }

    /// The current time, on the clock of all stamps here.
    pub fn now(&self) -> Stamp {
        self.clock.now()
    }

    /// All agents in a few numbers.
    pub fn summary(&self) -> Summary {
        let now = self.clock.now();
        let state = self.state.lock();
        let connected = || state.nodes.values().filter(|node| node.stream.is_some());
        Summary {
            connected: connected().count(),
            expected: state.nodes.values().filter(|node| !node.is_gone(now)).count(),
            silent: state.nodes.values().filter(|node| node.is_silent(now)).count(),
            clock_error: connected().filter_map(|node| node.offset.error()).max().unwrap_or_default(),
            counts: state.counts,
        }
    }

    /// The nodes of silent agents, and those that have left.
    pub fn absent(&self) -> (HashSet<Arc<str>>, HashSet<Arc<str>>) {
        let now = self.clock.now();
        let state = self.state.lock();
        let those = |is: fn(&Node, Stamp) -> bool| {
            let chosen = state.nodes.iter().filter(|(_, node)| is(node, now));
            chosen.map(|(name, _)| name.clone()).collect()
        };
        (those(Node::is_silent), those(Node::has_left))
    }

    /// Each agent, ordered by node.
    pub fn list(&self) -> Vec<AgentView> {
        let now = self.clock.now();
        let state = self.state.lock();
        let view = |(name, node): (&Arc<str>, &Node)| AgentView {
            node: name.clone(),
            version: node.version.clone(),
            connected_since: node.stream.as_ref().map(|stream| stream.since),
            heard: node.heard,
            planes: node.planes.clone(),
            clock_error: node.offset.error(),
            counts: node.counts,
        };
        let mut all: Vec<_> = state.nodes.iter().filter(|(_, node)| !node.is_gone(now)).map(view).collect();
        drop(state);
        all.sort_unstable_by(|one, other| one.node.cmp(&other.node));
        all
    }

    /// The last events that match `wanted`, up to `limit`, the newest first.
    pub fn recent(&self, limit: usize, wanted: impl Fn(&Told) -> bool) -> Vec<Arc<Told>> {
        self.state.lock().recent.iter().filter(|told| wanted(told)).take(limit).cloned().collect()
    }
}

// === impl State ===

impl State {
    /// Makes room for one more node.
    fn make_room(&mut self, now: Stamp) -> Result<(), Refusal> {
        if self.nodes.len() < KNOWN {
            return Ok(());
        }
        self.nodes.retain(|_, node| !node.is_gone(now));
        if self.nodes.len() < KNOWN {
            return Ok(());
        }
        let left = self.nodes.iter().filter(|(_, node)| node.stream.is_none());
        let longest_ago = left.min_by_key(|(_, node)| node.heard).map(|(name, _)| name.clone());
        self.nodes.remove(&longest_ago.ok_or(Refusal::TooMany)?);
        Ok(())
    }
}
