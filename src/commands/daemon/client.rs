//! Asks a daemon for its JSON.

use super::{args::Access, find::Found, forward::Forward};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use kube::{Config, client::Body};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tower::BoxError;

/// The longest answer: 100,000 rows of a kilobyte.
const LONGEST: usize = 256 << 20;

/// How much of an error's text is shown.
const SAID: usize = 200;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a daemon's figures cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// No client can be made for this address.
    #[error("cannot connect to the daemon at {url}")]
    Client {
        /// The address.
        url: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// It does not answer, or not with what is asked for.
    #[error("the daemon at {url} does not answer {path}{hint}")]
    Answer {
        /// The address.
        url: String,
        /// What was asked for.
        path: String,
        /// What may help.
        hint: &'static str,
        /// Why.
        source: AnswerError,
    },
    /// It takes too long.
    #[error("the daemon at {url} has not answered {path} within {} s", TIMEOUT.as_secs())]
    Late {
        /// The address.
        url: String,
        /// What was asked for.
        path: String,
    },
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is none.
    #[error(transparent)]
    None(#[from] Box<kube::Error>),
    /// It breaks off, or does not end.
    #[error(transparent)]
    Body(BoxError),
    /// It is an error.
    #[error("{status}: {said}")]
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// The beginning of its text.
        said: String,
    },
    /// It is something else than expected, as from another program or another version.
    #[error("it is not the JSON of a daemon of this version: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A daemon's address, and the way to it.
pub(in crate::commands) struct Client {
    client: kube::Client,
    url: String,
    /// The way, if it goes through the API server.
    _forward: Option<Forward>,
}

// === impl Client ===

impl Client {
    /// Of the daemon at this address.
    pub(super) fn new(url: &Uri, access: &Access) -> Result<Self, DaemonError> {
        Self::of(Config::new(url.clone()), access, None)
    }

    /// Of a daemon in the cluster.
    pub(super) fn forwarded(forward: Forward, found: &Found, access: &Access) -> Result<Self, DaemonError> {
        let scheme = if found.tls_name.is_some() { "https" } else { "http" };
        let builder = Uri::builder().scheme(scheme).authority(forward.address.to_string()).path_and_query("/");
        // A scheme, an address and a path always make a URL.
        let mut config = Config::new(builder.build().unwrap_or_default());
        config.tls_server_name = found.tls_name.clone();
        Self::of(config, access, Some(forward))
    }

    fn of(mut config: Config, access: &Access, forward: Option<Forward>) -> Result<Self, DaemonError> {
        config.read_timeout = Some(TIMEOUT);
        config.root_cert_file = access.authority.clone();
        config.auth_info.token_file = access.token.as_ref().map(|path| path.to_string_lossy().into_owned());
        let url = config.cluster_url.to_string();
        match kube::Client::try_from(config) {
            Ok(client) => Ok(Self { client, url, _forward: forward }),
            Err(error) => Err(DaemonError::Client { url, source: Box::new(error) }),
        }
    }

    /// Asks, and returns both.
    pub(super) async fn with<T: DeserializeOwned>(self, path: &str) -> Result<(Self, T), DaemonError> {
        let answer = self.get(path).await?;
        Ok((self, answer))
    }

    /// What it answers.
    pub(in crate::commands) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DaemonError> {
        let late = |_| DaemonError::Late { url: self.url.clone(), path: path.to_owned() };
        let answer = tokio::time::timeout(TIMEOUT, self.answer(path)).await.map_err(late)?;
        answer.map_err(|source| {
            let is_denied = matches!(&source, AnswerError::Status { status, .. } if *status == 401 || *status == 403);
            let hint = if is_denied {
                ": it runs with --auth kubernetes, so --daemon-token-file is needed, of an account that may get /endpointlag/api/v1/*"
            } else {
                ""
            };
            DaemonError::Answer { url: self.url.clone(), path: path.to_owned(), hint, source }
        })
    }

    async fn answer<T: DeserializeOwned>(&self, path: &str) -> Result<T, AnswerError> {
        let request =
            Request::get(path).body(Body::empty()).map_err(|error| Box::new(kube::Error::HttpError(error)))?;
        let response = self.client.send(request).await.map_err(Box::new)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(AnswerError::Body)?.to_bytes();
        if !status.is_success() {
            let said = String::from_utf8_lossy(&body).chars().take(SAID).collect();
            return Err(AnswerError::Status { status, said });
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
