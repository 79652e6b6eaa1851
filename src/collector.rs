//! The daemon's end of the agents' streams: who the agents are, how their clocks compare, and what each one sent, once.
//!
//! ```text
//! agents ──► port ──► identity ──► session ──► agents ──► output: node, time on the daemon's clock, event
//!            TLS,     TokenReview  one         numbers,
//!            HTTP/2                stream      clocks
//! ```
//!
//! The pipeline's thread takes the output, and joins it with the changes of Services.
//!
//! It runs on the threads that answer requests: nothing here can delay the reading and stamping of the watches.

mod agents;
mod args;
mod identity;
mod local;
mod offset;
mod output;
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
    local::LocalAgent,
    output::Events,
    told::{Told, What},
};

use self::{identity::Identity, port::Port};
use crate::cluster::{client::ApiClient, clock::Clock};
use std::{future::pending, io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

/// The user's settings for the agents.
#[derive(Clone, Debug)]
pub struct CollectorSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The account of the agents that are let in.
    pub account: ServiceAccount,
}

/// The port for the agents cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for agents; choose another address with --agents-listen")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// The port for the agents, open.
#[derive(Debug)]
pub struct AgentsPort {
    /// Its address.
    pub address: SocketAddr,
    listener: TcpListener,
    account: ServiceAccount,
}

/// How agents reach the daemon.
#[derive(Debug)]
pub enum AgentSource {
    /// Through a port.
    Port(AgentsPort),
    /// They are [in this process](LocalAgent).
    Local,
}

/// Collects what agents send.
pub struct Collector {
    /// Where it listens for agents. `None` if all are in this process.
    port: Option<Port>,
    agents: Arc<Agents>,
    events: Option<Events>,
}

// === impl AgentsPort ===

impl AgentsPort {
    /// Opens the port, so that an error with it is found before anything else starts.
    ///
    /// # Errors
    /// If the address is in use, or does not belong to this machine.
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
    /// Listens at this port with this TLS configuration, and uses `client` to ask who an agent is. Times that agents send are
    /// converted to those of `clock`.
    pub fn new(port: AgentsPort, tls: TlsAcceptor, client: ApiClient, clock: Clock) -> Self {
        let AgentsPort { listener, account, .. } = port;
        let (agents, events) = Agents::new(clock);
        let identity = Arc::new(Identity::new(client, account));
        let port = Some(Port { listener, tls, agents: agents.clone(), identity });
        Self { port, agents, events: Some(events) }
    }

    /// Only for agents in this process.
    pub fn local(clock: Clock) -> Self {
        let (agents, events) = Agents::new(clock);
        Self { port: None, agents, events: Some(events) }
    }

    /// The agents, now and later.
    pub fn agents(&self) -> Arc<Agents> {
        self.agents.clone()
    }

    /// What the agents send. Only the first caller gets it.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// Works until it is dropped.
    pub async fn run(mut self) {
        // If the other end was not taken, agents must not wait for it.
        drop(self.events.take());
        let agents = self.agents();
        let clocks = async {
            let mut due = tokio::time::interval(timeline::EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                due.tick().await;
                agents.read_clocks();
            }
        };
        let port = async {
            match self.port {
                Some(port) => port.serve().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = port => {}
            () = clocks => {}
        }
    }
}

#[cfg(test)]
mod tests;
