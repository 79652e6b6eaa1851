//! Tests that run again where the machine was too busy for them.

use anyhow::Result;
use std::error::Error;
use std::fmt::{Debug, Display};
use testkit::progress::say;
use testkit::truth::Change;

/// How often a test runs at most whose changes must not be censored.
const SEEN: usize = 6;

/// The same where times must be exact.
const EXACT: usize = 3;

/// A change was censored on the slice hop, as happens on a busy machine. It does not reach the nodes, and the test cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is censored on the slice hop")]
pub struct Unseen(pub Change);

/// Times are further off than on a machine that has a CPU for each thread. An error of the agent would be there in each run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Inexact(pub String);

/// Runs a test whose steps cannot be undone again and again, until none of its changes is [`Unseen`]. Each run gets a name of its own.
///
/// # Errors
/// The test fails, or a change is unseen in each run.
pub async fn until_seen(name: &str, test: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
    until::<Unseen>(name, SEEN, test).await
}

/// The same until its times are not [`Inexact`].
///
/// # Errors
/// The test fails, or its times are inexact in each run.
pub async fn until_exact(name: &str, test: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
    until::<Inexact>(name, EXACT, test).await
}

/// Runs a test until it does not fail with `E`.
async fn until<E>(name: &str, attempts: usize, test: impl AsyncFn(&str) -> Result<()>) -> Result<()>
where
    E: Error + Display + Debug + Send + Sync + 'static,
{
    for attempt in 1..attempts {
        match test(&format!("{name}-{attempt}")).await {
            Err(error) if error.is::<E>() => say("dataplane", &format!("{name}: {error:#}, it runs again")),
            result => return result,
        }
    }
    test(&format!("{name}-{attempts}")).await
}
