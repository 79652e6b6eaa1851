//! Puts the parts together, and takes them apart again when asked to.

use crate::{
    cluster::{
        ScopeSettings,
        client::{ApiClient, ConnectError},
        clock::Clock,
        readers::Readers,
        watches::{WatchEnd, Watches},
    },
    config::Settings,
    exposition::outputs::{OutputError, Outputs, Writers},
    pipeline::{Pipeline, PipelineHandle, Source},
    propagation::Tracker,
    server::{Auth, BindError, Server, ServerState},
    signals::Hangups,
    stats::Stats,
};
use std::{io, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::task::spawn_blocking;

/// How long the end waits for outputs that take nothing any more, such as a pipe whose reader has stopped to read.
const FINISH: Duration = Duration::from_millis(500);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The endpoint cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The API server cannot be asked who may read.
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
    /// Its endpoint.
    pub server: Server,
    /// Asks it.
    pub handle: PipelineHandle,
    /// Says who may read, if not everybody.
    authority: Option<ApiClient>,
    state: Arc<ServerState>,
    readers: Readers,
    pipeline: JoinHandle<()>,
    writers: Writers,
}

// === impl Daemon ===

impl Daemon {
    /// Starts to measure what `client`, made by `readers`, is connected to, and is asked by `server`.
    ///
    /// # Errors
    /// If the file of samples or HDR histograms cannot be opened. An API server that does not answer is no error: it is tried
    /// again.
    pub async fn start(
        settings: Settings,
        scope: ScopeSettings,
        server: Server,
        client: ApiClient,
        readers: Readers,
        subject: String,
    ) -> Result<Self, DaemonError> {
        // Apart from the watches: what is read here must not be read on the runtime that stamps, nor the other way round.
        let authority = match settings.server.auth {
            Auth::None => None,
            Auth::Kubernetes => {
                let client = client.clone();
                // A program that hands out credentials is called again.
                match spawn_blocking(move || client.apart()).await {
                    Ok(client) => Some(client?),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        };
        let clock = Clock::start();
        let (outputs, writers) = Outputs::start(&settings.exposition, clock)?;

        let Watches { heartbeat, queue, ends, scopes } =
            Watches::start(&readers, &client, &scope, settings.watch, clock);
        let healths = ends.iter().map(|end| end.health.clone()).collect();
        let source = |end: WatchEnd| Source::new(end.scope, end.decoder, end.health, end.signals);
        let sources = ends.into_iter().map(source).collect();
        let trackers = (0..scopes).map(|_| Tracker::new(settings.pipeline.tracker)).collect();
        let stats = Stats::new(settings.pipeline.bounds, settings.pipeline.limits, clock.now());
        let pipeline = Pipeline::new(clock, heartbeat, sources, trackers, stats, move |ended| outputs.push(ended));
        let (handle, pipeline) = pipeline.start(queue).map_err(DaemonError::Thread)?;

        let (samples, hdr_log) = (writers.samples_counts(), writers.hdr_log_errors());
        let histograms = settings.exposition.histograms;
        let state = ServerState::new(handle.clone(), healths, samples, hdr_log, histograms, subject);
        let state = Arc::new(state.with_tls(server.tls_health.clone()));
        Ok(Self { server, handle, authority, state, readers, pipeline, writers })
    }

    /// Serves until `shutdown` completes, then ends in good order. At each hangup it takes its files anew: those it writes,
    /// which may have been moved away, and those of its certificate.
    pub async fn run(self, shutdown: impl Future<Output = ()>, hangups: Hangups) {
        let Self { server, handle, authority, state, readers, pipeline, writers } = self;
        let reopen = async {
            let mut hangups = hangups.clone();
            loop {
                hangups.next().await;
                writers.reopen();
            }
        };
        tokio::select! {
            () = server.serve(state.clone(), authority, shutdown, hangups.clone()) => {}
            () = reopen => {}
        }
        tracing::info!("ending");
        // The pipeline ends when nobody is left to ask it, and what it writes when nobody is left to measure.
        drop((readers, state, handle));
        let finish = async {
            // A panic of it has ended the process already.
            let _ = spawn_blocking(|| pipeline.join()).await;
            writers.finish().await;
        };
        if tokio::time::timeout(FINISH, finish).await.is_err() {
            tracing::warn!("not all of --samples or --hdr-log could be written before the end");
        }
    }
}
