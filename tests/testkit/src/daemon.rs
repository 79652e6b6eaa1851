//! The daemon as users run it: the built program as a process, with flags and over HTTP.

pub mod metrics;
pub mod samples;

use crate::http::{self, Response};
use crate::process::{Output, Process, tail};
use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use metrics::Metrics;
use rustix::process::Signal;
use samples::{Sample, Spread};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The daemon's documented limit: SIGTERM ends it within this time.
const STOP: Duration = Duration::from_secs(2);

/// How long it may take to start and to sync its watches on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Ample time until the daemon has counted a stall in which it read something.
const BEAT: Duration = Duration::from_millis(50);

/// How long the daemon does not trust its stamps after a stall: half a second, and the extra time of a busy machine.
const DOUBT: Duration = Duration::from_secs(1);

/// Pause between two checks.
const POLL: Duration = Duration::from_millis(20);

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    address: String,
    log: PathBuf,
    samples: PathBuf,
}

/// A line of its log.
#[derive(Debug, Deserialize)]
pub struct LogLine {
    timestamp: String,
    /// `ERROR`, `WARN`, `INFO` and so on.
    pub level: String,
    /// The message and its fields.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl LogLine {
    /// When it was written.
    ///
    /// # Errors
    /// The line has no time.
    pub fn written(&self) -> Result<Timestamp> {
        self.timestamp.parse().context("`timestamp` of a log line")
    }

    /// A field as text; empty if it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(|value| value.as_str()).unwrap_or_default()
    }
}

impl Daemon {
    /// Starts it on a free port with its log and samples in `folder`, and waits until it listens. It does not wait until the
    /// watches are synced: that is [`Self::wait_until_ready`].
    ///
    /// # Errors
    /// It ends, or does not log in time that it listens.
    pub async fn start(kubeconfig: &Path, folder: &Path, flags: &[String]) -> Result<Self> {
        let log = folder.join("daemon.log");
        let samples = folder.join("samples.jsonl");
        let mut command = command(kubeconfig);
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--samples"]).arg(&samples).args(flags);
        let mut process = Process::start("endpointlag", command, Output::Log, &log)?;
        let started = Instant::now();
        let address = loop {
            if let Some(address) = listening(&log)? {
                break address;
            }
            if let Some(status) = process.ended()? {
                bail!("the daemon ended with {status} at the start:\n{}", process.log_tail(40));
            }
            ensure!(started.elapsed() < START, "the daemon does not listen:\n{}", process.log_tail(40));
            tokio::time::sleep(POLL).await;
        };
        Ok(Self { process, address, log, samples })
    }

    /// Fetches a page.
    ///
    /// # Errors
    /// No answer.
    pub async fn get(&self, path: &str) -> Result<Response> {
        http::get(&self.address, path).await
    }

