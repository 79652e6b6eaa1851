//! One row of the table: a daemon with a broken server.

use super::server::{Server, Speech};
use anyhow::{Result, anyhow, ensure};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::daemon::{Daemon, LogLine};
use testkit::pair::Pair;
use testkit::workspace::Workspace;

const RESOURCES: [&str; 3] = ["pods", "services", "endpointslices"];

/// How long a daemon may take to log what is wrong: up to half a minute of retries, together with others on a busy machine.
const SAID: Duration = Duration::from_secs(60);

/// How long it is checked after that, so that a repeated message is noticed, and a watch that is wrongly reported as synced.
const AFTER: Duration = Duration::from_secs(4);

/// How much memory it may use, whatever the server sends.
const MEMORY: f64 = 128e6;

/// A server, and what should be seen of it.
#[derive(Clone)]
pub struct Row {
    name: &'static str,
    speech: Speech,
    /// If the daemon connects with TLS: whether it trusts the server's certificate.
    tls: Option<bool>,
    flags: &'static [&'static str],
    /// If a program issues the credentials: how often it may be called at most.
    plugin: Option<usize>,
    /// The reason for which each watch's restarts are counted; empty if there are none.
    counted: &'static str,
    /// The warnings of each watch, without the parts that vary. Each is logged once.
    logged: &'static [&'static str],
    /// Whether the watches are synced in the end. If not, `/readyz` shows the last warning.
    is_well: bool,
    /// The maximum number of requests, if it is lower than that of the retries.
    requests: Option<usize>,
}

/// A row for a server with this behaviour.
pub fn row(name: &'static str, speech: Speech) -> Row {
    Row { name, speech, tls: None, flags: &[], plugin: None, counted: "", logged: &[], is_well: false, requests: None }
}

impl Row {
    pub fn name(&self) -> &str {
        self.name
    }

    /// The daemon connects with TLS, and may trust the server.
    pub fn by_tls(self, trusted: bool) -> Self {
        Self { tls: Some(trusted), ..self }
    }

    pub fn with(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }

    /// Credentials come from a program, which is called at most this often.
    pub fn with_plugin(self, calls: usize) -> Self {
        Self { plugin: Some(calls), ..self }
    }

