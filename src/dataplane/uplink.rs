//! The agent's stream to the daemon: kept up for as long as the agent runs.

mod args;
mod connection;
mod conversation;

pub use self::args::UplinkArgs;

use self::{connection::ConnectError, conversation::Conversation};
use super::outbox::Outbox;
use crate::errors::chain;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use http::uri::Authority;
use parking_lot::Mutex;
use std::{
    error::Error as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tonic::Status;

/// Between two attempts, at the least and at the most; and as much again at random, so that not all agents come at once.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// Where the daemon is, and how to be let in.
#[derive(Clone, Debug)]
pub struct UplinkSettings {
    /// Host and port.
    pub daemon: Authority,
    /// Certificates of the authorities that the daemon's may be of; those of the system without it.
    pub ca_file: Option<PathBuf>,
    /// The token to show. It is read anew for each stream.
    pub token_file: PathBuf,
    /// The node that this is.
    pub node: String,
}

/// Tells the daemon what waits.
#[derive(Debug)]
pub struct Uplink {
    settings: UplinkSettings,
    outbox: Arc<Outbox>,
    health: Arc<UplinkHealth>,
    /// Tells this run of the agent from others.
    epoch: u64,
}

/// How the stream is doing.
#[derive(Debug, Default)]
pub struct UplinkHealth {
    streams: AtomicU64,
    failures: AtomicU64,
    state: Mutex<UplinkState>,
}

/// Whether the daemon listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UplinkState {
    /// No attempt has ended yet.
    #[default]
    Connecting,
    /// It does.
    Connected,
    /// It does not, and why.
    Failed(String),
}

/// Why a stream ended, or could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UplinkError {
    /// There is no connection to the daemon.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon does not want this agent, or not now.
    #[error("the daemon says: {}", .0.message())]
    Refused(Box<Status>),
    /// The connection to the daemon broke.
    #[error("the stream broke: {}", .0.message())]
    Broken(Box<Status>),
    /// The daemon has gone, or wants to see the token again.
    #[error("the daemon has ended the stream")]
    Ended,
    /// The daemon says nothing.
    #[error("nothing was heard of the daemon for too long")]
    Silent,
    /// The daemon says what it should not.
    #[error("the daemon sends what is not expected")]
    Unexpected,
}

// === impl Uplink ===

impl Uplink {
    /// Tells what is in the outbox.
    pub fn new(settings: UplinkSettings, outbox: Arc<Outbox>) -> Self {
        Self { settings, outbox, health: Arc::default(), epoch: rand::random() }
    }

    /// How it is doing, now and later.
    pub fn health(&self) -> Arc<UplinkHealth> {
        self.health.clone()
    }

    /// Keeps a stream up until it is dropped.
    pub async fn run(self) {
        let mut pauses = pauses();
        loop {
            let error = match self.stream(&mut pauses).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.outbox.give_up();
            self.health.failed(&error);
            let pause = pauses.next().unwrap_or(PAUSES[1]);
            tokio::time::sleep(pause).await;
        }
    }

    /// One stream, until it ends.
    async fn stream(&self, pauses: &mut ExponentialBackoff) -> Result<std::convert::Infallible, UplinkError> {
        let (outbound, inbound) = connection::open(&self.settings).await?;
        let mut conversation = Conversation::new(self.outbox.clone(), outbound, inbound);
        conversation.begin(&self.settings.node, self.epoch).await?;
        *pauses = self::pauses();
        self.health.connected(&self.settings.daemon);
        conversation.go_on().await
    }
}

fn pauses() -> ExponentialBackoff {
    let [shortest, longest] = PAUSES;
    ExponentialBuilder::new().with_min_delay(shortest).with_max_delay(longest).without_max_times().with_jitter().build()
}

// === impl UplinkError ===

impl From<Status> for UplinkError {
    fn from(status: Status) -> Self {
        // What broke the connection is the source; what the daemon says has none.
        if status.source().is_some() { Self::Broken(status.into()) } else { Self::Refused(status.into()) }
    }
}

// === impl UplinkHealth ===

impl UplinkHealth {
    /// Streams so far.
    pub fn streams(&self) -> u64 {
        self.streams.load(Relaxed)
    }

    /// Streams that broke, and attempts that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Whether there is a stream.
    pub fn is_connected(&self) -> bool {
        *self.state.lock() == UplinkState::Connected
    }

    /// Whether there is a stream, or why not.
    pub fn state(&self) -> UplinkState {
        self.state.lock().clone()
    }

    fn connected(&self, daemon: &Authority) {
        self.streams.fetch_add(1, Relaxed);
        tracing::info!(%daemon, "the daemon listens");
        *self.state.lock() = UplinkState::Connected;
    }

    /// Logs it, but not the same again and again.
    fn failed(&self, error: &UplinkError) {
        self.failures.fetch_add(1, Relaxed);
        let why = chain(error);
        let mut state = self.state.lock();
        if matches!(&*state, UplinkState::Failed(before) if *before == why) {
            return;
        }
        if matches!(error, UplinkError::Ended) {
            tracing::info!("{why}; it is connected to again");
        } else {
            tracing::warn!(why, "the daemon is not told; what happens is kept for it");
        }
        *state = UplinkState::Failed(why);
    }
}
