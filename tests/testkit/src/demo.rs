//! The daemon with its simulated cluster, as a process.

use crate::daemon;
use crate::process::{Output, Process};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long it may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// How long it may take to end.
const STOP: Duration = Duration::from_secs(5);

/// A running demo. Dropping it kills it.
#[derive(Debug)]
pub struct Demo {
    /// The address that it listens on, as `host:port`.
    pub address: String,
    process: Process,
}

impl Demo {
    /// Starts it on a free port. It writes its log into `folder`.
    ///
    /// # Errors
    /// It does not listen in time.
    pub async fn start(folder: &Path, flags: &[&str]) -> Result<Self> {
        Self::start_program(daemon::program(), folder, flags).await
    }

    /// Starts a program that is the daemon, or that runs it.
    ///
    /// # Errors
    /// It does not listen in time.
    pub async fn start_program(mut command: Command, folder: &Path, flags: &[&str]) -> Result<Self> {
        let log = folder.join("demo.log");
        let _ = fs::remove_file(&log);
        command.args(["demo", "--listen=127.0.0.1:0", "--log-format=json", "--every=1h"]).args(flags);
        let mut process = Process::start("endpointlag demo", command, Output::Log, &log)?;
        let started = Instant::now();
        let address = loop {
            if let Some(address) = listening(&fs::read_to_string(&log).context("the demo's log")?) {
                break address;
            }
            ensure!(process.ended()?.is_none(), "the demo ended:\n{}", process.log_tail(40));
            if started.elapsed() > START {
                bail!("the demo does not listen:\n{}", process.log_tail(40));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Ok(Self { address, process })
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// It does not end in time, or ends with an error.
    pub async fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        let status = self.process.wait(STOP).await?;
        ensure!(status.success(), "the demo ended with {status}:\n{}", self.process.log_tail(40));
        Ok(())
    }
}

/// The address in a log in JSON, between the lines that the demo prints for people.
fn listening(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .map(|line| line["fields"].clone())
        .find_map(|fields| (fields["message"] == "listening").then(|| fields["address"].as_str().map(str::to_owned))?)
}
