//! The connection that the watches of one scope share.
//!
//! A scope has one of its own: what its watches tell is joined with nothing that comes another way, and the three of them stay far below
//! the hundred streams that an API server allows a connection. Two hundred namespaces are two hundred connections, where HTTP/1.1 would
//! take six hundred.

use super::{
    ApiClient, Connection, RequestError, WatchProtocol,
    exchange::Exchange,
    http2::{self, Keeping},
};
use crate::{
    cluster::{
        clock::Clock,
        health::{LinkHealth, Protocol},
    },
    model::Stamp,
};
use hyper_util::{client::legacy::connect::Connection as _, rt::TokioIo};
use std::{
    sync::{Arc, Once},
    time::Duration,
};
use tokio::sync::Mutex;
use tower::{BoxError, ServiceExt};

/// How long it may take to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects the watches of one scope.
pub struct Link {
    client: ApiClient,
    protocol: WatchProtocol,
    keeping: Keeping,
    clock: Clock,
    health: Arc<LinkHealth>,
    state: Mutex<LinkState>,
}

#[derive(Default)]
struct LinkState {
    connection: Option<Connection>,
    /// When connecting failed last, and why: true for all who waited for it.
    failure: Option<(Stamp, Arc<LinkError>)>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The server does not answer.
    #[error("no connection within {} s", .0.as_secs())]
    Late(Duration),
    /// TCP or TLS fails.
    #[error(transparent)]
    Connect(BoxError),
    /// What answers does not speak HTTP/2, though it offered to.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

// === impl Link ===

impl Link {
    /// One of so many links of a server.
    pub fn new(
        client: ApiClient,
        protocol: WatchProtocol,
        links: usize,
        clock: Clock,
        health: Arc<LinkHealth>,
    ) -> Self {
        Self { client, protocol, keeping: Keeping::one_of(links), clock, health, state: Mutex::default() }
    }

    /// The connection, made anew if there is none that holds.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn connection(&self) -> Result<Connection, RequestError> {
        let asked = self.clock.now();
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.loss().is_none()) {
            return Ok(connection.clone());
        }
        if let Some((_, cause)) = state.failure.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(self.client.exchange.unreachable(cause.clone()));
        }
        state.connection = None;
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.connect());
        let cause = match connecting.await {
            Ok(Ok(connection)) => {
                state.connection = Some(connection.clone());
                return Ok(connection);
            }
            Ok(Err(error)) => Arc::new(error),
            Err(_) => Arc::new(LinkError::Late(CONNECT_TIMEOUT)),
        };
        state.failure = Some((self.clock.now(), cause.clone()));
        Err(self.client.exchange.unreachable(cause))
    }

    async fn connect(&self) -> Result<Connection, LinkError> {
        let secure = match (&self.client.secure, self.protocol) {
            (Some(secure), WatchProtocol::Auto) => secure,
            (None, WatchProtocol::Auto) if self.client.config.proxy_url.is_some() => {
                return Ok(self.fall_back(Some("the way leads through the proxy of the kubeconfig")));
            }
            // As it was asked for, or without TLS, which a real API server is not.
            _ => return Ok(self.fall_back(None)),
        };
        let stream = secure.clone().oneshot(self.client.config.cluster_url.clone()).await;
        let stream = stream.map_err(LinkError::Connect)?;
        if !stream.connected().is_negotiated_h2() {
            return Ok(self.fall_back(Some("no HTTP/2 is offered")));
        }
        self.health.connected(Protocol::Http2, self.clock.now());
        let io = TokioIo::new(stream);
        let (requests, lost) = http2::connect(io, self.keeping, self.health.clone(), self.clock).await?;
        let client = self.client.layers.client_over(requests, &self.client.config);
        let exchange = Exchange::new(client, self.client.url().to_owned());
        Ok(Connection::new(exchange, Some(lost)))
    }

    /// HTTP/1.1, and why if that is worth a line in the log. Holds as long as the process does: who offers no HTTP/2 is asked no second time.
    fn fall_back(&self, why: Option<&str>) -> Connection {
        static SAID: Once = Once::new();
        if let Some(why) = why {
            let server = self.client.url();
            SAID.call_once(|| {
                tracing::warn!(
                    server,
                    "{why}: each watch has an HTTP/1.1 connection of its own, and one that lags is not noticed"
                );
            });
        }
        self.health.connected(Protocol::Http1, self.clock.now());
        Connection::new(self.client.exchange.clone(), None)
    }
}
