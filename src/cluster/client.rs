//! The connection to the API server: configuration and authentication as in kube, with sockets that detect a dead peer.

mod buffered;
mod connection;
mod credentials;
mod exchange;
mod http2;
mod link;

pub use self::{
    connection::Connection,
    http2::{Loss, Lost},
    link::{Link, LinkError},
};

use clap::ValueEnum;
use http::{Request, Response, uri::Scheme};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::{
    client::legacy::{
        Client as HttpClient,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use kube::{
    Config, Resource as _,
    client::{
        Body, ClientBuilder, ConfigExt,
        middleware::{BaseUriLayer, ExtraHeadersLayer},
    },
    core::{Request as ApiRequest, params},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::{BoxError, Layer as _, Service, ServiceBuilder, util::MapResponse};

use self::{buffered::Buffered, credentials::Credentials, exchange::Exchange};
use crate::{
    cluster::{
        decode::DecodeError,
        kubeconfig::{ConfigError, KubeconfigError},
    },
    model::Resource,
};

/// How long an idle connection may wait for reuse, between the pages of a list. A connection that was idle while a watch fell
/// silent used the same network path. A request on it would never get an answer.
const REUSE: Duration = Duration::from_secs(2);

/// A peer that does not acknowledge for this long is dead. Keepalive probes look for one while nothing is sent.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no usable configuration.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The configuration cannot be used.
    #[error("the cluster configuration cannot be used")]
    BadConfig(#[from] ConfigError),
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No answer.
    #[error("cannot reach the API server at {url}")]
    Unreachable {
        /// The URL of the request.
        url: String,
        /// Why.
        source: NoAnswer,
    },
    /// An answer that is an error.
    #[error("the API server refuses: {message} ({status})")]
    Refused {
        /// The HTTP status.
        status: http::StatusCode,
        /// The message of the server.
        message: String,
        /// How long the server asks the client to wait before the next request.
        retry_after: Option<Duration>,
    },
    /// An answer from something else, such as the login page of a proxy.
    #[error("something other than the API server answers at {url}: {content_type}: {beginning}")]
    Foreign {
        /// The URL of the API server.
        url: String,
        /// The content type of the answer.
        content_type: String,
        /// The beginning of the answer.
        beginning: String,
    },
    /// An answer with an encoding that was not requested. A proxy may add one.
    #[error("the answer from {url} is encoded as {encoding:?}, which was not asked for")]
    Encoded {
        /// The URL of the API server.
        url: String,
        /// Such as `gzip`.
        encoding: String,
    },
    /// A malformed answer.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// There is no connection.
    #[error(transparent)]
    Connection(#[from] Arc<LinkError>),
    /// The request makes no sense.
    #[error(transparent)]
    Request(#[from] kube::core::request::Error),
    /// The request was not sent, or its answer did not begin.
    #[error(transparent)]
    Exchange(#[from] Box<kube::Error>),
    /// The answer broke off.
    #[error(transparent)]
    Body(BoxError),
    /// It does not end.
    #[error("an answer of more than {0} bytes")]
    TooLong(usize),
    /// It did not begin in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It did not end in time.
    #[error("half an answer within {} s", .0.as_secs())]
    Half(Duration),
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

/// Which protocol the watches use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WatchProtocol {
    /// HTTP/2 if the server offers it.
    Auto,
    /// HTTP/1.1, with a connection for each watch.
    Http1,
}

/// A client of one API server.
#[derive(Clone)]
pub struct ApiClient {
    /// Over HTTP/1.1.
    exchange: Exchange,
    config: Config,
    layers: Arc<Layers>,
    /// Connects with TLS and offers HTTP/2. `None` if there is a proxy, or no TLS.
    secure: Option<SecureConnector>,
}

/// The layers that each request passes through.
struct Layers {
    base_uri: BaseUriLayer,
    credentials: Credentials,
    headers: ExtraHeadersLayer,
}

type SecureConnector = HttpsConnector<BufferedConnector>;
type BufferedConnector = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> Buffered>;

// === impl RequestError ===

impl RequestError {
    /// How long the server asks the client to wait before the next request.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

// === impl ApiClient ===

impl ApiClient {
    /// Creates a client for a configuration.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn new(config: Config) -> Result<Self, ConnectError> {
        let bad = |error: kube::Error| ConfigError::from(Box::new(error));
        let url = config.cluster_url.to_string();
        let layers = Arc::new(Layers {
            base_uri: config.base_uri_layer(),
            credentials: Credentials::new(&config).map_err(bad)?,
            headers: config.extra_headers_layer().map_err(bad)?,
        });
        if config.proxy_url.is_some() {
            // Then the proxy must detect a dead peer, and the daemon only has its limit for idle watches.
            let client = layers.client_by_proxy(config.clone()).map_err(bad)?;
            return Ok(Self { exchange: Exchange::new(client, url), config, layers, secure: None });
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(config.connect_timeout);
        connector.set_keepalive(Some(KEEPALIVE_AFTER));
        connector.set_keepalive_interval(Some(KEEPALIVE_EVERY));
        connector.set_tcp_user_timeout(Some(USER_TIMEOUT));
        let connector: BufferedConnector = MapResponse::new(connector, Buffered::new);
        // A server without TLS needs no trusted certificates. Some systems have none.
        if config.cluster_url.scheme() == Some(&Scheme::HTTP) {
            let client = layers.client_over(pooled(connector), &config);
            return Ok(Self { exchange: Exchange::new(client, url), config, layers, secure: None });
        }
        let plain = config.rustls_https_connector_with_connector(connector.clone()).map_err(bad)?;
        let client = layers.client_over(pooled(plain), &config);
        let secure = secure_connector(connector, &config)?;
        Ok(Self { exchange: Exchange::new(client, url), config, layers, secure: Some(secure) })
    }

    /// A client of the same server, with the same user, and with its own connections on the caller's runtime.
    ///
    /// # Errors
    /// If the configuration can no longer be used.
    pub fn apart(&self) -> Result<Self, ConnectError> {
        Self::new(self.config.clone())
    }

    /// The same client for kube's typed API, for what is not measured.
    pub fn typed(&self) -> kube::Client {
        self.exchange.typed()
    }

    /// The URL of the API server.
    pub fn url(&self) -> &str {
        self.exchange.url()
    }

    /// Sends a review, which the server creates, answers and does not store.
    ///
    /// # Errors
    /// If the server does not answer, or answers with something other than a review.
    pub async fn review<R>(&self, review: &R) -> Result<R, RequestError>
    where
        R: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let body = serde_json::to_vec(review).map_err(DecodeError::from)?;
        let request = ApiRequest::new(R::url_path(&(), None)).create(&params::PostParams::default(), body);
        let response = self.exchange.send(request, "application/json").await?;
        Ok(serde_json::from_slice(&self.exchange.body(response).await?).map_err(DecodeError::from)?)
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

// === impl Layers ===

impl Layers {
    /// A client whose requests pass through these layers.
    fn client_over<S, B>(&self, service: S, config: &Config) -> kube::Client
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: std::error::Error + Send + Sync + 'static,
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = ServiceBuilder::new()
            .layer(&self.base_uri)
            .layer(&self.credentials)
            .layer(&self.headers)
            .map_err(BoxError::from)
            .service(service);
        ClientBuilder::new(service, config.default_namespace.clone()).build()
    }

    /// A client whose requests go through the proxy of `config`, as in kube.
    fn client_by_proxy(&self, mut config: Config) -> kube::Result<kube::Client> {
        if !self.credentials.can_be_renewed() {
            return Ok(ClientBuilder::try_from(config)?.build());
        }
        // This client adds the credentials itself, so that it can replace them.
        config.auth_info.exec = None;
        let namespace = config.default_namespace.clone();
        let client = ClientBuilder::try_from(config)?.build();
        let by_proxy = tower::service_fn(move |request: Request<Body>| {
            let client = client.clone();
            async move { client.send(request).await.map_err(BoxError::from) }
        });
        Ok(ClientBuilder::new(self.credentials.layer(by_proxy), namespace).build())
    }
}

/// Requests over HTTP/1.1, on connections that are opened when needed.
fn pooled<C>(connector: C) -> HttpClient<C, Body>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    HttpClient::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(REUSE).build(connector)
}

/// Connects with TLS as in `config`, and offers HTTP/2.
fn secure_connector(connector: BufferedConnector, config: &Config) -> Result<SecureConnector, ConnectError> {
    let mut tls = config.rustls_client_config().map_err(|error| ConfigError::from(Box::new(error)))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(match &config.tls_server_name {
        None => HttpsConnector::from((connector, tls)),
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(ConfigError::from)?;
            HttpsConnector::new(connector, tls, false, Arc::new(FixedServerNameResolver::new(name)))
        }
    })
}
