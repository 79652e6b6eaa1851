//! `endpointlag watch`: prints each change as it ends, and a summary.

mod args;
mod daemon;

pub use self::args::{Args, Output, Settings};

use super::{
    daemon::{Choice, DaemonError, Source},
    print::print,
    printer::{self, Lines, Printer},
    rows::Rows,
    session::{Connection, Session, SessionError, over, place},
    summary::{Summary, Verdict},
    text::{counted, has_colours, round, until},
};
use crate::{
    cluster::clock::Clock,
    pipeline::{Ending, PipelineHandle},
    signals::OsSignals,
    stats::{Selection, Table},
};
use std::{
    io,
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
  endpointlag watch --daemon none                      measure here, whether there is a daemon in the cluster or not

A daemon in the cluster measures already: then its changes are shown, as it judges them, with the hop to the nodes if it has agents. It is \
found by the labels of its chart, and reached through the API server, as kubectl port-forward does. That takes permission to list its pods, \
and to get and create pods/portforward. Without, or with --objective or --expiry, the cluster is measured here.

Exit codes:
  0  no change missed the objective, or nothing changed
  1  at least one change missed it, whether it has ended or is still pending
  2  a flag is wrong, or the changes were not all seen: no connection, no permission, no such Service";

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Nothing can be measured.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The daemon does not answer as expected.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
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
    /// The daemon has not seen all changes, or has not shown them all.
    #[error("not all changes were seen: {0}")]
    Unseen(&'static str),
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
        watch = start(&settings) => match watch? {
            Started::Here(watch) => watch.finish(&settings, signals).await,
            Started::Told(told) => told.finish(&place(&settings.session.scope), signals).await,
        },
        () = signals.stopped() => Err(WatchError::Early),
    }
}

/// What measures.
enum Started<'a> {
    Here(Box<Watch>),
    Told(Box<daemon::Told<'a>>),
}

/// Uses a daemon if there is one, and otherwise measures here.
async fn start(settings: &Settings) -> Result<Started<'_>, WatchError> {
    let connection = match &settings.daemon {
        // Nothing of the cluster is needed.
        Choice::At(..) => None,
        _ => {
            let connection = Connection::open(&settings.session.cluster).await?;
            settings.log_format.say(&format!("connecting to {}", connection.url()));
            Some(connection)
        }
    };
    let cluster = connection.as_ref().map(Connection::typed).transpose()?;
    match (Source::of(&settings.daemon, cluster.as_ref(), &settings.session.scope.namespaces).await?, connection) {
        (Source::Daemon(daemon), _) => Ok(Started::Told(Box::new(daemon::Told::start(settings, *daemon).await?))),
        (Source::Here(why), Some(connection)) => {
            settings.log_format.say(&format!("measuring here: {why}"));
            Ok(Started::Here(Box::new(Watch::start(connection, settings).await?)))
        }
        (Source::Here(_), None) => Err(WatchError::Ended),
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
    async fn start(connection: Connection, settings: &Settings) -> Result<Self, WatchError> {
        let selection = Selection { service: settings.service.clone(), ..Selection::default() };
        let place = place(&settings.session.scope);
        let clock = Clock::start();
        let (queue, ended) = printer::queue();
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
            Rows::new(names, settings.session.scope.namespaces.len() == 1, has_colours())
        });
        let printer = Printer::start(ended, Lines::new(rows, move |at| clock.wall(at)));
        Ok(Self { session, selection, printer, place, synced: Instant::now() })
    }

    /// Goes on until the end, and summarises.
    async fn finish(mut self, settings: &Settings, signals: &OsSignals) -> Result<Verdict, WatchError> {
        let lasting = settings.lasting.map(|lasting| lasting.saturating_sub(self.synced.elapsed()));
        tokio::select! {
            () = over(lasting) => {}
            () = signals.stopped() => {}
            () = self.printer.failed() => {}
        }
        let lasted = self.synced.elapsed();
        let Self { session, selection, printer, place, .. } = self;
        let seen = tokio::time::timeout(RECONNECT, session.synced()).await.unwrap_or_else(|_| session.check());
        let summary = Summary::of(&session.handle, &selection).await.ok_or(WatchError::Ended)?;
        session.end().await;
        let printed = printer.finish(settings.log_format).await;
        let verdict = match (summary.verdict(), seen, &settings.service) {
            (Verdict::Missed, _, _) => Ok(Verdict::Missed),
            (Verdict::Met, Err(error), _) => Err(WatchError::Blind(error)),
            (Verdict::Met, Ok(()), Some(name)) if summary.services == 0 && summary.is_empty() => {
                Err(WatchError::NoService { name: name.clone(), place: place.clone() })
            }
            (Verdict::Met, Ok(()), _) => Ok(Verdict::Met),
        };
        // If nobody reads, the exit code may still count.
        if !printed.map_err(WatchError::Output)? {
            return verdict;
        }
        let services = counted_services(summary.services, settings, &place);
        let mut text = format!("\nwatched {services} for {}\n{summary}", round(lasted));
        if verdict.is_ok() {
            text += &format!("\n{}\n", summary.verdict_line());
        }
        match settings.output {
            Output::Table => drop(print(text).await.map_err(WatchError::Output)?),
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
    let until = until(settings.lasting);
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
