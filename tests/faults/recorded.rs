//! Connections break while a session is recorded. The replay does not see more than the session did.

use super::relay::Relay;
use super::{selecting, start_plane};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use testkit::controlplane::access::{account_kubeconfig, create_account, grant_role_to};
use testkit::controlplane::objects::Objects;
use testkit::controlplane::plane::Options;
use testkit::watching::Watching;
use testkit::workspace::Workspace;

const NAME: &str = "recorded";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gap_hides_is_hidden_in_the_replay_too() -> Result<()> {
    let (_permit, plane) = start_plane(Options::default()).await?;
    let objects = Objects::create(plane.admin().await?, NAME).await?;
    create_account(objects.client(), NAME).await?;
    grant_role_to(objects.client(), NAME, NAME).await?;
    objects.create_service("web", selecting("web")).await?;
    let relay = Relay::start(&plane.server()).await?;
    let workspace = Workspace::create(NAME)?;
    let config = account_kubeconfig(objects.client(), NAME, &relay.server(), &plane.authority(), &workspace).await?;
    let file = workspace.file("recording");
    let path = file.to_str().context("a path in UTF-8")?;
    let flags = [path, "--namespace", NAME, "--output=json", "--objective=1m"];
    let recording = Watching::start_as("record", &config, workspace.path(), &flags)?;
    recording.wait_for_message("recording ").await?;

    let hidden = "hidden";
    recording.wait_for_delay(&objects, "seen").await?;
    let seen = recording.printed().lines().count();
    relay.refuse();
    let pod = objects.create_pod(hidden, "web").await?;
    objects.report(&pod, true).await?;
    objects.wait_for_endpoints("web", seen + 1).await?;
    relay.accept();
    recording.wait_for_line(&[hidden, "ready", "censored"]).await?;
    // Until the watches are clear again, a change is censored as well.
    recording.wait_for_delay(&objects, "last").await?;
    recording.signal(Signal::TERM)?;
    let live = recording.end().await?;
    ensure!(live.code == Some(0), "{live:?}");
    let again = Watching::start_as("replay", &config, workspace.path(), &["--output=json", path])?.end().await?;
    ensure!(again.printed == live.printed, "{}\n{}", live.printed, again.printed);
    ensure!(again.code == Some(0) && again.messages.contains("not seen as it happened"), "{again:?}");
    Ok(())
}
