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
use testkit::demo::Demo;
use testkit::http;
use testkit::process::{Output, Process};
use testkit::workspace::{Workspace, free_port};

/// The image's file of root certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

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
    let pod = objects.create_pod("web-0", "web").await?;
    objects.report(&pod, true).await?;
    until(&address, |body| counted(body, "namespace=\"image\"").sum::<f64>() >= 2.0).await
}

/// Waits until the metrics are as expected.
async fn until(address: &str, expected: impl Fn(&str) -> bool) -> Result<()> {
    let started = Instant::now();
    loop {
        let page = http::get(address, "/metrics").await?;
        if expected(&page.body) {
            return Ok(());
        }
        ensure!(started.elapsed() < SOON, "the metrics are still\n{}", page.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many changes propagated, by Service and kind, of the series with this in their labels.
fn counted<'a>(body: &'a str, labels: &'a str) -> impl Iterator<Item = f64> + 'a {
    let of = move |line: &&str| {
        line.starts_with("endpointlag_changes_total{") && line.contains("\"propagated\"") && line.contains(labels)
    };
    body.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse().ok())
}
