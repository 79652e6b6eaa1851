//! The agent as a process, and its output.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use testkit::node::Node;
use testkit::process::{Output, Process};
use tokio::time::{Instant, sleep};

/// Maximum time until something is seen, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two checks of the output.
const POLL: Duration = Duration::from_millis(5);

/// A line that the agent prints.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    State { frontends: Vec<State> },
    Change(Change),
    Censored(Change),
    Gap { loss: String },
    Planes { ipv4: Plane, ipv6: Plane, unseen: Vec<String> },
}

#[derive(Clone, Debug, Deserialize)]
pub struct State {
    frontend: Frontend,
    endpoints: BTreeSet<SocketAddr>,
}

/// A change, with its commit if it has a time.
#[derive(Clone, Debug, Deserialize)]
pub struct Change {
    frontend: Frontend,
    pub added: BTreeSet<SocketAddr>,
    pub removed: BTreeSet<SocketAddr>,
    #[serde(flatten)]
    pub commit: Option<Commit>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Commit {
    pub first_ns: u64,
    pub commit_ns: u64,
    pub messages: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct Frontend {
    address: std::net::IpAddr,
    protocol: String,
    port: u16,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Plane {
    pub decides: Option<String>,
    pub behind: Option<String>,
}

/// Endpoints of each frontend over TCP.
pub type Sets = BTreeMap<SocketAddr, BTreeSet<SocketAddr>>;

/// A running agent. Dropping it kills it.
pub struct Agent {
    pub process: Process,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Frontend {
    fn target(&self) -> Option<SocketAddr> {
        self.target_over("TCP")
    }

    fn target_over(&self, protocol: &str) -> Option<SocketAddr> {
        (self.protocol == protocol).then(|| SocketAddr::new(self.address, self.port))
    }
}

impl Agent {
    /// Starts it on a node, and waits for the first state.
    ///
    /// # Errors
    /// It ends, or reports no state.
    pub async fn start(node: &Node, flags: &[&str]) -> Result<Self> {
        let mut command = node.command();
        command.args(flags);
        Self::start_command(node, command).await
    }

    /// Starts a command that runs the agent.
    ///
    /// # Errors
    /// It ends, or reports no state.
    pub async fn start_command(node: &Node, command: std::process::Command) -> Result<Self> {
        let mut process = Process::start("the agent", command, Output::Pipe, &node.workspace.file("agent.log"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stdout, kept) = (process.take_stdout().context("a pipe")?, lines.clone());
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                kept.lock().expect("no thread died").push(line);
            }
        });
        let mut agent = Self { process, lines };
        agent.wait("the state", |lines| lines.iter().any(|line| matches!(line, Line::Planes { .. }))).await?;
        Ok(agent)
    }

    /// All lines until now.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().expect("no thread died").clone()
    }

    /// Waits until the output is as expected.
    ///
    /// # Errors
    /// This does not happen in time.
    pub async fn wait(&mut self, what: &str, is_there: impl Fn(&[Line]) -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            if is_there(&self.lines()) {
                return Ok(());
            }
            ensure!(self.process.ended()?.is_none(), "the agent ended:\n{}", self.process.log_tail(20));
            if started.elapsed() > TIMEOUT {
                let lines = self.lines();
                let last = &lines[lines.len().saturating_sub(20)..];
                bail!("{what} was not seen in {TIMEOUT:?}, but {last:#?}\n{}", self.process.log_tail(20));
            }
            sleep(POLL).await;
        }
    }

    /// Waits until a frontend has these endpoints.
    ///
    /// # Errors
    /// The frontend does not get them in time.
    pub async fn wait_for(&mut self, target: SocketAddr, endpoints: &BTreeSet<SocketAddr>) -> Result<()> {
        let what = format!("{target} with {endpoints:?}");
        self.wait(&what, |lines| sets(lines, "TCP").remove(&target).unwrap_or_default() == *endpoints).await
    }

    /// The same over another protocol.
    ///
    /// # Errors
    /// The frontend does not get them in time.
    pub async fn wait_over(
        &mut self,
        protocol: &str,
        target: SocketAddr,
        endpoints: &BTreeSet<SocketAddr>,
    ) -> Result<()> {
        let what = format!("{target} over {protocol} with {endpoints:?}");
        self.wait(&what, |lines| sets(lines, protocol).remove(&target).unwrap_or_default() == *endpoints).await
    }

    /// The endpoints of all frontends.
    pub fn sets(&self) -> Sets {
        sets(&self.lines(), "TCP")
    }

    /// The changes of a frontend, in their order.
    pub fn changes(&self, target: SocketAddr) -> Vec<Change> {
        let of_target = |line| match line {
            Line::Change(change) | Line::Censored(change) => {
                (change.frontend.target() == Some(target)).then_some(change)
            }
            _ => None,
        };
        self.lines().into_iter().filter_map(of_target).collect()
    }

    /// The modes that decide, as last reported.
    pub fn planes(&self) -> Option<(Plane, Plane, Vec<String>)> {
        self.lines().into_iter().rev().find_map(|line| match line {
            Line::Planes { ipv4, ipv6, unseen } => Some((ipv4, ipv6, unseen)),
            _ => None,
        })
    }

    /// The losses that were reported, in order.
    pub fn losses(&self) -> Vec<String> {
        let loss = |line| match line {
            Line::Gap { loss } => Some(loss),
            _ => None,
        };
        self.lines().into_iter().filter_map(loss).collect()
    }
}

/// The sets that result from all lines, of frontends over a protocol.
fn sets(lines: &[Line], protocol: &str) -> Sets {
    let mut sets = Sets::new();
    for line in lines {
        let (frontend, added, removed) = match line {
            Line::State { frontends } => {
                let of_protocol = |it: &State| Some((it.frontend.target_over(protocol)?, it.endpoints.clone()));
                let frontends = frontends.iter().filter_map(of_protocol);
                sets = frontends.collect();
                continue;
            }
            Line::Change(change) | Line::Censored(change) => (&change.frontend, &change.added, &change.removed),
            Line::Gap { .. } | Line::Planes { .. } => continue,
        };
        let Some(target) = frontend.target_over(protocol) else { continue };
        let set = sets.entry(target).or_default();
        for endpoint in removed {
            assert!(set.remove(endpoint), "{endpoint} is removed from {target}, and was not there: {set:?}");
        }
        for endpoint in added {
            assert!(set.insert(*endpoint), "{endpoint} is added to {target}, and was there");
        }
        if set.is_empty() {
            sets.remove(&target);
        }
    }
    sets
}
