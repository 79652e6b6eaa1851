//! The requests of a watch, over one connection if the server supports HTTP/2.

use super::{RequestError, Scope, exchange::Exchange, http2::Lost};
use crate::cluster::decode;
use bytes::Bytes;
use http::{Response, header};
use kube::{client::Body, core::params};
use std::{future::pending, time::Duration};
use tokio::sync::watch;

const LIST_MIME: &str = "application/vnd.kubernetes.protobuf";
const WATCH_MIME: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// Objects in a page of a list, if lists are not streamed. client-go uses the same number.
const PAGE: u32 = 500;

/// A connection to one API server. Over HTTP/1.1 each watch, and each request that finds no idle connection, opens its own.
#[derive(Clone)]
pub struct Connection {
    exchange: Exchange,
    /// Of the one HTTP/2 connection.
    lost: Option<watch::Receiver<Option<Lost>>>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(exchange: Exchange, lost: Option<watch::Receiver<Option<Lost>>>) -> Self {
        Self { exchange, lost }
    }

    /// Why the connection is lost, if it is.
    pub fn loss(&self) -> Option<Lost> {
        *self.lost.as_ref()?.borrow()
    }

    /// Completes when the connection is lost.
    pub async fn lost(&self) -> Lost {
        if let Some(mut lost) = self.lost.clone()
            && let Ok(lost) = lost.wait_for(Option::is_some).await
            && let Some(lost) = *lost
        {
            return lost;
        }
        // Over HTTP/1.1 each stream reports its own end. Over HTTP/2 the task that runs the connection reports the loss before it
        // ends.
        pending().await
    }

    /// Opens a watch. `from` is the version to resume from; `None` requests a streamed list first.
    ///
    /// # Errors
    /// If the server does not answer, or answers with something other than a watch.
    pub async fn watch(&self, scope: &Scope, from: Option<u64>, timeout: Duration) -> Result<Body, RequestError> {
        let parameters = params::WatchParams {
            field_selector: scope.field_selector.clone(),
            timeout: Some(timeout.as_secs() as u32),
            bookmarks: true,
            send_initial_events: from.is_none(),
            ..Default::default()
        };
        // A streamed list without a version is consistent: it is at least as new as the request.
        let from = from.map_or_else(String::new, |version| version.to_string());
        let request = scope.request().watch(&parameters, &from);
        Ok(self.plain(self.exchange.send(request, WATCH_MIME).await?)?.into_body())
    }

    /// A page of a list.
    ///
    /// # Errors
    /// If the server does not answer, or answers with something other than a list.
    pub async fn page(&self, scope: &Scope, token: Option<&str>) -> Result<Bytes, RequestError> {
        let parameters = params::ListParams {
            field_selector: scope.field_selector.clone(),
            limit: Some(PAGE),
            continue_token: token.map(str::to_owned),
            ..Default::default()
        };
        self.list(scope, &parameters).await
    }

    /// The current version of the resource, from a consistent list of one object.
    ///
    /// # Errors
    /// If the server does not answer, or answers with something other than a list.
    pub async fn current_version(&self, scope: &Scope) -> Result<u64, RequestError> {
        let parameters =
            params::ListParams { field_selector: scope.field_selector.clone(), limit: Some(1), ..Default::default() };
        Ok(decode::list_version(self.list(scope, &parameters).await?)?)
    }

    async fn list(&self, scope: &Scope, parameters: &params::ListParams) -> Result<Bytes, RequestError> {
        let response = self.exchange.send(scope.request().list(parameters), LIST_MIME).await?;
        self.exchange.body(self.plain(response)?).await
    }

    /// The answer, if it has the requested encoding: not compressed.
    fn plain(&self, response: Response<Body>) -> Result<Response<Body>, RequestError> {
        let encoding = response.headers().get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity");
        let Some(encoding) = encoding else { return Ok(response) };
        let encoding = String::from_utf8_lossy(encoding.as_bytes()).chars().take(32).collect();
        Err(RequestError::Encoded { url: self.exchange.url().to_owned(), encoding })
    }
}
