//! The bounded way from the readers of the sockets to the one who decodes and measures.
//!
//! Each watch has room of its own, so that one of them, or one namespace of many, cannot hold up the others. All lists share a room beside
//! that: nothing is timed by them, and they may wait at the server.

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
const EVENTS: usize = 28 << 20;

/// What a watch may hold of that, however many there are: some large events.
const LEAST: usize = 256 << 10;

/// Bytes of lists that may wait. Few: a whole list would otherwise lie here instead of at the server, and the process keep the memory.
const LISTS: usize = 4 << 20;

/// Bytes of a watch that may lie until somebody looks. Stamps are made by then, so that nothing is measured worse; but a thread that
/// wakes up for every event costs more by waking up than by what it does.
const LOT: usize = 512 << 10;

/// What a watch hands over.
#[derive(Debug)]
pub struct Delivery {
    /// Which watch.
    pub watch: usize,
    /// What it has to say.
    pub step: Step,
    _room: Option<Room>,
}

/// One step of a watch, not decoded yet.
#[derive(Debug)]
pub enum Step {
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

/// What takes up room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A part of a list.
    List,
    /// An event of the watch.
    Event,
}

/// Room for one step, given back when it has been taken.
#[derive(Debug)]
pub struct Room {
    _permit: OwnedSemaphorePermit,
}

/// The end of one reader.
#[derive(Debug)]
pub struct Intake {
    watch: usize,
    sender: UnboundedSender<Delivery>,
    events: Budget,
    lists: Budget,
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

/// Bytes that may be waiting at a time.
#[derive(Clone, Debug)]
struct Budget {
    bytes: usize,
    free: Arc<Semaphore>,
}

// === impl Step ===

impl Step {
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

// === impl Intake ===

impl Intake {
    /// The ends of so many readers, numbered from zero, and the one of who takes it all.
    pub fn for_watches(watches: usize) -> (Vec<Self>, Deliveries) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (due, lists) = (Arc::new(Notify::new()), Budget::of(LISTS));
        let share = (EVENTS / watches.max(1)).max(LEAST);
        let intake = |watch| {
            let (sender, lists, due) = (sender.clone(), lists.clone(), due.clone());
            Self { watch, sender, events: Budget::of(share), lists, due }
        };
        let intakes = (0..watches).map(intake).collect();
        (intakes, Deliveries { receiver, due })
    }

    /// Hands over a step that holds no bytes of note.
    ///
    /// # Errors
    /// When the process is ending.
    pub fn send(&self, step: Step) -> Result<(), IntakeClosed> {
        self.hand_over(step, None)
    }

    /// Hands over a step that there is room for.
    ///
    /// # Errors
    /// When the process is ending.
    pub fn send_into(&self, room: Room, step: Step) -> Result<(), IntakeClosed> {
        self.hand_over(step, Some(room))
    }

    /// Room for so many bytes, if there is some now.
    pub fn try_room(&self, load: Load, bytes: usize) -> Option<Room> {
        let budget = self.budget(load);
        let permit = budget.free.clone().try_acquire_many_owned(budget.share(bytes)).ok()?;
        Some(Room { _permit: permit })
    }

    /// Room for so many bytes, once there is some.
    ///
    /// # Errors
    /// When the process is ending.
    pub async fn room(&self, load: Load, bytes: usize) -> Result<Room, IntakeClosed> {
        let budget = self.budget(load);
        // What fills it must be looked at, though it may be less than a lot.
        self.due.notify_one();
        let permit = budget.free.clone().acquire_many_owned(budget.share(bytes)).await.map_err(|_| IntakeClosed)?;
        Ok(Room { _permit: permit })
    }

    fn budget(&self, load: Load) -> &Budget {
        match load {
            Load::List => &self.lists,
            Load::Event => &self.events,
        }
    }

    fn hand_over(&self, step: Step, room: Option<Room>) -> Result<(), IntakeClosed> {
        let is_waited_for = step.is_waited_for();
        self.sender.send(Delivery { watch: self.watch, step, _room: room }).map_err(|_| IntakeClosed)?;
        if is_waited_for || self.events.taken() >= LOT.min(self.events.bytes / 2) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const PIECE: usize = 64 << 10;

    /// Fills what there is for a load, and returns it with what it holds.
    fn fill(intake: &Intake, load: Load) -> (Vec<Room>, usize) {
        let rooms: Vec<_> = std::iter::from_fn(|| intake.try_room(load, PIECE)).collect();
        let bytes = rooms.len() * PIECE;
        (rooms, bytes)
    }

    #[test]
    fn the_lists_of_one_namespace_leave_all_others_their_room() {
        let (intakes, _deliveries) = Intake::for_watches(6);
        let (lists, _) = fill(&intakes[0], Load::List);
        assert!(intakes[3].try_room(Load::List, PIECE).is_none(), "they share");
        assert!(intakes.iter().all(|intake| intake.try_room(Load::Event, LOT).is_some()));
        drop(lists);
        assert!(intakes[3].try_room(Load::List, PIECE).is_some());
    }

    #[test]
    fn a_watch_that_brings_too_much_leaves_all_others_their_room() {
        let (intakes, _deliveries) = Intake::for_watches(6);
        let (_events, _) = fill(&intakes[0], Load::Event);
        assert!(intakes[0].try_room(Load::Event, PIECE).is_none());
        assert!(intakes[1..].iter().all(|intake| intake.try_room(Load::Event, LOT).is_some()));
    }

    #[test]
    fn together_they_hold_no_more_than_is_said() {
        for (watches, bound) in [(3, 32 << 20), (30, 32 << 20), (600, LISTS + 600 * LEAST)] {
            let (intakes, _deliveries) = Intake::for_watches(watches);
            let (_lists, of_lists) = fill(&intakes[0], Load::List);
            let filled: Vec<_> = intakes.iter().map(|intake| fill(intake, Load::Event)).collect();
            let all = of_lists + filled.iter().map(|(_, bytes)| bytes).sum::<usize>();
            assert!(all <= bound && all > bound * 9 / 10, "{watches} watches hold {all} bytes");
        }
    }

    #[test]
    fn what_is_larger_than_the_room_takes_all_of_it() {
        let (intakes, mut deliveries) = Intake::for_watches(1);
        let room = intakes[0].try_room(Load::Event, 10 * EVENTS).expect("an empty room");
        assert!(intakes[0].try_room(Load::Event, 1).is_none());
        intakes[0].send_into(room, Step::Init(Stamp::default())).expect("open");
        let mut next = std::pin::pin!(intakes[0].room(Load::Event, 1));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(deliveries.due().now_or_never().is_some(), "somebody looks, so that there is room again");
        assert_eq!(deliveries.waiting().count(), 1);
        assert!(next.now_or_never().is_some());
    }
}
