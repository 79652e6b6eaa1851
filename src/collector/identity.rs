//! Who an agent is: the API server says it of the token that the agent shows.

mod account;

pub use self::account::{AccountError, ServiceAccount};

use super::refusal::Refusal;
use crate::{cluster::client::ApiClient, dataplane::AUDIENCE, errors::chain};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use parking_lot::Mutex;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::Instant};

/// What a pod's token says of the node that the pod is on. Kubernetes puts it in since 1.30.
const NODE: &str = "authentication.kubernetes.io/node-name";

/// How long an answer of the API server holds. An agent that is let in stays for an hour, so this is for those that come again soon.
const HOLDS: Duration = Duration::from_secs(60);

/// Answers that are kept, a hundred bytes each: those for all nodes of the largest clusters.
const KEPT: usize = 10_000;

/// Reviews at a time. After a restart of the daemon all agents come at once.
const ASKING: usize = 8;

/// How long a review may take, including the wait for its turn: a connection is kept open meanwhile.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the API server whose a token is.
pub(super) struct Identity {
    client: ApiClient,
    account: ServiceAccount,
    known: Mutex<HashMap<Token, Known>>,
    asking: Semaphore,
}

/// A hash of a token. The token itself is not kept.
type Token = [u8; SHA256_OUTPUT_LEN];

/// What was said of a token, and until when that holds.
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
    /// If it is not one of an agent.
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
        // It is never closed.
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
        // Where so many come within a minute, the rest is asked for anew.
        if known.len() < KEPT {
            known.insert(token, (node, now + HOLDS));
        }
    }
}

/// The node that a review names, if it is of a pod of this account, and of a token that was made to be shown here.
fn node_of(status: TokenReviewStatus, account: &ServiceAccount) -> Result<Arc<str>, Refusal> {
    if status.authenticated != Some(true) {
        return Err(Refusal::BadToken(status.error.unwrap_or_else(|| "no reason is given".to_owned())));
    }
    // A server that knows no audiences leaves them out, and has not looked.
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
