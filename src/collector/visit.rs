//! The state of a connection, from its start to its end, which its parts share.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// A connection. It uses one of a few places until its agent is let in: so clients that are not agents cannot use more.
#[derive(Debug)]
pub(super) struct Visit {
    place: Mutex<Option<OwnedSemaphorePermit>>,
    phase: watch::Sender<Phase>,
}

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// The client is not known yet.
    Came,
    /// The agent was let in, and sends events.
    Entered,
    /// There is nothing more to send.
    Ended,
}

// === impl Visit ===

impl Visit {
    /// A connection that has just been accepted.
    pub(super) fn new(place: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(Some(place)), phase: watch::Sender::new(Phase::Came) })
    }

    /// Its agent was let in.
    pub(super) fn enter(&self) {
        self.place.lock().take();
        self.phase.send_replace(Phase::Entered);
    }

    /// Its agent has nothing more to send, or was refused.
    pub(super) fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    /// Completes when its agent was let in, or refused.
    pub(super) async fn entered(&self) {
        self.reached(Phase::Entered).await;
    }

    /// Completes when there is nothing more to send.
    pub(super) async fn ended(&self) {
        self.reached(Phase::Ended).await;
    }

    async fn reached(&self, phase: Phase) {
        // It fails if the sender is gone. The sender is part of this struct.
        let _ = self.phase.subscribe().wait_for(|it| *it >= phase).await;
    }
}
