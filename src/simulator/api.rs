//! The simulated API server: list and watch of three resources, in the Kubernetes protobuf format, over plain HTTP.

mod query;
mod stream;

use self::query::{ListQuery, Query, WatchQuery, continue_token};
use self::stream::{WatchStream, WatchTerms};
use super::body::Bodies;
use super::frame;
use super::object::Object;
use super::sent::SentLog;
use super::store::{Expired, Store, Stored};
use crate::{
    cluster::wire::{ListMeta, Service, Status},
    simulator::messages::{EndpointSlice, Pod},
};
use bytes::Bytes;
use futures::stream::unfold;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{convert::Infallible, time::Duration};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Media type of objects and lists.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Media type of watches.
const PROTOBUF_WATCH: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// How long open requests may continue when the server stops. Watches end at once, so these are only lists.
const DRAIN: Duration = Duration::from_secs(1);

/// Pause after a failed accept, for instance because there are no file descriptors left. The next accept would fail at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The server, without its socket.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) store: Store,
    /// Time between bookmarks.
    pub(super) bookmark_interval: Duration,
    /// Shortest duration of a watch, if the client sets no `timeoutSeconds`. The longest is twice that.
    pub(super) min_watch: Duration,
    /// The parts of every object that are not read.
    pub(super) bodies: Option<&'static Bodies>,
    /// Gets every event that a watch sends.
    pub(super) sent: SentLog,
}

/// The error of a failed request, as the client gets it.
#[derive(Debug)]
struct Failure {
    code: StatusCode,
    /// The reason, for programs.
    reason: &'static str,
    /// The message, for people.
    message: String,
}

// === impl Api ===

impl Api {
    /// Serves until `stop` turns true.
    pub(super) async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        // Stops when this future ends, for any reason.
        let mut connections = JoinSet::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new());
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else {
                sleep(ACCEPT_BACKOFF).await;
                continue;
            };
            // With Nagle's algorithm a delayed frame would look like a delay of the cluster. If this call fails, the socket still
            // works.
            let _ = socket.set_nodelay(true);
            let (api, stop) = (self.clone(), stop.clone());
            let service = service_fn(move |request| {
                let response = api.answer(&request, stop.clone());
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http.serve_connection(TokioIo::new(socket), service);
            connections.spawn(graceful.watch(connection));
            // Removes ended connections. A connection fails when its client goes away, which is not an error here.
            while connections.try_join_next().is_some() {}
        }
        let _ = timeout(DRAIN, graceful.shutdown()).await;
    }

    fn answer(&self, request: &Request<Incoming>, stop: watch::Receiver<bool>) -> Response<Body> {
        let answer = match resource_of(request.uri().path()) {
            Some(("api/v1", namespace, Pod::RESOURCE)) => self.collection::<Pod>(request, namespace, stop),
            Some(("api/v1", namespace, Service::RESOURCE)) => self.collection::<Service>(request, namespace, stop),
            Some(("apis/discovery.k8s.io/v1", namespace, EndpointSlice::RESOURCE)) => {
                self.collection::<EndpointSlice>(request, namespace, stop)
            }
            _ => Err(Failure {
                code: StatusCode::NOT_FOUND,
                reason: "NotFound",
                message: "the server could not find the requested resource".to_owned(),
            }),
        };
        answer.unwrap_or_else(Failure::into_response)
    }

    fn collection<O: Stored>(
        &self,
        request: &Request<Incoming>,
        namespace: Option<&str>,
        stop: watch::Receiver<bool>,
    ) -> Result<Response<Body>, Failure> {
        if request.method() != Method::GET {
            return Err(Failure {
                code: StatusCode::METHOD_NOT_ALLOWED,
                reason: "MethodNotAllowed",
                message: "the simulated cluster is read over HTTP, not written".to_owned(),
            });
        }
        accepts_protobuf(request.headers())?;
        match Query::parse(request.uri().query().unwrap_or_default())? {
            Query::List(query) => self.list::<O>(namespace, &query),
            Query::Watch(query) => self.watch::<O>(namespace, &query, stop),
        }
    }

    fn list<O: Stored>(&self, namespace: Option<&str>, query: &ListQuery) -> Result<Response<Body>, Failure> {
        let reached = self.store.version();
        Failure::unless_reached(query.not_older_than.max(query.version.unwrap_or(0)), reached)?;
        let after = query.after.as_ref();
        let page = self.store.page::<O>(namespace, query.version, after, query.limit)?;
        let last = page.items.last().filter(|_| page.more);
        let metadata = ListMeta {
            resource_version: page.version.to_string(),
            r#continue: last.map_or_else(String::new, |o| continue_token(page.version, (o.namespace(), o.name()))),
        };
        let body = frame::list(page.items.iter().map(|o| &**o), metadata, self.bodies);
        Ok(respond(StatusCode::OK, PROTOBUF, Full::new(body).boxed_unsync()))
    }

    fn watch<O: Stored>(
        &self,
        namespace: Option<&str>,
        query: &WatchQuery,
        stop: watch::Receiver<bool>,
    ) -> Result<Response<Body>, Failure> {
        let terms = WatchTerms {
            bookmark_interval: self.bookmark_interval,
            // Random, as in the API server, so that watches that started together do not end together.
            timeout: self.min_watch.mul_f64(1.0 + rand::random::<f64>()),
            stop,
            bodies: self.bodies,
            sent: self.sent.clone(),
        };
        let namespace = namespace.map(str::to_owned);
        let watch = WatchStream::<O>::new(self.store.clone(), namespace, query, terms)?;
        let frames = unfold(watch, |mut watch| async {
            let bytes = watch.next().await?;
            Some((Ok(Frame::data(bytes)), watch))
        });
        let body = StreamBody::new(frames).boxed_unsync();
        Ok(respond(StatusCode::OK, PROTOBUF_WATCH, body))
    }
}

