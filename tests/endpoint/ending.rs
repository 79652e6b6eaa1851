//! A signal ends it within two seconds, even if something blocks.

use super::demo::{Demo, SOON};
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::daemon::{self, metrics::Metrics};
use testkit::pair::{Files, Pair};
use testkit::process::{Output, Process};
use testkit::workspace::Workspace;
use tokio::time::sleep;

/// The message if it gave up on an output.
const GAVE_UP: &str = "before the end";

/// The smallest pipe: one page.
const PIPE: usize = 4096;

/// How long a forced end may take on a busy machine. The program itself begins it early enough for the documented limit, as a unit test
/// shows.
const FORCED: Duration = Duration::from_secs(5);

/// How often an end in good order is tried. On a busy machine an output may need longer than the program waits.
const ATTEMPTS: usize = 3;

/// A pipe without a writer: opening it for reading hangs.
fn hang(path: &Path) -> Result<()> {
    fs::remove_file(path)?;
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// A demo that prints tables and samples to a pipe without a reader.
async fn before_a_full_pipe(workspace: &Workspace) -> Result<Demo> {
    let flags = ["--samples=-", "--every=10ms"].map(str::to_owned);
    let demo = Demo::start(workspace, &flags).await?;
    let pipe = demo.stdout.as_ref().context("a pipe")?;
    // It prints already. While more waits in the pipe than the smaller one has room for, the system refuses.
    while let Err(refused) = fcntl_setpipe_size(pipe, PIPE) {
        ensure!(refused == Errno::BUSY, "{refused}");
        rustix::io::read(pipe, &mut [0; PIPE])?;
    }
    // If a table does not fit, there is room for some samples, of 200 bytes or more.
    let blocked = |metrics: &Metrics| metrics.sum("endpointlag_changes_total", &[]) >= 12.0;
    demo.wait_for_metrics("more samples than the pipe has room for", blocked).await?;
    // It continues although the output is blocked.
    assert_eq!(Client::plain(&demo.address).get("/healthz").await?.status, 200);
    Ok(demo)
}

#[tokio::test]
async fn an_end_in_good_order_waits_for_nothing() -> Result<()> {
    for _ in 0..ATTEMPTS {
        let workspace = Workspace::create("ends")?;
        let flags = [format!("--samples={}", workspace.file("samples").display())];
        let mut demo = Demo::start(&workspace, &flags).await?;
        demo.signal(Signal::TERM)?;
        assert!(demo.wait_for_end().await?.success());
        // By then every user of the pipeline is gone, so the pipeline and its outputs end without help.
        if demo.log()?.iter().all(|line| !line.field("message").contains(GAVE_UP)) {
            return Ok(());
        }
    }
    bail!("it gave up on the samples each of {ATTEMPTS} times")
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_does_not_hold_up_the_end() -> Result<()> {
    let workspace = Workspace::create("full-pipe")?;
    let mut demo = before_a_full_pipe(&workspace).await?;
    demo.signal(Signal::TERM)?;
    assert!(demo.wait_for_end().await?.success());
    assert!(demo.log()?.iter().any(|line| line.field("message").contains(GAVE_UP)), "it does not say what is lost");
    Ok(())
}

#[tokio::test]
async fn the_second_signal_ends_it_at_once() -> Result<()> {
    let workspace = Workspace::create("second-signal")?;
    let mut demo = before_a_full_pipe(&workspace).await?;
    // The system decides which of the two is seen first.
    demo.signal(Signal::TERM)?;
    demo.signal(Signal::INT)?;
    let code = demo.wait_for_end().await?.code();
    // An orderly end would be 0.
    assert!(matches!(code, Some(130 | 143)), "{code:?}");
    Ok(())
}

#[tokio::test]
async fn a_volume_that_hangs_does_not_hold_up_the_end() -> Result<()> {
    let workspace = Workspace::create("hanging-volume")?;
    let (files, pair) = (Files::inside(workspace.path()), Pair::make()?);
    pair.write(&files)?;
    let mut demo = Demo::start(&workspace, &files.flags()).await?;
    hang(&files.certificate)?;
    // It is read immediately.
    demo.signal(Signal::HUP)?;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(Client::tls(&demo.address, pair.certificate()).get("/healthz").await?.status, 200);
    demo.signal(Signal::TERM)?;
    assert!(demo.wait_for_end().await?.success());
    Ok(())
}

/// If even the main thread hangs, the process ends by force and logs it.
#[tokio::test]
async fn a_start_that_hangs_ends_too() -> Result<()> {
    let workspace = Workspace::create("hanging-start")?;
    let files = Files::inside(workspace.path());
    Pair::make()?.write(&files)?;
    hang(&files.certificate)?;
    let log = workspace.file("demo.log");
    let mut command = daemon::program();
    command.args(["demo", "--listen=127.0.0.1:0", "--log-format=json"]).args(files.flags());
    let mut process = Process::start("endpointlag demo", command, Output::Log, &log)?;
    // It handles signals before it reads files, but does not report when.
    let status = format!("/proc/{}/status", process.id());
    let started = Instant::now();
    while !catches_signals(&fs::read_to_string(&status)?) {
        ensure!(started.elapsed() < SOON, "it does not handle signals");
        sleep(Duration::from_millis(10)).await;
    }
    process.signal(Signal::TERM)?;
    let status = process.wait(FORCED).await?;
    assert_eq!(status.code(), Some(1));
    let lines = daemon::read_log(&log)?;
    assert!(lines.iter().any(|line| line.field("message").starts_with("ending by force")), "{lines:?}");
    Ok(())
}

/// Whether a process has a handler for SIGTERM.
fn catches_signals(status: &str) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
    u64::from_str_radix(caught.trim(), 16).is_ok_and(|mask| mask & (1 << (Signal::TERM.as_raw() - 1)) != 0)
}
