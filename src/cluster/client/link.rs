//! The connection that the watches of one scope share.
//!
//! Each scope has its own connection, because the events of its watches are joined only with each other. Its three watches stay
//! far below the hundred streams that an API server allows on a connection. Two hundred namespaces take two hundred connections;
//! with HTTP/1.1 they would take six hundred.

use super::{
    ApiClient, Connection, RequestError, WatchProtocol,
    exchange::Exchange,
    http2::{self, Keeping},
};
use crate::{
    cluster::{
        health::{LinkHealth, Protocol},
        heartbeat::Heartbeat,
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

/// How long connecting may take, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects the watches of one scope.
pub struct Link {
    client: ApiClient,
    protocol: WatchProtocol,
    keeping: Keeping,
    heartbeat: Arc<Heartbeat>,
    health: Arc<LinkHealth>,
    state: Mutex<LinkState>,
}

#[derive(Default)]
struct LinkState {
    connection: Option<Connection>,
    /// When connecting last failed, and why. All callers that waited for it get this error.
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
    /// The peer offered HTTP/2, and does not speak it.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

// === impl Link ===

impl Link {
    /// One of this number of links to a server. Their PINGs go with the beats.
    pub fn new(
        client: ApiClient,
        protocol: WatchProtocol,
        links: usize,
        heartbeat: Arc<Heartbeat>,
        health: Arc<LinkHealth>,
    ) -> Self {
        Self { client, protocol, keeping: Keeping::one_of(links), heartbeat, health, state: Mutex::default() }
    }

    /// The current connection, or a new one if it is lost.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn connection(&self) -> Result<Connection, RequestError> {
        let asked = self.heartbeat.clock().now();
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
        state.failure = Some((self.heartbeat.clock().now(), cause.clone()));
        Err(self.client.exchange.unreachable(cause))
    }

    async fn connect(&self) -> Result<Connection, LinkError> {
        let secure = match (&self.client.secure, self.protocol) {
            (Some(secure), WatchProtocol::Auto) => secure,
            (None, WatchProtocol::Auto) if self.client.config.proxy_url.is_some() => {
                return Ok(self.fall_back(Some("the way leads through the proxy of the kubeconfig")));
            }
            // Because of the setting, or because there is no TLS. A real API server always has TLS.
            _ => return Ok(self.fall_back(None)),
        };
        let stream = secure.clone().oneshot(self.client.config.cluster_url.clone()).await;
        let stream = stream.map_err(LinkError::Connect)?;
        if !stream.connected().is_negotiated_h2() {
            return Ok(self.fall_back(Some("no HTTP/2 is offered")));
        }
        self.health.connected(Protocol::Http2, self.heartbeat.clock().now());
        let io = TokioIo::new(stream);
        let (requests, lost) = http2::connect(io, self.keeping, self.health.clone(), self.heartbeat.clone()).await?;
        let client = self.client.layers.client_over(requests, &self.client.config);
        let exchange = Exchange::new(client, self.client.url().to_owned());
        Ok(Connection::new(exchange, Some(lost)))
    }

    /// HTTP/1.1, with a log line if there is a reason that users should know. This stays until the process ends: a server that
    /// does not offer HTTP/2 is not asked again.
    fn fall_back(&self, why: Option<&str>) -> Connection {
        static SAID: Once = Once::new();
        if let Some(why) = why {
            let server = self.client.url();
            SAID.call_once(|| {
                tracing::warn!(
                    server,
                    "{why}: each watch has its own HTTP/1.1 connection, and the daemon cannot detect a slow one"
                );
            });
        }
        self.health.connected(Protocol::Http1, self.heartbeat.clock().now());
        Connection::new(self.client.exchange.clone(), None)
    }
}
