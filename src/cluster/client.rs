//! The connection to the API server: configuration and authentication as kube has them, with sockets that notice a dead peer.

mod buffered;

use http::{HeaderValue, Request, Response, header, uri::Scheme};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Config, Resource as _,
    client::{Body, ClientBuilder, ConfigExt},
    core::{Request as ApiRequest, params},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Write as _, time::Duration};
use tower::{BoxError, ServiceBuilder};

use self::buffered::Buffered;
use crate::cluster::{
    decode::{self, DecodeError},
    event::Resource,
    kubeconfig::KubeconfigError,
};

const LIST_MIME: &str = "application/vnd.kubernetes.protobuf";
const WATCH_MIME: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// Objects a page of a list holds, where lists are not streamed. What client-go uses.
const PAGE: u32 = 500;

/// How long the server may take to begin its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an idle connection may wait to be used again: between the pages of a list. One that lay idle while a watch fell
/// silent went the same way, and a request on it would wait for its answer in vain.
const REUSE: Duration = Duration::from_secs(2);

/// A peer that does not acknowledge for this long is dead. Keepalive probes look for one while nothing is sent.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no configuration, or none that can be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The configuration cannot be used.
    #[error("the cluster configuration cannot be used: {0}")]
    BadConfig(String),
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No answer.
    #[error("cannot reach the API server at {url}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        cause: String,
    },
    /// An answer that is an error.
    #[error("the API server refuses: {message} ({status})")]
    Refused {
        /// The HTTP status.
        status: http::StatusCode,
        /// What it says.
        message: String,
    },
    /// An answer that makes no sense.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The resource.
    pub resource: Resource,
    /// `None` for the whole cluster.
    pub namespace: Option<String>,
    /// Such as `metadata.namespace!=kube-system`; evaluated by the server.
    pub field_selector: Option<String>,
}

/// A client of one API server.
#[derive(Clone)]
pub struct ApiClient {
    client: kube::Client,
    url: String,
    config: Config,
}

// === impl ApiClient ===

impl ApiClient {
    /// Of a given cluster.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn new(config: Config) -> Result<Self, ConnectError> {
        let bad = |error: kube::Error| ConnectError::BadConfig(chain(&error));
        let (url, kept) = (config.cluster_url.to_string(), config.clone());
        if config.proxy_url.is_some() {
            // A dead peer is then the proxy's to notice, and the bound on idle watches ours.
            let client = ClientBuilder::try_from(config).map_err(bad)?.build();
            return Ok(Self { client, url, config: kept });
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(config.connect_timeout);
        connector.set_keepalive(Some(KEEPALIVE_AFTER));
        connector.set_keepalive_interval(Some(KEEPALIVE_EVERY));
        connector.set_tcp_user_timeout(Some(USER_TIMEOUT));
        let connector = ServiceBuilder::new().map_response(Buffered::new).service(connector);
        // A server without TLS needs no certificates to trust, which not every system has.
        let client = if config.cluster_url.scheme() == Some(&Scheme::HTTP) {
            client_over(connector, config)
        } else {
            config.rustls_https_connector_with_connector(connector).and_then(|connector| client_over(connector, config))
        };
        Ok(Self { client: client.map_err(bad)?, url, config: kept })
    }

    /// A client of the same server, as the same user, with connections of its own that live on the runtime of the caller.
    ///
    /// # Errors
    /// If the configuration cannot be used any more.
    pub fn apart(&self) -> Result<Self, ConnectError> {
        Self::new(self.config.clone())
    }

    /// Where the API server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens a watch. `from` is the version to resume from; `None` asks for a streamed list first.
    ///
    /// # Errors
    /// If the server does not answer, or not with a watch.
    pub async fn watch(&self, scope: &Scope, from: Option<u64>, timeout: Duration) -> Result<Body, RequestError> {
        let parameters = params::WatchParams {
            field_selector: scope.field_selector.clone(),
            timeout: Some(timeout.as_secs() as u32),
            bookmarks: true,
            send_initial_events: from.is_none(),
            ..Default::default()
        };
        // A streamed list without a version is a consistent one: at least as new as the request.
        let from = from.map_or_else(String::new, |version| version.to_string());
        let request = scope.request().watch(&parameters, &from);
        Ok(self.send(request, WATCH_MIME).await?.into_body())
    }

