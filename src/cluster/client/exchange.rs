//! One request and its answer.

use super::{NoAnswer, RequestError};
use crate::cluster::decode;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use std::time::Duration;

/// How long the server may take to start its answer, and to finish it if it is not a stream.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read as a whole. A page of a list has 500 objects.
const LONGEST: usize = 256 << 20;

/// The longest error message that is read.
const LONGEST_ERROR: usize = 64 << 10;

/// How much of a malformed answer an error repeats.
const SAID: usize = 200;

/// Sends requests to one API server.
#[derive(Clone)]
pub(super) struct Exchange {
    client: kube::Client,
    url: String,
}

// === impl Exchange ===

impl Exchange {
    /// With this client, whose server is at `url`.
    pub(super) fn new(client: kube::Client, url: String) -> Self {
        Self { client, url }
    }

    pub(super) fn typed(&self) -> kube::Client {
        self.client.clone()
    }

    /// The URL of the API server.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The answer, if it is not an error.
    pub(super) async fn send(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
        accept: &'static str,
    ) -> Result<Response<Body>, RequestError> {
        let mut request = request.map_err(|error| self.unreachable(error))?.map(Body::from);
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        // Kubernetes 1.37 would compress each event separately.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let response = tokio::time::timeout(TIMEOUT, self.client.send(request))
            .await
            .map_err(|_| self.unreachable(NoAnswer::Late(TIMEOUT)))?
            .map_err(|error| self.unreachable(Box::new(error)))?;
        let status = response.status();
        let content_type = field(&response, &header::CONTENT_TYPE).map(str::to_owned);
        // Compares the types without their parameters.
        let wanted = accept.split(';').next().unwrap_or(accept);
        match content_type {
            Some(content_type) if status.is_success() && !content_type.starts_with(wanted) => {
                let beginning = self.collect(response, LONGEST_ERROR).await.map(|body| beginning_of(&body));
                let (url, content_type) = (self.url.clone(), clean(&content_type));
                Err(RequestError::Foreign { url, content_type, beginning: beginning.unwrap_or_default() })
            }
            _ if status.is_success() => Ok(response),
            _ => Err(self.refusal(response).await?),
        }
    }

    /// The error that the server sent.
    async fn refusal(&self, response: Response<Body>) -> Result<RequestError, RequestError> {
        let status = response.status();
        let retry_after = field(&response, &header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        let location = field(&response, &header::LOCATION).map(|location| format!("it is at {}", clean(location)));
        let body = self.collect(response, LONGEST_ERROR).await?;
        let message = match (location, decode::status_of(&body)) {
            (Some(location), _) => location,
            (None, Some((_, message))) if !message.is_empty() => clean(&message),
            (None, Some((reason, _))) => clean(&reason),
            (None, None) => beginning_of(&body),
        };
        Ok(RequestError::Refused { status, message, retry_after: retry_after.map(Duration::from_secs) })
    }

    /// The whole body of an answer.
    pub(super) async fn body(&self, response: Response<Body>) -> Result<bytes::Bytes, RequestError> {
        self.collect(response, LONGEST).await
    }

    async fn collect(&self, response: Response<Body>, longest: usize) -> Result<bytes::Bytes, RequestError> {
        let body = Limited::new(response.into_body(), longest).collect();
        match tokio::time::timeout(TIMEOUT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(self.unreachable(NoAnswer::TooLong(longest))),
            Ok(Err(error)) => Err(self.unreachable(NoAnswer::Body(error))),
            Err(_) => Err(self.unreachable(NoAnswer::Half(TIMEOUT))),
        }
    }

    /// There is no usable answer.
    pub(super) fn unreachable(&self, source: impl Into<NoAnswer>) -> RequestError {
        RequestError::Unreachable { url: self.url.clone(), source: source.into() }
    }
}

fn field<'a>(response: &'a Response<Body>, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn beginning_of(body: &[u8]) -> String {
    clean(&String::from_utf8_lossy(&body[..body.len().min(SAID)]))
}

/// Text from an unknown server, escaped so that it stays on one line of the log.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use std::convert::Infallible;

    const MIME: &str = "application/vnd.kubernetes.protobuf";

    /// Sends a request whose answer is this one.
    async fn ask(head: http::response::Builder, body: Vec<u8>) -> Result<bytes::Bytes, RequestError> {
        let response = std::sync::Mutex::new(Some(head.body(Full::new(bytes::Bytes::from(body))).expect("a response")));
        let service = tower::service_fn(move |_: Request<Body>| {
            let response = response.lock().expect("no panic").take().expect("one request");
            async { Ok::<_, Infallible>(response) }
        });
        let exchange = Exchange::new(kube::Client::new(service, "default"), "https://server/".to_owned());
        let response = exchange.send(Ok(Request::get("/").body(Vec::new()).expect("a request")), MIME).await?;
        exchange.body(response).await
    }

    #[tokio::test]
    async fn what_the_api_server_answers_is_handed_on() {
        let head = Response::builder().header("content-type", "application/vnd.kubernetes.protobuf;stream=watch");
        assert_eq!(ask(head, b"k8s".to_vec()).await.expect("an answer"), "k8s");
    }

    #[tokio::test]
    async fn a_login_page_is_nobody_from_kubernetes() {
        let head = Response::builder().header("content-type", "text/html");
        let error = ask(head, b"<html>\n\x1b[31mlog in".to_vec()).await.expect_err("no answer").to_string();
        assert_eq!(
            error,
            "something other than the API server answers at https://server/: text/html: <html>  [31mlog in"
        );
    }

    #[tokio::test]
    async fn a_refusal_says_for_how_long_and_a_redirect_where_to() {
        let busy = Response::builder().status(429).header("retry-after", "7");
        let error = ask(busy, br#"{"reason":"TooManyRequests","message":"later\nERROR forged"}"#.to_vec()).await;
        let Err(RequestError::Refused { message, retry_after, .. }) = error else { panic!("{error:?}") };
        assert_eq!((&*message, retry_after), ("later ERROR forged", Some(Duration::from_secs(7))));
        let moved = Response::builder().status(302).header("location", "https://elsewhere/");
        let error = ask(moved, Vec::new()).await.expect_err("no answer").to_string();
        assert_eq!(error, "the API server refuses: it is at https://elsewhere/ (302 Found)");
    }

    #[tokio::test]
    async fn an_error_without_end_is_not_read_to_it() {
        let error = ask(Response::builder().status(500), vec![b'x'; LONGEST_ERROR + 1]).await.expect_err("no answer");
        let error = crate::errors::chain(&error);
        assert!(error.contains("more than 65536 bytes"), "{error}");
    }
}
