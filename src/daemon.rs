//! Starts all parts of the daemon, and stops them in the right order.

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
    server::{Auth, BindError, Server, Sources},
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

/// How long the shutdown waits for blocked outputs, such as a pipe whose reader has stopped reading.
const FINISH: Duration = Duration::from_millis(500);

/// How long credentials may take before a log line says that the daemon waits for them.
const SLOW: Duration = Duration::from_secs(3);

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
    /// The HTTP server.
    pub server: Server,
    /// Queries the pipeline.
    pub handle: PipelineHandle,
    /// Client for authorization; `None` if everyone may read.
    authority: Option<ApiClient>,
    /// Listens to agents, if that is wanted.
    collector: Option<Collector>,
    sources: Sources,
    readers: Readers,
    pipeline: JoinHandle<()>,
    samples: Option<samples::Writer>,
    hdr_log: Option<hdr_log::Writer>,
}

/// The runtime that reads and stamps the sockets, and does nothing else. Requests for metrics cannot delay it.
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
        // A single-threaded runtime: to look for other threads' work after each wake-up would cost as much as to read a chunk.
        let runtime = Builder::new_current_thread().enable_all().build().map_err(DaemonError::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("readers".into());
        let run = move || {
            // Completes in both cases, also if the sender is dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        thread.spawn(run).map_err(DaemonError::Thread)?;
        Ok(Self { handle, _stop: stop })
    }

    /// Runs a future on the readers' runtime, because a client's background tasks run where the client was created.
    ///
    /// # Panics
    /// If the future does.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match self.handle.spawn(future).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Creates a client for the cluster. If a program issues its credentials, this may take long.
    ///
    /// # Errors
    /// If the configuration cannot be used, or the program fails.
    ///
    /// # Panics
    /// If creating the client panics.
    pub async fn connect(&self, found: Found) -> Result<ApiClient, ConnectError> {
        let Found { config, plugin, file } = found;
        // On a thread that may block, because it waits for the program.
        let mut making = self.handle.spawn_blocking(move || ApiClient::new(config));
        let made = match tokio::time::timeout(SLOW, &mut making).await {
            Ok(made) => made,
            Err(_) => {
                tracing::warn!(plugin, "still waiting for credentials; nothing is measured until then");
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
    /// Starts to measure the cluster of `client`, which `readers` created. `server` will serve the results, and
    /// `agents` take what the agents tell.
    ///
    /// # Errors
    /// If the file of samples or HDR histograms cannot be opened. An API server that does not answer is not an error: the watches
    /// retry.
    pub async fn start(
        settings: Settings,
        scope: ScopeSettings,
        server: Server,
        agents: Option<AgentsPort>,
        client: ApiClient,
        readers: Readers,
        subject: String,
    ) -> Result<Self, DaemonError> {
        // A separate client: reviews must not run on the runtime that stamps, and watches must not run on the server's runtime.
        let authority = match (settings.server.auth, &agents) {
            (Auth::None, None) => None,
            (Auth::Kubernetes, _) | (_, Some(_)) => {
                let client = client.clone();
                // If a program issues credentials, it is called again.
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
        let sources = Sources {
            pipeline: handle.clone(),
            watches: healths,
            samples: counts,
            hdr_log_errors: errors,
            histograms: settings.exposition.histograms,
            agents: collector.as_ref().map(Collector::agents),
            subject,
        };
        Ok(Self { server, handle, authority, collector, sources, readers, pipeline, samples, hdr_log })
    }

    /// Serves until `shutdown` completes, then shuts down cleanly. At each SIGHUP it reopens its output files, which may have
    /// been moved away, and reloads the certificate.
    pub async fn run(self, shutdown: impl Future<Output = ()>, hangups: Hangups) {
        let Self { server, handle, authority, collector, sources, readers, pipeline, samples, hdr_log } = self;
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
            () = server.serve(sources, authority, shutdown, hangups.clone()) => {}
            () = reopen => {}
        }
        tracing::info!("ending");
        // The pipeline ends when its last handle is dropped. The output threads end when the pipeline has ended.
        drop((readers, handle));
        let finish = async {
            // If one of them panicked, the process has already ended.
            let _ = spawn_blocking(|| pipeline.join()).await;
            let samples = samples.map(|samples| spawn_blocking(|| samples.finish()));
            let hdr_log = hdr_log.map(|hdr_log| spawn_blocking(|| hdr_log.finish()));
            let _ = tokio::join!(OptionFuture::from(samples), OptionFuture::from(hdr_log));
        };
        if tokio::time::timeout(FINISH, finish).await.is_err() {
            tracing::warn!("could not write all of --samples or --hdr-log before the end");
        }
    }
}

/// Each scope has its own watches and tracker. A scope is the whole cluster, or one selected namespace.
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
