//! The binary at work in a file system with nothing else.

use super::build::{Arch, REVISION, run};
use super::dockerfile::text;
use super::root::{Root, account_file, emulator};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::controlplane::access::{ACCOUNT, account_token};
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::{ControlPlane, Options};
use testkit::daemon::metrics::Metrics;
use testkit::daemon::until_trusted;
use testkit::demo::Demo;
use testkit::http;
use testkit::process::{Output, Process};
use testkit::workspace::{Workspace, free_port};

/// The image's file of root certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// In the labels of the changes that are caused here.
const READY: &str = "change=\"ready\",namespace=\"image\"";

/// How many changes a busy machine may censor, one after the other, and how long one may take.
const ATTEMPTS: u32 = 20;
const ENDED: Duration = Duration::from_secs(10);

/// Ample time, even with an emulator.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_in_an_empty_root() -> Result<()> {
    let root = tokio::task::spawn_blocking(Root::create).await??;
    ensure!(text("deploy/image/Dockerfile")?.contains(&format!(" {CERTIFICATES}\n")), "the image has none");
    speaks(|| root.program()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_runs_as_well() -> Result<()> {
    let other = Arch::ALL.into_iter().find(|arch| !arch.is_native()).context("another kind of machine")?;
    tokio::task::spawn_blocking(move || emulator(other)).await??;
    speaks(|| emulator(other)).await
}

/// It prints its version, measures its simulated cluster, and ends on a signal.
async fn speaks(program: impl Fn() -> Result<Command>) -> Result<()> {
    let version = run(program()?.arg("--version"))?;
    ensure!(version.trim() == format!("endpointlag {}", env!("CARGO_PKG_VERSION")), "{version}");
    ensure!(run(program()?.args(["run", "--help"]))?.contains("--namespace"), "--help");
    let workspace = Workspace::create("image-demo")?;
    let demo = Demo::start_program(program()?, workspace.path(), &[]).await?;
    let build = format!("revision=\"{REVISION}\"");
    until(&demo.address, |body| body.contains(&build) && counted(body, "").any(|count| count > 0.0)).await?;
    demo.stop().await
}

/// In a pod it finds the API server and its account from what Kubernetes provides, and needs no other certificates.
#[tokio::test(flavor = "multi_thread")]
async fn it_finds_its_cluster_in_an_empty_root() -> Result<()> {
    let root = tokio::task::spawn_blocking(Root::create).await??;
    let plane = ControlPlane::start(Options::default()).await?;
    let admin = plane.admin().await?;
    root.mount(&account_file("token"), &account_token(&admin, ACCOUNT).await?)?;
    root.mount(&account_file("namespace"), ACCOUNT)?;
    root.mount(&account_file("ca.crt"), &fs::read_to_string(plane.authority())?)?;
    let (workspace, address) = (Workspace::create("image-pod")?, format!("127.0.0.1:{}", free_port()?));
    let server = plane.server();
    let (host, port) = server.trim_start_matches("https://").split_once(':').context("the API server's address")?;
    let mut command = root.program()?;
    command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
    command.args(["run", &format!("--listen={address}")]);
    let process = Process::start("endpointlag", command, Output::Log, &workspace.file("log"))?;
    let ready = async {
        let started = Instant::now();
        while !http::get(&address, "/readyz").await.is_ok_and(|page| page.status.is_success()) {
            ensure!(started.elapsed() < SOON, "it is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    ready.await.with_context(|| process.log_tail(40))?;

    let objects = Objects::create(admin, "image").await?;
    objects.create_service("web", json!({ "selector": { "app": "web" }, "ports": [{ "port": 80 }] })).await?;
    // What happens to a pod before it measures the Service is part of the Service's creation.
    until(&address, |body| series(body, "endpointlag_objective_seconds", "namespace=\"image\"").count() == 1).await?;
    until_trusted(async || Metrics::parse(&http::get(&address, "/metrics").await?.body)).await?;
    for number in 1..=ATTEMPTS {
        let before = ended(&http::get(&address, "/metrics").await?.body).sum::<f64>();
        let pod = objects.create_pod(&format!("web-{number}"), "web").await?;
        objects.report(&pod, true).await?;
        // What a busy machine did not see as it happened has no delay, or is part of the Service's creation and no change.
        let started = Instant::now();
        while started.elapsed() < ENDED {
            let page = http::get(&address, "/metrics").await?.body;
            if counted(&page, READY).any(|count| count > 0.0) {
                return Ok(());
            }
            if ended(&page).sum::<f64>() > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    anyhow::bail!("none of {ATTEMPTS} changes has a delay")
}

/// Waits until the metrics are as expected, and returns them.
async fn until(address: &str, expected: impl Fn(&str) -> bool) -> Result<String> {
    let started = Instant::now();
    loop {
        let page = http::get(address, "/metrics").await?;
        if expected(&page.body) {
            return Ok(page.body);
        }
        ensure!(started.elapsed() < SOON, "the metrics are still\n{}", page.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many changes propagated, by Service and kind, of the series with this in their labels.
fn counted<'a>(body: &'a str, labels: &'a str) -> impl Iterator<Item = f64> + 'a {
    series(body, "endpointlag_changes_total", labels).filter_map(|(labels, value)| {
        let is_propagated = labels.contains("\"propagated\"");
        is_propagated.then_some(value)
    })
}

/// How many `ready` of the namespace ended, by outcome.
fn ended(body: &str) -> impl Iterator<Item = f64> {
    series(body, "endpointlag_changes_total", READY).map(|(_, value)| value)
}

/// The series of a metric with this in their labels: the labels and the value.
fn series<'a>(body: &'a str, name: &'a str, wanted: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
    body.lines().filter_map(move |line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        labels.contains(wanted).then_some((labels, value.parse().ok()?))
    })
}
