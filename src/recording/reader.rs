//! Reads a recording, part by part.

use super::{convert::step_of, header::Header, line::Line};
use crate::{
    model::{EndpointsPart, Event, Stamp, Uid},
    pipeline::Step,
};
use flate2::{Crc, read::GzDecoder};
use std::{
    collections::{HashMap, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    ops::ControlFlow,
    path::Path,
};

/// Maximum size of a part. One has 64 KB and a line, and the longest line is a slice of a thousand endpoints. More is damage.
const MAX_PART_BYTES: usize = 16 << 20;

/// A recording that is read.
#[derive(Debug)]
pub struct Reader<R: Read> {
    header: Header,
    input: BufReader<GzDecoder<R>>,
    /// The steps of the current part that were not taken yet.
    steps: VecDeque<Step>,
    /// The end, once it was read.
    end: Option<End>,
    last: Stamp,
    slices: Slices,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was ended, at this time.
    Complete(Stamp),
    /// The program was killed, or a copy is not whole. The time is that of the last step.
    CutShort(Stamp),
}

/// A recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is another kind of file.
    #[error("it is not a recording of endpointlag")]
    NoRecording,
    /// It is empty, or was cut short within the header.
    #[error("it ends before the first step was written")]
    Empty,
    /// Another version of the program wrote it.
    #[error(
        "it has format {format}, from endpointlag {version}. This is endpointlag {}, which reads format {}: use that version to \
         replay it",
        crate::VERSION,
        super::FORMAT
    )]
    Format {
        /// Its format.
        format: u32,
        /// The version that wrote it.
        version: String,
    },
    /// Something in it was changed.
    #[error("it is damaged: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

/// The number of endpoints of each slice, to check what refers to them: a change that does not fit is damage.
#[derive(Debug, Default)]
struct Slices(HashMap<(usize, Uid), usize>);

// === impl ReadError ===

impl ReadError {
    pub(super) fn damaged(reason: &impl ToString) -> Self {
        Self::Damaged { reason: reason.to_string() }
    }

    /// A line that is not what it should be.
    pub(super) fn line(error: serde_json::Error) -> Self {
        Self::damaged(&format!("a line cannot be read: {error}"))
    }
}

// === impl Reader ===

impl Reader<File> {
    /// Opens a file, and reads its header.
    ///
    /// # Errors
    /// If it cannot be read, is no recording, or has another format.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::new(File::open(path)?)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If it cannot be read, is no recording, or has another format.
    pub fn new(input: R) -> Result<Self, ReadError> {
        let mut input = BufReader::new(GzDecoder::new(input));
        let mut first = Vec::new();
        match read_line(&mut input, &mut first) {
            Ok(true) => {}
            Ok(false) => return Err(ReadError::Empty),
            Err(_) if input.get_ref().header().is_none() => return Err(ReadError::NoRecording),
            Err(error) => return Err(error),
        }
        let header = Header::read(&first)?;
        // The header is in the first part.
        if !read_part(&mut input, &mut first)? {
            return Err(ReadError::Empty);
        }
        let (steps, end, last, slices) = Default::default();
        let mut reader = Self { header, input, steps, end, last, slices };
        reader.take_lines(first.split_inclusive(|byte| *byte == b'\n').skip(1))?;
        Ok(reader)
    }

