//! The agents that are connected: each event is taken once, and each probe compares the clocks.

use super::{Agents, State, counts::Counts, node::Node};
use crate::{
    collector::{
        offset::{Exchange, Verdict},
        output::Room,
        refusal::Refusal,
        told::{Told, What},
    },
    dataplane::{
        Event, Planes,
        messages::{Batch, EventMessage},
    },
};
use std::sync::Arc;

/// An agent's stream, as its session holds it. Dropping it disconnects the agent.
#[derive(Debug)]
pub(in crate::collector) struct Admitted {
    pub(super) agents: Arc<Agents>,
    pub(super) node: Arc<str>,
    pub(super) number: u64,
    /// The last event that need not be sent again.
    pub(in crate::collector) taken: u64,
    /// Whether the kernel's state is not known.
    pub(in crate::collector) wants_state: bool,
}

// === impl Admitted ===

impl Admitted {
    /// The agents that it is one of.
    pub(in crate::collector) fn agents(&self) -> &Arc<Agents> {
        &self.agents
    }

    /// The agent sent something.
    pub(in crate::collector) fn heard(&self) {
        let now = self.agents.clock.now();
        self.with_node(|node, _| node.heard = now);
    }

    /// The result of one probe of its clock.
    ///
    /// # Errors
    /// If the agent's times are impossible.
    pub(in crate::collector) fn compare(&self, exchange: Exchange) -> Result<(), Refusal> {
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

    /// Whether another comparison of the clocks would probably be more exact than the last one.
    pub(in crate::collector) fn is_rough(&self) -> bool {
        self.with_node(|node, _| node.offset.is_rough()).unwrap_or_default()
    }

    /// The number of events that a batch can become: each one, what may be missing before it, and the data planes.
    pub(in crate::collector) fn events_of(batch: &Batch) -> usize {
        2 * batch.events.len() + 1
    }

    /// Takes a batch, each event once. Returns the last event that need not be sent again; `None` if the agent is now connected
    /// by another stream.
    pub(in crate::collector) fn take(&self, batch: Batch, room: &mut Room<'_>) -> Option<u64> {
        let now = self.agents.reading();
        let mut state = self.agents.state.lock();
        let State { timeline, nodes, recent, counts, .. } = &mut *state;
        let node = nodes.get_mut(&self.node).filter(|node| node.is_of(self.number))?;
        let name = &self.node;
        let mut tell = |room: &mut Room<'_>, when, what| {
            let told = Arc::new(Told { node: name.clone(), when, what });
            room.send(told.clone());
            recent.push(told);
        };
        if let Some(planes) = &batch.planes {
            let planes = Planes::from(planes);
            tell(room, None, What::Follows(planes.seen()));
            node.planes = Some(planes);
        }
        for numbered in batch.events {
            let Some(missing) = numbered.sequence.checked_sub(node.taken.saturating_add(1)) else {
                node.counts.duplicate += 1;
                counts.duplicate += 1;
                continue;
            };
            node.taken = numbered.sequence;
            let mut lost = 0;
            if missing > 0 {
                lost = missing;
                counts.lost_ring = counts.lost_ring.saturating_add(missing);
                tell(room, None, What::Lost(missing));
            }
            match EventMessage::read(&numbered.event) {
                Ok(Event::State(part)) => {
                    node.has_state |= part.is_last;
                    let what = What::Event(Event::State(part));
                    room.send(Arc::new(Told { node: self.node.clone(), when: None, what }));
                }
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
                    tell(room, when, What::Event(event));
                }
                Err(error) => {
                    tracing::debug!(node = &*self.node, %error, "an event cannot be read");
                    lost += 1;
                    counts.lost_unreadable += 1;
                    tell(room, None, What::Lost(1));
                }
            }
            node.has_state &= lost == 0;
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