    /// No watch is ever synced. This is counted, logged and shown in this way.
    pub fn lost(self, counted: &'static str, logged: &'static [&'static str]) -> Self {
        Self { counted, logged, ..self }
    }

    /// All watches are synced in the end, after this was counted and logged.
    pub fn well(self, counted: &'static str, logged: &'static [&'static str]) -> Self {
        Self { counted, logged, is_well: true, ..self }
    }

    pub fn requests(self, requests: usize) -> Self {
        Self { requests: Some(requests), ..self }
    }

    /// Runs a daemon with the server.
    ///
    /// # Errors
    /// The daemon does not do what the row requires.
    pub async fn run(&self) -> Result<()> {
        let workspace = Workspace::create("broken")?;
        let server = Server::start(self.speech).await?;
        let config = self.kubeconfig(&workspace, &server)?;
        let flags: Vec<_> = self.flags.iter().map(|flag| (*flag).to_owned()).collect();
        let began = Instant::now();
        let mut daemon = Daemon::start(&config, workspace.path(), &flags).await?;
        while let Err(missing) = self.check_seen(&daemon).await {
            ensure!(began.elapsed() < SAID, "{missing:#}\n{}", daemon.log_tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let seen = Instant::now();
        while seen.elapsed() < AFTER {
            let ready = daemon.get("/readyz").await?;
            ensure!(
                ready.status.is_success() == self.is_well,
                "/readyz answers {} again\n{}",
                ready.status,
                daemon.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let end = self.check_end(&daemon, &workspace, server.connections(), began.elapsed()).await;
        end.map_err(|error| anyhow!("{error:#}\n{}", daemon.log_tail()))?;
        daemon.stop(Signal::TERM).await
    }

    /// Checks that everything required is logged, counted and shown.
    async fn check_seen(&self, daemon: &Daemon) -> Result<()> {
        let (log, ready, metrics) = (daemon.log()?, daemon.get("/readyz").await?, daemon.metrics().await?);
        ensure!(
            ready.status == if self.is_well { 200 } else { 503 },
            "/readyz answers {}: {}",
            ready.status,
            ready.body
        );
        for resource in RESOURCES {
            let warnings = warnings(&log, resource);
            for words in self.logged {
                ensure!(warnings.iter().any(|line| said(line).contains(words)), "no line of {resource} says {words:?}");
            }
            let shown = ready.body.lines().find(|line| line.starts_with(&format!("{resource}: "))).unwrap_or_default();
            let expected = self.logged.last().filter(|_| !self.is_well).unwrap_or(&"");
            ensure!(shown.contains(expected), "/readyz does not show {expected:?}: {}", ready.body);
            let synced = metrics.sum("endpointlag_watch_synced", &[("resource", resource)]);
            ensure!((synced == 1.0) == self.is_well, "endpointlag_watch_synced of {resource} is {synced}");
            if !self.counted.is_empty() {
                let labels = [("resource", resource), ("reason", self.counted)];
                let restarts = metrics.sum("endpointlag_watch_restarts_total", &labels);
                ensure!(restarts >= 1.0, "no restart of {resource} is counted as {}", self.counted);
            }
        }
        Ok(())
    }

    /// Checks that it was logged once, and is still so; that neither the server nor the machine is loaded.
    async fn check_end(&self, daemon: &Daemon, workspace: &Workspace, requests: usize, took: Duration) -> Result<()> {
        self.check_seen(daemon).await?;
        let (log, metrics) = (daemon.log()?, daemon.metrics().await?);
        for resource in RESOURCES {
            let warnings = warnings(&log, resource);
            ensure!(warnings.len() == self.logged.len(), "{} warnings of {resource}", warnings.len());
            let recovered =
                log.iter().filter(|line| line.field("watch") == resource && said(line) == "recovered").count();
            ensure!(recovered <= 2, "{resource} recovered {recovered} times");
        }
        ensure!(daemon.get("/healthz").await?.status == 200, "it is not alive");
        let memory = metrics.sum("process_resident_memory_bytes", &[]);
        ensure!(memory < MEMORY, "it takes {memory} bytes");
        let most = self.requests.unwrap_or_else(|| most_requests(took));
        ensure!(requests <= most, "{requests} requests in {took:?}, {most} at the most");
        if let Some(most) = self.plugin {
            let calls = fs::read_to_string(workspace.file("calls"))?.lines().count();
            ensure!(calls <= most, "the plugin was called {calls} times");
        }
        Ok(())
    }

    fn kubeconfig(&self, workspace: &Workspace, server: &Server) -> Result<PathBuf> {
        let user = match self.plugin {
            None => String::new(),
            Some(_) => {
                let plugin = workspace.write("plugin", plugin(&workspace.file("calls").display().to_string()))?;
                fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
                format!(
                    "exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: '{}'}}",
                    plugin.display()
                )
            }
        };
        let trusted = match self.tls {
            Some(true) => server.certificate.clone(),
            _ => Pair::make()?.pem(),
        };
        let trusted = workspace.write("trusted.crt", trusted)?;
        let (scheme, address, trusted) =
            (if self.tls.is_some() { "https" } else { "http" }, server.address(), trusted.display());
        let config = format!(
            "{{apiVersion: v1, kind: Config, current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}],
              clusters: [{{name: a, cluster: {{server: '{scheme}://{address}', tls-server-name: localhost,
                certificate-authority: '{trusted}'}}}}],
              users: [{{name: a, user: {{{user}}}}}]}}"
        );
        workspace.write("kubeconfig", config)
    }
}

/// A program whose credentials are valid for an hour, and which records how often it was called.
fn plugin(calls: &str) -> String {
    format!(
        r#"#!/bin/sh
echo call >> {calls}
expires=$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)
echo '{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status":'
echo '  {{"token": "token-'$(wc -l < {calls} | tr -d ' ')'", "expirationTimestamp": "'$expires'"}}}}'
"#
    )
}

/// The maximum with pauses of at least a quarter of a second, each twice as long as the previous one: attempts of three watches, each of
/// which asks for a list, for some pages or for the version.
fn most_requests(took: Duration) -> usize {
    let attempts = 2.0 + (1.0 + took.as_secs_f64() / 0.25).log2();
    3 * 3 * attempts as usize
}

fn warnings<'a>(log: &'a [LogLine], resource: &str) -> Vec<&'a LogLine> {
    log.iter().filter(|line| line.level == "WARN" && line.field("watch") == resource).collect()
}

fn said(line: &LogLine) -> &str {
    line.field("message")
}
