//! The agent on a node: tells the daemon what the node's kernel does with Services, and shows how that goes at a port of its own.
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

/// How long the reader waits for a report before it looks whether it has to end.
const WAIT: Duration = Duration::from_millis(500);

/// What a user chose for an agent.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// Where it is scraped.
    pub listen: SocketAddr,
    /// Whom it tells, and as whom.
    pub uplink: UplinkSettings,
}

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its own port cannot be taken.
    #[error("cannot listen on {address}; choose another with --listen")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system has no threads left.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The kernel cannot be read any more.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What is known of this node, as its port tells it.
#[derive(Debug)]
struct Status {
    outbox: Arc<Outbox>,
    uplink: Arc<UplinkHealth>,
    reader: Mutex<Counts>,
}

/// Tells a daemon what `reader` reads, until it cannot be read any more.
///
/// # Errors
/// Why that is.
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
            // It panicked, and has said so.
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
                // It is closed if the agent is ending anyway.
                let _ = ended.send(error);
                return;
            }
        }
    }
}

// === impl Status ===

impl Status {
    /// What a scrape shows.
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
