//! Puts the parts together, and takes them apart again when asked to.

use crate::{
    cluster::{
        ScopeSettings,
        client::{ApiClient, ConnectError, Link, Scope},
        clock::Clock,
        decode::Decoder,
        health::{LinkHealth, WatchHealth},
        heartbeat::Heartbeat,
        kubeconfig::{Found, KubeconfigError},
        queue::EventSender,
        watch::{Signals, Watch},
    },
    collector::{AgentsPort, Collector, ListenError},
    config::Settings,
    exposition::{
        hdr_log::{self, HdrLog, HdrLogError},
        samples::{self, Samples, SamplesError},
    },
    model::Resource,
    pipeline::{Pipeline, PipelineHandle, Source},
    propagation::{Ended, Tracker},
    server::{Auth, BindError, Server, ServerState},
    signals::Hangups,
    stats::Stats,
};
use futures::future::OptionFuture;
use std::{future::pending, io, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::spawn_blocking,
};

/// How long the end waits for outputs that take nothing any more, such as a pipe whose reader has stopped to read.
const FINISH: Duration = Duration::from_millis(500);

/// How long credentials may take before a line says that they are waited for.
const SLOW: Duration = Duration::from_secs(3);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The endpoint is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The port of the agents cannot be taken.
    #[error(transparent)]
    Agents(#[from] ListenError),
    /// The API server cannot be asked who may read.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The lines for `--samples` cannot be written.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The file of `--hdr-log` cannot be written.
    #[error(transparent)]
    HdrLog(#[from] HdrLogError),
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
    /// Listens to agents, if that is wanted.
    collector: Option<Collector>,
    state: Arc<ServerState>,
    readers: Readers,
    pipeline: JoinHandle<()>,
    samples: Option<samples::Writer>,
    hdr_log: Option<hdr_log::Writer>,
}

/// The runtime on which sockets are read and stamped, and nothing else: no request for metrics can hold it up.
pub struct Readers {
    handle: Handle,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

// === impl Readers ===

impl Readers {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no threads left.
    pub fn start() -> Result<Self, DaemonError> {
        // A runtime of one thread: to look for other threads' work after each wake would cost as much as to read a chunk.
        let runtime = Builder::new_current_thread().enable_all().build().map_err(DaemonError::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("readers".into());
        let run = move || {
            // Either way: the other end is dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        thread.spawn(run).map_err(DaemonError::Thread)?;
        Ok(Self { handle, _stop: stop })
    }

    /// Runs a future among the readers: a client's background tasks live where it was made.
    ///
    /// # Panics
    /// If the future does.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(future).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Makes a client of a cluster that was found. Where a program hands out its credentials, that may take long.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the program fails.
    ///
    /// # Panics
    /// If making it does.
    pub async fn connect(&self, found: Found) -> Result<ApiClient, ConnectError> {
        let Found { config, plugin, file } = found;
        // On a thread that may block: the program is waited for.
        let mut making = self.handle.spawn_blocking(move || ApiClient::new(config));
        let made = match tokio::time::timeout(SLOW, &mut making).await {
            Ok(made) => made,
            Err(_) => {
                tracing::warn!(plugin, "still waiting for credentials; nothing is measured before");
                making.await
            }
        };
        match made {
            Ok(Err(ConnectError::BadConfig(cause))) => Err(KubeconfigError::unusable(file, cause).into()),
            Ok(made) => made,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(future);
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts to measure what `client`, made by `readers`, is connected to, is asked by `server`, and told by `agents`.
    ///
    /// # Errors
    /// If the file of samples or HDR histograms cannot be opened. An API server that does not answer is no error: it is tried
    /// again.
    pub async fn start(
        settings: Settings,
        scope: ScopeSettings,
        server: Server,
        agents: Option<AgentsPort>,
        client: ApiClient,
        readers: Readers,
        subject: String,
    ) -> Result<Self, DaemonError> {
        // Apart from the watches: what is read here must not be read on the runtime that stamps, nor the other way round.
        let authority = match (settings.server.auth, &agents) {
            (Auth::None, None) => None,
            (Auth::Kubernetes, _) | (_, Some(_)) => {
                let client = client.clone();
                // A program that hands out credentials is called again.
                match spawn_blocking(move || client.apart()).await {
                    Ok(client) => Some(client?),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        };
        let clock = Clock::start();
        let agents = agents.zip(server.agents_tls.clone()).zip(authority.clone());
        let collector = agents.map(|((port, tls), client)| Collector::new(port, tls, client, clock));
        let authority = authority.filter(|_| settings.server.auth == Auth::Kubernetes);
        let (on_ended, samples) = match settings.exposition.samples.clone() {
            None => (None, None),
            Some(target) => {
                let (samples, writer) = Samples::start(target, clock)?;
                (Some(samples), Some(writer))
            }
        };
        let (log, hdr_log) = settings.exposition.hdr_log.clone().map(HdrLog::start).transpose()?.unzip();
        let on_ended = move |ended: &Ended| {
            if let Some(samples) = &on_ended {
                samples.push(ended);
            }
            if let Some(log) = &log {
                log.push(ended);
            }
        };

        let heartbeat = Arc::new(Heartbeat::new(clock));
        let beating = heartbeat.clone();
        readers.spawn(async move { beating.run().await });
        let scopes = scopes(&scope);
        let (senders, queue) = EventSender::for_watches(scopes.len() * Resource::ALL.len());
        let mut senders = senders.into_iter();
        let (mut sources, mut healths, mut trackers) = (Vec::new(), Vec::new(), Vec::new());
        let links = scopes.len();
        for namespace in scopes {
            let link_health = Arc::<LinkHealth>::default();
            let link = Arc::new(Link::new(client.clone(), settings.watch.protocol, links, clock, link_health.clone()));
            for (resource, sender) in Resource::ALL.into_iter().zip(&mut senders) {
                let health = Arc::new(WatchHealth::new(resource, namespace.clone(), link_health.clone()));
                let signals = Arc::new(Signals::default());
                let decoder = Decoder::new(resource, scope.shard);
                sources.push(Source::new(trackers.len(), decoder, health.clone(), signals.clone()));
                let field_selector = leave_out(&scope.excluded);
                let watch = Watch {
                    scope: Scope { resource, namespace: namespace.clone(), field_selector },
                    link: link.clone(),
                    clock,
                    heartbeat: heartbeat.clone(),
                    queue: sender,
                    health: health.clone(),
                    signals,
                    idle_timeout: settings.watch.idle_timeout,
                };
                readers.spawn(watch.run());
                healths.push(health);
            }
            trackers.push(Tracker::new(settings.pipeline.tracker));
        }

        let (handle, queries) = PipelineHandle::new();
        let stats = Stats::new(settings.pipeline.bounds, settings.pipeline.limits, clock.now());
        let pipeline = Pipeline::new(clock, heartbeat, sources, trackers, stats, on_ended);
        let runtime = Builder::new_current_thread().enable_time().build().map_err(DaemonError::Thread)?;
        let pipeline = std::thread::Builder::new()
            .name("pipeline".into())
            .spawn(move || runtime.block_on(pipeline.run(queue, queries)))
            .map_err(DaemonError::Thread)?;
        let errors = hdr_log.as_ref().map(|writer: &hdr_log::Writer| writer.errors.clone()).unwrap_or_default();
        let counts = samples.as_ref().map(|writer: &samples::Writer| writer.counts.clone()).unwrap_or_default();
        let state = ServerState::new(handle.clone(), healths, counts, errors, settings.exposition.histograms, subject);
        let agents = collector.as_ref().map(Collector::agents);
        let state = Arc::new(state.with_tls(server.tls_health.clone()).with_agents(agents));
        Ok(Self { server, handle, authority, collector, state, readers, pipeline, samples, hdr_log })
    }

    /// Serves until `shutdown` completes, then ends in good order. At each hangup it takes its files anew: those it writes,
    /// which may have been moved away, and those of its certificate.
    pub async fn run(self, shutdown: impl Future<Output = ()>, hangups: Hangups) {
        let Self { server, handle, authority, collector, state, readers, pipeline, samples, hdr_log } = self;
        let reopen = async {
            let mut hangups = hangups.clone();
            loop {
                hangups.next().await;
                if let Some(samples) = &samples {
                    samples.reopen();
                }
                if let Some(hdr_log) = &hdr_log {
                    hdr_log.reopen();
                }
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
            () = server.serve(state.clone(), authority, shutdown, hangups.clone()) => {}
            () = reopen => {}
        }
        tracing::info!("ending");
        // The pipeline ends when nobody is left to ask it, and the samples when nobody is left to measure.
        drop((readers, state, handle));
        let finish = async {
            // A panic of any of them has ended the process already.
            let _ = spawn_blocking(|| pipeline.join()).await;
            let samples = samples.map(|samples| spawn_blocking(|| samples.finish()));
            let hdr_log = hdr_log.map(|hdr_log| spawn_blocking(|| hdr_log.finish()));
            let _ = tokio::join!(OptionFuture::from(samples), OptionFuture::from(hdr_log));
        };
        if tokio::time::timeout(FINISH, finish).await.is_err() {
            tracing::warn!("not all of --samples or --hdr-log could be written before the end");
        }
    }
}

/// Each scope has watches and a tracker of its own: the cluster, or every chosen namespace.
fn scopes(scope: &ScopeSettings) -> Vec<Option<String>> {
    if scope.namespaces.is_empty() {
        return vec![None];
    }
    scope.namespaces.iter().cloned().map(Some).collect()
}

fn leave_out(excluded: &[String]) -> Option<String> {
    let selectors: Vec<_> = excluded.iter().map(|namespace| format!("metadata.namespace!={namespace}")).collect();
    (!selectors.is_empty()).then(|| selectors.join(","))
}
