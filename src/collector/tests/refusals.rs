//! Which agents are refused, and that both ends report why.

use super::{
    super::*,
    scene::{Agent, CERTIFICATE, Daemon, Reviews, self_signed, wait_until},
};
use crate::dataplane::{Outbox, UplinkState};
use std::fs;
use tokio::io::AsyncWriteExt;

fn refused(agents: &Agents, reason: &str) -> u64 {
    let index = Summary::REFUSED.iter().position(|it| *it == reason).expect("a reason");
    agents.summary().counts.refused[index]
}

fn why(agent: &Agent) -> Option<String> {
    match agent.health.state() {
        UplinkState::Failed(why) => Some(why),
        UplinkState::Connecting | UplinkState::Connected => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_agents_are_let_in_each_for_its_own_node() {
    let daemon = Daemon::start(Reviews::start().await).await;
    for (token, reason, said) in [
        ("elsewhere@node-a", "bad_token", "the token is not accepted: token audiences"),
        ("forged", "bad_token", "invalid bearer token"),
        ("shop@node-a", "foreign_account", "the token is that of system:serviceaccount:monitoring:shop"),
        ("agent@node-b", "other_node", "on node node-b, and the agent says it is on \"node-a\""),
        ("agent@", "no_node", "Kubernetes 1.30"),
    ] {
        let before = refused(&daemon.agents, reason);
        let agent = Agent::with(daemon.address, Outbox::default(), "node-a", token, &CERTIFICATE);
        wait_until("it is told why", || why(&agent).is_some_and(|why| why.contains(said))).await;
        assert!(refused(&daemon.agents, reason) > before, "{token}");
        assert_eq!(agent.health.streams(), 0);
    }
    assert!(daemon.agents.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replaced_is_read_anew() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let agent = Agent::with(daemon.address, Outbox::default(), "node-a", "expired", &CERTIFICATE);
    wait_until("it is refused", || why(&agent).is_some()).await;
    fs::write(agent.folder.path().join("token"), "agent@node-a").expect("written");
    wait_until("it is let in", || agent.health.state() == UplinkState::Connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_another_certificate_is_told_nothing() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let agent = Agent::with(daemon.address, Outbox::default(), "node-a", "agent@node-a", &self_signed());
    wait_until("it does not connect", || why(&agent).is_some_and(|why| why.contains("no TLS connection"))).await;
    wait_until("the daemon counts it", || refused(&daemon.agents, "tls") >= 1).await;
}

/// The API server is not asked again for an agent that reconnects soon.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_the_api_server_holds_for_a_while() {
    let reviews = Reviews::start().await;
    let daemon = Daemon::start(reviews.clone()).await;
    for _ in 0..3 {
        let agent = Agent::start(daemon.address, Outbox::default(), "node-a");
        wait_until("it is connected", || agent.health.streams() == 1).await;
    }
    assert_eq!(reviews.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_agent_is_counted_and_let_go() {
    let daemon = Daemon::start(Reviews::start().await).await;
    let mut stranger = tokio::net::TcpStream::connect(daemon.address).await.expect("open");
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    wait_until("it is counted", || refused(&daemon.agents, "tls") == 1).await;
}
