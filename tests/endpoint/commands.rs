//! Commands without a cluster: wrong flags, an API server that does not answer, and the scripts for shells.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use testkit::daemon;
use testkit::watching::Watching;
use testkit::workspace::{Workspace, free_port};

#[tokio::test]
async fn a_watch_of_an_unreachable_cluster_gives_up() -> Result<()> {
    let workspace = Workspace::create("watch-unreachable")?;
    let config = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, clusters: [{{name: a, cluster: {{server: 'http://127.0.0.1:{}'}}}}],
          contexts: [{{name: a, context: {{cluster: a}}}}]}}",
        free_port()?
    );
    let config = workspace.write("config", config)?;
    let started = Instant::now();
    let ended = Watching::start(&config, workspace.path(), &["--log-level=error"])?.end().await?;
    ensure!(ended.code == Some(2) && started.elapsed() < Duration::from_secs(40), "{ended:?}");
    let words = ["connecting to http://127.0.0.1", "endpointlag: cannot watch ", "cannot reach the API server"];
    ensure!(words.iter().all(|words| ended.messages.contains(words)), "{}", ended.messages);
    Ok(())
}

#[tokio::test]
async fn each_wrong_flag_of_a_watch_is_named() -> Result<()> {
    let workspace = Workspace::create("watch-flags")?;
    let flags = ["shop/web", "--for=0s", "--objective=soon", "--namespace=Shop"];
    let ended = Watching::start(&workspace.file("none"), workspace.path(), &flags)?.end().await?;
    let words = ["SERVICE: ", "write it like --namespace shop web", "--for: ", "--objective: ", "--namespace: "];
    ensure!(ended.code == Some(2) && words.iter().all(|words| ended.messages.contains(words)), "{ended:?}");
    Ok(())
}

#[test]
fn shells_complete_each_subcommand() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let output = daemon::program().args(["completions", shell]).output()?;
        let script = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        for word in ["run", "demo", "watch", "record", "replay", "node", "completions", "objective"] {
            ensure!(script.contains(word), "{shell}: no {word:?} in\n{script}");
        }
    }
    Ok(())
}
