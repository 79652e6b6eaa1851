//! The paths of `/api/v1/`.

use super::{
    answer::{Content, ENDING, TakesGzip},
    sources::Sources,
};
use crate::{
    adviser::Board,
    cluster::health::WatchHealth,
    collector::Agents,
    exposition::api::{
        self, AdviceQuery, ChangesQuery, HistogramFormat, HistogramQuery, Histograms, History, HistoryQuery,
        ObservationsQuery, OutOfSyncQuery, QueryError, ServicesQuery, StartupQuery,
    },
    pipeline::PipelineHandle,
};
use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header, request::Parts};
use serde::Serialize;
use std::{str::FromStr, sync::Arc};
use tokio::sync::Semaphore;

pub(super) const PATHS: [&str; 10] = [
    "/api/v1/overview",
    "/api/v1/services",
    "/api/v1/out-of-sync",
    "/api/v1/histogram",
    "/api/v1/history",
    "/api/v1/changes",
    "/api/v1/startup",
    "/api/v1/advice",
    "/api/v1/agents",
    "/api/v1/agents/observations",
];

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The sources of the answers.
#[derive(Debug)]
struct Api {
    pipeline: PipelineHandle,
    watches: Vec<Arc<WatchHealth>>,
    agents: Option<Arc<Agents>>,
    board: Option<Arc<Board>>,
    /// What is measured, in a few words.
    subject: String,
    /// One answer is prepared at a time, so that many requests hold one copy of the state, and not one each.
    turn: Semaphore,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("no Service of this name is measured, or was lately")]
    UnknownService,
    #[error(
        "there is no such path; /api/v1/ has overview, services, out-of-sync, histogram, history, changes, startup, advice, agents and agents/observations"
    )]
    UnknownPath,
    #[error("no agents are listened to; --agents-listen does")]
    NoAgents,
    #[error("the daemon is ending")]
    Ending,
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The parsed parameters of a request.
struct Query<Q>(Q);

type Answer = Result<Content, ApiError>;

pub(super) fn router(sources: &Sources) -> Router {
    let Sources { pipeline, watches, subject, .. } = sources.clone();
    let (of_agents, board) = (sources.agents.clone(), sources.advice.clone());
    let api = Arc::new(Api { pipeline, watches, agents: of_agents, board, subject, turn: Semaphore::new(1) });
    let routes = Router::new()
        .route("/overview", get(overview))
        .route("/services", get(services))
        .route("/out-of-sync", get(out_of_sync))
        .route("/histogram", get(histogram))
        .route("/history", get(history))
        .route("/changes", get(changes))
        .route("/startup", get(startup))
        .route("/advice", get(advice))
        .route("/agents", get(agents))
        .route("/agents/observations", get(observations))
        .fallback(async || ApiError::UnknownPath)
        .layer(from_fn_with_state(api.clone(), in_turn))
        .layer(map_response(async |answer: Response| ([(header::CACHE_CONTROL, "no-store")], answer)))
        .with_state(api);
    // The nested routes do not match the prefix with a slash.
    Router::new().nest("/api/v1", routes).route("/api/v1/", get(async || ApiError::UnknownPath))
}

async fn in_turn(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    // Never closed.
    let _turn = api.turn.acquire().await;
    next.run(request).await
}

async fn overview(State(api): State<Arc<Api>>, gzip: TakesGzip) -> Answer {
    let now = api.pipeline.cluster().await.ok_or(ApiError::Ending)?;
    let nodes = match &api.agents {
        Some(agents) => Some((api.pipeline.nodes().await.ok_or(ApiError::Ending)?, agents.summary())),
        None => None,
    };
    compute(gzip, move || {
        let nodes = nodes.as_ref().map(|(standing, agents)| (standing, agents));
        Ok(Content::new(JSON, api::overview(&now, nodes, &api.subject, &api.watches)?))
    })
    .await
}

async fn services(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<ServicesQuery>) -> Answer {
    let now = api.pipeline.table(query.selection.clone()).await.ok_or(ApiError::Ending)?;
    compute(gzip, move || Ok(Content::new(JSON, api::services(&now, &query)?))).await
}

