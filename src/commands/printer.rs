//! Prints changes on its own thread: a slow reader loses lines, but never affects the measurement.

use super::{rows::Rows, text::counted};
use crate::{exposition::samples::write_line, logging::LogFormat, model::Stamp, pipeline::Ending, propagation::Ended};
use std::{
    io::{self, ErrorKind, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::{JoinHandle, spawn_blocking},
};

/// Number of changes that may wait to be printed.
const QUEUE: usize = 65_536;

/// Maximum number of bytes of one write.
pub(super) const BATCH: usize = 64 << 10;

/// Takes changes that have ended, and never blocks.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Sender<Ended>,
    dropped: Arc<AtomicU64>,
}

/// The other end of a [`Queue`].
#[derive(Debug)]
pub(super) struct Waiting {
    receiver: Receiver<Ended>,
    dropped: Arc<AtomicU64>,
}

/// The thread that prints, for its owner.
#[derive(Debug)]
pub(super) struct Printer {
    thread: JoinHandle<io::Result<()>>,
    /// How the thread ended, if it has.
    ended: Option<io::Result<()>>,
    dropped: Arc<AtomicU64>,
}

/// How a change is printed: as a row of a table, or as a line of JSON.
#[derive(Debug)]
pub(super) struct Lines<W> {
    rows: Option<Rows>,
    wall: W,
}

/// A queue of changes to print.
pub(super) fn queue() -> (Queue, Waiting) {
    let (sender, receiver) = channel(QUEUE);
    let dropped = Arc::<AtomicU64>::default();
    (Queue { sender, dropped: dropped.clone() }, Waiting { receiver, dropped })
}

// === impl Queue ===

impl Queue {
    /// Adds a change. It is counted as dropped if there is no room.
    pub(super) fn push(&self, ended: &Ended) {
        if self.sender.try_send(ended.clone()).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

// === impl Printer ===

impl Printer {
    /// Starts to print what waits.
    pub(super) fn start<W>(waiting: Waiting, lines: Lines<W>) -> Self
    where
        W: Fn(Stamp) -> SystemTime + Copy + Send + 'static,
    {
        let Waiting { receiver, dropped } = waiting;
        Self { thread: spawn_blocking(move || print(receiver, lines)), ended: None, dropped }
    }

    /// Completes if the output cannot be written any more.
    pub(super) async fn failed(&mut self) {
        self.ended = Some((&mut self.thread).await.unwrap_or_else(|error| Err(error.into())));
    }

    /// Waits until everything is printed, and says how many changes are not. Returns whether anybody reads what comes after: a reader that
    /// has seen enough, as `head` has, is no error. The [`Queue`] must be dropped before.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub(super) async fn finish(self, format: LogFormat) -> io::Result<bool> {
        let printed = match self.ended {
            Some(ended) => ended,
            None => self.thread.await.unwrap_or_else(|error| Err(error.into())),
        };
        match printed {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
            printed => printed?,
        }
        let dropped = self.dropped.load(Relaxed);
        if dropped > 0 {
            format.say(&format!("{} not printed: standard output is too slow", counted(dropped, "line")));
        }
        Ok(true)
    }
}

// === impl Lines ===

impl<W: Fn(Stamp) -> SystemTime + Copy> Lines<W> {
    /// Rows of this table, or lines of JSON if there is none. `wall` gives the time of a stamp on the wall clock.
    pub(super) fn new(rows: Option<Rows>, wall: W) -> Self {
        Self { rows, wall }
    }

    /// What stands above the first change.
    pub(super) fn header(&self) -> String {
        self.rows.as_ref().map(Rows::header).unwrap_or_default()
    }

    /// Adds a change.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub(super) fn push(&mut self, ended: &Ended, into: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.rows {
            Some(rows) => into.extend_from_slice(rows.row(ended, (self.wall)(ended.at)).as_bytes()),
            None => write_line(into, self.wall, Ending::Slice(ended))?,
        }
        Ok(())
    }
}

/// Prints until the queue is dropped. Each write has all changes that wait, so that a reader sees each line at once.
fn print<W: Fn(Stamp) -> SystemTime + Copy>(mut receiver: Receiver<Ended>, mut lines: Lines<W>) -> io::Result<()> {
    let mut text = lines.header().into_bytes();
    loop {
        let mut output = io::stdout().lock();
        output.write_all(&text)?;
        output.flush()?;
        drop(output);
        text.clear();
        let Some(first) = receiver.blocking_recv() else { return Ok(()) };
        let mut next = Some(first);
        while let Some(ended) = next {
            lines.push(&ended, &mut text)?;
            next = if text.len() < BATCH { receiver.try_recv().ok() } else { None };
        }
    }
}
