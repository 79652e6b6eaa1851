//! `endpointlag watch`: prints each change as it ends, and a summary.

mod args;
mod output;
mod rows;
mod summary;

pub use self::args::{Args, Output, Settings};

use self::{output::Printer, rows::Rows, summary::Summary};
use super::{
    session::{Connection, Session, SessionError, place},
    text::{counted, round},
};
use crate::{
    cluster::clock::Clock,
    pipeline::{Ending, PipelineHandle},
    signals::OsSignals,
    stats::{Selection, Table},
};
use std::{
    io::{self, ErrorKind, Write as _},
    time::{Duration, Instant},
};

/// How long the end waits for a watch that the API server has just ended, as it does every half hour. A signal ends the process
/// in less than two seconds.
const RECONNECT: Duration = Duration::from_secs(1);

/// Help below the flags.
pub const EXAMPLES: &str = "\
Each line shows how long the EndpointSlices took to follow a pod or Service. It appears when the change has ended. A change that \
has not ended is in the summary, as pending.

  endpointlag watch -n shop checkout                   see the effect of a rollout, until Ctrl-C
  endpointlag watch -n shop --for 10m --objective 2s   fail a pipeline if endpoints lag

Exit codes:
  0  no change missed the objective, or nothing changed
  1  at least one change missed it, whether it has ended or is still pending
  2  a flag is wrong, or the changes were not all seen: no connection, no permission, no such Service";

/// Whether changes met their objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None missed it.
    Met,
    /// At least one missed it.
    Missed,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Nothing can be measured.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A signal came before anything was measured.
    #[error("ended before all watches were synced: nothing was measured")]
    Early,
    /// The connection was lost, and is not back.
    #[error("the end was not seen")]
    Blind(#[source] SessionError),
    /// There was no such Service.
    #[error(
        "no Service {name} in {place} was measured: either it does not exist, or it has no selector, is of type ExternalName, or \
         has the annotation endpointlag.io/ignore"
    )]
    NoService {
        /// Its name.
        name: String,
        /// The part of the cluster that was watched.
        place: String,
    },
    /// Changes cannot be printed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The measurement has ended by itself.
    #[error("the measurement has ended")]
    Ended,
}

/// Watches until the time is over, a signal comes, or nobody reads the output any more.
///
/// # Errors
/// If it cannot see all changes, or cannot print them.
pub async fn run(settings: Settings, signals: &OsSignals) -> Result<Verdict, WatchError> {
    tokio::select! {
        // Later signals are handled where there is something to summarise.
        watch = Watch::start(&settings) => watch?.finish(&settings, signals).await,
        () = signals.stopped() => Err(WatchError::Early),
    }
}

/// A synced measurement, and what prints its changes.
struct Watch {
    session: Session,
    selection: Selection,
    printer: Printer,
    place: String,
    synced: Instant,
}

// === impl Watch ===

