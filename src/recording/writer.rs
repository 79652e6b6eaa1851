//! The thread that compresses a recording and writes it.

use super::{
    line::Line,
    recorder::{Counts, push, seal},
    target::{Target, TargetError},
};
use crate::model::Stamp;
use flate2::{Compression, write::GzEncoder};
use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use tokio::sync::oneshot;

/// Number of parts that may wait to be written.
const QUEUE: usize = 64;

/// Room for the end of the file.
const END_BYTES: u64 = 256;

/// Lines with their check.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) lines: Vec<u8>,
    /// The time of the last step in it.
    pub(super) through: Stamp,
    /// Whether it has the end.
    pub(super) is_last: bool,
}

/// The thread, for its owner.
#[derive(Debug)]
pub struct Writing {
    ended: oneshot::Receiver<Result<Written, WriteError>>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Size of the file.
    pub bytes: u64,
    /// Whether it ended because the file has its maximum size.
    pub is_full: bool,
}

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It cannot be created.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The header cannot be written: the clock of the system is wrong by millennia.
    #[error("cannot write the header: {0}")]
    Header(#[source] io::Error),
    /// The system has no threads left.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A write failed.
    #[error("cannot write {}: {source}. What was written before can be replayed", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Its thread is gone.
    #[error("the thread that writes the recording has ended")]
    Abandoned,
}

/// The file, and what has been written to it.
struct Writer {
    encoder: GzEncoder<Counted>,
    max_size: u64,
}

/// A file that counts what is written to it.
struct Counted {
    file: File,
    counts: Arc<Counts>,
}

// === impl Writing ===

impl Writing {
    /// Creates the file, and starts the thread.
    pub(super) fn start(
        target: &Target,
        max_size: u64,
        counts: Arc<Counts>,
    ) -> Result<(Self, SyncSender<Part>), WriteError> {
        let file = Counted { file: target.create()?, counts };
        let (sender, parts) = sync_channel(QUEUE);
        let (done, ended) = oneshot::channel();
        let path = target.path.clone();
        let writer = Writer { encoder: GzEncoder::new(file, Compression::default()), max_size };
        let run = move || {
            let written = writer.run(&parts).map_err(|source| WriteError::Io { path, source });
            // Without the owner there is nobody to tell.
            let _ = done.send(written);
        };
        thread::Builder::new().name("recording".into()).spawn(run).map_err(WriteError::Thread)?;
        Ok((Self { ended }, sender))
    }

    /// Completes when nothing more is written: the recorder was dropped, the file is full, or there was an error. Poll it no more after
    /// that.
    ///
    /// # Errors
    /// If not everything could be written.
    pub async fn ended(&mut self) -> Result<Written, WriteError> {
        (&mut self.ended).await.unwrap_or(Err(WriteError::Abandoned))
    }
}

// === impl Writer ===

impl Writer {
    /// Writes part after part, up to the last one or to the maximum size.
    fn run(mut self, parts: &Receiver<Part>) -> io::Result<Written> {
        let mut through = Stamp::default();
        loop {
            // Dropped without a last part only by a panic, and that ends the process.
            let Ok(part) = parts.recv() else { return Err(io::Error::other("the recording was not ended")) };
            // Whatever it holds, compressed it is hardly larger.
            let upper_bound = self.written() + part.lines.len() as u64 + END_BYTES;
            if upper_bound > self.max_size {
                let mut end = Vec::new();
                push(&mut end, &Line::End(through.as_nanos()));
                seal(&mut end);
                self.encoder.write_all(&end)?;
                return self.finish(true);
            }
            self.encoder.write_all(&part.lines)?;
            if part.is_last {
                return self.finish(false);
            }
            // So that a reader finds this part, even if nothing follows.
            self.encoder.flush()?;
            through = part.through;
        }
    }

    fn finish(self, is_full: bool) -> io::Result<Written> {
        let Counted { file, counts } = self.encoder.finish()?;
        file.sync_all()?;
        Ok(Written { bytes: counts.bytes.load(Relaxed), is_full })
    }

    fn written(&self) -> u64 {
        self.encoder.get_ref().counts.bytes.load(Relaxed)
    }
}

// === impl Counted ===

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.counts.bytes.fetch_add(written as u64, Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
