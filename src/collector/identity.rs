//! Who an agent is: the API server answers this for the token that the agent shows.

mod account;

pub use self::account::{AccountError, ServiceAccount};

use super::refusal::Refusal;
use crate::{
    cluster::{
        client::ApiClient,
        review::{Cache, TokenHash},
    },
    dataplane::AUDIENCE,
    errors::chain,
};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::Instant};

/// The token's field for the node of the pod. Kubernetes sets it since 1.30.
const NODE: &str = "authentication.kubernetes.io/node-name";

/// How long an answer of the API server is valid. A stream lasts an hour, so this is for agents that reconnect soon,
/// and for those that were refused.
const HOLDS: Duration = Duration::from_secs(60);

/// Answers that are kept, a hundred bytes each: enough for twice the nodes of the largest clusters.
const KEPT: usize = 10_000;

/// Parallel reviews. After a restart of the daemon all agents connect at once.
const ASKING: usize = 8;

/// How long a review may take, including the wait for its turn: a connection stays open meanwhile.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the API server who owns a token.
pub(super) struct Identity {
    client: ApiClient,
    account: ServiceAccount,
    /// The node that each token is for, or why its agent is refused.
    known: Mutex<Cache<TokenHash, Result<Arc<str>, Refusal>>>,
    asking: Semaphore,
}

// === impl Identity ===

impl Identity {
    /// Lets in pods of this account.
    pub(super) fn new(client: ApiClient, account: ServiceAccount) -> Self {
        Self { client, account, known: Mutex::new(Cache::new(KEPT)), asking: Semaphore::new(ASKING) }
    }

    /// The node of the pod that a token was made for.
    ///
    /// # Errors
    /// If the token is not that of an agent.
    pub(super) async fn node(&self, secret: &str) -> Result<Arc<str>, Refusal> {
        let token = TokenHash::of(secret);
        let known = self.known.lock().get(&token, Instant::now());
        if let Some(known) = known {
            return known;
        }
        let asked = tokio::time::timeout(TIMEOUT, self.ask(secret));
        let answer = match asked.await {
            Ok(answer) => answer?,
            Err(_) => return Err(Refusal::Unanswered(format!("no answer within {} s", TIMEOUT.as_secs()))),
        };
        let node = node_of(answer, &self.account);
        self.known.lock().put(token, node.clone(), Instant::now(), HOLDS);
        node
    }

    async fn ask(&self, secret: &str) -> Result<TokenReviewStatus, Refusal> {
        // The semaphore is never closed.
        let _turn = self.asking.acquire().await;
        let spec = TokenReviewSpec { token: secret.to_owned(), audiences: Some(vec![AUDIENCE.to_owned()]) };
        let review = self.client.review(&TokenReview { spec, ..TokenReview::default() }).await;
        let review = review.map_err(|error| Refusal::Unanswered(chain(&error)))?;
        Ok(review.status.unwrap_or_default())
    }
}

/// The node that a review names, if the token is of a pod of this account and is for this audience.
fn node_of(status: TokenReviewStatus, account: &ServiceAccount) -> Result<Arc<str>, Refusal> {
    if status.authenticated != Some(true) {
        return Err(Refusal::BadToken(status.error.unwrap_or_else(|| "no reason is given".to_owned())));
    }
    // A server that does not support audiences leaves them out, and has not checked them.
    if !status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE) {
        return Err(Refusal::BadToken(format!("it is not for the audience {AUDIENCE}")));
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    if name != account.user_name() {
        return Err(Refusal::ForeignAccount { user: name, expected: account.user_name() });
    }
    match user.extra.unwrap_or_default().get(NODE).map(Vec::as_slice) {
        Some([node]) if !node.is_empty() => Ok(node.as_str().into()),
        _ => Err(Refusal::NoNode),
    }
}

#[cfg(test)]
mod tests;
