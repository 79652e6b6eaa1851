//! A port: accepts connections, and serves TLS and HTTP on them within limits.

use super::{
    connections::{ConnectionGuard, Connections},
    http_metrics::{Dropped, HttpMetrics},
    write_timeout::{TimeoutStream, WriteTimeout},
};
use axum::Router;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::Service;

/// Limits for clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// Connections at a time: 200 scrapes and some more.
    pub(super) connections: usize,
    /// Time for the TLS handshake.
    pub(super) handshake: Duration,
    /// Time for the head of a request, since the end of the previous request. So it also limits idle connections.
    pub(super) head: Duration,
    /// Largest head of a request.
    pub(super) head_bytes: usize,
    /// How slowly answers may be read. Prometheus gives up after 10 s.
    pub(super) write_timeout: WriteTimeout,
    /// Time for running requests to finish when the process ends.
    pub(super) drain: Duration,
}

/// A port that is served.
pub(super) struct Port {
    listener: Arc<TcpListener>,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: ConnectionLimits,
    http_metrics: Arc<HttpMetrics>,
}

// === impl ConnectionLimits ===

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            head_bytes: 16 << 10,
            write_timeout: WriteTimeout { stall: Duration::from_secs(10), answer: Duration::from_secs(60) },
            drain: Duration::from_secs(1),
        }
    }
}

// === impl Port ===

impl Port {
    pub(super) fn new(
        listener: Arc<TcpListener>,
        tls: Option<TlsAcceptor>,
        router: Router,
        limits: ConnectionLimits,
        http_metrics: Arc<HttpMetrics>,
    ) -> Self {
        Self { listener, tls, router, limits, http_metrics }
    }

    /// Serves until `stopped` completes, then lets running requests finish.
    pub(super) async fn serve(self, stopped: impl Future<Output = ()>) {
        let connections = Connections::new(self.limits.connections, self.http_metrics.clone());
        let graceful = GracefulShutdown::new();
        let mut conversations = JoinSet::new();
        let drain = self.limits.drain;
        let port = Arc::new(self);
        tokio::pin!(stopped);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stopped => break,
                accepted = port.listener.accept() => accepted,
                Some(_) = conversations.join_next() => continue,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Usually, there is no free file descriptor. Ended connections free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            connections.give_chance().await;
            let (port, guard, watcher) = (port.clone(), connections.enter(), graceful.watcher());
            conversations.spawn(async move {
                let connection = guard.connection.clone();
                tokio::select! {
                    () = connection.must_leave() => {}
                    () = port.converse(stream, &guard, watcher) => {}
                }
            });
        }
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::debug!("requests were still under way");
        }
        // Their resources must not keep the rest of the process from ending.
        conversations.shutdown().await;
    }

    async fn converse(
        &self,
        stream: TcpStream,
        guard: &ConnectionGuard,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let _ = stream.set_nodelay(true);
        let stream = TimeoutStream::new(stream, self.limits.write_timeout, guard.connection.clone());
        let Some(tls) = &self.tls else { return self.answer(stream, guard, watcher).await };
        match tokio::time::timeout(self.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.answer(stream, guard, watcher).await,
            Ok(Err(error)) => {
                // A client that connects and leaves without sending bytes, such as a load balancer's check, does not count as dropped.
                if guard.connection.was_heard() {
                    self.http_metrics.count_dropped(Dropped::TlsHandshake);
                }
                tracing::debug!(%error, "no TLS handshake");
            }
            Err(_) => self.http_metrics.count_dropped(Dropped::TlsHandshake),
        }
    }

    async fn answer<S>(&self, stream: S, guard: &ConnectionGuard, watcher: hyper_util::server::graceful::Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answer = service_fn(|request: Request<Incoming>| async move {
            guard.connection.note_request();
            // A router is always ready.
            let answer = self.router.clone().call(request).await;
            guard.connection.note_answer();
            answer
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(self.limits.head_bytes)
            .serve_connection(TokioIo::new(stream), answer);
        if let Err(error) = watcher.watch(connection).await {
            if let Some(reason) = guard.connection.reason(&error) {
                self.http_metrics.count_dropped(reason);
            }
            tracing::debug!(%error, "a connection ended in disorder");
        }
    }
}
