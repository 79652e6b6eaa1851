//! `/metrics`: a scrape.

use super::{
    answer::{Content, ENDING, TakesGzip},
    http_metrics::HttpMetrics,
    sources::Sources,
    tls::TlsHealth,
};
use crate::exposition::metrics::{Format, Scrape, TlsCounts};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::sync::Semaphore;

pub(super) const PATHS: [&str; 1] = ["/metrics"];

/// Answers scrapes.
#[derive(Debug)]
struct Scraper {
    sources: Sources,
    tls: Option<Arc<TlsHealth>>,
    http_metrics: Arc<HttpMetrics>,
    /// One scrape is encoded at a time, so that many at once cost no more memory than one.
    turn: Semaphore,
}

pub(super) fn router(sources: &Sources, tls: Option<Arc<TlsHealth>>, http_metrics: Arc<HttpMetrics>) -> Router {
    let scraper = Scraper { sources: sources.clone(), tls, http_metrics, turn: Semaphore::new(1) };
    Router::new().route("/metrics", get(scrape)).with_state(Arc::new(scraper))
}

async fn scrape(State(scraper): State<Arc<Scraper>>, headers: HeaderMap, gzip: TakesGzip) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept.unwrap_or_default());
    // Never closed.
    let _turn = scraper.turn.acquire().await;
    let Some(scrape) = scraper.scrape().await else { return ENDING.into_response() };
    let encode = move || Ok(Content::new(format.content_type(), scrape.encode(format)?).for_client(gzip));
    // Encoding takes tens of milliseconds in a large cluster, so it must not block a thread that others need.
    match tokio::task::spawn_blocking(encode).await {
        Ok(Ok(content)) => ([(header::VARY, "accept, accept-encoding")], content).into_response(),
        Ok(Err(error)) => {
            let error: prometheus::Error = error;
            tracing::error!(%error, "metrics cannot be encoded");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
        Err(_) => ENDING.into_response(),
    }
}

// === impl Scraper ===

impl Scraper {
    /// The data of a scrape now; `None` if the pipeline has ended.
    async fn scrape(&self) -> Option<Scrape> {
        let Self { sources, tls, http_metrics, .. } = self;
        Some(Scrape {
            snapshot: sources.pipeline.snapshot().await?,
            watches: sources.watches.clone(),
            samples_dropped: sources.samples.dropped.load(Relaxed),
            samples_errors: sources.samples.errors.load(Relaxed),
            hdr_log_errors: sources.hdr_log_errors.load(Relaxed),
            tls: tls.as_ref().map(|tls| TlsCounts { expiration: tls.expiration(), failures: tls.failures() }),
            histograms: sources.histograms,
            visible_slo: sources.visible_slo,
            http: http_metrics.counts(),
            agents: sources.agents.as_ref().map(|agents| agents.summary()),
            advice: sources.advice.as_ref().map(|board| board.view()),
        })
    }
}
