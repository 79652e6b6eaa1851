//! A container of a rendered pod, run as a process: there is no kubelet in the tests.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::daemon::metrics::Metrics;
use testkit::daemon::{program, until_trusted};
use testkit::http::{self, Response};
use testkit::process::{Output, Process};
use testkit::workspace::Workspace;

/// Ample time for the sync of the watches on a busy machine, or for the reflection of a change.
const SOON: Duration = Duration::from_secs(60);

/// What the kubelet would start.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// Variables, with the downward API and references resolved.
    pub variables: Vec<(String, String)>,
}

impl Container {
    /// The container of a workload's pod with this index.
    ///
    /// # Errors
    /// The pod asks for something that only a kubelet knows.
    pub fn of(workload: &Value, index: usize) -> Result<Self> {
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        let mut all = Self::default();
        for variable in container["env"].as_array().into_iter().flatten() {
            let value = match (&variable["value"], &variable["valueFrom"]["fieldRef"]["fieldPath"]) {
                (Value::String(value), _) => all.expand(value),
                (_, path) if path == "metadata.labels['apps.kubernetes.io/pod-index']" => index.to_string(),
                (_, path) if path == "spec.nodeName" => "node-a".to_owned(),
                _ => anyhow::bail!("a variable from nowhere: {variable}"),
            };
            all.variables.push((variable["name"].as_str().context("a name")?.to_owned(), value));
        }
        let arguments = container["args"].as_array().context("arguments")?;
        let arguments: Vec<_> = arguments.iter().filter_map(Value::as_str).map(|text| all.expand(text)).collect();
        Ok(Self { arguments, ..all })
    }

    /// Its arguments, and its variables as the flags that they stand for.
    pub fn flags(&self) -> Vec<String> {
        let flag = |(name, value): &(String, String)| {
            let name = name.strip_prefix("ENDPOINTLAG_")?.replace('_', "-").to_lowercase();
            Some(format!("--{name}={value}"))
        };
        self.arguments.iter().cloned().chain(self.variables.iter().filter_map(flag)).collect()
    }

    /// Gives it an address of its own, as for each pod.
    pub fn at(mut self, address: &str) -> Self {
        for argument in &mut self.arguments {
            *argument = argument.replace("127.0.0.1:", &format!("{address}:"));
        }
        self
    }

    /// `$(NAME)` in a text is replaced with the variable defined before.
    fn expand(&self, text: &str) -> String {
        self.variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
    }

    /// Starts it with the API server of a kubeconfig, and waits until all its watches are synced.
    ///
    /// # Errors
    /// It ends, or is not ready in time.
    pub async fn start(&self, kubeconfig: &Path) -> Result<Running> {
        let listen = self.arguments.iter().find_map(|it| it.strip_prefix("--listen=")).context("--listen")?;
        let workspace = Workspace::create("container")?;
        let mut command = program();
        command.args(&self.arguments).envs(self.variables.iter().cloned()).env("KUBECONFIG", kubeconfig);
        let process = Process::start("endpointlag", command, Output::Log, &workspace.file("log"))?;
        let mut running = Running { address: listen.to_owned(), process, _workspace: workspace };
        let started = Instant::now();
        while !running.get("/readyz").await.is_ok_and(|page| page.status.is_success()) {
            ensure!(running.process.ended()?.is_none(), "it ended:\n{}", running.process.log_tail(40));
            ensure!(started.elapsed() < SOON, "it is not ready:\n{}", running.process.log_tail(40));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(running)
    }
}

/// A running container.
#[derive(Debug)]
pub struct Running {
    address: String,
    process: Process,
    // Last, because the process writes into it.
    _workspace: Workspace,
}

impl Running {
    async fn get(&self, path: &str) -> Result<Response> {
        http::get(&self.address, path).await
    }

    async fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/metrics").await?.body)
    }

    /// What its advice leaves out, once it has judged.
    ///
    /// # Errors
    /// It does not judge in time.
    pub async fn left_out(&self) -> Result<Vec<String>> {
        let started = Instant::now();
        loop {
            let answer: Value = serde_json::from_str(&self.get("/api/v1/advice").await?.body)?;
            if answer["evaluated"].is_string() {
                let skipped = answer["skipped"].as_array().into_iter().flatten();
                return Ok(skipped.filter_map(|it| it["why"].as_str()).map(str::to_owned).collect());
            }
            ensure!(started.elapsed() < SOON, "it has not judged: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many `ready` of a namespace it saw reflected. Censored ones count too, if it reports that the machine was too busy.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn reflected(&self, namespace: &str) -> Result<f64> {
        let metrics = self.metrics().await?;
        let of = |outcome| [("namespace", namespace), ("change", "ready"), ("outcome", outcome)];
        let count = |outcome| metrics.sum("endpointlag_changes_total", &of(outcome));
        Ok(count("propagated") + if metrics.has_doubts() { count("censored") } else { 0.0 })
    }
}

/// Waits until one of the daemons measures a Service. For it, earlier changes of pods are part of the Service's creation.
///
/// # Errors
/// None does in time.
pub async fn measured(daemons: &[Running], namespace: &str, service: &str) -> Result<()> {
    let (started, labels) = (Instant::now(), [("namespace", namespace), ("service", service)]);
    loop {
        for daemon in daemons {
            if daemon.metrics().await?.matching("endpointlag_objective_seconds", &labels).next().is_some() {
                return until_trusted(async || daemon.metrics().await).await;
            }
        }
        ensure!(started.elapsed() < SOON, "{namespace}/{service} is not measured");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until all daemons together have seen one `ready` of a namespace.
///
/// # Errors
/// They see none in time, or more than one.
pub async fn told_once(daemons: &[Running], namespace: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let mut sum = 0.0;
        for daemon in daemons {
            sum += daemon.reflected(namespace).await?;
        }
        if sum > 0.0 {
            ensure!((sum - 1.0).abs() < 0.5, "{namespace} was told {sum} times");
            return Ok(());
        }
        ensure!(started.elapsed() < SOON, "{namespace} was not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
