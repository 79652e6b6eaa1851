//! A request and its answer.

use super::{RequestError, chain};
use crate::cluster::decode;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use std::time::Duration;

/// How long the server may take to begin its answer, and to end it where it has an end.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read as a whole: a page of a list holds 500 objects.
const LONGEST: usize = 256 << 20;

/// The longest error.
const LONGEST_ERROR: usize = 64 << 10;

/// Asks one API server.
#[derive(Clone)]
pub(super) struct Exchange {
    client: kube::Client,
    url: String,
}

// === impl Exchange ===

impl Exchange {
    /// Over this client, whose server is at `url`.
    pub(super) fn new(client: kube::Client, url: String) -> Self {
        Self { client, url }
    }

    /// Where the API server is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// An answer that is no error.
    pub(super) async fn send(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
        accept: &'static str,
    ) -> Result<Response<Body>, RequestError> {
        let mut request = request.map_err(|error| self.unreachable(error.to_string()))?.map(Body::from);
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        // Kubernetes 1.37 would compress each event by itself.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let response = tokio::time::timeout(TIMEOUT, self.client.send(request))
            .await
            .map_err(|_| self.unreachable(format!("no answer within {} s", TIMEOUT.as_secs())))?
            .map_err(|error| self.unreachable(chain(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.collect(response, LONGEST_ERROR).await?;
        let message = match decode::status_of(&body) {
            Some((_, message)) if !message.is_empty() => message,
            Some((reason, _)) => reason,
            None => String::from_utf8_lossy(&body).chars().take(200).collect(),
        };
        Err(RequestError::Refused { status, message })
    }

    /// The whole body of an answer.
    pub(super) async fn body(&self, response: Response<Body>) -> Result<bytes::Bytes, RequestError> {
        self.collect(response, LONGEST).await
    }

    async fn collect(&self, response: Response<Body>, longest: usize) -> Result<bytes::Bytes, RequestError> {
        let body = Limited::new(response.into_body(), longest).collect();
        match tokio::time::timeout(TIMEOUT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(self.unreachable(format!("an answer of more than {longest} bytes")))
            }
            Ok(Err(error)) => Err(self.unreachable(chain(&*error))),
            Err(_) => Err(self.unreachable(format!("half an answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    /// There is no answer that could be used.
    pub(super) fn unreachable(&self, cause: String) -> RequestError {
        RequestError::Unreachable { url: self.url.clone(), cause }
    }
}
