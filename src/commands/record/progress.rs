//! Says how the recording goes, on standard error.

use crate::{
    commands::text::{counted, round},
    logging::LogFormat,
    recording::Counts,
};
use bytesize::ByteSize;
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How often a terminal shows it, in place.
const IN_PLACE: Duration = Duration::from_secs(1);

/// How often a log gets a line.
const LINES: Duration = Duration::from_secs(60);

/// What is counted of a recording.
#[derive(Debug)]
pub(super) struct Progress {
    /// What was written.
    pub(super) counts: Arc<Counts>,
    /// Changes that ended.
    pub(super) changes: Arc<AtomicU64>,
    /// Since when.
    pub(super) since: Instant,
    /// How messages look.
    pub(super) format: LogFormat,
}

// === impl Progress ===

impl Progress {
    /// Shows it again and again. Never completes.
    pub(super) async fn show(&self) {
        let in_place = self.is_in_place();
        let every = if in_place { IN_PLACE } else { LINES };
        loop {
            tokio::time::sleep(every).await;
            if in_place {
                // If standard error cannot be written, there is no other place to report it.
                let _ = write!(io::stderr(), "\r{}\u{1b}[K", self.line());
            } else {
                self.format.say(&self.line());
            }
        }
    }

    /// Ends a line that was shown in place.
    pub(super) fn clear(&self) {
        if self.is_in_place() {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }

    /// What was recorded so far.
    pub(super) fn line(&self) -> String {
        let changes = counted(self.changes.load(Relaxed), "change");
        let events = counted(self.counts.events.load(Relaxed), "event");
        let size = ByteSize(self.counts.bytes.load(Relaxed));
        format!("recorded {changes} from {events} in {}: {size}", round(self.since.elapsed()))
    }

    fn is_in_place(&self) -> bool {
        self.format == LogFormat::Text && io::stderr().is_terminal()
    }
}
