//! Counts of requests and of connections that were dropped.

use super::routes::PATHS;
use crate::exposition::metrics::HttpCounts;
use http::StatusCode;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Requests by path and status, and connections that were dropped, since the start.
#[derive(Debug)]
pub(super) struct HttpMetrics {
    /// By path, one of a fixed few, and status.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// In the order of [`Dropped::ALL`].
    dropped: [AtomicU64; Dropped::ALL.len()],
}

/// Why a connection was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The TLS handshake failed, or took too long.
    TlsHandshake,
    /// The head of a request did not come in time.
    SlowRequest,
    /// Something else than HTTP came.
    MalformedRequest,
    /// The head of a request was too large.
    LargeRequest,
    /// The answer was not taken in time.
    SlowReader,
    /// There were too many connections.
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

impl Default for HttpMetrics {
    fn default() -> Self {
        // Series that begin at zero, so that their first increase is seen.
        let requests = PATHS.iter().map(|path| ((*path, StatusCode::OK.as_u16()), 0)).collect();
        Self { requests: Mutex::new(requests), dropped: Default::default() }
    }
}

impl HttpMetrics {
    pub(super) fn count_request(&self, path: &'static str, status: StatusCode) {
        // Nothing panics while it is locked.
        let mut requests = self.requests.lock();
        *requests.entry((path, status.as_u16())).or_default() += 1;
    }

    pub(super) fn count_dropped(&self, reason: Dropped) {
        self.dropped[reason as usize].fetch_add(1, Relaxed);
    }

    /// All counts so far.
    pub(super) fn counts(&self) -> HttpCounts {
        let requests = self.requests.lock();
        HttpCounts {
            requests: requests.iter().map(|((path, code), count)| (*path, *code, *count)).collect(),
            dropped: Dropped::ALL
                .iter()
                .zip(&self.dropped)
                .map(|(why, count)| (why.as_str(), count.load(Relaxed)))
                .collect(),
        }
    }
}