async fn histogram(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<HistogramQuery>) -> Answer {
    let histograms = if query.is_of_cluster() {
        Histograms::of_cluster(&api.pipeline.cluster().await.ok_or(ApiError::Ending)?, &query)
    } else {
        let now = api.pipeline.table(query.selection.clone()).await.ok_or(ApiError::Ending)?;
        Histograms::of_service(&now, &query).ok_or(ApiError::UnknownService)?
    };
    compute(gzip, move || match query.format {
        HistogramFormat::Json => Ok(Content::new(JSON, histograms.json()?)),
        HistogramFormat::Text => Ok(Content::new(TEXT, histograms.text())),
    })
    .await
}

async fn history(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<HistoryQuery>) -> Answer {
    if query.is_of_cluster() {
        let now = api.pipeline.cluster().await.ok_or(ApiError::Ending)?;
        return compute(gzip, move || Ok(Content::new(JSON, History::of_cluster(&now, &query).json()?))).await;
    }
    let now = api.pipeline.table(query.selection.clone()).await.ok_or(ApiError::Ending)?;
    compute(gzip, move || {
        let history = History::of_service(&now).ok_or(ApiError::UnknownService)?;
        Ok(Content::new(JSON, history.json()?))
    })
    .await
}

async fn out_of_sync(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<OutOfSyncQuery>) -> Answer {
    let now = api.pipeline.out_of_sync().await.ok_or(ApiError::Ending)?;
    compute(gzip, move || Ok(Content::new(JSON, api::out_of_sync(&now, &query)?))).await
}

async fn changes(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<ChangesQuery>) -> Answer {
    let now = api.pipeline.changes().await.ok_or(ApiError::Ending)?;
    compute(gzip, move || Ok(Content::new(JSON, api::changes(&now, &query)?))).await
}

async fn startup(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<StartupQuery>) -> Answer {
    let now = api.pipeline.startup(query.selection.clone()).await.ok_or(ApiError::Ending)?;
    compute(gzip, move || Ok(Content::new(JSON, api::startup(&now, &query)?))).await
}

async fn advice(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<AdviceQuery>) -> Answer {
    let view = api.board.as_ref().map(|board| board.view());
    compute(gzip, move || Ok(Content::new(JSON, api::advice(view.as_ref(), &query)?))).await
}

async fn agents(State(api): State<Arc<Api>>, gzip: TakesGzip) -> Answer {
    let agents = api.agents.clone().ok_or(ApiError::NoAgents)?;
    compute(gzip, move || Ok(Content::new(JSON, api::agents(&agents)?))).await
}

async fn observations(State(api): State<Arc<Api>>, gzip: TakesGzip, Query(query): Query<ObservationsQuery>) -> Answer {
    let agents = api.agents.clone().ok_or(ApiError::NoAgents)?;
    compute(gzip, move || Ok(Content::new(JSON, api::observations(&agents, &query)?))).await
}

/// Prepares an answer on a thread on which nothing else waits: quantiles of 10,000 Services take time, and so does their
/// compression.
async fn compute(gzip: TakesGzip, work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let work = move || Ok(work()?.for_client(gzip));
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ApiError::Ending))
}

// === impl Query ===

/// Replaces the extractor of axum: an error names the parameter, its value and the valid values, and an empty form field counts
/// as missing.
impl<S: Sync, Q: FromStr<Err = QueryError>> FromRequestParts<S> for Query<Q> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(parts.uri.query().unwrap_or_default().parse()?))
    }
}

// === impl ApiError ===

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        let status = match self {
            Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::UnknownService | Self::UnknownPath => StatusCode::NOT_FOUND,
            // The path exists, but this daemon was started without agents.
            Self::NoAgents => StatusCode::NOT_IMPLEMENTED,
            Self::Ending => return ENDING.into_response(),
            Self::Json(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // A text can always be written as JSON.
        let body = serde_json::to_vec(&Body { error: self.to_string() }).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
    }
}
