//! The daemon beside its simulated cluster: measures without a control plane.

use crate::controlplane::process::{Output, Process};
use crate::controlplane::workspace::Workspace;
use crate::daemon::metrics::Metrics;
use crate::daemon::{self, LogLine};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

/// Ample time for what takes a second.
pub const SOON: Duration = Duration::from_secs(60);

/// A running demo. Dropping it kills it.
pub struct Demo {
    process: Process,
    log: PathBuf,
    /// Where it listens.
    pub address: String,
    /// It would end if nobody read its table.
    _table: ChildStdout,
}

impl Demo {
    /// Starts it with flags, and waits until it listens.
    ///
    /// # Errors
    /// It ends, or does not listen in time.
    pub async fn start(workspace: &Workspace, flags: &[String]) -> Result<Self> {
        let log = workspace.file("demo.log");
        let mut command = daemon::program();
        // It prints a greeting only: a pipe that nobody reads must not fill.
        command.args(["demo", "--listen", "127.0.0.1:0", "--log-format", "json", "--every", "1day"]).args(flags);
        // Its own cluster has no TLS, so that it needs no certificates of the system.
        command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
        let mut process = Process::start("endpointlag demo", command, Output::Pipe, &log)?;
        let table = process.take_stdout().context("standard output is a pipe")?;
        let started = Instant::now();
        let address = loop {
            if let Some(address) = daemon::listening(&log)? {
                break address;
            }
            ensure!(process.ended()?.is_none(), "the demo ended:\n{}", process.log_tail(40));
            ensure!(started.elapsed() < SOON, "the demo does not listen:\n{}", process.log_tail(40));
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Ok(Self { process, log, address, _table: table })
    }

    /// Waits for a line of its log.
    ///
    /// # Errors
    /// It does not come in time.
    pub async fn wait_for_log(&self, message: &str, count: usize) -> Result<()> {
        let started = Instant::now();
        loop {
            let lines: Vec<LogLine> = daemon::read_log(&self.log)?;
            if lines.iter().filter(|line| line.field("message").contains(message)).count() >= count {
                return Ok(());
            }
            ensure!(started.elapsed() < SOON, "no {message:?}:\n{}", self.process.log_tail(40));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// The system does not say.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).context("reading its status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has a size")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("a number")?;
        Ok(kilobytes << 10)
    }
}

/// Changes that it counted.
pub fn changes(metrics: &str) -> Result<f64> {
    Ok(Metrics::parse(metrics)?.sum("endpointlag_changes_total", &[]))
}
