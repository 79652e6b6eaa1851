//! A connection from its beginning to its end, as its parts tell each other about it.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// A connection. It takes one of a few places until its agent has been let in: those who are not agents, however many, take no more.
#[derive(Debug)]
pub(super) struct Visit {
    place: Mutex<Option<OwnedSemaphorePermit>>,
    phase: watch::Sender<Phase>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It is not known whose it is.
    Came,
    /// An agent's, which tells.
    Entered,
    /// There is nothing to tell any more.
    Ended,
}

// === impl Visit ===

impl Visit {
    /// A connection that has just come.
    pub(super) fn new(place: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(Some(place)), phase: watch::Sender::new(Phase::Came) })
    }

    /// Its agent was let in.
    pub(super) fn enter(&self) {
        self.place.lock().take();
        self.phase.send_replace(Phase::Entered);
    }

    /// Its agent has no more to tell, or was refused.
    pub(super) fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    /// Completes once its agent was let in, or refused.
    pub(super) async fn entered(&self) {
        self.reached(Phase::Entered).await;
    }

    /// Completes once there is nothing to tell any more.
    pub(super) async fn ended(&self) {
        self.reached(Phase::Ended).await;
    }

    async fn reached(&self, phase: Phase) {
        // It fails once the sender is gone, which is part of this.
        let _ = self.phase.subscribe().wait_for(|it| *it >= phase).await;
    }
}
