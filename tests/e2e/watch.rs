//! `endpointlag watch` on a real control plane: its lines, its summary and its exit codes.

use super::changes::selecting;
use super::shared_plane;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::path::PathBuf;
use testkit::controlplane::access::{account_kubeconfig, create_account, grant_role_to};
use testkit::controlplane::objects::Objects;
use testkit::daemon::samples;
use testkit::truth::Change;
use testkit::watching::Watching;
use testkit::workspace::Workspace;

/// A namespace with the Service `web`, and a kubeconfig of an account that has only a Role there.
pub async fn namespace(name: &str) -> Result<(Objects, PathBuf, Workspace)> {
    let plane = shared_plane().await?;
    let objects = Objects::create(plane.admin().await?, name).await?;
    create_account(objects.client(), name).await?;
    grant_role_to(objects.client(), name, name).await?;
    let workspace = Workspace::create(name)?;
    let (server, authority) = (plane.server(), plane.authority());
    let config = account_kubeconfig(objects.client(), name, &server, &authority, &workspace).await?;
    objects.create_service("web", selecting("web")).await?;
    objects.wait_for_slices("web", |slices| !slices.is_empty()).await?;
    Ok((objects, config, workspace))
}

#[tokio::test]
async fn each_change_is_a_line_until_the_time_is_over() -> Result<()> {
    let (objects, config, workspace) = namespace("watch-lines").await?;
    // Nothing else is late on a busy machine either.
    let flags = ["-n", "watch-lines", "--for", "30s", "--objective", "1m"];
    let watching = Watching::start_synced(&config, workspace.path(), &flags).await?;
    ensure!(watching.messages()?.contains("watching 1 Service in watch-lines for 30s\n"), "{}", watching.messages()?);
    let pod = watching.wait_for_delay(&objects, "web").await?;
    watching.wait_for_line(&["web  ", &pod, "ready", "propagated", "ms"]).await?;

    let ended = watching.end().await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let lines: Vec<_> = ended.printed.lines().collect();
    ensure!(lines[0].starts_with("TIME          SERVICE  POD"), "{}", ended.printed);
    ensure!(!ended.printed.contains('\u{1b}'), "colours in a pipe: {:?}", ended.printed);
    let summary =
        ["watched 1 Service in watch-lines for 30s", "CHANGE       PROPAGATED", "objective met: no change was late"];
    ensure!(summary.iter().all(|words| ended.printed.contains(words)), "{}", ended.printed);
    Ok(())
}

/// What a person sees who ends it with Ctrl-C, and what a pipeline does that ends it early.
#[tokio::test]
async fn a_missed_objective_is_exit_code_1_after_ctrl_c_too() -> Result<()> {
    let (objects, config, workspace) = namespace("watch-missed").await?;
    // One of them is for another Service, whose changes do not count here.
    objects.create_service("other", selecting("web")).await?;
    let flags = ["--namespace=watch-missed", "--objective=1ms", "web"];
    // Now and then the slice follows within a millisecond, which is in time. What a busy machine did not see as it happened has no delay.
    for attempt in 0..20 {
        let name = format!("web-{attempt}");
        let pod = objects.create_pod(&name, "web").await?;
        let watching = Watching::start_synced(&config, workspace.path(), &flags).await?;
        ensure!(watching.messages()?.contains("until Ctrl-C"), "{}", watching.messages()?);
        objects.report(&pod, true).await?;
        watching.wait_for_line(&[&name, "ready"]).await?;
        watching.signal(Signal::INT)?;
        let ended = watching.end().await?;
        ensure!(!ended.printed.contains("other"), "{}", ended.printed);
        let line = ended.printed.lines().find(|line| line.contains(&name)).context("its line")?;
        if line.contains("censored") {
            continue;
        }
        if let [.., delay, "ms"] = line.split_whitespace().collect::<Vec<_>>()[..]
            && delay.parse::<f64>()? <= 1.0
            && ended.code == Some(0)
        {
            continue;
        }
        ensure!(ended.code == Some(1), "{ended:?}");
        let verdict = "objective missed by 1 change: 1 of watch-missed/web (objective 1ms)";
        ensure!(ended.printed.contains(verdict), "{ended:?}");
        return Ok(());
    }
    anyhow::bail!("each of 20 changes took no longer than a millisecond, or was censored")
}

#[tokio::test]
async fn lines_of_json_are_samples() -> Result<()> {
    let (objects, config, workspace) = namespace("watch-json").await?;
    let flags = ["--namespace=watch-json", "--output=json", "--objective=1m"];
    let watching = Watching::start_synced(&config, workspace.path(), &flags).await?;
    let pod = watching.wait_for_delay(&objects, "web").await?;
    watching.signal(Signal::TERM)?;
    let ended = watching.end().await?;
    let samples = samples::parse(&ended.printed)?;
    let sample = samples.last().context("a sample")?;
    ensure!(samples.iter().all(|it| it.change == Change::Ready) && sample.pod == Some(pod), "{samples:?}");
    ensure!(sample.outcome == samples::Outcome::Propagated && sample.delay().is_some(), "{samples:?}");
    // A busy machine may have censored those before.
    let others = &samples[..samples.len() - 1];
    ensure!(others.iter().all(|it| it.outcome == samples::Outcome::Censored), "{samples:?}");
    ensure!(ended.messages.contains("PROPAGATED") && ended.code == Some(0), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_seen_is_exit_code_2() -> Result<()> {
    let (_objects, config, workspace) = namespace("watch-blind").await?;
    let watch = async |flags: &[&str]| -> Result<_> {
        let folder = workspace.file(&flags.join(""));
        std::fs::create_dir_all(&folder)?;
        Watching::start(&config, &folder, flags)?.end().await
    };
    // Its Role is in one namespace only.
    let denied = watch(&["--for=1s"]).await?;
    let words =
        ["pods, services, endpointslices", "(403 Forbidden)", "kubectl auth can-i --list", "With --namespace, a Role"];
    ensure!(denied.code == Some(2) && words.iter().all(|words| denied.messages.contains(words)), "{denied:?}");

    let missing = watch(&["--namespace=watch-blind", "--for=1s", "checkout"]).await?;
    let words = ["waiting for one with a selector", "no Service checkout in watch-blind was measured"];
    ensure!(missing.code == Some(2) && words.iter().all(|words| missing.messages.contains(words)), "{missing:?}");

    let quiet = watch(&["--namespace=watch-blind", "--for=1s", "web"]).await?;
    let words = "nothing changed in 1s. To cause a change: kubectl --namespace watch-blind rollout restart";
    ensure!(quiet.code == Some(0) && quiet.messages.contains(words), "{quiet:?}");
    Ok(())
}
