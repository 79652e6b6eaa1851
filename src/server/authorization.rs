//! Decides who may read. It asks the API server, as the components of Kubernetes do for their own metrics.

use crate::{
    cluster::{
        client::{ApiClient, RequestError},
        review::{Cache, TokenHash},
    },
    errors::chain,
};
use http::{HeaderMap, Method, header};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::{sync::Semaphore, time::Instant};

/// How long an answer of the API server is valid: as long as in the components of Kubernetes and in controller-runtime.
const AUTHENTICATED: Duration = Duration::from_secs(60);
const ALLOWED: Duration = Duration::from_secs(300);
const DENIED: Duration = Duration::from_secs(30);

/// How much longer the last answer is valid while the API server does not answer: the metrics must stay readable in the outage
/// that they should explain. A token that was revoked meanwhile can read them for that time.
const OUTAGE: Duration = Duration::from_secs(3600);

/// How long to wait before the next question after one was not answered, if there is an older answer. Otherwise each scrape
/// would wait for the full [`TIMEOUT`].
const PAUSE: Duration = Duration::from_secs(10);

/// How many answers of each kind are kept: enough for the few readers, and too few for an attacker to fill the memory.
const KEPT: usize = 1024;

/// How many requests ask the API server at a time: an attacker with many tokens must not overload it.
const ASKING: usize = 8;

/// How long a question may take: less than the 10 s that Prometheus waits for a scrape.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Decides who may read what.
pub(super) struct Authorizer {
    client: ApiClient,
    timeout: Duration,
    /// The user of each valid token.
    users: Mutex<Cache<TokenHash, UserInfo>>,
    /// Invalid tokens. Kept apart, so that an attacker with many tokens pushes no user out.
    unauthenticated: Mutex<Cache<TokenHash, ()>>,
    /// What a token may do.
    rights: Mutex<Cache<Question, bool>>,
    asking: Semaphore,
    /// When the last question was asked, if it was not answered. The failure is logged once.
    unanswered: Mutex<Option<Instant>>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It has no token.
    #[error("needs a bearer token")]
    NoToken,
    /// The token is not valid.
    #[error("the bearer token is not valid")]
    BadToken,
    /// The user lacks the right.
    #[error("{user} may not {verb} {path}")]
    Forbidden {
        /// Name of the user.
        user: String,
        /// The request's method in lower case.
        verb: String,
        /// The path for which the right is needed.
        path: String,
    },
    /// The API server could not be asked.
    #[error("the API server cannot be asked who may read this; the log says why")]
    Unanswered,
}

/// Whether a token may do this.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    token: TokenHash,
    verb: String,
    path: String,
}

/// The path for which the right to read `path` is needed. `/metrics` is the same for all components of Kubernetes. The others must not be
/// paths of the API server itself: its ClusterRole `system:discovery` lets each authenticated user get `/api/*`.
fn permission(path: &str) -> String {
    match path {
        "/metrics" => path.to_owned(),
        _ => format!("/endpointlag{path}"),
    }
}

// === impl Authorizer ===

impl Authorizer {
    pub(super) fn new(client: ApiClient) -> Self {
        Self {
            client,
            timeout: TIMEOUT,
            users: Mutex::new(Cache::new(KEPT)),
            unauthenticated: Mutex::new(Cache::new(KEPT)),
            rights: Mutex::new(Cache::new(KEPT)),
            asking: Semaphore::new(ASKING),
            unanswered: Mutex::default(),
        }
    }

