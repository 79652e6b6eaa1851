//! The credentials of requests. If the server no longer accepts them, the program that issued them is called again.
//!
//! kube calls this program when its credentials are about to expire. They may be revoked earlier; then the server answers 401.

use crate::errors::chain;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use kube::{
    Config,
    client::{Body, ConfigExt, middleware::AuthLayer},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, ServiceExt};

/// Minimum and maximum pause between two calls of the program, while the server rejects its credentials. If the server accepted
/// credentials for longer than the maximum, the pause starts again at the minimum.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(300);

/// How long the program may take before a log line says that the daemon waits for it.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The credentials of one client. Clones share them.
#[derive(Clone)]
pub(super) struct Credentials {
    config: Arc<Config>,
    state: Arc<Mutex<CredentialsState>>,
}

struct CredentialsState {
    /// Adds the credentials to a request. `None` if there are none, or if the TLS connection carries them.
    layer: Option<Arc<AuthLayer>>,
    /// How many times they have been renewed.
    renewals: u64,
    /// When the program was last called because the server rejected the credentials, and the pause before the next call.
    called: Option<(Instant, Duration)>,
    pauses: ExponentialBackoff,
    /// Whether the program is running.
    is_called: bool,
}

/// Sends requests with credentials.
#[derive(Clone)]
pub(super) struct Proven<S> {
    inner: S,
    credentials: Credentials,
}

// === impl Credentials ===

impl Credentials {
    /// The credentials of `config`. If a program issues them, this calls it and waits for it.
    ///
    /// # Errors
    /// If there are no credentials.
    pub(super) fn new(config: &Config) -> kube::Result<Self> {
        let layer = config.auth_layer()?.map(Arc::new);
        let state = CredentialsState { layer, renewals: 0, called: None, pauses: pauses(), is_called: false };
        Ok(Self { config: Arc::new(config.clone()), state: Arc::new(Mutex::new(state)) })
    }

    /// Whether a program can issue them again. This is not so for a program that issues a certificate, because the certificate
    /// belongs to the connection.
    pub(super) fn can_be_renewed(&self) -> bool {
        self.config.auth_info.exec.is_some() && self.state.lock().layer.is_some()
    }

    /// The server rejected the credentials after this number of renewals. Calls the program again, if the pause is over.
    fn refused(&self, renewals: u64) {
        if self.can_be_renewed() && self.state.lock().begin_call(renewals, Instant::now()) {
            tokio::spawn(self.clone().renew());
        }
    }

    async fn renew(self) {
        let config = self.config.clone();
        let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        tracing::info!(plugin, "the API server no longer accepts the credentials: requesting new ones");
        let mut call = tokio::task::spawn_blocking(move || config.auth_layer());
        let called = match tokio::time::timeout(TIMEOUT, &mut call).await {
            Ok(called) => called,
            Err(_) => {
                tracing::warn!(plugin, "still waiting for credentials");
                call.await
            }
        };
        match called {
            Ok(Ok(Some(layer))) => {
                self.state.lock().end_call(Some(layer));
                return;
            }
            Ok(Ok(None)) => tracing::warn!(plugin, "the new credentials have no token"),
            Ok(Err(error)) => tracing::warn!(plugin, error = chain(&error), "cannot get new credentials"),
            Err(error) => tracing::warn!(plugin, %error, "cannot get new credentials"),
        }
        self.state.lock().end_call(None);
    }
}

impl<S> Layer<S> for Credentials {
    type Service = Proven<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Proven { inner, credentials: self.clone() }
    }
}

// === impl CredentialsState ===

impl CredentialsState {
    /// Whether to call the program now, for credentials with this number of renewals. If so, it counts as running.
    fn begin_call(&mut self, renewals: u64, now: Instant) -> bool {
        if self.is_called || renewals != self.renewals {
            return false;
        }
        match self.called {
            Some((at, pause)) if now - at < pause => return false,
            Some((at, pause)) if now - at < pause + *PAUSES.end() => {}
            _ => self.pauses = pauses(),
        }
        self.called = Some((now, self.pauses.next().unwrap_or(*PAUSES.end())));
        self.is_called = true;
        true
    }

    fn end_call(&mut self, layer: Option<AuthLayer>) {
        self.is_called = false;
        if let Some(layer) = layer {
            self.layer = Some(Arc::new(layer));
            self.renewals += 1;
        }
    }
}

// === impl Proven ===

impl<S, B> Service<Request<Body>> for Proven<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Each call needs its own clone to wait on.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, credentials) = (self.inner.clone(), self.credentials.clone());
        let (layer, renewals) = {
            let state = credentials.state.lock();
            (state.layer.clone(), state.renewals)
        };
        Box::pin(async move {
            let response = match layer {
                None => inner.oneshot(request).await?,
                Some(layer) => layer.layer(inner).oneshot(request).await?,
            };
            if response.status() == StatusCode::UNAUTHORIZED {
                credentials.refused(renewals);
            }
            Ok(response)
        })
    }
}

fn pauses() -> ExponentialBackoff {
    let (first, longest) = PAUSES.into_inner();
    ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times().with_jitter().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_called_at_once_and_then_less_and_less_often() {
        let mut state = CredentialsState { layer: None, renewals: 0, called: None, pauses: pauses(), is_called: false };
        let began = Instant::now();
        let mut calls = Vec::new();
        for second in 0..3600 {
            if state.begin_call(state.renewals, began + Duration::from_secs(second)) {
                calls.push(second);
                assert!(!state.begin_call(state.renewals, began + Duration::from_secs(second + 1000)), "one at a time");
                state.end_call(None);
            }
        }
        assert_eq!(calls[0], 0);
        assert!((5..=11).contains(&calls[1]), "{calls:?}");
        assert!((10..=20).contains(&calls.len()), "{calls:?}");
        // The server accepted the old credentials for a long time.
        let later = began + Duration::from_secs(9000);
        assert!(!state.begin_call(state.renewals + 1, later), "those are gone already");
        assert!(state.begin_call(state.renewals, later));
        state.end_call(None);
        assert!(state.begin_call(state.renewals, later + Duration::from_secs(11)));
    }
}
