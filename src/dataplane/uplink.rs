//! The agent's stream to the daemon. It is kept open as long as the agent runs.

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

/// Minimum and maximum pause between two attempts, plus up to as much at random, so that not all agents connect at once.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// Where the daemon is, and how to authenticate.
#[derive(Clone, Debug)]
pub struct UplinkSettings {
    /// Host and port.
    pub daemon: Authority,
    /// Certificates of the authorities that may have signed the daemon's; `None` for those of the system.
    pub ca_file: Option<PathBuf>,
    /// The token to show. It is read again for each stream.
    pub token_file: PathBuf,
    /// The name of this node.
    pub node: String,
}

/// Sends the daemon what waits.
#[derive(Debug)]
pub struct Uplink {
    settings: UplinkSettings,
    outbox: Arc<Outbox>,
    health: Arc<UplinkHealth>,
    /// Distinguishes this run of the agent from others.
    epoch: u64,
}

/// The state of the stream.
#[derive(Debug, Default)]
pub struct UplinkHealth {
    streams: AtomicU64,
    failures: AtomicU64,
    state: Mutex<UplinkState>,
}

/// Whether there is a stream to the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UplinkState {
    /// No attempt has ended yet.
    #[default]
    Connecting,
    /// There is a stream.
    Connected,
    /// There is no stream, and why.
    Failed(String),
}

/// Why a stream ended, or could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UplinkError {
    /// There is no connection to the daemon.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon refuses this agent, at least for now.
    #[error("the daemon says: {}", .0.message())]
    Refused(Box<Status>),
    /// The connection to the daemon broke.
    #[error("the stream broke: {}", .0.message())]
    Broken(Box<Status>),
    /// The daemon has stopped, or asks for the token again.
    #[error("the daemon has ended the stream")]
    Ended,
    /// The daemon is silent.
    #[error("nothing was heard of the daemon for too long")]
    Silent,
    /// The daemon sent an unexpected message.
    #[error("the daemon sends what is not expected")]
    Unexpected,
}

// === impl Uplink ===

impl Uplink {
    /// An uplink that sends the contents of the outbox.
    pub fn new(settings: UplinkSettings, outbox: Arc<Outbox>) -> Self {
        Self { settings, outbox, health: Arc::default(), epoch: rand::random() }
    }

    /// The state of the stream, now and later.
    pub fn health(&self) -> Arc<UplinkHealth> {
        self.health.clone()
    }

    /// Keeps a stream open until it is dropped.
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
        // The source is what broke the connection. A status from the daemon has no source.
        if status.source().is_some() { Self::Broken(status.into()) } else { Self::Refused(status.into()) }
    }
}

// === impl UplinkHealth ===

impl UplinkHealth {
    /// Streams until now.
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

    /// Logs the error, but does not repeat the same one.
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
