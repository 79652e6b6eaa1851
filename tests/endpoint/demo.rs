//! The daemon with its simulated cluster: it measures without a control plane.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{ChildStdout, ExitStatus};
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::daemon::metrics::Metrics;
use testkit::daemon::{self, LogLine};
use testkit::process::{Output, Process};
use testkit::workspace::Workspace;

/// Ample time for what takes about a second.
pub const SOON: Duration = Duration::from_secs(60);

/// The documented limit: a signal ends it within this time, even if an output is blocked.
pub const STOP: Duration = Duration::from_secs(2);

/// A running demo. Dropping it kills it.
pub struct Demo {
    process: Process,
    log: PathBuf,
    /// The address that it listens on.
    pub address: String,
    /// It would end if its table had no reader.
    pub stdout: Option<ChildStdout>,
}

impl Demo {
    /// Starts it with flags, and waits until it listens.
    ///
    /// # Errors
    /// It ends, or does not listen in time.
    pub async fn start(workspace: &Workspace, flags: &[String]) -> Result<Self> {
        let log = workspace.file("demo.log");
        let mut command = daemon::program();
        // It prints only a greeting, unless flags say otherwise: a pipe without a reader must not fill up.
        command.env("ENDPOINTLAG_EVERY", "0");
        command.args(["demo", "--listen", "127.0.0.1:0", "--log-format", "json"]).args(flags);
        // Its own cluster has no TLS, so it needs no certificates of the system.
        command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
        let mut process = Process::start("endpointlag demo", command, Output::Pipe, &log)?;
        let stdout = Some(process.take_stdout().context("standard output is a pipe")?);
        let started = Instant::now();
        let address = loop {
            if let Some(address) = daemon::listening(&log)? {
                break address;
            }
            ensure!(process.ended()?.is_none(), "the demo ended:\n{}", process.log_tail(40));
            ensure!(started.elapsed() < SOON, "the demo does not listen:\n{}", process.log_tail(40));
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Ok(Self { process, log, address, stdout })
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

    /// Its log so far.
    ///
    /// # Errors
    /// A line is not JSON.
    pub fn log(&self) -> Result<Vec<LogLine>> {
        daemon::read_log(&self.log)
    }

    /// Waits until its metrics satisfy `expected`.
    ///
    /// # Errors
    /// They do not in time, or it does not answer.
    pub async fn wait_for_metrics(&self, what: &str, expected: impl Fn(&Metrics) -> bool) -> Result<()> {
        let (client, started) = (Client::plain(&self.address), Instant::now());
        while !expected(&Metrics::parse(&client.get("/metrics").await?.body)?) {
            ensure!(started.elapsed() < SOON, "not in time: {what}\n{}", self.process.log_tail(40));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Waits until it has ended, for no longer than the documented limit.
    ///
    /// # Errors
    /// It has not ended.
    pub async fn wait_for_end(&mut self) -> Result<ExitStatus> {
        self.process.wait(STOP).await
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// The system does not report it.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).context("reading its status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has a size")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("a number")?;
        Ok(kilobytes << 10)
    }
}

/// The number of changes that it counted.
pub fn changes(metrics: &str) -> Result<f64> {
    Ok(Metrics::parse(metrics)?.sum("endpointlag_changes_total", &[]))
}
