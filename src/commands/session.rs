//! A measurement that a command runs by itself: it connects, waits until it sees every change, and ends.

use crate::{
    cluster::{
        ScopeSettings, WatchSettings,
        client::{ApiClient, ConnectError},
        clock::Clock,
        health::WatchHealth,
        kubeconfig::Choice,
        readers::Readers,
        watches::Watches,
    },
    model::Stamp,
    pipeline::{Ending, Followers, PipelineHandle, Started, Tap},
    propagation::TrackerSettings,
    stats::{Bounds, SeriesLimits, Stats},
};
use std::{
    future::pending,
    io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// How often it checks whether the watches are synced.
const POLL: Duration = Duration::from_millis(20);

/// How long an API server that does not answer is tried. A person waits for the first line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Number of attempts of one watch that fail before it gives up.
const ATTEMPTS: u64 = 2;

/// How long the other watches may take after the API server has denied one, so that the error names all that are denied.
const OTHERS: Duration = Duration::from_millis(500);

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// Which cluster to measure, and as whom.
    pub cluster: Choice,
    /// Which part of it.
    pub scope: ScopeSettings,
    /// How it is watched.
    pub watch: WatchSettings,
    /// When a change is late.
    pub tracker: TrackerSettings,
}

/// A client, and the thread to which its connections belong.
pub struct Connection {
    client: ApiClient,
    readers: Readers,
}

/// A running measurement.
pub struct Session {
    /// Queries it.
    pub handle: PipelineHandle,
    place: String,
    watches: Vec<Arc<WatchHealth>>,
    readers: Readers,
    thread: JoinHandle<()>,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No cluster was found, or no client can be created for it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system has no threads left.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The API server denies a watch.
    #[error(
        "cannot watch {watches}: {failure}. To measure {place} you need permission to list and watch pods, services and \
         endpointslices.discovery.k8s.io: see `kubectl auth can-i --list`{hint}"
    )]
    Denied {
        /// Which watches.
        watches: String,
        /// What the API server says about the first.
        failure: String,
        /// The part of the cluster.
        place: String,
        /// What else would help.
        hint: &'static str,
    },
    /// The watches do not work.
    #[error("cannot watch {watches}: {failure}")]
    Failed {
        /// Which watches.
        watches: String,
        /// What is wrong with the first.
        failure: String,
    },
}

// === impl Connection ===

impl Connection {
    /// Finds the cluster, and creates a client. If a program issues the credentials, this takes as long as that program.
    ///
    /// # Errors
    /// If no cluster is found, or its configuration cannot be used.
    pub async fn open(cluster: &Choice) -> Result<Self, SessionError> {
        let readers = Readers::start().map_err(SessionError::Thread)?;
        let found = cluster.find().await.map_err(ConnectError::from)?;
        let client = readers.connect(found).await?;
        Ok(Self { client, readers })
    }

    /// A client for kube's typed API, with its own connections on the caller's runtime.
    ///
    /// # Errors
    /// If the configuration can no longer be used.
    pub fn typed(&self) -> Result<kube::Client, SessionError> {
        Ok(self.client.apart()?.typed())
    }

    /// The URL of the API server.
    pub fn url(&self) -> &str {
        self.client.url()
    }
}

// === impl Session ===

impl Session {
    /// Starts to measure. `output` gets each change that ends, and must not block. It counts all changes, also those of Services
    /// that are gone.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn start(
        connection: Connection,
        settings: &SessionSettings,
        clock: Clock,
        output: impl FnMut(Ending<'_>) + Send + 'static,
    ) -> Result<Self, SessionError> {
        Self::start_tapped(connection, settings, clock, None, output)
    }

    /// The same, and `tap` gets all that reaches the trackers.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn start_tapped(
        connection: Connection,
        settings: &SessionSettings,
        clock: Clock,
        tap: Option<Tap>,
        output: impl FnMut(Ending<'_>) + Send + 'static,
    ) -> Result<Self, SessionError> {
        let Connection { client, readers } = connection;
        let watches = Watches::start(&readers, &client, &settings.scope, settings.watch, clock);
        let followers = Followers { tap, ..Followers::default() };
        let started = Started::of(watches, clock, settings.tracker, stats(clock.now()), followers, output);
        let Started { handle, watches, thread } = started.map_err(SessionError::Thread)?;
        Ok(Self { handle, place: place(&settings.scope), watches, readers, thread })
    }

    /// Waits until every change from now on is seen as it happens.
    ///
    /// # Errors
    /// If the API server denies a watch, or does not answer for ten seconds.
    pub async fn synced(&self) -> Result<(), SessionError> {
        let started = Instant::now();
        let mut denied = None;
        loop {
            let unsynced: Vec<_> = self.watches.iter().filter(|watch| !watch.is_synced()).collect();
            if unsynced.is_empty() {
                return Ok(());
            }
            if unsynced.iter().any(|watch| watch.is_denied()) {
                let since = *denied.get_or_insert_with(Instant::now);
                if since.elapsed() >= OTHERS {
                    return self.check();
                }
            }
            // A list may take long in a large cluster: it is no failed attempt.
            let mut failing = unsynced.iter().filter(|watch| watch.attempts_failed() >= ATTEMPTS);
            if started.elapsed() >= PATIENCE && failing.any(|watch| watch.failure().is_some()) {
                return self.check();
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Checks that every change is seen as it happens now.
    ///
    /// # Errors
    /// If a watch is not synced.
    pub fn check(&self) -> Result<(), SessionError> {
        let unsynced: Vec<_> = self.watches.iter().filter(|watch| !watch.is_synced()).collect();
        let denied: Vec<_> = unsynced.iter().copied().filter(|watch| watch.is_denied()).collect();
        let broken = if denied.is_empty() { &unsynced } else { &denied };
        let Some(first) = broken.iter().find(|watch| watch.failure().is_some()).or_else(|| broken.first()) else {
            return Ok(());
        };
        let watches = broken.iter().map(|watch| watch.to_string()).collect::<Vec<_>>().join(", ");
        let failure = first.failure().unwrap_or_else(|| "the connection was lost".to_owned());
        if denied.is_empty() {
            return Err(SessionError::Failed { watches, failure });
        }
        let is_whole = first.namespace.is_none();
        let hint = if is_whole { ". With --namespace, a Role in that namespace is enough" } else { "" };
        Err(SessionError::Denied { watches, failure, place: self.place.clone(), hint })
    }

    /// Ends the measurement. When this completes, no further change comes to the output.
    pub async fn end(self) {
        let Self { handle, readers, thread, .. } = self;
        // The pipeline ends when its last handle is dropped.
        drop((readers, handle));
        // If it panicked, the process has already ended.
        let _ = spawn_blocking(|| thread.join()).await;
    }
}

/// Counts of all changes from this time on, also of those of Services that are gone.
pub(super) fn stats(created: Stamp) -> Stats {
    let limits = SeriesLimits { services: usize::MAX, idle: Duration::MAX };
    Stats::new(Bounds::default(), limits, created).keeping_all()
}

/// Completes when a command has lasted for this time; never if it goes on until a signal comes.
pub(super) async fn over(lasting: Option<Duration>) {
    match lasting {
        Some(lasting) => tokio::time::sleep(lasting).await,
        None => pending().await,
    }
}

/// The part of the cluster, in words.
pub fn place(scope: &ScopeSettings) -> String {
    match &*scope.namespaces {
        [] => "the cluster".to_owned(),
        some => some.join(", "),
    }
}
