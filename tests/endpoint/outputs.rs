//! Outputs that are full, broken or rotated never end the daemon.

use super::demo::{Demo, SOON};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::daemon;
use testkit::pair::{Files, Pair};
use testkit::workspace::Workspace;

/// Lines of its log at a level that name an output.
fn lines_about(demo: &Demo, level: &str, output: &str) -> Result<usize> {
    let lines = demo.log()?;
    Ok(lines.iter().filter(|line| line.level == level && line.field("output") == output).count())
}

async fn wait_for(what: &str, done: impl Fn() -> bool) -> Result<()> {
    let started = Instant::now();
    while !done() {
        ensure!(started.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_counted_and_said_once() -> Result<()> {
    let workspace = Workspace::create("full-disk")?;
    let flags = ["--samples=/dev/full", "--hdr-log=/dev/full", "--hdr-log-interval=100ms"].map(str::to_owned);
    let mut demo = Demo::start(&workspace, &flags).await?;
    demo.wait_for_metrics("failures of both", |metrics| {
        metrics.sum("endpointlag_samples_errors_total", &[]) >= 2.0
            && metrics.sum("endpointlag_hdr_log_errors_total", &[]) >= 5.0
    })
    .await?;
    assert_eq!(lines_about(&demo, "WARN", "/dev/full")?, 2, "once for each");
    demo.signal(Signal::TERM)?;
    assert!(demo.wait_for_end().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_reader_that_leaves_is_counted_and_said_once() -> Result<()> {
    let workspace = Workspace::create("closed-pipe")?;
    let mut demo = Demo::start(&workspace, &["--samples=-".to_owned()]).await?;
    let stdout = demo.stdout.take().context("a pipe")?;
    // Only the greeting is read.
    let greeted = |text: &[u8]| text.ends_with(b"Ctrl-C ends it.\n");
    let mut text = Vec::new();
    while !greeted(&text) {
        let mut byte = [0];
        ensure!(rustix::io::read(&stdout, &mut byte)? == 1, "it closed its output");
        text.extend(byte);
    }
    drop(stdout);
    demo.wait_for_metrics("failures", |metrics| metrics.sum("endpointlag_samples_errors_total", &[]) >= 2.0).await?;
    assert_eq!(lines_about(&demo, "WARN", "standard output")?, 1);
    demo.signal(Signal::TERM)?;
    assert!(demo.wait_for_end().await?.success());
    Ok(())
}

/// As logrotate does it: move, then SIGHUP. No change is lost or reported twice, and no line is torn.
#[tokio::test]
async fn a_hangup_opens_files_anew_and_takes_the_certificate_at_once() -> Result<()> {
    let workspace = Workspace::create("hangup")?;
    let (samples, log) = (workspace.file("samples"), workspace.file("delays.hlog"));
    let (files, first, second) = (Files::inside(workspace.path()), Pair::make()?, Pair::make()?);
    first.write(&files)?;
    let mut flags = files.flags();
    flags.extend([
        format!("--samples={}", samples.display()),
        format!("--hdr-log={}", log.display()),
        "--hdr-log-interval=200ms".to_owned(),
    ]);
    let mut demo = Demo::start(&workspace, &flags).await?;
    wait_for("delays", || delays(&samples) >= 2).await?;
    let (old_samples, old_log) = (workspace.file("samples.1"), workspace.file("delays.hlog.1"));
    fs::rename(&samples, &old_samples)?;
    fs::rename(&log, &old_log)?;
    second.write(&files)?;
    let started = Instant::now();
    demo.signal(Signal::HUP)?;
    let client = Client::tls(&demo.address, second.certificate());
    while client.get("/healthz").await.is_err() {
        // Without the signal it takes two checks, five seconds apart.
        ensure!(started.elapsed() < Duration::from_secs(5), "the certificate is not taken at once");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wait_for("new files", || delays(&samples) >= 2 && lines(&log) > 8).await?;
    demo.signal(Signal::TERM)?;
    assert!(demo.wait_for_end().await?.success());

    daemon::samples::parse(&(fs::read_to_string(&old_samples)? + &fs::read_to_string(&samples)?))?;
    for file in [&old_samples, &samples] {
        ensure!(delays(file) >= 2, "{} delays in {}", delays(file), file.display());
    }
    for file in [&old_log, &log] {
        ensure!(fs::read_to_string(file)?.starts_with("#[endpointlag"), "{} has no header", file.display());
    }
    Ok(())
}

/// The number of complete lines of a file.
fn lines(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().matches('\n').count()
}

/// The number of complete samples in a file that have a delay. On a busy machine others are censored.
fn delays(file: &Path) -> usize {
    let samples = daemon::samples::parse(&fs::read_to_string(file).unwrap_or_default()).unwrap_or_default();
    samples.iter().filter(|sample| sample.delay().is_some()).count()
}
