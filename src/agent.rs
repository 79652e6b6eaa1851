//! The agent on a node: sends the daemon what the node's kernel does with Services, and shows its own state at a port of its own.
//!
//! ```text
//! thread:  reader ──► outbox ──► uplink ──► daemon        [`dataplane`]
//!            └──────────┴──────────┴──────► port ──► Prometheus, kubelet
//! ```
//!
//! [`dataplane`]: crate::dataplane

mod args;
mod port;

pub use self::args::Args;

use self::port::Port;
use crate::{
    dataplane::{Counts, Outbox, ReadError, Reader, Uplink, UplinkHealth, UplinkSettings, print},
    exposition::metrics::{Node, NodeUplink},
};
use parking_lot::Mutex;
use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};
use tokio::sync::oneshot;

/// How long the reader waits for a report before it checks whether it must end.
const WAIT: Duration = Duration::from_millis(500);

/// The user's settings for an agent.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// The address for scrapes.
    pub listen: SocketAddr,
    /// Which daemon to send to, and how to authenticate.
    pub uplink: UplinkSettings,
}

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its own port cannot be opened.
    #[error("cannot listen on {address}; choose another with --listen")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The kernel can no longer be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What is known about this node, for its port.
#[derive(Debug)]
struct Status {
    outbox: Arc<Outbox>,
    uplink: Arc<UplinkHealth>,
    reader: Mutex<Counts>,
}

/// Sends a daemon what `reader` reads, until reading fails.
///
/// # Errors
/// Why reading failed, or why the agent could not start.
pub async fn run(reader: impl Reader + Send + 'static, settings: AgentSettings) -> Result<(), AgentError> {
    let outbox = Arc::new(Outbox::default());
    let uplink = Uplink::new(settings.uplink, outbox.clone());
    let status = Arc::new(Status { outbox, uplink: uplink.health(), reader: Mutex::default() });
    let port = Port::bind(settings.listen, status.clone()).await?;
    let (ended, reading) = oneshot::channel();
    let thread = thread::Builder::new().name("reader".into());
    thread.spawn(move || read(reader, &status, ended)).map_err(AgentError::Thread)?;
    tokio::select! {
        () = uplink.run() => Ok(()),
        () = port.serve() => Ok(()),
        error = reading => match error {
            Ok(error) => Err(error.into()),
            // The reader panicked, and has printed why.
            Err(_) => Ok(()),
        },
    }
}

/// Reads until it fails, or the agent ends.
fn read(mut reader: impl Reader, status: &Status, ended: oneshot::Sender<ReadError>) {
    while !ended.is_closed() {
        match reader.next(WAIT) {
            Ok(report) => {
                *status.reader.lock() = reader.counts();
                if let Some(report) = report {
                    print::log(&report);
                    status.outbox.push(report);
                }
            }
            Err(error) => {
                // The channel is closed if the agent is ending anyway.
                let _ = ended.send(error);
                return;
            }
        }
    }
}

// === impl Status ===

impl Status {
    /// The values for a scrape.
    fn scrape(&self) -> Node {
        let (outbox, reader) = (self.outbox.counts(), *self.reader.lock());
        let uplink = NodeUplink {
            connected: self.uplink.is_connected(),
            streams: self.uplink.streams(),
            failures: self.uplink.failures(),
        };
        Node { supported: self.outbox.planes().map(|planes| planes.is_seen()), outbox, gaps: reader.losses, uplink }
    }

    /// Whether the kernel's rules have been read.
    fn is_ready(&self) -> bool {
        self.outbox.planes().is_some()
    }
}

#[cfg(test)]
mod tests;