    /// What is known about the whole recording.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next step, or how the recording ended.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged. There is nothing to read after that.
    pub fn next_step(&mut self) -> Result<ControlFlow<End, Step>, ReadError> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Ok(ControlFlow::Continue(step));
            }
            if let Some(end) = self.end {
                return Ok(ControlFlow::Break(end));
            }
            let mut part = Vec::new();
            if read_part(&mut self.input, &mut part)? {
                self.take_lines(part.split_inclusive(|byte| *byte == b'\n'))?;
            } else {
                self.end = Some(End::CutShort(self.last));
            }
        }
    }

    fn take_lines<'a>(&mut self, mut lines: impl Iterator<Item = &'a [u8]>) -> Result<(), ReadError> {
        lines.try_for_each(|line| self.take_line(line))
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        let step = match serde_json::from_slice(line).map_err(ReadError::line)? {
            Line::Event(event) => step_of(event),
            Line::Through(through) => Step::Through { scope: through.scope, at: Stamp::from_nanos(through.at) },
            // It was checked with its part.
            Line::Check(_) => return Ok(()),
            Line::End(at) => {
                self.end = Some(End::Complete(Stamp::from_nanos(at)));
                return Ok(());
            }
        };
        let (scope, at) = match &step {
            Step::Event { scope, seen, event } => {
                self.slices.check(*scope, event)?;
                (*scope, seen.at)
            }
            Step::Through { scope, at } => (*scope, *at),
        };
        if scope >= self.header.scopes() {
            return Err(ReadError::damaged(&"a step of a namespace that was not watched"));
        }
        self.last = self.last.max(at);
        self.steps.push_back(step);
        Ok(())
    }
}

/// Adds the lines up to the next check, and checks them with those that are there. Returns whether there was a whole part.
fn read_part(input: &mut impl BufRead, lines: &mut Vec<u8>) -> Result<bool, ReadError> {
    loop {
        let before = lines.len();
        if !read_line(input, lines)? {
            return Ok(false);
        }
        // Cheaper than to parse each line twice.
        if lines[before..].starts_with(b"{\"check\"") {
            let mut crc = Crc::new();
            crc.update(&lines[..before]);
            return match serde_json::from_slice(&lines[before..]).map_err(ReadError::line)? {
                Line::Check(sum) if sum == crc.sum() => Ok(true),
                _ => Err(ReadError::damaged(&"the checksum of a part is wrong")),
            };
        }
    }
}

/// Adds the next line, with its end. Returns whether there was a whole one.
fn read_line(input: &mut impl BufRead, lines: &mut Vec<u8>) -> Result<bool, ReadError> {
    let room = MAX_PART_BYTES.saturating_sub(lines.len());
    match input.take(room as u64).read_until(b'\n', lines) {
        Ok(1..) if lines.ends_with(b"\n") => Ok(true),
        Ok(_) if lines.len() >= MAX_PART_BYTES => Err(ReadError::damaged(&"a part of it is far too long")),
        Ok(_) => Ok(false),
        Err(error) => match error.kind() {
            ErrorKind::UnexpectedEof => Ok(false),
            ErrorKind::InvalidInput | ErrorKind::InvalidData => Err(ReadError::damaged(&error)),
            _ => Err(error.into()),
        },
    }
}

// === impl Slices ===

impl Slices {
    /// Checks what an event says about the endpoints of a slice.
    fn check(&mut self, scope: usize, event: &Event) -> Result<(), ReadError> {
        match event {
            Event::EndpointSlice(slice) => {
                self.0.insert((scope, slice.uid.clone()), slice.endpoints.len());
            }
            Event::EndpointSliceDeleted(slice) => {
                self.0.remove(&(scope, slice.uid.clone()));
            }
            Event::EndpointsChanged(change) => {
                let known = self.0.get_mut(&(scope, change.uid.clone()));
                let length = known.ok_or_else(|| ReadError::damaged(&"a change of a slice that is not known"))?;
                let (mut next, mut now) = (0, 0);
                for part in &change.endpoints {
                    now += match part {
                        EndpointsPart::New(_) => 1,
                        EndpointsPart::Kept(kept)
                            if next <= kept.start && kept.start <= kept.end && kept.end <= *length =>
                        {
                            next = kept.end;
                            kept.len()
                        }
                        EndpointsPart::Kept(_) => {
                            return Err(ReadError::damaged(&"a change of endpoints that do not exist"));
                        }
                    };
                }
                *length = now;
            }
            _ => {}
        }
        Ok(())
    }
}
