use super::*;
use crate::dataplane::{FakeReader, FamilyPlane, Gap, Loss, Mode, Planes, Report};
use crate::model::Stamp;
use std::path::PathBuf;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

async fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        stream.read_to_string(&mut answer).await
    };
    // The port may not be open yet.
    let _ = asked.await;
    answer
}

async fn wait_for(address: SocketAddr, path: &str, part: &str) -> String {
    for _ in 0..1_000 {
        let answer = get(address, path).await;
        if answer.contains(part) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never says {part:?}: {}", get(address, path).await);
}

/// An agent without a daemon reports this, and how much waits.
#[tokio::test]
async fn an_agent_shows_its_node_and_its_stream() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("free");
    let address = free.local_addr().expect("bound");
    drop(free);
    let family = FamilyPlane { decides: Some(Mode::Iptables), behind: None };
    let planes = Planes { families: [family, FamilyPlane::default()], unseen: Vec::new() };
    let gap = Gap { since: Stamp::from_nanos(1), until: Stamp::from_nanos(2), loss: Loss::QueueOverflow };
    let reader = FakeReader::telling([Report::Gap(gap), Report::Planes(planes)]);
    let uplink = UplinkSettings {
        daemon: "127.0.0.1:1".parse().expect("an address"),
        ca_file: None,
        token_file: PathBuf::from("/nowhere/token"),
        node: "node-a".to_owned(),
    };
    let agent = tokio::spawn(run(reader, AgentSettings { listen: address, uplink }));
    wait_for(address, "/readyz", "200 OK").await;
    assert!(get(address, "/healthz").await.contains("200 OK"));
    assert!(get(address, "/").await.contains("404 Not Found"));
    let metrics = wait_for(address, "/metrics", "endpointlag_node_dataplane_supported 1").await;
    for line in [
        "endpointlag_node_observations_total 1",
        "endpointlag_node_observations_waiting 1",
        "endpointlag_node_connected 0",
        r#"endpointlag_node_observations_lost_total{reason="ring_full"} 0"#,
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is not in\n{metrics}");
    }
    agent.abort();
}
