//! The daemon with its simulated cluster: it measures without a control plane.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
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

    /// Waits until its metrics satisfy `expected`, and returns them.
    ///
    /// # Errors
    /// They do not in time, or it does not answer.
    pub async fn wait_for_metrics(&self, what: &str, expected: impl Fn(&Metrics) -> bool) -> Result<Metrics> {
        let (client, started) = (Client::plain(&self.address), Instant::now());
        loop {
            let metrics = Metrics::parse(&client.get("/metrics").await?.body)?;
            if expected(&metrics) {
                return Ok(metrics);
            }
            ensure!(started.elapsed() < SOON, "not in time: {what}\n{}", self.process.log_tail(40));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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

/// Number of its nodes.
const NODES: f64 = 12.0;

#[tokio::test]
async fn its_nodes_follow_the_changes_and_report() -> Result<()> {
    let workspace = Workspace::create("demo-nodes")?;
    let mut demo = Demo::start(&workspace, &[]).await?;
    let followed = |metrics: &Metrics, changes: &[&str]| -> f64 {
        changes.iter().map(|change| metrics.sum("endpointlag_dataplane_seconds_count", &[("change", change)])).sum()
    };
    let metrics = demo
        .wait_for_metrics("changes on the nodes", |metrics| {
            followed(metrics, &["ready"]) > 5.0 * NODES && followed(metrics, &["terminating", "removed"]) > 3.0 * NODES
        })
        .await?;
    for gauge in ["endpointlag_agent_connected", "endpointlag_agent_expected", "endpointlag_dataplane_nodes"] {
        assert_eq!(metrics.sum(gauge, &[]), NODES, "{gauge}");
    }

    // Each change that the slices showed ends at most once on each node, and has a delay where it is in effect.
    let ended = |outcome| metrics.sum("endpointlag_dataplane_changes_total", &[("outcome", outcome)]);
    let propagated = metrics.sum("endpointlag_changes_total", &[("outcome", "propagated")]);
    assert_eq!(ended("in_effect"), metrics.sum("endpointlag_dataplane_seconds_count", &[]));
    let all = metrics.sum("endpointlag_dataplane_changes_total", &[]);
    assert!(all <= propagated * NODES, "{all} on nodes, of {propagated} changes");
    assert_eq!(ended("withdrawn") + ended("expired"), 0.0, "no node has gone, and none takes so long");
    assert!(ended("censored") == 0.0 || metrics.has_doubts(), "no time is unknown");
    let mean = metrics.sum("endpointlag_dataplane_seconds_sum", &[]) / ended("in_effect");
    assert!((0.02..5.0).contains(&mean), "a change takes {mean} s to a node");

    // What a node does always has a change behind it, and the daemon knows when it was.
    assert_eq!(metrics.sum("endpointlag_dataplane_unmatched_total", &[]), 0.0);
    let observations = |outcome| metrics.sum("endpointlag_agent_observations_total", &[("outcome", outcome)]);
    assert!(observations("timed") > NODES);
    assert_eq!((observations("untimed"), observations("duplicate")), (0.0, 0.0));
    assert!(metrics.sum("endpointlag_agent_clock_error_seconds", &[]) < 0.001);

    let agents: Value = serde_json::from_str(&Client::plain(&demo.address).get("/api/v1/agents").await?.body)?;
    let names: Vec<_> = agents["agents"].as_array().context("a list")?.iter().map(|it| it["node"].clone()).collect();
    assert_eq!((names.len(), &names[2]), (12, &"simulated-node-03".into()));
    assert!(agents["agents"][0]["version"].as_str().is_some_and(|it| it.ends_with("(simulated)")), "{agents:#}");
    demo.signal(Signal::TERM)?;
    assert!(demo.wait_for_end().await?.success());
    Ok(())
}

/// The number of changes that it counted.
pub fn changes(metrics: &str) -> Result<f64> {
    Ok(Metrics::parse(metrics)?.sum("endpointlag_changes_total", &[]))
}
