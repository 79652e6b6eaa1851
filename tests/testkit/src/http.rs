//! Plain HTTP to loopback addresses: etcd's JSON API and the daemon's pages.

use anyhow::{Context, Result};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// Longer than any page takes on a busy machine, and short enough for a person to wait.
const LIMIT: Duration = Duration::from_secs(10);

/// An answer with its body.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status of the answer.
    pub status: StatusCode,
    /// The whole body.
    pub body: String,
}

/// Fetches `http://{address}{path}`.
///
/// # Errors
/// No connection, no answer in time, or the body is not UTF-8.
pub async fn get(address: &str, path: &str) -> Result<Response> {
    exchange(address, path, Method::GET, String::new()).await
}

/// Posts a body to `http://{address}{path}`.
///
/// # Errors
/// As for [`get`].
pub async fn post(address: &str, path: &str, body: String) -> Result<Response> {
    exchange(address, path, Method::POST, body).await
}

async fn exchange(address: &str, path: &str, method: Method, body: String) -> Result<Response> {
    let url = format!("http://{address}{path}");
    let request = Request::builder().method(method).uri(&url).body(Full::<Bytes>::from(body));
    let request = request.with_context(|| format!("the address {url}"))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let (head, body) = client.request(request).await?.into_parts();
        anyhow::Ok(Response {
            status: head.status,
            body: String::from_utf8(body.collect().await?.to_bytes().to_vec())?,
        })
    };
    tokio::time::timeout(LIMIT, answer).await.with_context(|| format!("no answer from {url}"))?.context(url)
}