/// Group and version, namespace, and resource of a path such as `/api/v1/namespaces/shop/pods`.
fn resource_of(path: &str) -> Option<(&str, Option<&str>, &str)> {
    let path = path.strip_prefix('/')?;
    let (rest, resource) = path.rsplit_once('/')?;
    match rest.rsplit_once("/namespaces/") {
        Some((group, namespace)) if !namespace.contains('/') => Some((group, Some(namespace), resource)),
        _ => Some((rest, None, resource)),
    }
}

/// Rejects a client that requests JSON. Otherwise it would fail at the first byte of protobuf.
fn accepts_protobuf(headers: &HeaderMap) -> Result<(), Failure> {
    let mut accepted = headers.get_all(ACCEPT).iter().peekable();
    let takes = |value: &http::HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value.contains(PROTOBUF) || value.contains("*/*")
    };
    if accepted.peek().is_none() || accepted.any(takes) {
        return Ok(());
    }
    Err(Failure {
        code: StatusCode::NOT_ACCEPTABLE,
        reason: "NotAcceptable",
        message: format!("only the following media types are accepted: {PROTOBUF}"),
    })
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    response
}

// === impl Failure ===

impl Failure {
    fn bad_request(message: String) -> Self {
        Self { code: StatusCode::BAD_REQUEST, reason: "BadRequest", message }
    }

    fn invalid(message: &str) -> Self {
        Self { code: StatusCode::UNPROCESSABLE_ENTITY, reason: "Invalid", message: message.to_owned() }
    }

    /// The API server waits some seconds for its cache before it returns this error. Here nothing lags, so there is no need to
    /// wait.
    fn unless_reached(asked: u64, reached: u64) -> Result<(), Self> {
        if asked <= reached {
            return Ok(());
        }
        Err(Self {
            code: StatusCode::GATEWAY_TIMEOUT,
            reason: "Timeout",
            message: format!("Timeout: Too large resource version: {asked}, current: {reached}"),
        })
    }

    fn status(&self) -> Status {
        Status { message: self.message.clone(), reason: self.reason.to_owned(), code: self.code.as_u16().into() }
    }

    fn into_response(self) -> Response<Body> {
        let body = Full::new(frame::status(&self.status())).boxed_unsync();
        respond(self.code, PROTOBUF, body)
    }
}

impl From<Expired> for Failure {
    fn from(expired: Expired) -> Self {
        Self { code: StatusCode::GONE, reason: "Expired", message: expired.to_string() }
    }
}

#[cfg(test)]
mod tests;