    /// Path of its log.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Address that it listens on.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until all watches are synced.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn wait_until_ready(&self) -> Result<()> {
        self.wait_for_page("/readyz", |page| page.status.is_success()).await.map(drop)
    }

    /// Waits until a page satisfies `expected`.
    ///
    /// # Errors
    /// It is not in time; the error shows the page.
    pub async fn wait_for_page(&self, path: &str, expected: impl Fn(&Response) -> bool) -> Result<Response> {
        let started = Instant::now();
        loop {
            let page = self.get(path).await?;
            if expected(&page) {
                return Ok(page);
            }
            if started.elapsed() > START {
                bail!("{path} still answers {} {}\n{}", page.status, page.body, self.process.log_tail(40));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Scrapes it.
    ///
    /// # Errors
    /// No answer, or the text is not an exposition.
    pub async fn metrics(&self) -> Result<Metrics> {
        let page = self.get("/metrics").await?;
        ensure!(page.status.is_success(), "/metrics answers {}: {}", page.status, page.body);
        Metrics::parse(&page.body).context("/metrics")
    }

    /// Whether it measures a Service.
    ///
    /// # Errors
    /// No answer.
    pub async fn is_measuring(&self, namespace: &str, service: &str) -> Result<bool> {
        let labels = [("namespace", namespace), ("service", service)];
        Ok(self.metrics().await?.matching("endpointlag_objective_seconds", &labels).next().is_some())
    }

    /// Waits until it measures a Service, or does not measure it any more. What happens to pods before that is part of the Service's
    /// creation, for the daemon.
    ///
    /// # Errors
    /// It is not so in time.
    pub async fn wait_until_measuring(&self, namespace: &str, service: &str, expected: bool) -> Result<()> {
        let started = Instant::now();
        while self.is_measuring(namespace, service).await? != expected {
            ensure!(
                started.elapsed() < START,
                "measuring {namespace}/{service} is not {expected}:\n{}",
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if expected { until_trusted(async || self.metrics().await).await } else { Ok(()) }
    }

    /// The outcomes that it has written so far.
    ///
    /// # Errors
    /// A line is not a sample.
    pub fn samples(&self) -> Result<Vec<Sample>> {
        samples::parse(&fs::read_to_string(&self.samples).context("reading the daemon's samples")?)
    }

    /// What it has written so far of changes that have ended on all nodes.
    ///
    /// # Errors
    /// A line is not a sample.
    pub fn spreads(&self) -> Result<Vec<Spread>> {
        samples::spreads(&fs::read_to_string(&self.samples).context("reading the daemon's samples")?)
    }

    /// Its log so far.
    ///
    /// # Errors
    /// A line is not JSON.
    pub fn log(&self) -> Result<Vec<LogLine>> {
        read_log(&self.log)
    }

    /// The end of its log as text.
    pub fn log_tail(&self) -> String {
        format!("--- endpointlag\n{}", tail(&self.log, 40))
    }

    /// Waits until it has logged this number of lines with these words in their message. It may log after what the line is about can
    /// be seen.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn wait_for_log(&self, words: &str, lines: usize) -> Result<()> {
        let started = Instant::now();
        while self.log()?.iter().filter(|line| line.field("message").contains(words)).count() < lines {
            ensure!(started.elapsed() < START, "not {lines} lines with {words:?}:\n{}", self.log_tail());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The address that it logs with this message. It does so after it has logged where it serves.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn address_for(&self, message: &str) -> Result<String> {
        self.wait_for_log(message, 1).await?;
        address_of(&self.log, message)?.with_context(|| format!("no message {message:?}"))
    }

    /// Its process ID.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal, and does not wait for the effect.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends it with SIGTERM, as Kubernetes does, or with SIGINT, as a person does, and checks the limit.
    ///
    /// # Errors
    /// It takes longer than two seconds, or its exit code is not 0.
    pub async fn stop(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.process.ended()?.is_none(), "the daemon ended before it was asked to:\n{}", self.log_tail());
        self.process.signal(signal)?;
        let status = self.process.wait(STOP).await.with_context(|| format!("after {signal:?}"))?;
        ensure!(status.success(), "after {signal:?} the daemon ended with {status}:\n{}", self.log_tail());
        Ok(())
    }
}

/// Waits until a daemon that has begun to measure a Service most likely trusts its stamps. If it reads late both of the Service and of a pod,
/// it cannot know which came first. Most stalls are over after this.
///
/// # Errors
/// `metrics` fails.
pub async fn until_trusted(metrics: impl AsyncFn() -> Result<Metrics>) -> Result<()> {
    // A stall is counted with the next beat.
    tokio::time::sleep(BEAT).await;
    if metrics().await?.has_doubts() {
        tokio::time::sleep(DOUBT).await;
    }
    Ok(())
}

/// `endpointlag run` without flags, and without settings from the environment of the tests.
pub fn command(kubeconfig: &Path) -> Command {
    let mut command = program();
    command.arg("run").env("KUBECONFIG", kubeconfig);
    command
}

/// The program without arguments, and without settings from the environment of the tests.
pub fn program() -> Command {
    let mut command = Command::new(crate::executable());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ENDPOINTLAG_") {
            command.env_remove(name);
        }
    }
    command
}

/// The address that a daemon logs, once it listens.
///
/// # Errors
/// The log cannot be read.
pub fn listening(log: &Path) -> Result<Option<String>> {
    address_of(log, "listening")
}

/// The address in the log's first line with this message.
///
/// # Errors
/// The log cannot be read.
fn address_of(log: &Path, message: &str) -> Result<Option<String>> {
    let lines = read_log(log)?;
    let line = lines.iter().find(|line| line.field("message") == message);
    Ok(line.map(|line| line.field("address").to_owned()))
}

/// The complete lines of a log in JSON. An unfinished last line is left for later.
///
/// # Errors
/// The log cannot be read, or a line is not JSON.
pub fn read_log(log: &Path) -> Result<Vec<LogLine>> {
    let text = fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).with_context(|| format!("the daemon's log: {line}"))).collect()
}
