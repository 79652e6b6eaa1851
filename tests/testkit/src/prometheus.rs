//! A real Prometheus that scrapes the daemon, built from source in the version that `go/prometheus/go.mod` names.

use crate::gobuild::{Module, Program, version};
use crate::http;
use crate::process::{Output, Process};
use crate::workspace::free_port;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

const PROMETHEUS: Program = Program { name: "prometheus", package: "github.com/prometheus/prometheus/cmd/prometheus" };
const PROMTOOL: Program = Program { name: "promtool", package: "github.com/prometheus/prometheus/cmd/promtool" };

/// How long Prometheus may take to start, or to scrape what a test needs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A running Prometheus.
pub struct Prometheus {
    address: String,
    process: Process,
    // Last, because Prometheus writes into it.
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `target` every second, with native histograms. The target is `host:port`, or `https://host:port`, whose
    /// certificate is not checked.
    ///
    /// # Errors
    /// It cannot be built or started.
    pub async fn scraping(target: &str) -> Result<Self> {
        Self::start(target, "", &[], "exemplar-storage").await
    }

    /// As [`Self::scraping`]. Prometheus also takes counters as zero at their start time.
    ///
    /// # Errors
    /// It cannot be built or started.
    pub async fn counting_from_the_start(target: &str) -> Result<Self> {
        Self::start(target, "", &[], "created-timestamp-zero-ingestion").await
    }

    /// As [`Self::scraping`]. All series get more labels, such as `cluster: east`, and there are rule files with these contents.
    ///
    /// # Errors
    /// It cannot be built or started, or rejects the rules.
    pub async fn evaluating(target: &str, labels: &str, rules: &[String]) -> Result<Self> {
        Self::start(target, labels, rules, "exemplar-storage").await
    }

    async fn start(target: &str, labels: &str, rules: &[String], feature: &str) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(programs).await??;
        let folder = tempfile::tempdir()?;
        for (number, rules) in rules.iter().enumerate() {
            fs::write(folder.path().join(format!("{number}.rules")), rules)?;
        }
        let (scheme, target) = target.split_once("://").unwrap_or(("http", target));
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['*.rules']\n\
             scrape_configs:\n\
             - job_name: endpointlag\n  \
               scheme: {scheme}\n  \
               tls_config: {{insecure_skip_verify: true}}\n  \
               scrape_native_histograms: true\n  \
               always_scrape_classic_histograms: true\n  \
               static_configs: [{{targets: ['{target}'], labels: {{{labels}}}}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(programs.join(PROMETHEUS.name));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--enable-feature={feature}"))
            .arg("--log.level=warn");
        let process = Process::start("prometheus", command, Output::Log, &folder.path().join("log"))?;
        let prometheus = Self { address, process, _folder: folder };
        prometheus.until("up == 1").await.with_context(|| prometheus.process.log_tail(40))?;
        Ok(prometheus)
    }

    /// The result of an instant query.
    ///
    /// # Errors
    /// Prometheus rejects the query.
    pub async fn query(&self, query: &str) -> Result<Vec<Sample>> {
        let data = self.ask(&format!("query?query={}", encode(query))).await?;
        data["result"].as_array().context("no vector")?.iter().map(Sample::of).collect()
    }

    /// The exemplars of a selector over the last ten minutes.
    ///
    /// # Errors
    /// Prometheus rejects the query.
    pub async fn exemplars(&self, selector: &str) -> Result<Vec<Value>> {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        let (query, start) = (encode(selector), now - 600);
        let data = self.ask(&format!("query_exemplars?query={query}&start={start}&end={}", now + 60)).await?;
        let series = data.as_array().context("no list")?.iter();
        Ok(series.filter_map(|series| series["exemplars"].as_array()).flatten().cloned().collect())
    }

    /// The API's answer at a path below `/api/v1/`.
    ///
    /// # Errors
    /// Prometheus rejects it.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        let answer = http::get(&self.address, &format!("/api/v1/{path}")).await?.body;
        let mut json: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        ensure!(json["status"] == "success", "{path}: {answer}");
        Ok(json["data"].take())
    }

    /// Waits until a query has a result.
    ///
    /// # Errors
    /// It has none for a minute.
    pub async fn until(&self, query: &str) -> Result<Vec<Sample>> {
        let started = Instant::now();
        loop {
            match self.query(query).await {
                Ok(samples) if !samples.is_empty() => return Ok(samples),
                Ok(_) | Err(_) if started.elapsed() < TIMEOUT => {}
                Ok(_) => bail!("{query} has no result after {TIMEOUT:?}"),
                Err(error) => return Err(error.context(format!("{query} after {TIMEOUT:?}"))),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// One row of a vector: its labels and its number. A native histogram has no single number: query its count.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels, with the name of the metric.
    pub labels: serde_json::Map<String, Value>,
    /// The value.
    pub value: f64,
}

impl Sample {
    fn of(row: &Value) -> Result<Self> {
        let value = row["value"][1].as_str().with_context(|| format!("no number in {row}"))?;
        Ok(Self { labels: row["metric"].as_object().cloned().unwrap_or_default(), value: value.parse()? })
    }
}

/// Runs `promtool` with these arguments and this input, and returns what it prints.
///
/// # Errors
/// It reports an error in the input.
pub fn promtool(arguments: &[&str], input: &Path) -> Result<String> {
    let mut command = Command::new(programs()?.join(PROMTOOL.name));
    command.args(arguments).stdin(fs::File::open(input)?).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output()?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    ensure!(output.status.success(), "promtool {}: {printed}", arguments.join(" "));
    Ok(printed)
}

/// The folder of the programs, which are built at the first run.
fn programs() -> Result<PathBuf> {
    let go_mod = include_str!("../go/prometheus/go.mod");
    let module = Module {
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/go/prometheus"),
        topic: "prometheus",
        key: format!("prometheus-{}", version(go_mod, "github.com/prometheus/prometheus")?),
        // The tests use no service discovery, and Kubernetes' is the only one that users need.
        flags: vec!["-ldflags=-s -w".into(), "-tags=remove_all_sd,enable_kubernetes_sd".into()],
    };
    module.build(&[PROMETHEUS, PROMTOOL])
}

/// A query, encoded for a URL.
pub fn encode(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