    /// A page of a list.
    ///
    /// # Errors
    /// If the server does not answer, or not with a list.
    pub async fn page(&self, scope: &Scope, token: Option<&str>) -> Result<bytes::Bytes, RequestError> {
        let parameters = params::ListParams {
            field_selector: scope.field_selector.clone(),
            limit: Some(PAGE),
            continue_token: token.map(str::to_owned),
            ..Default::default()
        };
        let response = self.send(scope.request().list(&parameters), LIST_MIME).await?;
        self.collect(response).await
    }

    /// The version of the resource that is current: a list of one object, read consistently.
    ///
    /// # Errors
    /// If the server does not answer, or not with a list.
    pub async fn current_version(&self, scope: &Scope) -> Result<u64, RequestError> {
        let parameters =
            params::ListParams { field_selector: scope.field_selector.clone(), limit: Some(1), ..Default::default() };
        let response = self.send(scope.request().list(&parameters), LIST_MIME).await?;
        Ok(decode::list_version(self.collect(response).await?)?)
    }

    /// Has the server judge: a review is created, answered and not kept.
    ///
    /// # Errors
    /// If the server does not answer, or not with a review.
    pub async fn review<R>(&self, review: &R) -> Result<R, RequestError>
    where
        R: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let body = serde_json::to_vec(review).map_err(DecodeError::from)?;
        let request = ApiRequest::new(R::url_path(&(), None)).create(&params::PostParams::default(), body);
        let response = self.send(request, "application/json").await?;
        Ok(serde_json::from_slice(&self.collect(response).await?).map_err(DecodeError::from)?)
    }

    async fn send(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
        accept: &'static str,
    ) -> Result<Response<Body>, RequestError> {
        let mut request = request.map_err(|error| self.unreachable(error.to_string()))?.map(Body::from);
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        // Kubernetes 1.37 would compress each event by itself.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let response = tokio::time::timeout(ANSWER_TIMEOUT, self.client.send(request))
            .await
            .map_err(|_| self.unreachable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))?
            .map_err(|error| self.unreachable(chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.collect(response).await?;
        let message = match decode::status_of(&body) {
            Some((_, message)) if !message.is_empty() => message,
            Some((reason, _)) => reason,
            None => String::from_utf8_lossy(&body).chars().take(200).collect(),
        };
        Err(RequestError::Refused { status, message })
    }

    async fn collect(&self, response: Response<Body>) -> Result<bytes::Bytes, RequestError> {
        let body = tokio::time::timeout(ANSWER_TIMEOUT, response.into_body().collect()).await;
        match body {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.unreachable(chain(&error))),
            Err(_) => Err(self.unreachable(format!("half an answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        }
    }

    fn unreachable(&self, cause: String) -> RequestError {
        RequestError::Unreachable { url: self.url.clone(), cause }
    }
}

// === impl Scope ===

impl Scope {
    fn request(&self) -> ApiRequest {
        use k8s_openapi::api::{
            core::v1::{Pod, Service},
            discovery::v1::EndpointSlice,
        };
        let namespace = self.namespace.as_deref();
        ApiRequest::new(match self.resource {
            Resource::Pods => Pod::url_path(&(), namespace),
            Resource::Services => Service::url_path(&(), namespace),
            Resource::EndpointSlices => EndpointSlice::url_path(&(), namespace),
        })
    }
}

/// A client that connects in this way.
fn client_over<C>(connector: C, config: Config) -> Result<kube::Client, kube::Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(
            HttpClient::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(REUSE)
                .build(connector),
        );
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

/// An error with its causes, each said once.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}
