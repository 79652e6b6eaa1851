//! The daemon as a process: how it starts, fails and ends.

use super::changes::selecting;
use super::shared_plane;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::controlplane::access::{self, ACCOUNT};
use testkit::controlplane::objects::Objects;
use testkit::daemon::{self, metrics::Metrics};
use testkit::http;
use testkit::process::{Output, Process};
use testkit::scene::{Scene, Setup};
use testkit::workspace::{Workspace, free_port};

/// Ample time for what should happen immediately.
const SOON: Duration = Duration::from_secs(20);

/// A client that keeps its connection open must not delay the end.
#[tokio::test]
async fn signals_end_it_in_time() -> Result<()> {
    for (signal, namespace) in [(Signal::TERM, "sigterm"), (Signal::INT, "sigint")] {
        let scene = Scene::start(shared_plane().await?, namespace).await?;
        let _idle = TcpStream::connect(scene.daemon.address()).context("an idle connection")?;
        scene.finish_by(signal).await?;
    }
    Ok(())
}

/// The log of a daemon that failed: one line explains the reason in words, and names what was requested.
fn one_line_about(log: &Path, subject: &str) -> Result<String> {
    let text = fs::read_to_string(log).context("reading the log")?;
    let about: Vec<_> = text.lines().filter(|line| line.contains(subject)).collect();
    ensure!(!text.contains("panicked"), "it panicked:\n{text}");
    ensure!(about.len() == 1, "not one line about {subject}:\n{text}");
    Ok(about[0].to_owned())
}

#[tokio::test]
async fn a_taken_port_stops_the_start() -> Result<()> {
    let workspace = Workspace::create("taken-port")?;
    let listener = TcpListener::bind("127.0.0.1:0").context("taking a port")?;
    let taken = listener.local_addr()?.to_string();
    let plane = shared_plane().await?;
    let client = plane.admin().await?;
    let config = access::account_kubeconfig(&client, ACCOUNT, &plane.server(), &plane.authority(), &workspace).await?;

    let log = workspace.file("daemon.log");
    let mut command = daemon::command(&config);
    command.args(["--listen", &taken]);
    let mut process = Process::start("endpointlag", command, Output::Log, &log)?;
    let status = process.wait(SOON).await?;
    assert!(!status.success(), "it ended with {status}");
    one_line_about(&log, &taken)?;
    Ok(())
}

#[tokio::test]
async fn an_unreachable_api_server_is_waited_for() -> Result<()> {
    let plane = shared_plane().await?;
    let setup = Setup { server: format!("https://127.0.0.1:{}", free_port()?), ..Setup::cluster(plane) };
    let scene = Scene::prepare(plane, "unreachable", setup).await?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        let page = scene.daemon.get("/readyz").await?;
        assert_eq!(page.status.as_u16(), 503, "/readyz says {}", page.body);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(scene.daemon.get("/healthz").await?.status.as_u16(), 200);
    let metrics = scene.daemon.metrics().await?;
    assert!(metrics.sum("endpointlag_watch_restarts_total", &[]) > 0.0, "it tried again");
    scene.finish().await
}

/// `endpointlag run --samples - | head -1`: the reader leaves. The daemon logs this in one line and continues to measure.
#[tokio::test]
async fn a_broken_pipe_does_not_end_it() -> Result<()> {
    let plane = shared_plane().await?;
    let workspace = Workspace::create("broken-pipe")?;
    let objects = Objects::create(plane.admin().await?, "broken-pipe").await?;
    let config =
        access::account_kubeconfig(objects.client(), ACCOUNT, &plane.server(), &plane.authority(), &workspace).await?;
    let log = workspace.file("daemon.log");
    let mut command = daemon::command(&config);
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--namespace", "broken-pipe", "--samples", "-"]);
    let mut process = Process::start("endpointlag", command, Output::Pipe, &log)?;
    let stdout = process.take_stdout().context("standard output is a pipe")?;

    let started = Instant::now();
    let address = loop {
        if let Some(address) = daemon::listening(&log)?
            && http::get(&address, "/readyz").await?.status.is_success()
        {
            break address;
        }
        ensure!(started.elapsed() < SOON, "it does not become ready:\n{}", process.log_tail(40));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    objects.create_service("web", selecting("web")).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    tokio::task::spawn_blocking(move || {
        reader.read_line(&mut line)?;
        anyhow::Ok(line)
    })
    .await?
    .and_then(|line| daemon::samples::parse(&line))
    .context("the first sample")?;
    // The reader is closed now. Changes follow until more than one write met the broken pipe.
    let (started, mut counted) = (Instant::now(), 0.0);
    loop {
        let metrics = Metrics::parse(&http::get(&address, "/metrics").await?.body)?;
        if metrics.sum("endpointlag_samples_errors_total", &[]) >= 2.0 && counted > 0.0 {
            ensure!(metrics.sum("endpointlag_changes_total", &[]) > counted, "it measures nothing any more");
            break;
        }
        ensure!(started.elapsed() < SOON, "it meets no broken pipe:\n{}", process.log_tail(40));
        counted = metrics.sum("endpointlag_changes_total", &[]);
        objects.create_service(&format!("web-{}", objects.writes()), selecting("web")).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    one_line_about(&log, "standard output")?;
    process.signal(Signal::TERM)?;
    let status = process.wait(Duration::from_secs(2)).await?;
    assert!(status.success(), "it ended with {status}");
    Ok(())
}
