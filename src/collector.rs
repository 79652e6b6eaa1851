//! The daemon's end of the agents' streams: who they are, how their clocks compare, and what each of them told, once.
//!
//! ```text
//! agents ──► port ──► identity ──► session ──► agents ──► what was told: node, time on the daemon's clock, event
//!            TLS,     TokenReview  one         numbers,
//!            HTTP/2                stream      clocks
//! ```
//!
//! It runs among the threads that answer requests: nothing that comes here can hold up what reads and stamps the watches.

mod agents;
mod args;
mod identity;
mod offset;
mod port;
mod refusal;
mod session;
mod timeline;
mod told;
mod visit;

pub use self::{
    agents::{AgentView, Agents, Counts, NodeCounts, Summary},
    args::Args,
    identity::{AccountError, ServiceAccount},
    offset::Interval,
    told::{Told, What},
};

use self::{identity::Identity, port::Port};
use crate::cluster::{client::ApiClient, clock::Clock};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

/// What a user chose for the agents.
#[derive(Clone, Debug)]
pub struct CollectorSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Which agents to let in.
    pub account: ServiceAccount,
}

/// The port of the agents cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for agents; choose another address with --agents-listen")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// The port of the agents, taken.
#[derive(Debug)]
pub struct AgentsPort {
    /// Where it is.
    pub address: SocketAddr,
    listener: TcpListener,
    account: ServiceAccount,
}

/// Listens to agents.
pub struct Collector {
    port: Port,
}

// === impl AgentsPort ===

impl AgentsPort {
    /// Takes the port, so that what is wrong with it is known before anything else starts.
    ///
    /// # Errors
    /// If the address is taken, or not this machine's.
    pub async fn bind(settings: CollectorSettings) -> Result<Self, ListenError> {
        let CollectorSettings { listen: address, account } = settings;
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, %account, "listening for agents");
        Ok(Self { address, listener, account })
    }
}

// === impl Collector ===

impl Collector {
    /// Listens at this port, speaks TLS this way, and has `client` ask who an agent is. Times that agents tell become those of
    /// `clock`.
    pub fn new(port: AgentsPort, tls: TlsAcceptor, client: ApiClient, clock: Clock) -> Self {
        let AgentsPort { listener, account, .. } = port;
        let (agents, identity) = (Agents::new(clock), Arc::new(Identity::new(client, account)));
        Self { port: Port { listener, tls, agents, identity } }
    }

    /// The agents, now and later.
    pub fn agents(&self) -> Arc<Agents> {
        self.port.agents.clone()
    }

    /// Listens until it is dropped.
    pub async fn run(self) {
        let agents = self.agents();
        let clocks = async {
            let mut due = tokio::time::interval(timeline::EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                due.tick().await;
                agents.read_clocks();
            }
        };
        tokio::select! {
            () = self.port.serve() => {}
            () = clocks => {}
        }
    }
}

#[cfg(test)]
mod tests;
