//! `endpointlag replay`: measures a recording again, and prints what `watch` would have printed.

mod args;

pub use self::args::{Args, Settings};

use super::{
    printer::{BATCH, Lines},
    rows::Rows,
    session,
    summary::{Summary, Verdict},
    text::{counted, has_colours, round},
    watch::Output,
};
use crate::{
    logging::on_one_line,
    model::Stamp,
    pipeline::{NoScope, Replay},
    propagation::{Ended, TrackerSettings},
    recording::{End, Header, ReadError, Reader},
    stats::Selection,
};
use jiff::Timestamp;
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    ops::ControlFlow,
    path::PathBuf,
    time::SystemTime,
};

/// Help below the flags.
pub const EXAMPLES: &str = "\
Needs no cluster. The same recording always gives the same changes, outcomes and delays: those of the session that was recorded.

  endpointlag replay slow.endpointlag                   the table and the summary
  endpointlag replay -o json slow.endpointlag           a line for each change, as from --samples
  endpointlag replay --objective 2s slow.endpointlag    what would have been late

Exit codes:
  0  no change missed the objective, or nothing changed
  1  at least one change missed it
  2  a flag is wrong, or the file cannot be read, is no recording, or is damaged";

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording cannot be opened.
    #[error("cannot replay {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
    },
    /// A part of the recording cannot be read.
    #[error("cannot replay {} beyond {}: {source}", path.display(), round(after.since_origin()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Up to when it was measured.
        after: Stamp,
        /// What is wrong with the rest.
        source: ReadError,
    },
    /// A step does not fit the header.
    #[error(transparent)]
    NoScope(#[from] NoScope),
    /// The objective is not below the expiry.
    #[error("--objective {} is not less than --expiry {}", round(_0.objective), round(_0.expiry))]
    Settings(TrackerSettings),
    /// Changes cannot be printed.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// Prints changes as they end, and waits while the output is slow.
struct Pages<W> {
    lines: Lines<W>,
    has_header: bool,
    text: Vec<u8>,
    output: io::Stdout,
}

/// Measures the recording from its beginning to its end.
///
/// # Errors
/// If it cannot be read, or the changes cannot be printed.
pub fn run(settings: &Settings) -> Result<Verdict, ReplayError> {
    let failed = |source| ReplayError::Open { path: settings.file.clone(), source };
    let mut reader = Reader::open(&settings.file).map_err(failed)?;
    let header = reader.header().clone();
    let tracker = TrackerSettings {
        objective: settings.objective.unwrap_or(header.tracker.objective),
        expiry: settings.expiry.unwrap_or(header.tracker.expiry),
    };
    if tracker.objective >= tracker.expiry {
        return Err(ReplayError::Settings(tracker));
    }
    let selection = Selection { service: settings.service.clone(), ..Selection::default() };
    settings.log_format.say(&introduction(&header));
    let mut replay = Replay::new(header.scopes(), tracker, session::stats(Stamp::default()));
    let rows = (settings.output == Output::Table)
        .then(|| Rows::new([].into_iter(), header.namespaces.len() == 1, has_colours()));
    let lines = Lines::new(rows, header.clock());
    let mut pages = Pages { lines, has_header: false, text: Vec::new(), output: io::stdout() };
    let end = match feed(&mut reader, &mut replay, &selection, &mut pages, settings) {
        // The reader has seen enough, as `head` does. There is nobody to read the summary, but the exit code may count.
        Err(ReplayError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => None,
        end => Some(end?),
    };
    let table = replay.table(&selection, header.clock());
    let mut pending = replay.pending();
    pending.retain(|pending| selection.takes(&pending.key.service));
    let mut out_of_sync = replay.out_of_sync();
    out_of_sync.retain(|endpoint| selection.takes(&endpoint.service));
    let summary = Summary::new(&table, pending, out_of_sync);
    if let Some(end) = end {
        report(end, &summary, settings, &mut pages)?;
    }
    Ok(summary.verdict())
}

/// Feeds the whole recording to the measurement.
fn feed<W: Fn(Stamp) -> SystemTime + Copy>(
    reader: &mut Reader<File>,
    replay: &mut Replay,
    selection: &Selection,
    pages: &mut Pages<W>,
    settings: &Settings,
) -> Result<End, ReplayError> {
    loop {
        let after = replay.at();
        let failed = |source| ReplayError::Read { path: settings.file.clone(), after, source };
        let step = match reader.next_step() {
            Ok(ControlFlow::Continue(step)) => step,
            Ok(ControlFlow::Break(end)) => {
                pages.flush()?;
                return Ok(end);
            }
            Err(error) => {
                pages.flush()?;
                return Err(failed(error));
            }
        };
        let mut printed = Ok(());
        replay.take(step, |ended| {
            if printed.is_ok() && selection.takes(&ended.key.service) {
                printed = pages.push(ended);
            }
        })?;
        printed?;
    }
}

/// What is replayed.
fn introduction(header: &Header) -> String {
    let place = match &*header.namespaces {
        [] => "a cluster".to_owned(),
        some => some.join(", "),
    };
    let anonymized = if header.anonymized { ", anonymized" } else { "" };
    // A clock that is wrong by millennia has no date.
    let started =
        Timestamp::try_from(header.started).map_or_else(|_| "-".to_owned(), |started| format!("{started:.0}"));
    on_one_line(&format!("a recording of {place}, from {started}, by endpointlag {}{anonymized}", header.version))
}

/// Prints the summary, and says how the recording ended.
fn report<W: Fn(Stamp) -> SystemTime + Copy>(
    end: End,
    summary: &Summary,
    settings: &Settings,
    pages: &mut Pages<W>,
) -> Result<(), ReplayError> {
    let (End::Complete(at) | End::CutShort(at)) = end;
    let services = counted(summary.services as u64, "Service");
    let text =
        format!("\nreplayed {services} for {}\n{summary}\n{}\n", round(at.since_origin()), summary.verdict_line());
    match settings.output {
        Output::Table => {
            pages.text.extend_from_slice(text.as_bytes());
            pages.flush()?;
        }
        Output::Json => settings.log_format.say(text.trim_end()),
    }
    if let End::CutShort(_) = end {
        settings.log_format.say(
            "the recording was cut short: the program that wrote it was killed, or this copy is not whole. It was replayed up to its \
             last complete part",
        );
    }
    if summary.is_empty() {
        settings.log_format.say("nothing changed while it was recorded");
    }
    Ok(())
}

// === impl Pages ===

impl<W: Fn(Stamp) -> SystemTime + Copy> Pages<W> {
    /// Adds a change.
    fn push(&mut self, ended: &Ended) -> Result<(), ReplayError> {
        if !std::mem::replace(&mut self.has_header, true) {
            self.text.extend_from_slice(self.lines.header().as_bytes());
        }
        self.lines.push(ended, &mut self.text).map_err(ReplayError::Output)?;
        if self.text.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ReplayError> {
        let mut output = self.output.lock();
        let written = output.write_all(&self.text).and_then(|()| output.flush());
        self.text.clear();
        written.map_err(ReplayError::Output)
    }
}
