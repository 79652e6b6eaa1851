//! The bounded event queue, from the readers of the sockets to the thread that decodes and measures.
//!
//! Each watch has a budget of bytes, so that one of them, or one namespace of many, cannot hold up the others. All lists share a budget
//! beside that: nothing is timed by them, and they may wait at the server.

use crate::{
    cluster::{
        decode::{DecodeError, Page, ReplayBound},
        frame::FrameTooLarge,
    },
    model::Stamp,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{
    Notify, OwnedSemaphorePermit, Semaphore,
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

/// Bytes of events that may wait to be decoded, shared out to the watches: a tenth of a second of twenty thousand changes a second. They
/// are there for a burst alone.
const EVENTS_BUDGET_BYTES: usize = 28 << 20;

/// The least that a watch may hold, however many watches there are: some large events.
const MIN_BUDGET_BYTES: usize = 256 << 10;

/// Bytes of lists that may wait. Few: a whole list would otherwise lie here instead of at the server, and the process keep the memory.
const LISTS_BUDGET_BYTES: usize = 4 << 20;

/// Bytes of a watch that wake the receiver. With fewer it sleeps until its next tick: stamps are made by then, so that nothing is measured
/// worse, and a thread that wakes up for every event costs more by waking up than by what it does.
const WAKE_BYTES: usize = 512 << 10;

/// A message in the queue.
#[derive(Debug)]
pub struct Envelope {
    /// Which watch.
    pub watch: usize,
    /// What it says.
    pub message: Message,
    _permit: Option<Permit>,
}

/// A message of a watch, not decoded yet.
#[derive(Debug)]
pub enum Message {
    /// From then on the watch may lack what happened, or bring it late.
    Lost(Stamp),
    /// What happened before then has been told.
    Restored(Stamp),
    /// A list begins, streamed or in pages.
    Init(Stamp),
    /// An event of the stream.
    Frame {
        /// When its last byte was read.
        at: Stamp,
        /// The event, encoded.
        bytes: Bytes,
        /// Whether it is a replay.
        replay: ReplayBound,
    },
    /// What came in place of an event. Nothing follows it but the end of the connection.
    NoFrame(FrameTooLarge),
    /// A page of a list, to be answered with what it says beside its objects, or with what is wrong with it.
    Page {
        /// When it was complete.
        at: Stamp,
        /// The body.
        body: Bytes,
        /// The answer.
        reply: oneshot::Sender<Result<Page, DecodeError>>,
    },
    /// The connection ended. To be answered, once everything before is decoded, with how the watch can go on.
    Ended(oneshot::Sender<Progress>),
}

/// How far a watch has come, in the decoder's eyes.
#[derive(Debug, Default)]
pub struct Progress {
    /// The version to resume from; `None` if a list is needed.
    pub resume: Option<u64>,
    /// What ended the stream from within, if something did.
    pub failure: Option<StreamFailure>,
}

/// What ended a stream from within.
#[derive(Debug)]
pub struct StreamFailure {
    /// Whether the server said that the version is gone.
    pub expired: bool,
    /// For people.
    pub message: String,
}

/// What a message counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A part of a list.
    List,
    /// An event of the watch.
    Event,
}

/// Bytes reserved for one message, given back when it has been taken.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// The end of one watch.
#[derive(Debug)]
pub struct EventSender {
    watch: usize,
    sender: UnboundedSender<Envelope>,
    events: Budget,
    lists: Budget,
    due: Arc<Notify>,
}

/// The end of the thread that decodes.
#[derive(Debug)]
pub struct EventReceiver {
    receiver: UnboundedReceiver<Envelope>,
    due: Arc<Notify>,
}

/// The receiver is gone: the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the event queue is closed")]
pub struct QueueClosed;

/// Bytes that may be waiting at a time.
#[derive(Clone, Debug)]
struct Budget {
    bytes: usize,
    free: Arc<Semaphore>,
}

// === impl Message ===

impl Message {
    /// Whether somebody waits for what comes of it: a reader for an answer or the end of a list, or all who ask whether the watch holds.
    fn is_waited_for(&self) -> bool {
        match self {
            Self::Page { .. } | Self::Frame { replay: ReplayBound::All, .. } | Self::Restored(_) | Self::Ended(_) => {
                true
            }
            Self::Lost(_) | Self::Init(_) | Self::Frame { .. } | Self::NoFrame(_) => false,
        }
    }
}

// === impl EventSender ===

impl EventSender {
    /// The ends of so many watches, numbered from zero, and the one that takes all their messages.
    pub fn for_watches(watches: usize) -> (Vec<Self>, EventReceiver) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (due, lists) = (Arc::new(Notify::new()), Budget::of(LISTS_BUDGET_BYTES));
        let share = (EVENTS_BUDGET_BYTES / watches.max(1)).max(MIN_BUDGET_BYTES);
        let sender_of = |watch| {
            let (sender, lists, due) = (sender.clone(), lists.clone(), due.clone());
            Self { watch, sender, events: Budget::of(share), lists, due }
        };
        let senders = (0..watches).map(sender_of).collect();
        (senders, EventReceiver { receiver, due })
    }

    /// Sends a message that holds no bytes of note.
    ///
    /// # Errors
    /// When the process is ending.
    pub fn send(&self, message: Message) -> Result<(), QueueClosed> {
        self.hand_over(message, None)
    }

    /// Sends a message whose bytes are reserved.
    ///
    /// # Errors
    /// When the process is ending.
    pub fn send_reserved(&self, permit: Permit, message: Message) -> Result<(), QueueClosed> {
        self.hand_over(message, Some(permit))
    }

    /// Reserves so many bytes, if they are free now.
    pub fn try_reserve(&self, load: Load, bytes: usize) -> Option<Permit> {
        let budget = self.budget(load);
        let permit = budget.free.clone().try_acquire_many_owned(budget.share(bytes)).ok()?;
        Some(Permit { _permit: permit })
    }

    /// Reserves so many bytes, once they are free.
    ///
    /// # Errors
    /// When the process is ending.
    pub async fn reserve(&self, load: Load, bytes: usize) -> Result<Permit, QueueClosed> {
        let budget = self.budget(load);
        // What fills it must be looked at, though it may be too little to wake for.
        self.due.notify_one();
        let permit = budget.free.clone().acquire_many_owned(budget.share(bytes)).await.map_err(|_| QueueClosed)?;
        Ok(Permit { _permit: permit })
    }

    fn budget(&self, load: Load) -> &Budget {
        match load {
            Load::List => &self.lists,
            Load::Event => &self.events,
        }
    }

    fn hand_over(&self, message: Message, permit: Option<Permit>) -> Result<(), QueueClosed> {
        let is_waited_for = message.is_waited_for();
        self.sender.send(Envelope { watch: self.watch, message, _permit: permit }).map_err(|_| QueueClosed)?;
        if is_waited_for || self.events.taken() >= WAKE_BYTES.min(self.events.bytes / 2) {
            self.due.notify_one();
        }
        Ok(())
    }
}