    /// Checks whether the sender of these headers may do this.
    ///
    /// # Errors
    /// If the sender may not.
    pub(super) async fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Refusal> {
        let secret = bearer(headers).ok_or(Refusal::NoToken)?;
        let question =
            Question { token: TokenHash::of(secret), verb: method.as_str().to_lowercase(), path: permission(path) };
        if let Some(known) = self.known(&question, now) {
            return known;
        }
        let before = self.known_before(&question, now);
        if let Some(verdict) = &before
            && self.unanswered.lock().is_some_and(|asked| now < asked + PAUSE)
        {
            return verdict.clone();
        }
        let asked = tokio::time::timeout(self.timeout, self.ask(secret, &question, now)).await;
        let cause = match asked {
            Ok(Ok(result)) => {
                *self.unanswered.lock() = None;
                return result;
            }
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no answer within {} s", self.timeout.as_secs()),
        };
        if self.unanswered.lock().replace(now).is_none() {
            let hours = OUTAGE.as_secs() / 3600;
            tracing::warn!(
                cause,
                "the API server cannot be asked who may read the metrics; its last answers hold for {hours} h more"
            );
        }
        before.unwrap_or(Err(Refusal::Unanswered))
    }

    /// The last answers, if they expired only a short time ago. Nothing is kept for an invalid token, because it may be valid
    /// by now.
    fn known_before(&self, question: &Question, now: Instant) -> Option<Result<(), Refusal>> {
        let user = self.users.lock().get_late(&question.token, now, OUTAGE)?;
        let allowed = self.rights.lock().get_late(question, now, OUTAGE)?;
        Some(question.verdict(&user, allowed))
    }

    /// Answers that are still valid.
    fn known(&self, question: &Question, now: Instant) -> Option<Result<(), Refusal>> {
        if self.unauthenticated.lock().get(&question.token, now).is_some() {
            return Some(Err(Refusal::BadToken));
        }
        let user = self.users.lock().get(&question.token, now)?;
        let allowed = self.rights.lock().get(question, now)?;
        Some(question.verdict(&user, allowed))
    }

    /// Asks what is not known.
    async fn ask(&self, secret: &str, question: &Question, now: Instant) -> Result<Result<(), Refusal>, RequestError> {
        // Never closed.
        let _turn = self.asking.acquire().await;
        // A request with the same question may have the answer by now.
        if let Some(known) = self.known(question, now) {
            return Ok(known);
        }
        let known = self.users.lock().get(&question.token, now);
        let user = match known {
            Some(user) => user,
            None => match self.user_of(secret).await? {
                Some(user) => {
                    self.users.lock().put(question.token, user.clone(), now, AUTHENTICATED);
                    user
                }
                None => {
                    self.unauthenticated.lock().put(question.token, (), now, DENIED);
                    return Ok(Err(Refusal::BadToken));
                }
            },
        };
        let known = self.rights.lock().get(question, now);
        let allowed = match known {
            Some(allowed) => allowed,
            None => {
                let allowed = self.may(&user, question).await?;
                self.rights.lock().put(question.clone(), allowed, now, if allowed { ALLOWED } else { DENIED });
                allowed
            }
        };
        Ok(question.verdict(&user, allowed))
    }

    async fn user_of(&self, secret: &str) -> Result<Option<UserInfo>, RequestError> {
        let spec = TokenReviewSpec { token: secret.to_owned(), ..TokenReviewSpec::default() };
        let review = self.client.review(&TokenReview { spec, ..TokenReview::default() }).await?;
        let status = review.status.unwrap_or_default();
        Ok(status.user.filter(|_| status.authenticated == Some(true)))
    }

    async fn may(&self, user: &UserInfo, question: &Question) -> Result<bool, RequestError> {
        let UserInfo { extra, groups, uid, username } = user.clone();
        let Question { verb, path, .. } = question.clone();
        let spec = SubjectAccessReviewSpec {
            extra,
            groups,
            uid,
            user: username,
            non_resource_attributes: Some(NonResourceAttributes { path: Some(path), verb: Some(verb) }),
            ..SubjectAccessReviewSpec::default()
        };
        let review = self.client.review(&SubjectAccessReview { spec, ..SubjectAccessReview::default() }).await?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}

// === impl Question ===

impl Question {
    fn verdict(&self, user: &UserInfo, allowed: bool) -> Result<(), Refusal> {
        if allowed {
            return Ok(());
        }
        let user = user.username.clone().unwrap_or_default();
        Err(Refusal::Forbidden { user, verb: self.verb.clone(), path: self.path.clone() })
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
