//! The agent's own port: `/metrics`, `/healthz` and `/readyz`, without TLS. It shows only what operators need.

use super::{AgentError, Status};
use crate::exposition::metrics::Format;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::timeout};

const PLAIN: &str = "text/plain; charset=utf-8";

/// Maximum number of connections at a time.
const CONNECTIONS: usize = 32;

/// Maximum time for the head of a request, and so for an idle connection; and for a whole connection.
const HEAD: Duration = Duration::from_secs(10);
const CONNECTION: Duration = Duration::from_secs(300);

/// The port, open.
#[derive(Debug)]
pub(super) struct Port {
    listener: TcpListener,
    status: Arc<Status>,
}

type Answer = Response<Full<Bytes>>;

// === impl Port ===

impl Port {
    /// Opens it.
    pub(super) async fn bind(address: SocketAddr, status: Arc<Status>) -> Result<Self, AgentError> {
        let failed = |source| AgentError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "listening");
        Ok(Self { listener, status })
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            // The semaphore is never closed.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let stream = loop {
                tokio::select! {
                    accepted = self.listener.accept() => break accepted,
                    Some(_) = connections.join_next() => {}
                }
            };
            let Ok((stream, _)) = stream else {
                // Usually there are no file descriptors left. They become free again.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let status = self.status.clone();
            connections.spawn(async move {
                let _place = place;
                let answer = service_fn(|request| {
                    let answer = answer(&status, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), answer);
                // It does not matter if a client leaves early or stays too long.
                let _ = timeout(CONNECTION, connection).await;
            });
        }
    }
}

fn answer(status: &Status, request: &Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" if status.is_ready() => text(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "the kernel's rules have not been read yet\n"),
        "/metrics" => {
            let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
            let format = Format::negotiate(accept.unwrap_or_default());
            match status.scrape().encode(format) {
                Ok(bytes) => text(StatusCode::OK, format.content_type(), bytes),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
            }
        }
        _ => text(StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /healthz and /readyz\n"),
    }
}

fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    answer
}
