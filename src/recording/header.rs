//! The first line: which program wrote the recording, and what it measured with.

use super::reader::ReadError;
use crate::{model::Stamp, propagation::TrackerSettings};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    io,
    time::{Duration, SystemTime},
};

/// The version of the format.
pub const FORMAT: u32 = 1;

/// What is known about the whole recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Version of the program that wrote it.
    pub version: String,
    /// Revision of its source.
    pub revision: String,
    /// The origin of all stamps, on the wall clock.
    pub started: SystemTime,
    /// The namespaces that were watched, one for each scope; empty for the whole cluster.
    pub namespaces: Vec<String>,
    /// When a change was late.
    pub tracker: TrackerSettings,
    /// Whether names were replaced.
    pub anonymized: bool,
}

/// The header as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    endpointlag_recording: u32,
    version: String,
    revision: String,
    started: String,
    namespaces: Vec<String>,
    objective: Duration,
    expiry: Duration,
    anonymized: bool,
}

/// The part of the header that every format has.
#[derive(Deserialize)]
struct Version {
    endpointlag_recording: u32,
    #[serde(default)]
    version: String,
}

// === impl Header ===

impl Header {
    /// Number of scopes.
    pub fn scopes(&self) -> usize {
        self.namespaces.len().max(1)
    }

    /// Gives the time of a stamp on the wall clock. Unlike that of a running measurement it does not follow later changes of the wall
    /// clock.
    pub fn clock(&self) -> impl Fn(Stamp) -> SystemTime + Copy + Send + 'static {
        let started = self.started;
        move |at| started + at.since_origin()
    }

    /// Adds the line of this header.
    pub(super) fn write(&self, lines: &mut Vec<u8>) -> io::Result<()> {
        let line = Line {
            endpointlag_recording: FORMAT,
            version: self.version.clone(),
            revision: self.revision.clone(),
            started: Timestamp::try_from(self.started).map_err(io::Error::other)?.to_string(),
            namespaces: self.namespaces.clone(),
            objective: self.tracker.objective,
            expiry: self.tracker.expiry,
            anonymized: self.anonymized,
        };
        serde_json::to_writer(&mut *lines, &line)?;
        lines.push(b'\n');
        Ok(())
    }

    /// The header on this line.
    ///
    /// # Errors
    /// If it is none, or one of another format.
    pub(super) fn read(line: &[u8]) -> Result<Self, ReadError> {
        let Ok(Version { endpointlag_recording: format, version }) = serde_json::from_slice(line) else {
            return Err(ReadError::NoRecording);
        };
        if format != FORMAT {
            return Err(ReadError::Format { format, version: version.chars().take(32).collect() });
        }
        let line: Line = serde_json::from_slice(line).map_err(ReadError::line)?;
        let started: Timestamp = line.started.parse().map_err(|error: jiff::Error| ReadError::damaged(&error))?;
        let started = SystemTime::try_from(started).map_err(|error| ReadError::damaged(&error))?;
        let tracker = TrackerSettings { objective: line.objective, expiry: line.expiry };
        let Line { version, revision, namespaces, anonymized, .. } = line;
        Ok(Self { version, revision, started, namespaces, tracker, anonymized })
    }
}
