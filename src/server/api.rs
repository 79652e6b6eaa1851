//! The paths of `/api/v1/`.

use super::routes::{Answer, PLAIN, ServerState, accepts_gzip, answer, ending, text_of};
use crate::exposition::{
    api::{
        self, ChangesQuery, HistogramFormat, HistogramQuery, Histograms, History, HistoryQuery, ObservationsQuery,
        OutOfSyncQuery, QueryError, ServicesQuery,
    },
    metrics::gzip,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde::Serialize;

const JSON: &str = "application/json";

/// Answers below this are sent as they are: the header that says how they are packed would cost what packing saves.
const WORTH_PACKING: usize = 1_024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("no Service of this name is measured, or was lately")]
    UnknownService,
    #[error(
        "there is no such path; /api/v1/ has overview, services, out-of-sync, histogram, history, changes, agents and agents/observations"
    )]
    UnknownPath,
    #[error("no agents are listened to; --agents-listen does")]
    NoAgents,
    #[error("the daemon is ending")]
    Ending,
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// An answer's type and bytes.
type Body = (&'static str, Vec<u8>);

// === impl ServerState ===

impl ServerState {
    /// Answers `/api/v1/` and then `endpoint`.
    pub(super) async fn api<B>(&self, endpoint: &str, request: &Request<B>) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        // Taken before a copy of the state is made, so that many who ask at once hold one copy and not one each. It is never
        // closed.
        let _turn = self.computing.acquire().await;
        let body = match endpoint {
            "overview" => self.overview().await,
            "services" => self.services(query).await,
            "histogram" => self.histogram(query).await,
            "history" => self.history(query).await,
            "out-of-sync" => self.out_of_sync(query).await,
            "changes" => self.changes(query).await,
            "agents" => self.agents().await,
            "agents/observations" => self.observations(query).await,
            _ => Err(ApiError::UnknownPath),
        };
        let mut answer = match body {
            Ok((content_type, bytes)) => packed(content_type, bytes, request.headers()),
            Err(ApiError::Ending) => return ending(),
            Err(error) => error.answer(),
        };
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    async fn overview(&self) -> Result<Body, ApiError> {
        let now = self.pipeline.cluster().await.ok_or(ApiError::Ending)?;
        let (subject, watches) = (self.subject.clone(), self.watches.clone());
        compute(move || Ok((JSON, api::overview(&now, &subject, &watches)?))).await
    }

    async fn services(&self, query: &str) -> Result<Body, ApiError> {
        let query = ServicesQuery::parse(query)?;
        let now = self.pipeline.table(query.selection.clone()).await.ok_or(ApiError::Ending)?;
        compute(move || Ok((JSON, api::services(&now, &query)?))).await
    }

    async fn histogram(&self, query: &str) -> Result<Body, ApiError> {
        let query = HistogramQuery::parse(query)?;
        let histograms = if query.is_of_cluster() {
            Histograms::of_cluster(&self.pipeline.cluster().await.ok_or(ApiError::Ending)?, &query)
        } else {
            let now = self.pipeline.table(query.selection.clone()).await.ok_or(ApiError::Ending)?;
            Histograms::of_service(&now, &query).ok_or(ApiError::UnknownService)?
        };
        compute(move || match query.format {
            HistogramFormat::Json => Ok((JSON, histograms.json()?)),
            HistogramFormat::Text => Ok((PLAIN, histograms.text().into_bytes())),
        })
        .await
    }

    async fn history(&self, query: &str) -> Result<Body, ApiError> {
        let query = HistoryQuery::parse(query)?;
        if query.is_of_cluster() {
            let now = self.pipeline.cluster().await.ok_or(ApiError::Ending)?;
            return compute(move || Ok((JSON, History::of_cluster(&now, &query).json()?))).await;
        }
        let now = self.pipeline.table(query.selection.clone()).await.ok_or(ApiError::Ending)?;
        compute(move || Ok((JSON, History::of_service(&now).ok_or(ApiError::UnknownService)?.json()?))).await
    }

    async fn out_of_sync(&self, query: &str) -> Result<Body, ApiError> {
        let query = OutOfSyncQuery::parse(query)?;
        let now = self.pipeline.out_of_sync().await.ok_or(ApiError::Ending)?;
        compute(move || Ok((JSON, api::out_of_sync(&now, &query)?))).await
    }

    async fn changes(&self, query: &str) -> Result<Body, ApiError> {
        let query = ChangesQuery::parse(query)?;
        let now = self.pipeline.changes().await.ok_or(ApiError::Ending)?;
        compute(move || Ok((JSON, api::changes(&now, &query)?))).await
    }

    async fn agents(&self) -> Result<Body, ApiError> {
        let agents = self.agents.clone().ok_or(ApiError::NoAgents)?;
        compute(move || Ok((JSON, api::agents(&agents)?))).await
    }

    async fn observations(&self, query: &str) -> Result<Body, ApiError> {
        let query = ObservationsQuery::parse(query)?;
        let agents = self.agents.clone().ok_or(ApiError::NoAgents)?;
        compute(move || Ok((JSON, api::observations(&agents, &query)?))).await
    }
}

// === impl ApiError ===

impl ApiError {
    fn answer(&self) -> Answer {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        let status = match self {
            Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::UnknownService | Self::UnknownPath | Self::NoAgents => StatusCode::NOT_FOUND,
            Self::Ending => StatusCode::SERVICE_UNAVAILABLE,
            Self::Json(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // A text can always be written as JSON.
        let body = serde_json::to_vec(&Body { error: self.to_string() }).unwrap_or_default();
        answer(status, JSON, body)
    }
}

/// Works an answer out on a thread that nobody waits for: quantiles of 10,000 Services take their time.
async fn compute(work: impl FnOnce() -> Result<Body, ApiError> + Send + 'static) -> Result<Body, ApiError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ApiError::Ending))
}

/// Packs the answer if that is worth it, and wanted.
fn packed(content_type: &'static str, bytes: Vec<u8>, headers: &HeaderMap) -> Answer {
    let wanted = bytes.len() >= WORTH_PACKING && accepts_gzip(text_of(headers, header::ACCEPT_ENCODING));
    let packed = wanted.then(|| gzip(&bytes).ok()).flatten();
    let mut answer = match packed {
        Some(packed) => {
            let mut answer = answer(StatusCode::OK, content_type, packed);
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            answer
        }
        None => answer(StatusCode::OK, content_type, bytes),
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    answer
}
