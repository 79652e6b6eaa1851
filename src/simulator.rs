//! A simulated cluster in this process, for the demo, benches and tests of rare faults.
//!
//! It speaks the Kubernetes API's list and watch over loopback, so that the code which talks to a real cluster talks to
//! this one unchanged. Everything is simulated: pods have no containers, and delays are drawn, not suffered.
//!
//! ```text
//!   life ──┐ pods, services                 ┌── api ── list and watch over HTTP
//!          ├──────────────────▶ store ──────┤
//!   tests ─┘                     ▲  │       └── log of events, per resource
//!                  endpointslices│  │pods, services
//!                               controller, garbage collector
//! ```

mod api;
mod body;
mod controller;
mod fleet;
mod frame;
mod garbage;
mod life;
pub mod messages;
mod object;
mod queue;
mod sent;
mod store;

pub use self::controller::{Controller, ControllerSettings, Delay, WriteRate};
pub use self::fleet::{Fleet, FleetSize, Flip};
pub use self::life::{LifeSettings, Phase};
pub use self::object::Object;
pub use self::sent::Sent;
pub use self::store::{Expired, Store, Stored};

use self::{api::Api, garbage::GarbageCollector, life::Life, sent::SentLog};
use http::Uri;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// How a simulated cluster is set up.
#[derive(Clone, Copy, Debug)]
pub struct SimulatorSettings {
    /// Decides all that is drawn: names, delays, what happens to which pod and when.
    pub seed: u64,
    /// Fills the cluster with Services whose pods come and go. None for a cluster that is empty and stays still.
    pub life: Option<LifeSettings>,
    /// The EndpointSlice controller.
    pub controller: ControllerSettings,
    /// Time from the end of a Service until the garbage collector takes each of its slices.
    pub garbage: Delay,
    /// Time between the bookmarks of a watch.
    pub bookmark_interval: Duration,
    /// Shortest watch for a client that sets no `timeoutSeconds`; the longest is twice that.
    pub min_watch: Duration,
    /// Events kept of each resource. Who resumes from before them gets `410 Gone`.
    pub history: usize,
    /// Sends objects as long as real ones are, such as pods of 12.5 KB, instead of what is read of them alone.
    pub real_size: bool,
}

/// A running simulated cluster. It ends with [`shutdown`](Self::shutdown), or at once when dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    store: Store,
    controller: Controller,
    phase: watch::Receiver<Phase>,
    sent: SentLog,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

// === impl SimulatorSettings ===

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            life: None,
            controller: ControllerSettings::default(),
            garbage: Delay::COLLECTING,
            // The API server's watch cache: a bookmark about once a minute.
            bookmark_interval: Duration::from_secs(60),
            // The API server's default for --min-request-timeout.
            min_watch: Duration::from_secs(1800),
            // Minutes of life. The API server's watch cache holds 75 seconds, from 100 events to 100,000.
            history: 1_000,
            real_size: false,
        }
    }
}

// === impl Simulator ===

impl Simulator {
    /// Starts a cluster on a free port of the loopback address.
    ///
    /// The slices of what life has put into it are there before the first request is served.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(settings: SimulatorSettings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let store = Store::new(settings.history);
        let life = settings.life.map(|life| Life::new(store.clone(), life, settings.seed));
        // Another seed than life's: the same UIDs would come out for pods and slices.
        let (controller, worker) = Controller::new(store.clone(), settings.controller, !settings.seed);
        let collector = GarbageCollector::new(store.clone(), settings.garbage, settings.seed);
        let sent = SentLog::default();
        let api = Api {
            store: store.clone(),
            bookmark_interval: settings.bookmark_interval,
            min_watch: settings.min_watch,
            bodies: settings.real_size.then(|| &*body::REAL),
            sent: sent.clone(),
        };
        let phase = match &life {
            Some(life) => life.phase(),
            None => watch::channel(Phase::Healthy).1,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(api.serve(listener, stopped.clone()));
        tasks.spawn(worker.run(stopped.clone()));
        tasks.spawn(collector.run(stopped.clone()));
        if let Some(life) = life {
            tasks.spawn(life.run(controller.clone(), stopped));
        }
        Ok(Self { address, store, controller, phase, sent, stop, tasks })
    }

    /// Where the API is, such as `http://127.0.0.1:40123/`.
    pub fn url(&self) -> Uri {
        let uri = Uri::builder().scheme("http").authority(self.address.to_string()).path_and_query("/").build();
        // A socket address is an authority, and the rest is constant.
        uri.expect("a URL of an address")
    }

    /// The state, to read and to write.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The EndpointSlice controller, to slow down or stop.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// How life makes the controller work. Without life, always [`Phase::Healthy`].
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Every event that a watch hands over from now on, with the time. Only the last caller hears.
    pub fn sent(&self) -> mpsc::Receiver<Sent> {
        self.sent.listen()
    }

    /// Stops everything: watches end, then connections are closed. Takes a second at most.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
