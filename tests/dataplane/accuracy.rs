//! Every change is reported once, and its time is what a client sees.

use super::again::{Inexact, until_exact};
use super::story::{Judged, Kind, Story};
use anyhow::{Result, ensure};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use testkit::controlplane::objects::PodHandle;
use testkit::node::{Mode, PORTS};
use testkit::progress::say;

/// How often the Service goes through all kinds of change: for p99, over a hundred changes.
const ROUNDS: usize = 24;

/// Maximum difference to what the client saw of a change during which the client was on time. The agent's thread may wait for 20 ms before
/// its stamps become unusable, and kube-proxy's may wait as long before the kernel sends the notification.
const TOLERANCE: Duration = Duration::from_millis(40);

/// The same of all changes: on a machine with more threads than CPUs a single one may be kept from running for that long.
const BUSY: Duration = Duration::from_millis(250);

/// Bounds of the 90th percentile, beyond the time between two connections of the client.
const NFTABLES: Duration = Duration::from_millis(1);
const IPTABLES: Duration = Duration::from_millis(5);

/// What the 99th percentile may have more, of the changes during which the client was on time. They are a few dozen, so this is their maximum.
const MORE: Duration = Duration::from_millis(2);

#[tokio::test]
async fn nftables() -> Result<()> {
    changes_are_told_once_and_in_time(Mode::Nftables, Family::V4, NFTABLES).await
}

#[tokio::test]
async fn iptables() -> Result<()> {
    changes_are_told_once_and_in_time(Mode::Iptables, Family::V4, IPTABLES).await
}

#[tokio::test]
async fn nftables_over_ipv6() -> Result<()> {
    changes_are_told_once_and_in_time(Mode::Nftables, Family::V6, NFTABLES).await
}

#[tokio::test]
async fn iptables_over_ipv6() -> Result<()> {
    changes_are_told_once_and_in_time(Mode::Iptables, Family::V6, IPTABLES).await
}

/// The family of the Service. Its pods have addresses of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    fn address(self, pod: &PodHandle) -> IpAddr {
        match self {
            Self::V4 => pod.ipv4().into(),
            Self::V6 => pod.ipv6().into(),
        }
    }
}

async fn changes_are_told_once_and_in_time(mode: Mode, family: Family, bound: Duration) -> Result<()> {
    let name = format!("accuracy-{}-{}", mode.name(), family.name());
    until_exact(&name, async |name| told_once_and_in_time(name, mode, family, bound).await).await
}

async fn told_once_and_in_time(name: &str, mode: Mode, family: Family, bound: Duration) -> Result<()> {
    let families = json!({ "ipFamilies": [if family == Family::V4 { "IPv4" } else { "IPv6" }] });
    let mut story = Story::begin_with(name, mode, &[], families).await?;
    let (first, second) = (story.pod("first").await?, story.pod("second").await?);
    let [port, other_port] = PORTS;
    let at = |pod: &PodHandle, port| SocketAddr::from((family.address(pod), port));
    for round in 0..ROUNDS {
        story.objects.report_dual_stack(&first, true).await?;
        story.expect(Kind::First, &[at(&first, port)]).await?;
        story.objects.report_dual_stack(&second, true).await?;
        story.expect(Kind::Add, &[at(&first, port), at(&second, port)]).await?;
        story.objects.report_dual_stack(&first, false).await?;
        story.expect(Kind::Remove, &[at(&second, port)]).await?;
        story.edit(other_port).await?;
        story.expect(Kind::Edit, &[at(&second, other_port)]).await?;
        if round % 8 == 0 {
            story.agrees()?;
        }
        story.edit(port).await?;
        story.expect(Kind::Edit, &[at(&second, port)]).await?;
        story.objects.report_dual_stack(&second, false).await?;
        story.expect(Kind::Last, &[]).await?;
        if round % 8 == 0 {
            story.agrees()?;
        }
    }

    // Everything is written again, and nothing changes.
    story.node.stop_proxy().await?;
    story.node.start_proxy(mode).await?;
    story.objects.report_dual_stack(&first, true).await?;
    story.expect(Kind::First, &[at(&first, port)]).await?;
    // The last pod is terminating, and serves as long as there is no other.
    story.objects.terminate(&first).await?;
    story.objects.wait_for_slices(name, is_terminating).await?;
    story.objects.report_dual_stack(&second, true).await?;
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
    let few = || Inexact(format!("only {} changes have a time: {losses:?}", judged.len()));
    ensure!(judged.len() >= 3 * ROUNDS, few());
    let title = format!("{}, {}", mode.name(), family.name());
    for kind in [Kind::First, Kind::Add, Kind::Remove, Kind::Edit, Kind::Last] {
        report(&format!("{title}, {kind:?}"), judged.iter().filter(|it| it.kind == kind));
    }
    // The first datagram is the time that the daemon gets. Its end comes later if the machine is busy.
    let [percentile_90, _, worst, worst_end] = report(&format!("{title}, all"), judged.iter());
    let on_time: Vec<_> = judged.iter().filter(|it| it.is_client_on_time).collect();
    ensure!(!on_time.is_empty(), Inexact("the client was never on time".to_owned()));
    let title = format!("{title}, client on time");
    let [_, percentile_99, exact, exact_end] = report(&title, on_time.iter().copied());
    for (what, found, bound) in [
        ("the 90th percentile is", percentile_90, bound),
        ("while the client was on time, the 99th percentile is", percentile_99, bound + MORE),
        ("while the client was on time, the worst is", exact, TOLERANCE),
        ("while the client was on time, the worst end of a commit is", exact_end, TOLERANCE),
        ("the worst is", worst, BUSY),
        ("the worst end of a commit is", worst_end, BUSY),
    ] {
        ensure!(found < bound, Inexact(format!("{what} {found:?} off")));
    }
    Ok(())
}

fn is_terminating(slices: &[k8s_openapi::api::discovery::v1::EndpointSlice]) -> bool {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let conditions = endpoints.filter_map(|endpoint| endpoint.conditions.as_ref());
    conditions.into_iter().any(|conditions| conditions.terminating == Some(true))
}

/// Prints the figures of some changes, bypassing libtest's capture. Returns the 90th and the 99th percentile and the maximum of the first
/// datagram, and the maximum of the end.
fn report<'a>(name: &str, judged: impl Iterator<Item = &'a Judged>) -> [Duration; 4] {
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
            "{name}: {} changes, up to {messages} messages; outside of what the client saw: end p50, p90, p99, max {end:.1?} \
             ({negative} early), first {first:.1?}; what it saw is {width:.1?} wide",
            judged.len(),
        ),
    );
    [first[1], first[2], first[3], end[3]]
}
