//! The choice of the cluster: flags as in kubectl, errors in words, and credentials that do not arrive.

use super::demo::{SOON, STOP};
use anyhow::{Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::daemon::{self, LogLine};
use testkit::process::{Output, Process};
use testkit::workspace::Workspace;

/// Contexts `plugged`, whose credentials come from a program, and `dangling`, whose user does not exist.
fn config(plugin: &Path) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: plugged,
          clusters: [{{name: a, cluster: {{server: 'http://127.0.0.1:9'}}}}],
          users: [{{name: a, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never,
            command: '{}'}}}}}}],
          contexts: [{{name: plugged, context: {{cluster: a, user: a}}}},
            {{name: dangling, context: {{cluster: a, user: gone}}}}]}}",
        plugin.display()
    )
}

/// A daemon whose credentials come from a script.
async fn start(workspace: &Workspace, script: &str) -> Result<(Process, Client)> {
    let plugin = workspace.write("plugin", format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
    let file = workspace.write("config", config(&plugin))?;
    let log = workspace.file("daemon.log");
    let mut command = daemon::program();
    command.args(["run", "--listen=127.0.0.1:0", "--log-format=json", "--kubeconfig"]).arg(&file);
    let process = Process::start("endpointlag", command, Output::Pipe, &log)?;
    let started = Instant::now();
    loop {
        if let Some(address) = daemon::listening(&log)? {
            return Ok((process, Client::plain(&address)));
        }
        ensure!(started.elapsed() < SOON, "it does not listen:\n{}", process.log_tail(40));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn credentials_that_do_not_come_are_said_and_do_not_hold_up_the_port() -> Result<()> {
    let workspace = Workspace::create("hanging-plugin")?;
    let (mut process, client) = start(&workspace, "exec sleep 30").await?;
    assert_eq!(client.get("/healthz").await?.status, 200);
    let answer = client.get("/readyz").await?;
    let expected = format!("not synced:\nwaiting for credentials from {}\n", workspace.file("plugin").display());
    assert_eq!((answer.status, answer.body), (503, expected));
    assert_eq!(client.get("/metrics").await?.status, 503);
    let (log, started) = (workspace.file("daemon.log"), Instant::now());
    let said = |line: &LogLine| line.field("message").starts_with("still waiting for credentials");
    while !daemon::read_log(&log)?.iter().any(said) {
        ensure!(started.elapsed() < SOON, "it does not say so:\n{}", process.log_tail(40));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    process.signal(Signal::TERM)?;
    ensure!(process.wait(STOP).await?.success());
    Ok(())
}

#[tokio::test]
async fn credentials_that_come_late_are_used() -> Result<()> {
    let workspace = Workspace::create("late-plugin")?;
    let credential =
        r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}"#;
    let go = workspace.file("go");
    let script = format!("until [ -e '{}' ]; do sleep 0.1; done; echo '{credential}'", go.display());
    let (process, client) = start(&workspace, &script).await?;
    assert!(client.get("/readyz").await?.body.contains("waiting for credentials"));
    fs::write(&go, "")?;
    let started = Instant::now();
    // Nothing listens there. The message shows that the daemon sent a request.
    while !client.get("/readyz").await.is_ok_and(|answer| answer.body.contains("cannot reach the API server")) {
        ensure!(started.elapsed() < SOON, "it does not use them:\n{}", process.log_tail(40));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.get("/metrics").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_the_configuration_is_said_in_a_line() -> Result<()> {
    let workspace = Workspace::create("bad-config")?;
    let file = workspace.write("config", config(Path::new("no-such-program")))?;
    let failing = workspace.write("plugin", "#!/bin/sh\nexit 7\n")?;
    fs::set_permissions(&failing, fs::Permissions::from_mode(0o755))?;
    let failing = workspace.write("failing", config(&failing))?;
    let (file, failing) = (file.display().to_string(), failing.display().to_string());
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--kubeconfig", &file], &[&file, "credentials from \"no-such-program\", which is not to be found"]),
        (&["--kubeconfig", &file, "--context=dangling"], &[&file, "has no user \"gone\""]),
        (&["--kubeconfig", &file, "--context=none"], &[&file, "has no context \"none\"; it has: plugged, dangling"]),
        (&["--kubeconfig", &failing], &[&failing, "exit status: 7"]),
        // From the environment variable.
        (&[], &["/nowhere/config", "No such file"]),
    ];
    for (number, (flags, words)) in cases.into_iter().enumerate() {
        let log = workspace.file(&format!("{number}.log"));
        let mut command = daemon::command(Path::new("/nowhere/config"));
        command.args(["--listen=127.0.0.1:0", "--log-level=warn"]).args(flags);
        let status = Process::start("endpointlag", command, Output::Pipe, &log)?.wait(SOON).await?;
        ensure!(status.code() == Some(1), "it ended with {status}");
        let text = fs::read_to_string(&log)?;
        ensure!(text.lines().count() == 1 && text.starts_with("endpointlag: the kubeconfig"), "{text}");
        ensure!(words.iter().all(|words| text.contains(words)), "{text} does not say {words:?}");
        ensure!(!text.contains("in-cluster"), "{text}");
    }
    Ok(())
}
