//! The bounded way from the readers of the sockets to the one who decodes and measures.

use crate::cluster::{decode::Late, event::Stamp, frame::FrameTooLarge};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{
    Notify, OwnedSemaphorePermit, Semaphore,
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

/// Bytes that may wait to be decoded: a tenth of a second of twenty thousand changes a second. They are there for a burst alone.
const ROOM: usize = 32 << 20;

/// What came late takes so many times the room that it needs. It may wait at the server as well as here, where a whole list would
/// otherwise fill the room, and the process keep the memory.
const LATE_SHARE: usize = 8;

/// Bytes that may lie until somebody looks. Stamps are made by then, so that nothing is measured worse; but a thread that wakes up
/// for every event costs more by waking up than by what it does.
const LOT: usize = 512 << 10;

/// What a watch hands over.
#[derive(Debug)]
pub struct Delivery {
    /// Which watch.
    pub watch: usize,
    /// What it has to say.
    pub step: Step,
    _room: Option<OwnedSemaphorePermit>,
}

/// One step of a watch, not decoded yet.
#[derive(Debug)]
pub enum Step {
    /// A list begins, streamed or in pages.
    ListBegan(Stamp),
    /// An event of the stream.
    Frame {
        /// When its last byte was read.
        at: Stamp,
        /// The event, encoded.
        bytes: Bytes,
        /// Whether it came late.
        late: Late,
    },
    /// What came in place of an event. Nothing follows it but the end of the connection.
    NoFrame(FrameTooLarge),
    /// A page of a list, to be answered with the token of the next, or with what is wrong with it.
    Page {
        /// When it was complete.
        at: Stamp,
        /// The body.
        body: Bytes,
        /// The answer.
        reply: oneshot::Sender<Result<Option<String>, String>>,
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

/// The readers' end.
#[derive(Clone, Debug)]
pub struct Intake {
    sender: UnboundedSender<Delivery>,
    room: Arc<Semaphore>,
    due: Arc<Notify>,
}

/// The end of the one who decodes.
#[derive(Debug)]
pub struct Deliveries {
    receiver: UnboundedReceiver<Delivery>,
    due: Arc<Notify>,
}

/// Nobody takes deliveries any more: the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the measuring has ended")]
pub struct IntakeClosed;

// === impl Step ===

impl Step {
    /// Whether a reader waits for what comes of it: an answer, or the end of a list.
    fn is_waited_for(&self) -> bool {
        self.is_late() || matches!(self, Self::Ended(_))
    }

    /// Whether nothing is timed by it.
    fn is_late(&self) -> bool {
        matches!(self, Self::Page { .. } | Self::Frame { late: Late::All, .. })
    }
}

// === impl Intake ===

impl Intake {
    /// Both ends.
    pub fn new() -> (Self, Deliveries) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let due = Arc::new(Notify::new());
        (Self { sender, room: Arc::new(Semaphore::new(ROOM)), due: due.clone() }, Deliveries { receiver, due })
    }

    /// Hands over a step that holds no bytes of note.
    ///
    /// # Errors
    /// When the process is ending.
    pub fn send(&self, watch: usize, step: Step) -> Result<(), IntakeClosed> {
        self.hand_over(Delivery { watch, step, _room: None })
    }

    /// Hands over `size` bytes, waiting for room. Returns whether it had to wait.
    ///
    /// # Errors
    /// When the process is ending.
    pub async fn send_bytes(&self, watch: usize, size: usize, step: Step) -> Result<bool, IntakeClosed> {
        let share = if step.is_late() { LATE_SHARE } else { 1 };
        let size = size.saturating_mul(share).min(ROOM) as u32;
        let (room, waited) = match self.room.clone().try_acquire_many_owned(size) {
            Ok(room) => (room, false),
            Err(_) => (self.room.clone().acquire_many_owned(size).await.map_err(|_| IntakeClosed)?, true),
        };
        self.hand_over(Delivery { watch, step, _room: Some(room) })?;
        Ok(waited)
    }

    fn hand_over(&self, delivery: Delivery) -> Result<(), IntakeClosed> {
        let is_waited_for = delivery.step.is_waited_for();
        self.sender.send(delivery).map_err(|_| IntakeClosed)?;
        if is_waited_for || ROOM - self.room.available_permits() >= LOT {
            self.due.notify_one();
        }
        Ok(())
    }
}

// === impl Deliveries ===

impl Deliveries {
    /// Completes when something should not lie any longer.
    pub async fn due(&self) {
        self.due.notified().await;
    }

    /// What has been handed over until now. What comes meanwhile is left for the next call.
    pub fn waiting(&mut self) -> impl Iterator<Item = Delivery> {
        (0..self.receiver.len()).map_while(|_| self.receiver.try_recv().ok())
    }
}
