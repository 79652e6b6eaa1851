//! Agents in this process: for simulated nodes, which have no connection, no token, and no clock of their own.

use super::{
    agents::{Admitted, Agents},
    offset::Exchange,
};
use crate::dataplane::{
    self, Event, Planes,
    messages::{Batch, EventMessage, Hello, NumberedEvent},
};
use prost::Message;
use std::sync::Arc;
use tokio::sync::oneshot;

/// An agent in this process. It takes the same way as others from where its messages arrive, so nothing behind that can tell them
/// apart. Dropping it disconnects it.
#[derive(Debug)]
pub struct LocalAgent {
    admitted: Admitted,
    /// Kept, because no other agent of the node will replace it.
    _replaced: oneshot::Receiver<()>,
    /// Number of the last event.
    sequence: u64,
}

// === impl LocalAgent ===

impl LocalAgent {
    /// Connects an agent that sees these data planes of a node. `None` if there are too many agents.
    pub async fn connect(agents: &Arc<Agents>, node: &Arc<str>, version: &str, planes: &Planes) -> Option<Self> {
        let hello =
            Hello { node: node.to_string(), version: version.to_owned(), epoch: rand::random(), acknowledged: 0 };
        // As for a session: it has started, and events were lost.
        let mut room = agents.room(2).await?;
        let (admitted, replaced) = agents.admit(node, hello, &mut room).ok()?;
        drop(room);
        let mut agent = Self { admitted, _replaced: replaced, sequence: 0 };
        agent.send(Batch { events: Vec::new(), planes: Some(planes.into()) }).await;
        Some(agent)
    }

    /// Passes on what happened. All stamps in it must be of this machine, and not in the future.
    pub async fn tell(&mut self, events: &[Event]) {
        let mut numbered = |event| {
            self.sequence += 1;
            NumberedEvent { sequence: self.sequence, event: EventMessage::from(event).encode_to_vec().into() }
        };
        let events = events.iter().map(&mut numbered).collect();
        self.send(Batch { events, planes: None }).await;
    }

    /// Compares the clocks, and shows that the agent is there. Necessary every few seconds while there is nothing to tell.
    pub fn compare(&self) {
        let asked = dataplane::clock::now();
        let there = dataplane::clock::now();
        let heard = dataplane::clock::now();
        self.admitted.heard();
        // One clock cannot contradict itself.
        let _ = self.admitted.compare(Exchange { asked, received: there, replied: there, heard });
    }

    async fn send(&mut self, batch: Batch) {
        // A time counts only if it lies between two comparisons.
        self.compare();
        if let Some(mut room) = self.admitted.agents().room(Admitted::events_of(&batch)).await {
            self.admitted.take(batch, &mut room);
        }
    }
}
