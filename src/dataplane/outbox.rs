//! What waits to be sent to the daemon, between the thread that reads the kernel and the one that communicates with the daemon.

use super::{
    event::Event,
    fingerprints::Fingerprints,
    messages::{Batch, EventMessage},
    observation::{Planes, Report},
    ring::{KEPT, Lost, Ring},
};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;

/// The state is sent when no more than this waits: otherwise it would displace what it follows.
const NEARLY_EMPTY: usize = KEPT / 8;

/// Events and data planes that the daemon does not have yet.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// The last ones that were reported.
    planes: Option<Planes>,
    /// Whether they were sent to the daemon, on this stream.
    planes_sent: bool,
    /// What the kernel does now.
    fingerprints: Fingerprints,
    /// Whether the daemon has to be told.
    wants_state: bool,
    /// What was lost when the daemon was last told.
    lost: Lost,
}

/// How much waits, and what was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Events until now.
    pub events: u64,
    /// Events that wait until they are acknowledged.
    pub waiting: usize,
    /// Their size in bytes.
    pub waiting_bytes: usize,
    /// Events that were lost.
    pub lost: Lost,
}

// === impl Outbox ===

impl Default for Outbox {
    fn default() -> Self {
        Self::bounded(KEPT)
    }
}

impl Outbox {
    /// An outbox with this limit in bytes.
    pub(crate) fn bounded(bytes: usize) -> Self {
        let state = State {
            ring: Ring::new(bytes),
            planes: None,
            planes_sent: false,
            fingerprints: Fingerprints::default(),
            wants_state: false,
            lost: Lost::default(),
        };
        Self { state: Mutex::new(state), news: Notify::new() }
    }

    /// Takes a report of a reader.
    pub fn push(&self, report: Report) {
        let mut state = self.state.lock();
        state.fingerprints.follow(&report);
        match report {
            // The daemon gets it in another form, if it wants it.
            Report::State { .. } => {}
            Report::Changed(observation) => state.push(&Event::Changed(observation)),
            Report::Gap(gap) => state.push(&Event::Gap(gap)),
            Report::Planes(planes) => {
                state.planes = Some(planes);
                state.planes_sent = false;
            }
        }
        drop(state);
        self.news.notify_one();
    }

    /// The daemon does not know what the kernel does now.
    pub(crate) fn want_state(&self) {
        self.state.lock().wants_state = true;
    }

    /// How much waits, and what was lost.
    pub fn counts(&self) -> OutboxCounts {
        let state = self.state.lock();
        let (waiting, waiting_bytes) = state.ring.waiting();
        OutboxCounts { events: state.ring.numbered(), waiting, waiting_bytes, lost: state.ring.lost() }
    }

    /// The data planes, once they are known.
    pub fn planes(&self) -> Option<Planes> {
        self.state.lock().planes.clone()
    }

    /// Completes when there may be something new.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// What waits to be sent, with events up to this number of bytes; `None` if nothing.
    pub(crate) fn batch(&self, bytes: usize) -> Option<Batch> {
        let mut state = self.state.lock();
        state.push_state();
        let events = state.ring.send(bytes);
        let news = !std::mem::replace(&mut state.planes_sent, true);
        let planes = state.planes.as_ref().filter(|_| news).map(Into::into);
        (planes.is_some() || !events.is_empty()).then_some(Batch { events, planes })
    }

    /// Events up to this one need not be sent again.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        self.state.lock().ring.acknowledge(sequence);
    }

    /// The last event that was acknowledged; 0 if none.
    pub(super) fn acknowledged(&self) -> u64 {
        self.state.lock().ring.acknowledged()
    }

    /// Number of bytes that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.state.lock().ring.waiting().1
    }

    /// Whether there is nothing to send, now that the last batch is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        let has_state = !state.wants_state && state.ring.lost() == state.lost;
        state.ring.waiting().0 == 0 && has_state && state.planes_sent
    }

    /// The stream is gone: what was in flight must be sent again.
    pub(super) fn give_up(&self) {
        let mut state = self.state.lock();
        state.ring.give_up();
        state.planes_sent = false;
    }
}

// === impl State ===

impl State {
    fn push(&mut self, event: &Event) {
        self.ring.push(EventMessage::from(event).encode_to_vec().into());
    }

    /// Adds the kernel's state behind all events, if the daemon does not know it, or has lost some of them.
    fn push_state(&mut self) {
        let lost = self.ring.lost();
        let (_, waiting) = self.ring.waiting();
        if (!self.wants_state && lost == self.lost) || waiting > NEARLY_EMPTY {
            return;
        }
        let Some(parts) = self.fingerprints.parts() else { return };
        (self.wants_state, self.lost) = (false, lost);
        parts.into_iter().for_each(|part| self.push(&Event::State(part)));
    }
}
