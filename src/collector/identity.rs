//! Who an agent is: the API server answers this for the token that the agent shows.

mod account;

pub use self::account::{AccountError, ServiceAccount};

use super::refusal::Refusal;
use crate::{cluster::client::ApiClient, dataplane::AUDIENCE, errors::chain};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use parking_lot::Mutex;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::{collections::HashMap, sync::Arc, time::Duration};
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
    known: Mutex<HashMap<Token, Known>>,
    asking: Semaphore,
}

/// A hash of a token. The token itself is not stored.
type Token = [u8; SHA256_OUTPUT_LEN];

/// The answer for a token, and until when it is valid.
type Known = (Result<Arc<str>, Refusal>, Instant);

// === impl Identity ===

impl Identity {
    /// Lets in pods of this account.
    pub(super) fn new(client: ApiClient, account: ServiceAccount) -> Self {
        Self { client, account, known: Mutex::default(), asking: Semaphore::new(ASKING) }
    }

    /// The node of the pod that a token was made for.
    ///
    /// # Errors
    /// If the token is not that of an agent.
    pub(super) async fn node(&self, secret: &str) -> Result<Arc<str>, Refusal> {
        let mut token = Token::default();
        token.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        if let Some(known) = self.known(&token) {
            return known;
        }
        let asked = tokio::time::timeout(TIMEOUT, self.ask(secret));
        let answer = match asked.await {
            Ok(answer) => answer?,
            Err(_) => return Err(Refusal::Unanswered(format!("no answer within {} s", TIMEOUT.as_secs()))),
        };
        let node = node_of(answer, &self.account);
        self.keep(token, node.clone());
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

    fn known(&self, token: &Token) -> Option<Result<Arc<str>, Refusal>> {
        let known = self.known.lock();
        known.get(token).filter(|(_, until)| Instant::now() < *until).map(|(node, _)| node.clone())
    }

    fn keep(&self, token: Token, node: Result<Arc<str>, Refusal>) {
        let now = Instant::now();
        let mut known = self.known.lock();
        if known.len() >= KEPT {
            known.retain(|_, (_, until)| now < *until);
        }
        // If too many come within a minute, the others are reviewed again next time.
        if known.len() < KEPT {
            known.insert(token, (node, now + HOLDS));
        }
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
