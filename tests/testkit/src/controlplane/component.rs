//! One program of the control plane, which can be stopped, killed and started again with other flags.

use crate::process::{Output, Process};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long it may take to start. Four seconds are usual; on a machine that builds something at the same time it takes much longer.
const START: Duration = Duration::from_secs(120);

/// How long it may take to shut down.
const STOP: Duration = Duration::from_secs(60);

/// Pause between two checks of a component that is starting.
const POLL: Duration = Duration::from_millis(50);

/// A program with its flags, running or not.
#[derive(Debug)]
pub struct Component {
    name: &'static str,
    program: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Component {
    /// A component that is not running yet. Its log is kept across restarts.
    pub fn new(name: &'static str, program: PathBuf, log: PathBuf) -> Self {
        Self { name, program, log, process: None }
    }

    /// Starts it and waits until `ready` returns true.
    ///
    /// # Errors
    /// It ends, or is not ready in time; the error ends with its log.
    pub async fn start<F>(&mut self, flags: &[String], ready: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        ensure!(self.process.is_none(), "{} runs already", self.name);
        let mut command = Command::new(&self.program);
        command.args(flags);
        let process = self.process.insert(Process::start(self.name, command, Output::Log, &self.log)?);
        let started = Instant::now();
        loop {
            if let Some(status) = process.ended()? {
                anyhow::bail!("{} ended with {status} at the start:\n{}", self.name, process.log_tail(40));
            }
            match ready().await {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > START => {
                    return Err(error)
                        .with_context(|| format!("{} is not ready:\n{}", self.name, process.log_tail(40)));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Shuts it down, as an update of the control plane would.
    ///
    /// # Errors
    /// It is not running, or does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().with_context(|| format!("{} does not run", self.name))?;
        process.signal(Signal::TERM)?;
        process.wait(STOP).await?;
        Ok(())
    }

    /// Kills it, as in a crash.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Its process, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Path of its log.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }
}
