//! `endpointlag record`: keeps what the watches bring in a file, to be measured again by `replay`.

mod args;
mod progress;

pub use self::args::{Args, Output, Settings};

use self::progress::Progress;
use super::{
    printer::{self, Lines, Printer, Waiting},
    rows::Rows,
    session::{Connection, Session, SessionError, over, place},
    text::{has_colours, until},
};
use crate::{
    cluster::clock::Clock,
    model::{Event, Stamp},
    pipeline::{Ending, Step},
    recording::{Header, Names, NoRandomness, Recorder, WriteError, Writing},
    signals::OsSignals,
    stats::Selection,
};
use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Help below the flags.
pub const EXAMPLES: &str = "\
The file has what the measurement reads of pods, Services and EndpointSlices: names, conditions, ports, versions, and when each \
event arrived. It has no environment, no secret, no IP address and no annotation but those of endpointlag. Labels are replaced by \
codes that only show which are equal. `zcat FILE` shows all of it.

  endpointlag record -n shop slow.endpointlag                        record until Ctrl-C
  endpointlag record -n shop --for 10m slow.endpointlag              record for ten minutes
  endpointlag record --anonymize --max-size 20MiB slow.endpointlag   record something to attach to an issue
  endpointlag replay slow.endpointlag                                measure it again, without the cluster

Exit codes:
  0  the recording is complete, also if it ended at --max-size
  2  a flag is wrong, or there is no recording or no complete one: no connection, no permission, a full disk";

/// Why there is no recording, or no complete one.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Nothing can be measured.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Nothing can be anonymized, nor any label replaced.
    #[error(transparent)]
    Names(#[from] NoRandomness),
    /// A signal came before anything was recorded.
    #[error("ended before all watches were synced: nothing was recorded")]
    Early,
    /// Changes cannot be printed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// A measurement that is recorded.
struct Recording {
    session: Session,
    writing: Writing,
    progress: Progress,
    /// Changes to print.
    waiting: Option<Waiting>,
    header: Header,
}

/// Records until the time is over, a signal comes, or the file is full.
///
/// # Errors
/// If it cannot see the cluster, or cannot write the file.
pub async fn run(settings: Settings, signals: &OsSignals) -> Result<(), RecordError> {
    settings.target.check().map_err(WriteError::from)?;
    let connection = tokio::select! {
        connection = Connection::open(&settings.session.cluster) => connection?,
        () = signals.stopped() => return Err(RecordError::Early),
    };
    settings.log_format.say(&format!("connecting to {}", connection.url()));
    let recording = Recording::start(connection, &settings)?;
    let synced = tokio::select! {
        synced = recording.session.synced() => synced.map_err(RecordError::from),
        () = signals.stopped() => Err(RecordError::Early),
    };
    if let Err(error) = synced {
        recording.session.end().await;
        settings.target.remove();
        return Err(error);
    }
    recording.finish(&settings, signals).await
}

// === impl Recording ===

impl Recording {
    /// Creates the file, and starts to measure.
    fn start(connection: Connection, settings: &Settings) -> Result<Self, RecordError> {
        let clock = Clock::start();
        let names = Names::new(settings.anonymize)?;
        let namespaces = settings.session.scope.namespaces.iter().map(|name| names.namespace(name)).collect();
        let header = Header {
            version: crate::VERSION.to_owned(),
            revision: crate::REVISION.to_owned(),
            started: clock.wall(Stamp::default()),
            namespaces,
            tracker: settings.session.tracker,
            anonymized: settings.anonymize,
        };
        let (mut recorder, writing) = Recorder::create(&settings.target, settings.max_size, &header, names)?;
        let (changes, format) = (Arc::<AtomicU64>::default(), settings.log_format);
        let progress = Progress { counts: recorder.counts(), changes: changes.clone(), since: Instant::now(), format };
        let (queue, waiting) = (settings.output != Output::None).then(printer::queue).unzip();
        let output = move |ending: Ending<'_>| {
            let Ending::Slice(ended) = ending else { return };
            changes.fetch_add(1, Relaxed);
            if let Some(queue) = &queue {
                queue.push(ended);
            }
        };
        let tap = Box::new(move |step: Step<&Event>| recorder.take(step));
        let session = Session::start_tapped(connection, &settings.session, clock, Some(tap), output)?;
        Ok(Self { session, writing, progress, waiting, header })
    }

    /// Goes on until the end.
    async fn finish(mut self, settings: &Settings, signals: &OsSignals) -> Result<(), RecordError> {
        self.progress.since = Instant::now();
        let place = place(&settings.session.scope);
        let path = settings.target.path.display().to_string();
        settings.log_format.say(&format!("recording {place} to {path} {}", until(settings.lasting)));
        let mut printer = self.start_printer(settings).await;
        let unprintable = async {
            match &mut printer {
                Some(printer) => printer.failed().await,
                None => pending().await,
            }
        };
        let mut ended = None;
        tokio::select! {
            () = over(settings.lasting) => {}
            () = signals.stopped() => {}
            () = unprintable => {}
            () = self.progress.show() => {}
            written = self.writing.ended() => ended = Some(written),
        }
        self.progress.clear();
        let synced = self.session.check();
        // With it the recorder goes, and writes the end.
        self.session.end().await;
        let written = match ended {
            Some(written) => written,
            None => self.writing.ended().await,
        }?;
        settings.log_format.say(&self.progress.line());
        settings.log_format.say(&format!("to see what it holds: endpointlag replay {path}"));
        if written.is_full {
            settings.log_format.say("it ended at --max-size");
        }
        if let Err(error) = synced {
            settings.log_format.say(&format!("at the end not all was seen: {error}"));
        }
        match printer {
            Some(printer) => printer.finish(settings.log_format).await.map(drop).map_err(RecordError::Output),
            None => Ok(()),
        }
    }

    /// Prints what has ended, and what will end.
    async fn start_printer(&mut self, settings: &Settings) -> Option<Printer> {
        let waiting = self.waiting.take()?;
        let rows = match settings.output {
            Output::Table => {
                let table = self.session.handle.table(Selection::default()).await;
                let measured = table.map(|table| table.value.measured).unwrap_or_default();
                let names = measured.iter().map(|measured| &*measured.service);
                Some(Rows::new(names, self.header.namespaces.len() == 1, has_colours()))
            }
            Output::Json | Output::None => None,
        };
        Some(Printer::start(waiting, Lines::new(rows, self.header.clock())))
    }
}
