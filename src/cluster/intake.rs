//! The bounded way from the readers of the sockets to the one who decodes and measures.

use crate::cluster::{decode::Late, event::Stamp};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, UnboundedReceiver, UnboundedSender},
    oneshot,
};

/// Bytes that may wait to be decoded. Enough for a burst of a few thousand pods; little beside what the pods themselves take.
const ROOM: usize = 16 << 20;

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
    /// Bytes of the stream.
    Chunk {
        /// When they were read.
        at: Stamp,
        /// The bytes.
        bytes: Bytes,
        /// Which events in it came late.
        late: Late,
    },
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
}

/// Nobody takes deliveries any more: the process is ending.
#[derive(Debug, thiserror::Error)]
#[error("the measuring has ended")]
pub struct IntakeClosed;

// === impl Delivery ===

impl Delivery {
    /// Whether the reader goes on only when it is answered.
    pub fn is_waited_for(&self) -> bool {
        matches!(self.step, Step::Page { .. } | Step::Ended(_))
    }
}

// === impl Intake ===

impl Intake {
    /// Both ends.
    pub fn new() -> (Self, UnboundedReceiver<Delivery>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, room: Arc::new(Semaphore::new(ROOM)) }, receiver)
    }

    /// Hands over a step that holds no bytes of note.
    ///
    /// # Errors
    /// When the process is ending.
    pub fn send(&self, watch: usize, step: Step) -> Result<(), IntakeClosed> {
        self.sender.send(Delivery { watch, step, _room: None }).map_err(|_| IntakeClosed)
    }

    /// Hands over `size` bytes, waiting for room. Returns whether it had to wait.
    ///
    /// # Errors
    /// When the process is ending.
    pub async fn send_bytes(&self, watch: usize, size: usize, step: Step) -> Result<bool, IntakeClosed> {
        let size = size.min(ROOM) as u32;
        let (room, waited) = match self.room.clone().try_acquire_many_owned(size) {
            Ok(room) => (room, false),
            Err(_) => (self.room.clone().acquire_many_owned(size).await.map_err(|_| IntakeClosed)?, true),
        };
        self.sender.send(Delivery { watch, step, _room: Some(room) }).map_err(|_| IntakeClosed)?;
        Ok(waited)
    }
}
