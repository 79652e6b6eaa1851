//! `endpointlag watch` and commands like it as a process: what they print, and how they end.

use crate::controlplane::objects::Objects;
use crate::daemon;
use crate::process::{Output, Process};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Ample time for what takes seconds on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// How many changes may be censored, one after the other, where one with a delay is needed.
const DELAYS: usize = 20;

/// Pause between two checks.
const POLL: Duration = Duration::from_millis(20);

/// A running command. Dropping it kills it.
#[derive(Debug)]
pub struct Watching {
    process: Process,
    printed: Arc<Mutex<String>>,
    /// Reads standard output to its end.
    reader: JoinHandle<()>,
    messages: PathBuf,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub printed: String,
    /// All of its standard error.
    pub messages: String,
}

impl Watching {
    /// Starts `watch` with this kubeconfig and these flags. Its messages go to a file in `folder`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(kubeconfig: &Path, folder: &Path, flags: &[&str]) -> Result<Self> {
        Self::start_as("watch", kubeconfig, folder, flags)
    }

    /// The same for another subcommand that goes on until a signal comes.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_as(subcommand: &str, kubeconfig: &Path, folder: &Path, flags: &[&str]) -> Result<Self> {
        let messages = folder.join(format!("{subcommand}.log"));
        let mut command = daemon::program();
        command.arg(subcommand).args(flags).env("KUBECONFIG", kubeconfig);
        let mut process = Process::start(&format!("endpointlag {subcommand}"), command, Output::Pipe, &messages)?;
        let stdout = process.take_stdout().context("standard output is a pipe")?;
        let printed = Arc::<Mutex<String>>::default();
        let into = printed.clone();
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut into = into.lock().expect("no thread panics with it");
                into.push_str(&line);
                into.push('\n');
            }
        });
        Ok(Self { process, printed, reader, messages })
    }

    /// Starts `watch`, and waits until it has said that it watches.
    ///
    /// # Errors
    /// It does not say so in time.
    pub async fn start_synced(kubeconfig: &Path, folder: &Path, flags: &[&str]) -> Result<Self> {
        let watching = Self::start(kubeconfig, folder, flags)?;
        watching.wait_for_message("watching ").await?;
        Ok(watching)
    }

    /// Waits until its standard error has these words.
    ///
    /// # Errors
    /// They do not come in time.
    pub async fn wait_for_message(&self, words: &str) -> Result<()> {
        self.wait_for(&format!("{words:?} on standard error"), || Ok(self.messages()?.contains(words))).await
    }

    /// Its standard output so far.
    pub fn printed(&self) -> String {
        self.printed.lock().expect("no thread panics with it").clone()
    }

    /// Its standard error so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn messages(&self) -> Result<String> {
        fs::read_to_string(&self.messages).context("reading its messages")
    }

    /// Waits until it has printed a line with all of these words.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn wait_for_line(&self, words: &[&str]) -> Result<()> {
        let has_words = |line: &str| words.iter().all(|word| line.contains(word));
        self.wait_for(&format!("a line with {words:?}"), || Ok(self.printed().lines().any(has_words))).await
    }

    /// Makes new pods of the Service `web` ready until the delay of one is told, and returns its name. On a busy machine a change
    /// may be censored. `name` begins the names of the pods.
    ///
    /// # Errors
    /// A change is not told in time, or all are censored.
    pub async fn wait_for_delay(&self, objects: &Objects, name: &str) -> Result<String> {
        for number in 0..DELAYS {
            let pod = format!("{name}-{number}");
            let made = objects.create_pod(&pod, "web").await?;
            objects.report(&made, true).await?;
            // With what ends the name in a table, and in JSON.
            let is_its = |line: &str| [' ', '"'].iter().any(|end| line.contains(&format!("{pod}{end}")));
            let line = || self.printed().lines().find(|line| is_its(line) && line.contains("ready")).map(str::to_owned);
            self.wait_for(&format!("line about {pod}"), || Ok(line().is_some())).await?;
            if line().is_some_and(|line| line.contains("propagated")) {
                return Ok(pod);
            }
        }
        anyhow::bail!("all of {DELAYS} changes are censored:\n{}{}", self.printed(), self.messages()?)
    }

    async fn wait_for(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while !done()? {
            ensure!(started.elapsed() < SOON, "no {what}:\n{}{}", self.printed(), self.messages()?);
            tokio::time::sleep(POLL).await;
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

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn end(mut self) -> Result<Ended> {
        let status: ExitStatus = self.process.wait(SOON).await?;
        let messages = self.messages()?;
        ensure!(self.reader.join().is_ok(), "the reader of standard output panicked");
        let printed = self.printed.lock().expect("no thread panics with it").clone();
        Ok(Ended { code: status.code(), printed, messages })
    }
}