impl Watch {
    /// Connects, and waits until all changes are seen.
    async fn start(settings: &Settings) -> Result<Self, WatchError> {
        let selection = Selection { service: settings.service.clone(), ..Selection::default() };
        let place = place(&settings.session.scope);
        let connection = Connection::open(&settings.session.cluster).await?;
        settings.log_format.say(&format!("connecting to {}", connection.url()));
        let clock = Clock::start();
        let (queue, ended) = output::queue();
        let selected = selection.clone();
        let push = move |ending: Ending<'_>| {
            if let Ending::Slice(ended) = ending
                && selected.takes(&ended.key.service)
            {
                queue.push(ended);
            }
        };
        let session = Session::start(connection, &settings.session, clock, push)?;
        session.synced().await?;
        let table = table(&session.handle, &selection).await?;
        settings.log_format.say(&greeting(&table, settings, &place));
        let rows = (settings.output == Output::Table).then(|| {
            let names = table.measured.iter().map(|measured| &*measured.service);
            Rows::new(names, settings.session.scope.namespaces.len() == 1, output::has_colours())
        });
        let printer = Printer::start(ended, clock, rows);
        Ok(Self { session, selection, printer, place, synced: Instant::now() })
    }

    /// Goes on until the end, and summarises.
    async fn finish(mut self, settings: &Settings, signals: &OsSignals) -> Result<Verdict, WatchError> {
        let over = async {
            match settings.lasting {
                Some(lasting) => tokio::time::sleep_until((self.synced + lasting).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => {}
            () = signals.stopped() => {}
            () = self.printer.failed() => {}
        }
        let lasted = self.synced.elapsed();
        let Self { session, selection, printer, place, .. } = self;
        let seen = tokio::time::timeout(RECONNECT, session.synced()).await.unwrap_or_else(|_| session.check());
        let summary = Summary::of(&session.handle, &selection).await.ok_or(WatchError::Ended)?;
        session.end().await;
        let dropped = printer.finish().await;
        let verdict = match (summary.verdict(), seen, &settings.service) {
            (Verdict::Missed, _, _) => Ok(Verdict::Missed),
            (Verdict::Met, Err(error), _) => Err(WatchError::Blind(error)),
            (Verdict::Met, Ok(()), Some(name)) if summary.services == 0 && summary.is_empty() => {
                Err(WatchError::NoService { name: name.clone(), place: place.clone() })
            }
            (Verdict::Met, Ok(()), _) => Ok(Verdict::Met),
        };
        match dropped {
            Ok(0) => {}
            Ok(lines) => {
                let lines = counted(lines, "line");
                settings.log_format.say(&format!("{lines} not printed: standard output is too slow"));
            }
            // The reader has seen enough, as `head` does. There is nobody to read the summary.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return verdict,
            Err(error) => return Err(WatchError::Output(error)),
        }
        let services = counted_services(summary.services, settings, &place);
        let mut text = format!("\nwatched {services} for {}\n{summary}", round(lasted));
        if verdict.is_ok() {
            text += &format!("\n{}\n", summary.verdict_line());
        }
        match settings.output {
            Output::Table => print(text).await?,
            Output::Json => settings.log_format.say(text.trim_end()),
        }
        if verdict.is_ok() && summary.is_empty() {
            settings.log_format.say(&quiet(lasted, settings));
        }
        verdict
    }
}

/// The selected Services, as they are now.
async fn table(handle: &PipelineHandle, selection: &Selection) -> Result<Table, WatchError> {
    Ok(handle.table(selection.clone()).await.ok_or(WatchError::Ended)?.value)
}

/// What is watched from now on.
fn greeting(table: &Table, settings: &Settings, place: &str) -> String {
    let until = match settings.lasting {
        Some(lasting) => format!("for {}", round(lasting)),
        None => "until Ctrl-C".to_owned(),
    };
    let services = counted_services(table.measured.len(), settings, place);
    match &settings.service {
        Some(_) if table.measured.is_empty() => format!("watching {services} {until}: waiting for one with a selector"),
        _ => format!("watching {services} {until}"),
    }
}

/// A number of Services, such as `12 Services in shop`.
fn counted_services(number: usize, settings: &Settings, place: &str) -> String {
    let services = counted(number as u64, "Service");
    match &settings.service {
        Some(name) => format!("{services} named {name} in {place}"),
        None => format!("{services} in {place}"),
    }
}

/// What to do if nothing has changed.
fn quiet(lasted: Duration, settings: &Settings) -> String {
    let namespace = match &*settings.session.scope.namespaces {
        [one] => format!(" --namespace {one}"),
        _ => String::new(),
    };
    let lasted = round(lasted);
    format!("nothing changed in {lasted}. To cause a change: kubectl{namespace} rollout restart deployment NAME")
}

/// Prints on a thread that may block while the reader is slow.
async fn print(text: String) -> Result<(), WatchError> {
    let print = move || {
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes()).and_then(|()| output.flush())
    };
    match tokio::task::spawn_blocking(print).await.unwrap_or_else(|error| Err(error.into())) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(WatchError::Output(error)),
        _ => Ok(()),
    }
}
