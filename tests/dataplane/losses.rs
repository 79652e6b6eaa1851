//! Commits that the agent missed are reported as a gap, and afterwards its state is right again.

use super::story::Story;
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use testkit::node::Mode;
use tokio::time::sleep;

/// Bytes that the kernel keeps for the agent. The kernel doubles this for its own overhead.
const BUFFER: usize = 256 * 1024;

/// How long the agent stays stopped after a change. This is well above the longest pause that it does not report.
const STOPPED: Duration = Duration::from_millis(200);

/// How often the agent is stopped.
const STOPS: usize = 8;

/// Number of rules that the kernel reports at once, in some hundred bytes each.
const RULES: usize = 6000;

#[tokio::test]
async fn nftables() -> Result<()> {
    an_overrun_is_a_gap(Mode::Nftables).await
}

#[tokio::test]
async fn iptables() -> Result<()> {
    an_overrun_is_a_gap(Mode::Iptables).await
}

/// Rules of another program, which fill the buffer.
fn filler() -> String {
    let rules =
        (0..RULES).map(|number| format!("add rule ip filler rules ip daddr 192.0.2.1 tcp dport {number} accept\n"));
    let begin = "add table ip filler\ndelete table ip filler\nadd table ip filler\nadd chain ip filler rules\n";
    begin.to_owned() + &rules.collect::<String>()
}

/// The agent is stopped while the kernel sends more than a small buffer holds.
async fn an_overrun_is_a_gap(mode: Mode) -> Result<()> {
    let name = format!("losses-{}", mode.name());
    let mut story = Story::begin(&name, mode, &[&format!("--receive-buffer={BUFFER}")]).await?;
    let filler = story.node.workspace.write("filler.nft", filler())?;
    let filler = filler.to_str().context("a path")?;
    let mut present = BTreeSet::new();
    for round in 0..3 {
        let before = overruns(&story);
        story.agent.process.signal(Signal::STOP)?;
        let pod = story.pod(&format!("pod-{round}")).await?;
        story.objects.report(&pod, true).await?;
        present.insert(SocketAddr::from((pod.ipv4(), 8080)));
        story.written(&present).await?;
        story.node.namespace.run("nft", &["-f", filler])?;
        story.agent.process.signal(Signal::CONT)?;
        story.agent.wait_for(story.target, &present).await?;
        ensure!(overruns(&story) > before, "{:?}", story.agent.losses());
        let changes = story.agent.changes(story.target);
        ensure!(changes.len() == 2 * round + 1 && changes[2 * round].commit.is_none(), "{changes:#?}");

        // The next change has a time again, if the machine lets the agent run.
        let losses = story.agent.losses().len();
        let pod = story.pod(&format!("next-{round}")).await?;
        story.objects.report(&pod, true).await?;
        present.insert(SocketAddr::from((pod.ipv4(), 8080)));
        story.agent.wait_for(story.target, &present).await?;
        let changes = story.agent.changes(story.target);
        let is_timed = changes.last().is_some_and(|change| change.commit.is_some());
        ensure!(changes.len() == 2 * round + 2, "{changes:#?}");
        ensure!(is_timed || story.agent.losses()[losses..].iter().any(|loss| loss == "not_running"), "{changes:#?}");
    }
    Ok(())
}

fn overruns(story: &Story) -> usize {
    story.agent.losses().iter().filter(|loss| *loss == "socket_overrun").count()
}

/// The agent is stopped while changes are written, and nothing is lost. It is stopped at different points of its loop.
#[tokio::test]
async fn a_stopped_agent_times_nothing() -> Result<()> {
    let mut story = Story::begin("stopped", Mode::Nftables, &[]).await?;
    let pod = story.pod("pod").await?;
    for round in 1..=STOPS {
        let is_ready = round % 2 == 1;
        let present: BTreeSet<_> = is_ready.then(|| SocketAddr::from((pod.ipv4(), 8080))).into_iter().collect();
        story.agent.process.signal(Signal::STOP)?;
        story.objects.report(&pod, is_ready).await?;
        story.written(&present).await?;
        // kube-proxy may be done within the time for which the agent stands by its stamps.
        sleep(STOPPED).await;
        story.agent.process.signal(Signal::CONT)?;
        story.agent.wait_for(story.target, &present).await?;
        ensure!(story.agent.losses().iter().any(|loss| loss == "not_running"), "{:?}", story.agent.losses());
        let changes = story.agent.changes(story.target);
        ensure!(changes.len() == round && changes.iter().all(|change| change.commit.is_none()), "{changes:?}");
    }
    Ok(())
}
