//! Every change is reported once, and its time is what a client sees.

use super::node::{Mode, PORTS};
use super::story::{Judged, Kind, Story};
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::progress::say;

/// How often the Service goes through all kinds of change.
const ROUNDS: usize = 8;

/// Maximum difference to what the client saw if the machine is so busy that threads wait. The agent's thread may wait for 20 ms before
/// its stamps become unusable, and kube-proxy's may wait as long before the kernel sends the notification.
const TOLERANCE: Duration = Duration::from_millis(40);

#[tokio::test]
async fn nftables() -> Result<()> {
    changes_are_told_once_and_in_time(Mode::Nftables, Duration::from_millis(1)).await
}

#[tokio::test]
async fn iptables() -> Result<()> {
    changes_are_told_once_and_in_time(Mode::Iptables, Duration::from_millis(5)).await
}

async fn changes_are_told_once_and_in_time(mode: Mode, bound: Duration) -> Result<()> {
    let mut story = Story::begin(&format!("accuracy-{}", mode.name()), mode, &[]).await?;
    let (first, second) = (story.pod("first").await?, story.pod("second").await?);
    let [port, other_port] = PORTS;
    let at = |pod: &testkit::controlplane::objects::PodHandle, port| SocketAddr::from((pod.ipv4(), port));
    for _ in 0..ROUNDS {
        story.objects.report(&first, true).await?;
        story.expect(Kind::First, &[at(&first, port)]).await?;
        story.objects.report(&second, true).await?;
        story.expect(Kind::Add, &[at(&first, port), at(&second, port)]).await?;
        story.objects.report(&first, false).await?;
        story.expect(Kind::Remove, &[at(&second, port)]).await?;
        story.edit(other_port).await?;
        story.expect(Kind::Edit, &[at(&second, other_port)]).await?;
        story.agrees()?;
        story.edit(port).await?;
        story.expect(Kind::Edit, &[at(&second, port)]).await?;
        story.objects.report(&second, false).await?;
        story.expect(Kind::Last, &[]).await?;
        story.agrees()?;
    }

    // Everything is written again, and nothing changes.
    story.node.stop_proxy().await?;
    story.node.start_proxy(mode).await?;
    story.objects.report(&first, true).await?;
    story.expect(Kind::First, &[at(&first, port)]).await?;
    // The last pod is terminating, and serves as long as there is no other.
    story.objects.terminate(&first).await?;
    story.objects.wait_for_slices(&format!("accuracy-{}", mode.name()), is_terminating).await?;
    story.objects.report(&second, true).await?;
    story.expect(Kind::Edit, &[at(&second, port)]).await?;
    story.objects.finish(&first).await?;
    story.objects.terminate(&second).await?;
    story.objects.finish(&second).await?;
    story.expect(Kind::Last, &[]).await?;
    story.agrees()?;

    // On a busy machine the agent may not run for a while. Changes that it finds afterwards have no time.
    let losses = story.agent.losses();
    ensure!(losses.iter().all(|loss| loss == "not_running"), "{losses:?}");
    let judged = story.judge()?;
    ensure!(judged.len() >= 3 * ROUNDS, "only {} changes have a time: {losses:?}", judged.len());
    for kind in [Kind::First, Kind::Add, Kind::Remove, Kind::Edit, Kind::Last] {
        report(mode, &format!("{kind:?}"), judged.iter().filter(|it| it.kind == kind));
    }
    // The first datagram is the time that the daemon gets. Its end comes later if the machine is busy.
    let [percentile_90, worst, worst_end] = report(mode, "all", judged.iter());
    ensure!(percentile_90 < bound, "the 90th percentile is {percentile_90:?} off");
    ensure!(worst < TOLERANCE, "the worst is {worst:?} off");
    ensure!(worst_end < TOLERANCE, "the worst end of a commit is {worst_end:?} off");
    Ok(())
}

fn is_terminating(slices: &[k8s_openapi::api::discovery::v1::EndpointSlice]) -> bool {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let conditions = endpoints.filter_map(|endpoint| endpoint.conditions.as_ref());
    conditions.into_iter().any(|conditions| conditions.terminating == Some(true))
}

/// Prints the figures of some changes, bypassing libtest's capture. Returns the 90th percentile and the maximum of the first datagram, and
/// the maximum of the end.
fn report<'a>(mode: Mode, name: &str, judged: impl Iterator<Item = &'a Judged>) -> [Duration; 3] {
    let judged: Vec<_> = judged.collect();
    let quantiles = |mut values: Vec<i64>| {
        values.sort_unstable();
        [0.5, 0.9, 0.99, 1.0].map(|share: f64| {
            let rank = (values.len() as f64 * share).ceil() as usize;
            Duration::from_nanos(values.get(rank.saturating_sub(1)).copied().unwrap_or_default().unsigned_abs())
        })
    };
    let end = quantiles(judged.iter().map(|it| it.end_off.abs()).collect());
    let first = quantiles(judged.iter().map(|it| it.first_off.abs()).collect());
    let width = quantiles(judged.iter().filter_map(|it| it.width).collect());
    let negative = judged.iter().filter(|it| it.end_off < 0).count();
    let messages = judged.iter().map(|it| it.messages).max().unwrap_or_default();
    say(
        "dataplane",
        &format!(
            "{}, {name}: {} changes, up to {messages} messages; outside of what the client saw: end p50, p90, p99, max {end:.1?} \
             ({negative} early), first {first:.1?}; what it saw is {width:.1?} wide",
            mode.name(),
            judged.len(),
        ),
    );
    [first[1], first[3], end[3]]
}
