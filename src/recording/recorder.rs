//! Takes the steps of a measurement, and hands them to the thread that writes them.

use super::{
    convert::line_of,
    header::Header,
    line::Line,
    names::Names,
    target::Target,
    writer::{Part, WriteError, Writing},
};
use crate::{
    model::{Event, Stamp},
    pipeline::Step,
};
use flate2::Crc;
use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::SyncSender,
    },
    time::Duration,
};

/// Size of a part before it is compressed. One line may be larger.
const PART_BYTES: usize = 64 << 10;

/// A part is written after this time, however small it is: what a killed process loses.
const PART_TIME: Duration = Duration::from_secs(1);

/// Writes all steps to a file. The file is complete when this is dropped.
///
/// It waits while the disk is slow. The measurement then waits as well, and knows what it does not see: nothing is left out of the
/// recording.
#[derive(Debug)]
pub struct Recorder {
    names: Names,
    part: Vec<u8>,
    /// When the part was begun.
    began: Stamp,
    /// The time of the last step.
    last: Stamp,
    /// `None` if nothing more is written: there was an error, or the file has its maximum size.
    parts: Option<SyncSender<Part>>,
    counts: Arc<Counts>,
}

/// What was recorded so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Events of the watches.
    pub events: AtomicU64,
    /// Bytes in the file.
    pub bytes: AtomicU64,
}

// === impl Recorder ===

impl Recorder {
    /// Creates the file, and starts to write it. It gets no larger than `max_size` bytes.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(
        target: &Target,
        max_size: u64,
        header: &Header,
        names: Names,
    ) -> Result<(Self, Writing), WriteError> {
        let counts = Arc::<Counts>::default();
        let (writing, parts) = Writing::start(target, max_size, counts.clone())?;
        let mut part = Vec::new();
        header.write(&mut part).map_err(WriteError::Header)?;
        let (began, last) = Default::default();
        Ok((Self { names, part, began, last, parts: Some(parts), counts }, writing))
    }

    /// What was recorded so far, now and later.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Records a step.
    pub fn take(&mut self, step: Step<&Event>) {
        if self.parts.is_none() {
            return;
        }
        let (at, events) = match &step {
            Step::Event { seen, .. } => (seen.at, 1),
            Step::Through { at, .. } => (*at, 0),
        };
        self.last = self.last.max(at);
        let line = line_of(&step, &mut self.names);
        push(&mut self.part, &line);
        self.counts.events.fetch_add(events, Relaxed);
        if self.part.len() >= PART_BYTES || self.last.since(self.began) >= PART_TIME {
            self.hand_over(false);
        }
    }

    fn hand_over(&mut self, is_last: bool) {
        self.began = self.last;
        let Some(parts) = &self.parts else { return };
        let mut lines = mem::take(&mut self.part);
        if is_last {
            push(&mut lines, &Line::End(self.last.as_nanos()));
        }
        seal(&mut lines);
        if parts.send(Part { lines, through: self.last, is_last }).is_err() {
            // The owner of the thread knows why.
            self.parts = None;
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.hand_over(true);
    }
}

/// Adds a line.
pub(super) fn push(lines: &mut Vec<u8>, line: &Line<'_>) {
    // Writing to memory cannot fail, and all keys of maps are text.
    serde_json::to_writer(&mut *lines, line).expect("each line can be written as JSON");
    lines.push(b'\n');
}

/// Ends a part with the check of its lines.
pub(super) fn seal(lines: &mut Vec<u8>) {
    let mut crc = Crc::new();
    crc.update(lines);
    push(lines, &Line::Check(crc.sum()));
}
