//! What is logged: fatal errors in the chosen format, and nothing that others can forge.

use super::demo::SOON;
use anyhow::{Result, ensure};
use std::fs;
use std::net::TcpListener as StdListener;
use std::time::{Duration, Instant};
use testkit::daemon;
use testkit::process::{Output, Process};
use testkit::workspace::Workspace;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_fatal_error_is_a_line_in_the_chosen_format() -> Result<()> {
    let workspace = Workspace::create("fatal")?;
    let listener = StdListener::bind("127.0.0.1:0")?;
    let taken = format!("--listen={}", listener.local_addr()?);
    let cases: [(&[&str], &[&str]); 2] =
        [(&[&taken], &["cannot listen on"]), (&["--log-level=inf", "--expiry=0s"], &["--expiry", "--log-level"])];
    for (number, (flags, expected)) in cases.into_iter().enumerate() {
        let log = workspace.file(&format!("{number}.log"));
        let mut command = daemon::program();
        command.args(["demo", "--log-format=json"]).args(flags);
        let status = Process::start("endpointlag demo", command, Output::Pipe, &log)?.wait(SOON).await?;
        ensure!(!status.success(), "it ended with {status}");
        let lines = daemon::read_log(&log)?;
        let fatal: Vec<_> = lines.iter().filter(|line| line.level == "ERROR").collect();
        ensure!(fatal.len() == expected.len(), "{lines:?}");
        for (line, expected) in fatal.iter().zip(expected) {
            ensure!(line.field("message").contains(expected), "{line:?} is not about {expected}");
        }
    }
    Ok(())
}

/// An API server whose errors contain extra lines and colour codes for the terminal.
#[tokio::test]
async fn an_api_server_cannot_forge_a_line() -> Result<()> {
    let workspace = Workspace::create("forged")?;
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let body = r#"{"kind":"Status","message":"no\n2026-01-01T00:00:00Z ERROR forged\u001b[2K\r","code":403}"#;
            let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let config = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, clusters: [{{name: a, cluster: {{server: \"http://{address}\"}}}}], \
         users: [{{name: a, user: {{}}}}], contexts: [{{name: a, context: {{cluster: a, user: a}}}}]}}"
    );
    let config = workspace.write("kubeconfig", config)?;
    let log = workspace.file("daemon.log");
    let mut command = daemon::command(&config);
    command.arg("--listen=127.0.0.1:0");
    let _process = Process::start("endpointlag", command, Output::Pipe, &log)?;
    let started = Instant::now();
    let text = loop {
        let text = fs::read_to_string(&log)?;
        if text.matches("forged").count() >= 3 {
            break text;
        }
        ensure!(started.elapsed() < SOON, "nothing about the error:\n{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(text.lines().all(|line| !line.starts_with("2026-01-01T")), "a forged line:\n{text}");
    ensure!(!text.contains(['\u{1b}', '\r']), "the terminal is told things:\n{text:?}");
    Ok(())
}
