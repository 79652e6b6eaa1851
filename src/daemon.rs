//! Starts all parts of the daemon, and stops them in the right order.

use crate::{
    adviser::{Adviser, Advising, Board},
    cluster::{
        ScopeSettings,
        client::{ApiClient, ConnectError},
        clock::Clock,
        readers::Readers,
        watches::Watches,
    },
    collector::{AgentSource, Agents, Collector, ListenError},
    config::Settings,
    exposition::outputs::{OutputError, Outputs, Writers},
    pipeline::{DataPlane, Ending, Followers, PipelineHandle, Started, Starts},
    programming::ProgrammingSettings,
    propagation::TrackerSettings,
    server::{Auth, BindError, Server, Sources},
    signals::Hangups,
    startup::StartupSettings,
    stats::Stats,
};
use std::{future::pending, io, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::task::spawn_blocking;

/// How long the shutdown waits for blocked outputs, such as a pipe whose reader has stopped reading.
const FINISH: Duration = Duration::from_millis(500);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The endpoint cannot be served.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The port of the agents cannot be taken.
    #[error(transparent)]
    Agents(#[from] ListenError),
    /// No client for the API server's reviews.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What ended cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The system has no threads left.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A daemon that measures.
pub struct Daemon {
    /// The HTTP server.
    pub server: Server,
    /// Queries the pipeline.
    pub handle: PipelineHandle,
    /// Client for authorization; `None` if everyone may read.
    authority: Option<ApiClient>,
    /// Collects what agents send, if that is wanted.
    collector: Option<Collector>,
    sources: Sources,
    readers: Readers,
    pipeline: JoinHandle<()>,
    writers: Writers,
    /// Gives advice, if that is wanted.
    advising: Option<Advising>,
}

// === impl Daemon ===

impl Daemon {
    /// Starts to measure the cluster of `client`, which `readers` created. `server` will serve the results, and
    /// `agents` is how agents reach it, if there are any.
    ///
    /// # Errors
    /// If the file of samples or HDR histograms cannot be opened. An API server that does not answer is not an error: the watches
    /// retry.
    pub async fn start(
        settings: Settings,
        scope: ScopeSettings,
        server: Server,
        agents: Option<AgentSource>,
        client: ApiClient,
        readers: Readers,
        subject: String,
    ) -> Result<Self, DaemonError> {
        // A separate client: reviews must not run on the runtime that stamps, and watches must not run on the server's runtime.
        let authority = match (settings.server.auth, &agents) {
            (Auth::None, None | Some(AgentSource::Local)) => None,
            (Auth::Kubernetes, _) | (_, Some(AgentSource::Port(_))) => {
                let client = client.clone();
                // If a program issues credentials, it is called again.
                match spawn_blocking(move || client.apart()).await {
                    Ok(client) => Some(client?),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        };
        let clock = Clock::start();
        let mut collector = match agents {
            Some(AgentSource::Port(port)) => {
                let tls = server.agents_tls.clone().zip(authority.clone());
                tls.map(|(tls, client)| Collector::new(port, tls, client, clock))
            }
            Some(AgentSource::Local) => Some(Collector::local(clock)),
            None => None,
        };
        let authority = authority.filter(|_| settings.server.auth == Auth::Kubernetes);
        let (outputs, writers) = Outputs::start(&settings.exposition, clock)?;

        let watches = Watches::start(&readers, &client, &scope, settings.watch, clock);
        let stats = Stats::new(settings.pipeline.bounds, settings.pipeline.limits, clock.now());
        let TrackerSettings { objective, expiry } = settings.pipeline.tracker;
        let data_plane = collector.as_mut().and_then(|collector| {
            let settings = ProgrammingSettings { objective, expiry };
            Some(DataPlane::new(settings, collector.agents(), collector.take_events()?))
        });
        let startup = settings.pipeline.pod_startup.then(|| Starts::new(StartupSettings { expiry }, clock));
        let output = move |ending: Ending<'_>| outputs.push(ending);
        let followers = Followers { data_plane, startup, tap: None };
        let started = Started::of(watches, clock, settings.pipeline.tracker, stats, followers, output);
        let Started { handle, watches, thread: pipeline } = started.map_err(DaemonError::Thread)?;
        let agents = collector.as_ref().map(Collector::agents);
        let (mut board, mut advising) = (None, None);
        if let Some(settings) = settings.advice {
            let (pipeline, watches, agents) = (handle.clone(), watches.clone(), agents.clone());
            let shown = Arc::new(Board::default());
            board = Some(shown.clone());
            let adviser = Adviser { client, scope, settings, pipeline, watches, agents, board: shown };
            advising = Some(adviser.start().map_err(DaemonError::Thread)?);
        }
        let sources = Sources {
            pipeline: handle.clone(),
            watches,
            samples: writers.samples_counts(),
            hdr_log_errors: writers.hdr_log_errors(),
            histograms: settings.exposition.histograms,
            visible_slo: settings.exposition.visible_slo,
            agents,
            advice: board,
            subject,
        };
        Ok(Self { server, handle, authority, collector, sources, readers, pipeline, writers, advising })
    }

    /// The agents, if there can be any.
    pub fn agents(&self) -> Option<Arc<Agents>> {
        self.collector.as_ref().map(Collector::agents)
    }

    /// Serves until `shutdown` completes, then shuts down cleanly. At each SIGHUP it reopens its output files, which may have
    /// been moved away, and reloads the certificate.
    pub async fn run(self, shutdown: impl Future<Output = ()>, hangups: Hangups) {
        let Self { server, handle, authority, collector, sources, readers, pipeline, writers, advising } = self;
        let reopen = async {
            let mut hangups = hangups.clone();
            loop {
                hangups.next().await;
                writers.reopen();
            }
        };
        let collector = async {
            match collector {
                Some(collector) => collector.run().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = collector => {}
            () = server.serve(sources, authority, shutdown, hangups.clone()) => {}
            () = reopen => {}
        }
        tracing::info!("ending");
        // The pipeline ends when its last handle is dropped. The output threads end when the pipeline has ended.
        drop((readers, handle, advising));
        let finish = async {
            // If it panicked, the process has already ended.
            let _ = spawn_blocking(|| pipeline.join()).await;
            writers.finish().await;
        };
        if tokio::time::timeout(FINISH, finish).await.is_err() {
            tracing::warn!("could not write all of --samples or --hdr-log before the end");
        }
    }
}
