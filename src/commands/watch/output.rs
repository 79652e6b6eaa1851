//! Prints changes on its own thread: a slow reader loses lines, but never affects the measurement.

use super::rows::Rows;
use crate::{cluster::clock::Clock, exposition::samples::write_line, pipeline::Ending, propagation::Ended};
use anstream::{AutoStream, ColorChoice};
use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::{JoinHandle, spawn_blocking},
};

/// Number of changes that may wait to be printed.
const QUEUE: usize = 65_536;

/// Maximum number of bytes of one write.
const BATCH: usize = 64 << 10;

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

/// A queue of changes to print.
pub(super) fn queue() -> (Queue, Waiting) {
    let (sender, receiver) = channel(QUEUE);
    let dropped = Arc::<AtomicU64>::default();
    (Queue { sender, dropped: dropped.clone() }, Waiting { receiver, dropped })
}

/// Whether to print colours: standard output is a terminal that has them, and `NO_COLOR` is not set.
pub(super) fn has_colours() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
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
    /// Starts to print what waits: rows of a table below their header, or lines of JSON.
    pub(super) fn start(waiting: Waiting, clock: Clock, rows: Option<Rows>) -> Self {
        let Waiting { receiver, dropped } = waiting;
        Self { thread: spawn_blocking(move || print(receiver, clock, rows)), ended: None, dropped }
    }

    /// Completes if the output cannot be written any more.
    pub(super) async fn failed(&mut self) {
        self.ended = Some((&mut self.thread).await.unwrap_or_else(|error| Err(error.into())));
    }

    /// Waits until everything is printed, and returns the number of changes that are not. The [`Queue`] must be dropped before.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub(super) async fn finish(self) -> io::Result<u64> {
        match self.ended {
            Some(ended) => ended,
            None => self.thread.await.unwrap_or_else(|error| Err(error.into())),
        }?;
        Ok(self.dropped.load(Relaxed))
    }
}

/// Prints until the queue is dropped. Each write has all changes that wait, so that a reader sees each line at once.
fn print(mut receiver: Receiver<Ended>, clock: Clock, mut rows: Option<Rows>) -> io::Result<()> {
    let mut lines = rows.as_ref().map(Rows::header).unwrap_or_default().into_bytes();
    loop {
        let mut output = io::stdout().lock();
        output.write_all(&lines)?;
        output.flush()?;
        drop(output);
        lines.clear();
        let Some(first) = receiver.blocking_recv() else { return Ok(()) };
        let mut next = Some(first);
        while let Some(ended) = next {
            match &mut rows {
                Some(rows) => lines.extend_from_slice(rows.row(&ended, clock.wall(ended.at)).as_bytes()),
                None => write_line(&mut lines, clock, Ending::Slice(&ended))?,
            }
            next = if lines.len() < BATCH { receiver.try_recv().ok() } else { None };
        }
    }
}
