//! The way of the events from the sessions to the thread that joins them with the changes of Services.

use super::told::Told;
use std::sync::Arc;
use tokio::sync::mpsc::{self, PermitIterator};

/// Number of events that may be on their way. If the other thread is busy, agents wait for their acknowledgement.
const ROOM: usize = 65_536;

/// The other end: events in order, each once.
pub type Events = mpsc::Receiver<Arc<Told>>;

/// Passes events on.
#[derive(Debug)]
pub(super) struct Output(mpsc::Sender<Arc<Told>>);

/// Room for some events.
#[derive(Debug)]
pub(super) struct Room<'a>(Option<PermitIterator<'a, Arc<Told>>>);

// === impl Output ===

impl Output {
    /// Both ends.
    pub(super) fn new() -> (Self, Events) {
        let (sender, events) = mpsc::channel(ROOM);
        (Self(sender), events)
    }

    /// Waits until there is room for this number of events; `None` if there never is.
    pub(super) async fn room(&self, events: usize) -> Option<Room<'_>> {
        if events > ROOM {
            return None;
        }
        // The daemon ends if the other end is gone.
        Some(Room(self.0.reserve_many(events).await.ok()))
    }
}

// === impl Room ===

impl Room<'_> {
    /// Passes an event on.
    pub(super) fn send(&mut self, told: Arc<Told>) {
        if let Some(permit) = self.0.as_mut().and_then(Iterator::next) {
            permit.send(told);
        }
    }
}