// === impl Budget ===

impl Budget {
    fn of(bytes: usize) -> Self {
        Self { bytes, free: Arc::new(Semaphore::new(bytes)) }
    }

    /// What so many bytes take of it. All of it at the most, or they would never fit.
    fn share(&self, bytes: usize) -> u32 {
        // No budget comes near four gigabytes.
        bytes.min(self.bytes) as u32
    }

    fn taken(&self) -> usize {
        self.bytes - self.free.available_permits()
    }
}

// === impl EventReceiver ===

impl EventReceiver {
    /// Completes when something should not wait any longer.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// What has been handed over until now. What comes meanwhile is left for the next call.
    pub fn waiting(&mut self) -> impl Iterator<Item = Envelope> {
        (0..self.receiver.len()).map_while(|_| self.receiver.try_recv().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const PIECE: usize = 64 << 10;

    /// Fills what there is for a load, and returns it with what it holds.
    fn fill(sender: &EventSender, load: Load) -> (Vec<Permit>, usize) {
        let permits: Vec<_> = std::iter::from_fn(|| sender.try_reserve(load, PIECE)).collect();
        let bytes = permits.len() * PIECE;
        (permits, bytes)
    }

    #[test]
    fn the_lists_of_one_namespace_leave_all_others_their_budget() {
        let (senders, _receiver) = EventSender::for_watches(6);
        let (lists, _) = fill(&senders[0], Load::List);
        assert!(senders[3].try_reserve(Load::List, PIECE).is_none(), "they share");
        assert!(senders.iter().all(|sender| sender.try_reserve(Load::Event, WAKE_BYTES).is_some()));
        drop(lists);
        assert!(senders[3].try_reserve(Load::List, PIECE).is_some());
    }

    #[test]
    fn a_watch_that_brings_too_much_leaves_all_others_their_budget() {
        let (senders, _receiver) = EventSender::for_watches(6);
        let (_events, _) = fill(&senders[0], Load::Event);
        assert!(senders[0].try_reserve(Load::Event, PIECE).is_none());
        assert!(senders[1..].iter().all(|sender| sender.try_reserve(Load::Event, WAKE_BYTES).is_some()));
    }

    #[test]
    fn together_they_hold_no_more_than_is_said() {
        for (watches, bound) in [(3, 32 << 20), (30, 32 << 20), (600, LISTS_BUDGET_BYTES + 600 * MIN_BUDGET_BYTES)] {
            let (senders, _receiver) = EventSender::for_watches(watches);
            let (_lists, of_lists) = fill(&senders[0], Load::List);
            let filled: Vec<_> = senders.iter().map(|sender| fill(sender, Load::Event)).collect();
            let all = of_lists + filled.iter().map(|(_, bytes)| bytes).sum::<usize>();
            assert!(all <= bound && all > bound * 9 / 10, "{watches} watches hold {all} bytes");
        }
    }

    #[test]
    fn what_is_larger_than_the_budget_takes_all_of_it() {
        let (senders, mut receiver) = EventSender::for_watches(1);
        let permit = senders[0].try_reserve(Load::Event, 10 * EVENTS_BUDGET_BYTES).expect("an empty queue");
        assert!(senders[0].try_reserve(Load::Event, 1).is_none());
        senders[0].send_reserved(permit, Message::Init(Stamp::default())).expect("open");
        let mut next = std::pin::pin!(senders[0].reserve(Load::Event, 1));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(receiver.due().now_or_never().is_some(), "the receiver wakes, so that bytes are free again");
        assert_eq!(receiver.waiting().count(), 1);
        assert!(next.now_or_never().is_some());
    }
}
