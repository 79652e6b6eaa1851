//! The agents that are connected, or were until recently: which events each has sent, and how its clock compares.

use super::{
    offset::{Exchange, Interval, Offset, Verdict},
    refusal::Refusal,
    timeline::{Reading, Timeline},
    told::{Recent, Told, What},
};
use crate::{
    cluster::clock::Clock,
    dataplane::{
        self, Event, Loss, Planes, When,
        messages::{Batch, EventMessage, Hello},
    },
    model::Stamp,
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Maximum number of known nodes: twice as many as in the largest clusters.
const KNOWN: usize = 10_000;

/// An agent that has sent nothing for this time is silent. Its stream ends earlier if it does not answer a probe.
pub(super) const SILENT: Duration = Duration::from_secs(30);

/// An agent that sent nothing for this time is gone, with its node.
const GONE: Duration = Duration::from_secs(3600);

/// Minimum time between log lines about refusals for the same reason.
const LOGGED: Duration = Duration::from_secs(60);

/// All agents, and what they sent.
#[derive(Debug)]
pub struct Agents {
    clock: Clock,
    state: Mutex<State>,
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

/// An agent that is known.
#[derive(Debug)]
struct Node {
    /// Identifies the agent's run.
    epoch: u64,
    version: String,
    planes: Option<Planes>,
    /// The last event of this run that was taken, or that will never come.
    taken: u64,
    offset: Offset,
    stream: Option<Stream>,
    /// When it last sent something.
    heard: Stamp,
    /// The counts for the node, over all runs of its agent.
    counts: NodeCounts,
}

/// The stream of an agent.
#[derive(Debug)]
struct Stream {
    number: u64,
    since: Stamp,
    /// Ends the stream when it is dropped.
    _replaced: oneshot::Sender<()>,
}

/// An agent's stream, as its session holds it. Dropping it disconnects the agent.
#[derive(Debug)]
pub(super) struct Admitted {
    agents: Arc<Agents>,
    node: Arc<str>,
    number: u64,
    /// The last event that need not be sent again.
    pub(super) taken: u64,
}

/// The counts for one node since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Events that arrived, each counted once.
    pub received: u64,
    /// Received events whose time is unknown.
    pub untimed: u64,
    /// Events that arrived again.
    pub duplicate: u64,
    /// Events that were lost before they were taken: dropped by the agent, unreadable, or sent to another daemon.
    pub lost: u64,
    /// Number of times that its clock and the daemon's stopped agreeing.
    pub steps: u64,
}

/// The counts for all nodes since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that arrived, each counted once.
    pub received: u64,
    /// Received events whose time is unknown.
    pub untimed: u64,
    /// Events that arrived again.
    pub duplicate: u64,
    /// Events that an agent had to drop from memory before they could be sent.
    pub lost_ring: u64,
    /// Events that were sent to another daemon.
    pub lost_elsewhere: u64,
    /// Events that arrived and could not be understood.
    pub lost_unreadable: u64,
    /// Gaps in the kernel's notifications to an agent, in the order of [`Loss::ALL`].
    pub gaps: [u64; Loss::ALL.len()],
    /// Number of times that a node's clock and the daemon's stopped agreeing.
    pub steps: u64,
    /// Streams and connections that were refused, in the order of [`Summary::REFUSED`].
    pub refused: [u64; Refusal::REASONS.len()],
}

/// All agents in a few numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Agents that have a stream.
    pub connected: usize,
    /// Agents that sent something within the last hour, but nothing recently.
    pub silent: usize,
    /// The largest clock error among the connected agents.
    pub clock_error: Duration,
    /// The counts.
    pub counts: Counts,
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
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let agents = Self { clock, state: Mutex::default() };
        agents.read_clocks();
        Arc::new(agents)
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
    ) -> Result<(Admitted, oneshot::Receiver<()>), Refusal> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let state = &mut *state;
        let earlier = state.nodes.get(node).map(|known| (known.epoch, known.counts));
        if earlier.is_none() {
            state.make_room(now)?;
        }
        if earlier.is_none_or(|(epoch, _)| epoch != hello.epoch) {
            let counts = earlier.map(|(_, counts)| counts).unwrap_or_default();
            state.nodes.insert(node.clone(), Node::starting(&hello, counts, now));
            state.recent.push(Told { node: node.clone(), when: None, what: What::Started });
        }
        // It was there before, or the line above has added it.
        let known = state.nodes.entry(node.clone());
        let known = known.or_insert_with(|| Node::starting(&hello, NodeCounts::default(), now));
        let elsewhere = hello.acknowledged.saturating_sub(known.taken);
        if elsewhere > 0 {
            known.taken = hello.acknowledged;
            known.counts.lost = known.counts.lost.saturating_add(elsewhere);
            state.counts.lost_elsewhere = state.counts.lost_elsewhere.saturating_add(elsewhere);
            state.recent.push(Told { node: node.clone(), when: None, what: What::Lost(elsewhere) });
        }
        let (leave, replaced) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        known.version = hello.version;
        known.heard = now;
        known.stream = Some(Stream { number, since: now, _replaced: leave });
        Ok((Admitted { agents: self.clone(), node: node.clone(), number, taken: known.taken }, replaced))
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
            silent: state.nodes.values().filter(|node| node.is_silent(now)).count(),
            clock_error: connected().filter_map(|node| node.offset.error()).max().unwrap_or_default(),
            counts: state.counts,
        }
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
    pub fn recent(&self, limit: usize, wanted: impl Fn(&Told) -> bool) -> Vec<Told> {
        self.state.lock().recent.iter().filter(|told| wanted(told)).take(limit).cloned().collect()
    }
}

