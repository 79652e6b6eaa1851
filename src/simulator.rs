//! A simulated cluster in this process, for the demo, benches and tests of rare faults.
//!
//! It serves the Kubernetes API's list and watch over loopback, so the code that talks to a real cluster works with it unchanged.
//! Everything is simulated: pods have no containers, and delays are drawn at random.
//!
//! ```text
//!   life ──┐ pods, services                 ┌── api ── list and watch over HTTP
//!          ├──────────────────▶ store ──────┤
//!   tests ─┘                     ▲  │       └── log of events, per resource
//!                  endpointslices│  │pods, services
//!                               controller, garbage collector
//! ```
//!
//! The demo also asks for [`Nodes`], which read Services and slices from the store.

mod api;
mod body;
mod controller;
mod fleet;
mod frame;
mod garbage;
mod life;
pub mod messages;
mod nodes;
mod object;
mod queue;
mod sent;
mod store;

pub use self::controller::{Controller, ControllerSettings, Delay, WriteRate};
pub use self::fleet::{Fleet, FleetSize, Flip};
pub use self::life::{LifeSettings, Phase};
pub use self::nodes::{NodeSync, Nodes};
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

/// The settings of a simulated cluster.
#[derive(Clone, Copy, Debug)]
pub struct SimulatorSettings {
    /// Seed of all random choices: names, delays, what happens to which pod and when.
    pub seed: u64,
    /// Adds Services whose pods come and go. `None` gives an empty cluster in which nothing happens.
    pub life: Option<LifeSettings>,
    /// The EndpointSlice controller.
    pub controller: ControllerSettings,
    /// Time from the deletion of a Service until the garbage collector deletes each of its slices.
    pub garbage: Delay,
    /// Time between the bookmarks of a watch.
    pub bookmark_interval: Duration,
    /// Shortest duration of a watch, if the client sets no `timeoutSeconds`. The longest is twice that.
    pub min_watch: Duration,
    /// Number of events that are kept for each resource. A watch that resumes from an older version gets `410 Gone`.
    pub history: usize,
    /// Sends objects of realistic size, such as pods of 12.5 KB, instead of only the fields that are read.
    pub real_size: bool,
}

/// A running simulated cluster. It ends with [`shutdown`](Self::shutdown), or when it is dropped.
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
            // As in the API server's watch cache: a bookmark about once a minute.
            bookmark_interval: Duration::from_secs(60),
            // The API server's default for --min-request-timeout.
            min_watch: Duration::from_secs(1800),
            // Enough for several minutes. The API server's watch cache holds 75 seconds, and from 100 to 100,000 events.
            history: 1_000,
            real_size: false,
        }
    }
}

// === impl Simulator ===

impl Simulator {
    /// Starts a cluster on a free port of the loopback address.
    ///
    /// If there is life in the cluster, the slices of its Services exist before the first request is served.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start(settings: SimulatorSettings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let store = Store::new(settings.history);
        let life = settings.life.map(|life| Life::new(store.clone(), life, settings.seed));
        // Not the seed of life, because pods and slices would get the same UIDs.
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

    /// The URL of the API, such as `http://127.0.0.1:40123/`.
    pub fn url(&self) -> Uri {
        let uri = Uri::builder().scheme("http").authority(self.address.to_string()).path_and_query("/").build();
        // A socket address is a valid authority, and the rest is constant.
        uri.expect("a URL of an address")
    }

    /// The state, for reads and writes.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The EndpointSlice controller, to slow down or stop.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The present phase of the controller. Without life it is always [`Phase::Healthy`].
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// The nodes, which follow the slices from now on, while someone asks for the [next](Nodes::next) sync.
    pub fn nodes(&self, seed: u64) -> Nodes {
        // Not the seed of life, as for the controller.
        Nodes::new(self.store.clone(), seed.rotate_left(32))
    }

    /// Every event that a watch sends from now on, with its time. Only the last caller gets them.
    pub fn sent(&self) -> mpsc::Receiver<Sent> {
        self.sent.listen()
    }

    /// Stops everything: ends the watches, then closes the connections. Takes at most a second.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
