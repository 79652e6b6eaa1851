//! Both ends of the stream, over TLS, with a scripted API server.

mod refusals;
mod scene;

use self::scene::{Agent, Daemon, Relay, Reviews, change, number_of, wait_until};
use super::*;
use crate::{
    dataplane::{self, Event, FamilyPlane, Gap, Loss, Mode, Outbox, Planes, Report},
    model::{Interval, Stamp},
};
use std::time::Duration;

/// The numbers of the changes that a daemon received, in order.
fn told(agents: &Agents) -> Vec<u32> {
    let mut numbers: Vec<_> = agents.recent(usize::MAX, |_| true).iter().filter_map(|told| number_of(told)).collect();
    numbers.reverse();
    numbers
}

fn numbers(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_comes_once_with_a_time_that_holds() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let agent = Agent::start(daemon.address, Outbox::default(), "node-a");
    agent.connected().await;
    let clock = daemon.clock;
    let mut truths = Vec::new();
    for number in 0..50 {
        let before = clock.now();
        let report = change(number, dataplane::clock::now());
        truths.push((before, clock.now()));
        agent.outbox.push(report);
        tokio::time::sleep(Duration::from_millis(u64::from(number))).await;
    }
    wait_until("all have come", || told(&daemon.agents).len() == 50).await;
    assert_eq!(told(&daemon.agents), numbers(0..50));
    for event in daemon.agents.recent(usize::MAX, |told| number_of(told).is_some()) {
        let when = event.when.expect("the clocks were compared");
        let (before, after) = truths[number_of(&event).expect("a change") as usize];
        assert!(when.earliest <= after && before <= when.latest, "{before:?} {after:?} {when:?}");
        assert!(when.error() < Duration::from_millis(100), "{when:?}");
    }
    let counts = daemon.agents.summary().counts;
    assert_eq!((counts.received, counts.untimed, counts.duplicate, counts.lost_ring), (50, 0, 0, 0));
    wait_until("all are acknowledged", || agent.outbox.counts().waiting == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_stream_is_cut_comes_afterwards() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let relay = Relay::start(daemon.address).await;
    let agent = Agent::start(relay.address, Outbox::default(), "node-a");
    agent.connected().await;
    for round in 0..4 {
        for number in round * 100..(round + 1) * 100 {
            agent.outbox.push(change(number, dataplane::clock::now()));
            if number % 100 == 50 {
                // Now some are in flight, and some have been acknowledged.
                wait_until("it is told", || told(&daemon.agents).len() as u32 > round * 100).await;
                relay.cut();
            }
        }
        relay.mend();
        wait_until("all have come", || told(&daemon.agents).len() as u32 >= (round + 1) * 100).await;
    }
    assert_eq!(told(&daemon.agents), numbers(0..400));
    let counts = daemon.agents.summary().counts;
    assert_eq!((counts.received, counts.lost_ring, counts.lost_elsewhere), (400, 0, 0));
    // The clocks were compared before and after the cut, and agree: everything in between has its time.
    assert_eq!(counts.untimed, 0);
    assert!(agent.health.streams() >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_daemon_is_told_what_the_one_before_did_not_acknowledge() {
    let reviews = Reviews::start().await;
    let first = Daemon::start(reviews.clone()).await;
    let relay = Relay::start(first.address).await;
    let agent = Agent::start(relay.address, Outbox::default(), "node-a");
    (0..10).for_each(|number| agent.outbox.push(change(number, dataplane::clock::now())));
    wait_until("all are acknowledged", || agent.outbox.counts().waiting == 0 && told(&first.agents).len() == 10).await;
    relay.cut();
    drop(first);
    (10..20).for_each(|number| agent.outbox.push(change(number, dataplane::clock::now())));
    let second = Daemon::start(reviews).await;
    relay.mend_towards(second.address);
    wait_until("the rest has come", || told(&second.agents).len() == 10).await;
    assert_eq!(told(&second.agents), numbers(10..20));
    let counts = second.agents.summary().counts;
    assert_eq!((counts.lost_ring, counts.lost_elsewhere), (0, 0));
    // This daemon did not compare the clocks before these happened.
    assert_eq!(counts.untimed, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_comes_back_into_use_counts_what_another_was_told() {
    let reviews = Reviews::start().await;
    let (first, second) = (Daemon::start(reviews.clone()).await, Daemon::start(reviews).await);
    let relay = Relay::start(first.address).await;
    let agent = Agent::start(relay.address, Outbox::default(), "node-a");
    for (daemon, number) in [(&first, 0), (&second, 1), (&first, 2)] {
        relay.cut();
        relay.mend_towards(daemon.address);
        agent.outbox.push(change(number, dataplane::clock::now()));
        wait_until("it is acknowledged", || {
            agent.outbox.counts().waiting == 0 && told(&daemon.agents).contains(&number)
        })
        .await;
    }
    assert_eq!((told(&first.agents), told(&second.agents)), (vec![0, 2], vec![1]));
    assert_eq!(first.agents.summary().counts.lost_elsewhere, 1);
    assert_eq!(second.agents.summary().counts.lost_elsewhere, 0, "it was not there before");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_anew_counts_anew() {
    let daemon = Daemon::start(Reviews::start().await).await;
    for run in 0..2 {
        let agent = Agent::start(daemon.address, Outbox::default(), "node-a");
        (0..5).for_each(|number| agent.outbox.push(change(run * 5 + number, dataplane::clock::now())));
        wait_until("all have come", || told(&daemon.agents).len() as u32 == (run + 1) * 5).await;
    }
    assert_eq!(told(&daemon.agents), numbers(0..10));
    let starts = daemon.agents.recent(usize::MAX, |told| told.what == What::Started);
    assert_eq!(starts.len(), 2);
    let [agent] = &*daemon.agents.list() else { panic!("one node") };
    assert_eq!((agent.counts.received, agent.counts.duplicate, agent.counts.lost), (10, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ring_could_not_keep_is_counted_at_both_ends() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let relay = Relay::start(daemon.address).await;
    relay.cut();
    let agent = Agent::start(relay.address, Outbox::bounded(10_000), "node-a");
    (0..1_000).for_each(|number| agent.outbox.push(change(number, dataplane::clock::now())));
    let lost = agent.outbox.counts().lost.ring_full;
    assert!(lost > 0 && lost < 1_000, "{lost}");
    relay.mend();
    wait_until("the rest has come", || told(&daemon.agents).len() as u64 == 1_000 - lost).await;
    assert_eq!(told(&daemon.agents), numbers(lost as u32..1_000));
    let counts = daemon.agents.summary().counts;
    assert_eq!((counts.received, counts.lost_ring), (1_000 - lost, lost));
    let losses = daemon.agents.recent(usize::MAX, |told| told.what == What::Lost(lost));
    assert_eq!(losses.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn planes_and_gaps_are_told() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let agent = Agent::start(daemon.address, Outbox::default(), "node-a");
    let family = FamilyPlane { decides: Some(Mode::Nftables), behind: None };
    let planes = Planes { families: [family, FamilyPlane::default()], unseen: Vec::new() };
    agent.outbox.push(Report::Planes(planes.clone()));
    wait_until("planes are known", || daemon.agents.list().iter().any(|agent| agent.planes.is_some())).await;
    let since = dataplane::clock::now();
    let gap = Gap { since, until: since.plus(Duration::from_micros(1)), loss: Loss::SocketOverrun };
    agent.outbox.push(Report::Gap(gap));
    wait_until("the gap is known", || daemon.agents.summary().counts.gaps[0] == 1).await;
    assert_eq!(daemon.agents.list()[0].planes.as_ref(), Some(&planes));
    let gaps = daemon.agents.recent(1, |told| told.what == What::Event(Event::Gap(gap)));
    assert!(gaps[0].when.is_some_and(|when| when.latest > when.earliest));
}

/// A second agent for a node replaces the first. The first connection may have broken without a sign.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_one_stream() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let first = Agent::start(daemon.address, Outbox::default(), "node-a");
    first.connected().await;
    let second = Agent::start(daemon.address, Outbox::default(), "node-a");
    second.connected().await;
    wait_until("the first has to go", || first.health.failures() >= 1).await;
    assert!(daemon.agents.summary().connected <= 1);
}

#[test]
fn an_interval_has_a_middle_and_an_error() {
    let interval = Interval { earliest: Stamp::from_nanos(10), latest: Stamp::from_nanos(30) };
    assert_eq!((interval.middle(), interval.error()), (Stamp::from_nanos(20), Duration::from_nanos(10)));
}
