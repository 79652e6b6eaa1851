//! Counts of requests and of connections that were dropped.

use crate::exposition::metrics::HttpCounts;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::StatusCode;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Stands for every unknown path.
const OTHER: &str = "other";

/// Requests by path and status, and connections that were dropped, since the start.
#[derive(Debug, Default)]
pub(super) struct HttpMetrics {
    /// By status and path. The path is that of a route.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    /// Paths of routes. A port may not have all of them.
    paths: Vec<&'static str>,
    /// In the order of [`Dropped::ALL`].
    dropped: [AtomicU64; Dropped::ALL.len()],
}

/// Why a connection was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The TLS handshake failed, or took too long.
    TlsHandshake,
    /// The head of a request did not arrive in time.
    SlowRequest,
    /// Something other than HTTP arrived.
    MalformedRequest,
    /// The head of a request was too large.
    LargeRequest,
    /// The client did not read the answer in time.
    SlowReader,
    /// It made room: there were too many.
    MadeRoom,
}

// === impl Dropped ===

impl Dropped {
    pub(super) const ALL: [Self; 6] = [
        Self::TlsHandshake,
        Self::SlowRequest,
        Self::MalformedRequest,
        Self::LargeRequest,
        Self::SlowReader,
        Self::MadeRoom,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::TlsHandshake => "tls_handshake",
            Self::SlowRequest => "slow_request",
            Self::MalformedRequest => "malformed_request",
            Self::LargeRequest => "large_request",
            Self::SlowReader => "slow_reader",
            Self::MadeRoom => "made_room",
        }
    }
}

// === impl HttpMetrics ===

impl HttpMetrics {
    /// The series of these paths begin at zero, so that Prometheus sees their first increase.
    pub(super) fn new(paths: Vec<&'static str>) -> Self {
        let requests = paths.iter().map(|path| (((*path).to_owned(), StatusCode::OK.as_u16()), 0)).collect();
        Self { requests: Mutex::new(requests), paths, dropped: Default::default() }
    }

    /// Answers and counts a request: by its route or, if this port has none for it, by the route of another port.
    pub(super) async fn count(State(metrics): State<Arc<Self>>, request: Request, next: Next) -> Response {
        let path = match request.extensions().get::<MatchedPath>() {
            Some(route) => route.as_str(),
            None => metrics.paths.iter().copied().find(|path| *path == request.uri().path()).unwrap_or(OTHER),
        };
        let path = path.to_owned();
        let answer = next.run(request).await;
        *metrics.requests.lock().entry((path, answer.status().as_u16())).or_default() += 1;
        answer
    }

    pub(super) fn count_dropped(&self, reason: Dropped) {
        self.dropped[reason as usize].fetch_add(1, Relaxed);
    }

    /// All counts so far.
    pub(super) fn counts(&self) -> HttpCounts {
        let requests = self.requests.lock();
        HttpCounts {
            requests: requests.iter().map(|((path, code), count)| (path.clone(), *code, *count)).collect(),
            dropped: Dropped::ALL
                .iter()
                .zip(&self.dropped)
                .map(|(why, count)| (why.as_str(), count.load(Relaxed)))
                .collect(),
        }
    }
}
