//! The bounded event queue, from the readers of the sockets to the thread that decodes and measures.
//!
//! Each watch has its own budget of bytes, so that one watch, or one of many namespaces, cannot block the others. All lists share
//! another budget: no delay is computed from them, and they can wait at the server.

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

/// Bytes of events that may wait to be decoded, divided between the watches. This is a tenth of a second at twenty thousand
/// changes a second. It is needed only in bursts.
const EVENTS_BUDGET_BYTES: usize = 28 << 20;

/// The minimum for a watch, however many watches there are: a few large events.
const MIN_BUDGET_BYTES: usize = 256 << 10;

/// Bytes of lists that may wait. The value is small: otherwise a whole list would wait here instead of at the server, and the
/// process would keep that memory.
const LISTS_BUDGET_BYTES: usize = 4 << 20;

/// Number of waiting bytes of a watch that wakes the receiver. With fewer bytes the receiver sleeps until its next tick. The
/// events already have their stamps, so this does not change any delay, and a wake-up for every event costs more than decoding
/// it.
const WAKE_BYTES: usize = 512 << 10;

/// A message in the queue.
#[derive(Debug)]
pub struct Envelope {
    /// Which watch.
    pub watch: usize,
    /// The message.
    pub message: Message,
    _permit: Option<Permit>,
}

/// A message of a watch, not decoded yet.
#[derive(Debug)]
pub enum Message {
    /// From this time on, the watch may miss events or deliver them late.
    Lost(Stamp),
    /// Everything that happened before this time has been delivered.
    Restored(Stamp),
    /// A list starts, streamed or in pages.
    Init(Stamp),
    /// An event of the stream.
    Frame {
        /// When its last byte was read.
        at: Stamp,
        /// The event, encoded.
        bytes: Bytes,
        /// Which events are a replay.
        replay: ReplayBound,
    },
    /// Bytes that are not an event. Only the end of the connection follows.
    NoFrame(FrameTooLarge),
    /// A page of a list. The answer is the page's token and version, or its error.
    Page {
        /// When its last byte was read.
        at: Stamp,
        /// The body.
        body: Bytes,
        /// Receives the answer.
        reply: oneshot::Sender<Result<Page, DecodeError>>,
    },
    /// The connection ended. When everything before is decoded, the answer says how the watch can continue.
    Ended(oneshot::Sender<Progress>),
}

/// The progress of a watch, as the decoder knows it.
#[derive(Debug, Default)]
pub struct Progress {
    /// The version to resume from; `None` if a list is needed.
    pub resume: Option<u64>,
    /// What the decoder found wrong in the stream, if anything.
    pub failure: Option<StreamFailure>,
}

/// An error in the contents of a stream.
#[derive(Debug)]
pub struct StreamFailure {
    /// Whether the server said that the resourceVersion is gone.
    pub expired: bool,
    /// A message for people.
    pub message: String,
}

/// The budget that a message uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A part of a list.
    List,
    /// An event of the watch.
    Event,
}

/// Bytes reserved for one message. They are released when the message is taken.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// The sending end of one watch.
#[derive(Debug)]
pub struct EventSender {
    watch: usize,
    sender: UnboundedSender<Envelope>,
    events: Budget,
    lists: Budget,
    due: Arc<Notify>,
}

/// The receiving end, for the thread that decodes.
#[derive(Debug)]
pub struct EventReceiver {
    receiver: UnboundedReceiver<Envelope>,
    due: Arc<Notify>,
}

/// The receiver is gone: the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the event queue is closed")]
pub struct QueueClosed;

/// Number of bytes that may wait at a time.
#[derive(Clone, Debug)]
struct Budget {
    bytes: usize,
    free: Arc<Semaphore>,
}

// === impl Message ===

impl Message {
    /// Whether something waits for the effect of this message: a reader for an answer or for the end of a list, or the check
    /// whether a watch is healthy.
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
    /// Creates the sending ends of this number of watches, numbered from zero, and the receiving end for all of them.
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

    /// Sends a message that holds almost no bytes.
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

    /// Reserves this number of bytes, if they are free now.
    pub fn try_reserve(&self, load: Load, bytes: usize) -> Option<Permit> {
        let budget = self.budget(load);
        let permit = budget.free.clone().try_acquire_many_owned(budget.share(bytes)).ok()?;
        Some(Permit { _permit: permit })
    }

    /// Reserves this number of bytes, and waits until they are free.
    ///
    /// # Errors
    /// When the process is ending.
    pub async fn reserve(&self, load: Load, bytes: usize) -> Result<Permit, QueueClosed> {
        let budget = self.budget(load);
        // The receiver must process what fills the budget, even if it is too little to wake it.
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

    /// The part of the budget that this number of bytes takes. At most the whole budget, otherwise a large message would never
    /// fit.
    fn share(&self, bytes: usize) -> u32 {
        // No budget is near four gigabytes.
        bytes.min(self.bytes) as u32
    }

    fn taken(&self) -> usize {
        self.bytes - self.free.available_permits()
    }
}

// === impl EventReceiver ===

impl EventReceiver {
    /// Completes when a message should not wait any longer.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// The messages up to now. Messages that arrive in the meantime are left for the next call.
    pub fn waiting(&mut self) -> impl Iterator<Item = Envelope> {
        (0..self.receiver.len()).map_while(|_| self.receiver.try_recv().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const PIECE: usize = 64 << 10;

    /// Fills the budget for a load, and returns the permits and their total size.
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
