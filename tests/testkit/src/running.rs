//! Commands of the program that end by themselves.

use crate::daemon;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// Ample time for what takes seconds on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub printed: String,
    /// All of its standard error.
    pub messages: String,
}

/// Runs the program with this kubeconfig and these arguments until it ends.
///
/// # Errors
/// It cannot be started, or does not end in time.
pub async fn run(kubeconfig: &Path, arguments: &[&str]) -> Result<Ran> {
    let mut command = tokio::process::Command::from(daemon::program());
    command.args(arguments).env("KUBECONFIG", kubeconfig).kill_on_drop(true);
    let output = tokio::time::timeout(SOON, command.output()).await.context("it does not end")??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code(), printed: text(&output.stdout), messages: text(&output.stderr) })
}
