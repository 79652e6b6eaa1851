//! What each path answers.

use super::{http_metrics::HttpMetrics, page, tls::TlsHealth};
use crate::{
    cluster::health::WatchHealth,
    collector::Agents,
    exposition::{
        metrics::{Format, Histograms, Scrape, TlsCounts, gzip},
        samples,
    },
    logging::on_one_line,
    pipeline::PipelineHandle,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Bytes, Incoming};
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::Semaphore;

pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// The paths that there are, but for the files of the page.
pub(super) const PATHS: [&str; 11] = [
    "/",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/overview",
    "/api/v1/services",
    "/api/v1/out-of-sync",
    "/api/v1/histogram",
    "/api/v1/changes",
    "/api/v1/agents",
    "/api/v1/agents/observations",
];

/// What the answers are made from.
#[derive(Debug)]
pub struct ServerState {
    pub(super) pipeline: PipelineHandle,
    pub(super) watches: Vec<Arc<WatchHealth>>,
    samples: Arc<samples::Counts>,
    hdr_log_errors: Arc<AtomicU64>,
    tls: Option<Arc<TlsHealth>>,
    /// The agents, if they are listened to.
    pub(super) agents: Option<Arc<Agents>>,
    /// What has to come before there is anything to tell.
    awaited: Option<String>,
    histograms: Histograms,
    /// What is measured, in a few words.
    pub(super) subject: String,
    /// One scrape is encoded at a time, so that many at once cost no more memory than one.
    scraping: Semaphore,
    /// The same for the API.
    pub(super) computing: Semaphore,
    /// What the endpoint itself counts.
    pub(super) http_metrics: Arc<HttpMetrics>,
}

pub(super) type Answer = Response<Bytes>;

// === impl ServerState ===

impl ServerState {
    /// Answers from these parts.
    pub fn new(
        pipeline: PipelineHandle,
        watches: Vec<Arc<WatchHealth>>,
        samples: Arc<samples::Counts>,
        hdr_log_errors: Arc<AtomicU64>,
        histograms: Histograms,
        subject: String,
    ) -> Self {
        let (scraping, computing, http_metrics) = (Semaphore::new(1), Semaphore::new(1), Arc::default());
        Self {
            pipeline,
            watches,
            samples,
            hdr_log_errors,
            tls: None,
            agents: None,
            awaited: None,
            histograms,
            subject,
            scraping,
            computing,
            http_metrics,
        }
    }

    /// Of a daemon that does not measure yet, and why.
    pub(super) fn awaiting(what: String) -> Self {
        let (pipeline, _) = PipelineHandle::new();
        let subject = String::new();
        let state = Self::new(pipeline, Vec::new(), Arc::default(), Arc::default(), Histograms::Both, subject);
        Self { awaited: Some(what), ..state }
    }

    /// Tells of the server's certificate as well.
    pub fn with_tls(self, tls: Option<Arc<TlsHealth>>) -> Self {
        Self { tls, ..self }
    }

    /// Tells of agents as well.
    pub fn with_agents(self, agents: Option<Arc<Agents>>) -> Self {
        Self { agents, ..self }
    }

    /// Answers a request.
    pub async fn answer(&self, request: &Request<Incoming>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        if let Some(awaited) = &self.awaited
            && request.uri().path() != "/healthz"
        {
            let text = format!("not synced:\n{}\n", on_one_line(awaited));
            return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
        }
        match request.uri().path() {
            "/metrics" => self.metrics(request.headers()).await,
            "/healthz" => answer(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" => self.ready(),
            path => match (path.strip_prefix("/api/v1/"), page::asset(path)) {
                (Some(endpoint), _) => self.api(endpoint, request).await,
                (None, Some(asset)) => asset,
                (None, None) => answer(StatusCode::NOT_FOUND, PLAIN, "not here; / shows what is\n"),
            },
        }
    }

    /// Ready once every watch has listed. Says which has not, and why.
    fn ready(&self) -> Answer {
        let mut unsynced = String::new();
        for watch in self.watches.iter().filter(|watch| !watch.is_synced()) {
            let why = watch.failure().unwrap_or_else(|| "listing".to_owned());
            let _ = writeln!(unsynced, "{watch}: {}", on_one_line(&why));
        }
        if unsynced.is_empty() {
            answer(StatusCode::OK, PLAIN, "ok\n")
        } else {
            answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("not synced:\n{unsynced}"))
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Answer {
        // It is never closed.
        let _turn = self.scraping.acquire().await;
        let Some(snapshot) = self.pipeline.snapshot().await else { return ending() };
        let scrape = Scrape {
            snapshot,
            watches: self.watches.clone(),
            samples_dropped: self.samples.dropped.load(Relaxed),
            samples_errors: self.samples.errors.load(Relaxed),
            hdr_log_errors: self.hdr_log_errors.load(Relaxed),
            tls: self.tls.as_ref().map(|tls| TlsCounts { expiration: tls.expiration(), failures: tls.failures() }),
            histograms: self.histograms,
            http: self.http_metrics.counts(),
            agents: self.agents.as_ref().map(|agents| agents.summary()),
        };
        let format = Format::negotiate(text_of(headers, header::ACCEPT));
        let compress = accepts_gzip(text_of(headers, header::ACCEPT_ENCODING));
        let encode = move || {
            let plain = scrape.encode(format)?;
            Ok(if compress { (gzip(&plain)?, true) } else { (plain, false) })
        };
        // Encoding takes tens of milliseconds in a large cluster: not on a thread that others wait for.
        match tokio::task::spawn_blocking(encode).await {
            Ok(Ok((bytes, compressed))) => {
                let mut answer = answer(StatusCode::OK, format.content_type(), bytes);
                answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
                if compressed {
                    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                answer
            }
            Ok(Err(error)) => {
                let error: prometheus::Error = error;
                tracing::error!(%error, "metrics cannot be encoded");
                answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n"))
            }
            Err(_) => ending(),
        }
    }
}

pub(super) fn text_of(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether an `Accept-Encoding` header names gzip, and does not refuse it with a quality of zero.
pub(super) fn accepts_gzip(header: &str) -> bool {
    header.split(',').any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = parameters.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// An answer in plain text.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    answer(status, PLAIN, text)
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(super) fn ending() -> Answer {
    answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "ending\n")
}