// === impl Admitted ===

impl Admitted {
    /// The agent sent something.
    pub(super) fn heard(&self) {
        let now = self.agents.clock.now();
        self.with_node(|node, _| node.heard = now);
    }

    /// The result of one probe of its clock.
    ///
    /// # Errors
    /// If the agent's times are impossible.
    pub(super) fn compare(&self, exchange: Exchange) -> Result<(), Refusal> {
        let verdict = self.with_node(|node, state| {
            let verdict = node.offset.compare(exchange);
            if verdict == Verdict::Stepped {
                node.counts.steps += 1;
                state.steps += 1;
            }
            verdict
        });
        match verdict {
            Some(Verdict::Impossible) => Err(Refusal::Malformed("a reply that took longer than its round trip")),
            Some(Verdict::Stepped) => {
                tracing::warn!(
                    node = &*self.node,
                    "the node's clock and the daemon's do not agree any more: one of them stood still"
                );
                Ok(())
            }
            Some(Verdict::Agrees) | None => Ok(()),
        }
    }

    /// Takes a batch, each event once. Returns the last event that need not be sent again; `None` if the agent is now connected
    /// by another stream.
    pub(super) fn take(&self, batch: Batch) -> Option<u64> {
        let now = self.agents.reading();
        let mut state = self.agents.state.lock();
        let State { timeline, nodes, recent, counts, .. } = &mut *state;
        let node = nodes.get_mut(&self.node).filter(|node| node.is_of(self.number))?;
        if let Some(planes) = &batch.planes {
            node.planes = Some(planes.into());
        }
        for numbered in batch.events {
            let Some(missing) = numbered.sequence.checked_sub(node.taken.saturating_add(1)) else {
                node.counts.duplicate += 1;
                counts.duplicate += 1;
                continue;
            };
            node.taken = numbered.sequence;
            let mut tell = |when, what| recent.push(Told { node: self.node.clone(), when, what });
            let mut lost = 0;
            if missing > 0 {
                lost = missing;
                counts.lost_ring = counts.lost_ring.saturating_add(missing);
                tell(None, What::Lost(missing));
            }
            match EventMessage::read(&numbered.event) {
                Ok(event) => {
                    let when = node.when(&event).and_then(|raw| timeline.convert(raw, now));
                    node.counts.received += 1;
                    counts.received += 1;
                    if when.is_none() {
                        node.counts.untimed += 1;
                        counts.untimed += 1;
                    }
                    if let Event::Gap(gap) = &event {
                        counts.count_gap(gap.loss);
                    }
                    tell(when, What::Event(event));
                }
                Err(error) => {
                    tracing::debug!(node = &*self.node, %error, "an event cannot be read");
                    lost += 1;
                    counts.lost_unreadable += 1;
                    tell(None, What::Lost(1));
                }
            }
            node.counts.lost = node.counts.lost.saturating_add(lost);
        }
        Some(node.taken)
    }

    fn with_node<T>(&self, act: impl FnOnce(&mut Node, &mut Counts) -> T) -> Option<T> {
        let mut state = self.agents.state.lock();
        let State { nodes, counts, .. } = &mut *state;
        nodes.get_mut(&self.node).filter(|node| node.is_of(self.number)).map(|node| act(node, counts))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.with_node(|node, _| node.stream = None);
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

// === impl Node ===

impl Node {
    /// The state of a run that begins with this hello.
    fn starting(hello: &Hello, counts: NodeCounts, now: Stamp) -> Self {
        Self {
            epoch: hello.epoch,
            version: String::new(),
            planes: None,
            taken: hello.acknowledged,
            offset: Offset::default(),
            stream: None,
            heard: now,
            counts,
        }
    }

    fn is_of(&self, stream: u64) -> bool {
        self.stream.as_ref().is_some_and(|it| it.number == stream)
    }

    fn is_silent(&self, now: Stamp) -> bool {
        now.since(self.heard) >= SILENT && !self.is_gone(now)
    }

    fn is_gone(&self, now: Stamp) -> bool {
        self.stream.is_none() && now.since(self.heard) >= GONE
    }

    /// When an event happened, on the daemon's raw clock.
    fn when(&self, event: &Event) -> Option<Interval> {
        let gap = match event {
            Event::Changed(observation) => match &observation.when {
                When::Commit(commit) => return self.offset.convert(commit.first),
                When::Gap(gap) => gap,
            },
            Event::Gap(gap) => gap,
        };
        let (since, until) = (self.offset.convert(gap.since)?, self.offset.convert(gap.until)?);
        Some(Interval { earliest: since.earliest, latest: until.latest.max(since.earliest) })
    }
}

// === impl Counts ===

impl Counts {
    fn count_gap(&mut self, loss: Loss) {
        if let Some(index) = Loss::ALL.iter().position(|it| *it == loss) {
            self.gaps[index] += 1;
        }
    }
}

// === impl Summary ===

impl Summary {
    /// The names of the reasons for which streams and connections are refused.
    pub const REFUSED: [&str; Refusal::REASONS.len()] = Refusal::REASONS;
}
