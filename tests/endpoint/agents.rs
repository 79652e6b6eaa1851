//! Agents with tokens that a real API server issues for pods, and a daemon that lets the API server review them.

use super::authorization::shared_plane;
use anyhow::{Context, Result, ensure};
use endpointlag::dataplane::{
    AUDIENCE, Backend, Commit, Frontend, Observation, Outbox, Protocol, Report, SetChange, Uplink, UplinkHealth,
    UplinkSettings, UplinkState, When,
};
use endpointlag::model::Stamp;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::controlplane::access::{self, ACCOUNT};
use testkit::controlplane::objects::NODE;
use testkit::controlplane::plane::ControlPlane;
use testkit::daemon::Daemon;
use testkit::pair::{Files, Pair};
use testkit::workspace::Workspace;

const SOON: Duration = Duration::from_secs(60);

/// A daemon that listens for agents.
struct Listening {
    daemon: Daemon,
    client: Client,
    agents: String,
    authority: PathBuf,
    workspace: Workspace,
}

impl Listening {
    async fn start(plane: &ControlPlane, agents: &str) -> Result<Self> {
        let workspace = Workspace::create("agents")?;
        let (files, pair) = (Files::inside(workspace.path()), Pair::make()?);
        pair.write(&files)?;
        let admin = plane.admin().await?;
        access::grant_reviews_to(&admin, ACCOUNT).await?;
        let server = plane.server();
        let config = access::account_kubeconfig(&admin, ACCOUNT, &server, &plane.authority(), &workspace).await?;
        let mut flags = files.flags();
        let account = format!("{ACCOUNT}/{agents}");
        flags.extend(["--agents-listen", "127.0.0.1:0", "--agents-service-account", &account].map(str::to_owned));
        let daemon = Daemon::start(&config, workspace.path(), &flags).await?;
        let client = Client::tls(daemon.address(), pair.certificate());
        let agents = daemon.address_for("listening for agents").await?;
        Ok(Self { daemon, client, agents, authority: files.certificate, workspace })
    }

    /// Starts an agent with this token.
    fn agent(&self, node: &str, token: &str) -> Result<(Arc<Outbox>, Arc<UplinkHealth>)> {
        let port = self.agents.rsplit(':').next().context("a port")?;
        let settings = UplinkSettings {
            daemon: format!("localhost:{port}").parse()?,
            ca_file: Some(self.authority.clone()),
            token_file: self.workspace.write(&format!("token-{node}-{}", rand::random::<u32>()), token)?,
            node: node.to_owned(),
        };
        let outbox = Arc::new(Outbox::default());
        let uplink = Uplink::new(settings, outbox.clone());
        let health = uplink.health();
        // It ends with the test.
        tokio::spawn(uplink.run());
        Ok((outbox, health))
    }

    async fn json(&self, path: &str) -> Result<Value> {
        let answer = self.client.get(path).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    async fn wait_for(&self, path: &str, what: &str, is_there: impl Fn(&Value) -> bool) -> Result<Value> {
        let started = Instant::now();
        loop {
            let value = self.json(path).await?;
            if is_there(&value) {
                return Ok(value);
            }
            ensure!(started.elapsed() < SOON, "not in time: {what}: {value:#}\n{}", self.daemon.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until it is known whether the agent is let in. Returns why not.
async fn refusal(health: &UplinkHealth) -> Result<Option<String>> {
    let started = Instant::now();
    loop {
        match health.state() {
            UplinkState::Connected => return Ok(None),
            UplinkState::Failed(why) => return Ok(Some(why)),
            UplinkState::Connecting => ensure!(started.elapsed() < SOON, "neither let in nor refused"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn change() -> Report {
    let frontend = Frontend { address: [10, 96, 0, 10].into(), protocol: Protocol::Udp, port: 53 };
    let added = vec![Backend { address: [10, 244, 0, 7].into(), port: 1053 }];
    let at = Stamp::default();
    let commit = Commit { first: at, end: at, messages: 9, generation: 7 };
    let change = SetChange { frontend, added, removed: Vec::new() };
    Report::Changed(Observation { change, when: When::Commit(commit) })
}

#[tokio::test]
async fn an_agent_is_known_by_the_token_of_its_pod() -> Result<()> {
    let plane = shared_plane().await?;
    let admin = plane.admin().await?;
    access::create_account(&admin, "agent").await?;
    let listening = Listening::start(plane, "agent").await?;
    let token = access::pod_token(&admin, "agent", "agent-0", NODE, AUDIENCE).await?;
    let (outbox, health) = listening.agent(NODE, &token)?;
    assert_eq!(refusal(&health).await?, None);

    let connected = |value: &Value| value["connected"] == 1;
    let agents = listening.wait_for("/api/v1/agents", "it is connected", connected).await?;
    assert_eq!(agents["agents"][0]["node"], NODE, "{agents:#}");
    outbox.push(change());
    let path = format!("/api/v1/agents/observations?node={NODE}&q=10.96.0.10:53");
    let told = |value: &Value| value["observations"].as_array().is_some_and(|all| !all.is_empty());
    let told = listening.wait_for(&path, "it has told", told).await?;
    let observation = &told["observations"][0];
    assert_eq!(observation["frontend"], "10.96.0.10:53/UDP", "{told:#}");
    assert_eq!(observation["added"], json!(["10.244.0.7:1053"]), "{told:#}");
    assert_eq!(observation["time"], Value::Null, "it was long before the clocks were compared: {told:#}");
    let metrics = listening.client.get("/metrics").await?.body;
    for line in ["endpointlag_agent_connected 1", r#"endpointlag_agent_observations_total{outcome="untimed"} 1"#] {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn tokens_of_others_are_refused() -> Result<()> {
    let plane = shared_plane().await?;
    let admin = plane.admin().await?;
    access::create_account(&admin, "strict-agent").await?;
    access::create_account(&admin, "shop").await?;
    let listening = Listening::start(plane, "strict-agent").await?;
    let of_shop = access::pod_token(&admin, "shop", "shop-0", NODE, AUDIENCE).await?;
    let for_others = access::pod_token(&admin, "strict-agent", "strict-agent-0", NODE, "vault").await?;
    let of_node = access::pod_token(&admin, "strict-agent", "strict-agent-1", NODE, AUDIENCE).await?;
    let of_no_pod = access::account_token(&admin, "strict-agent").await?;
    for (node, token, said) in [
        (NODE, &of_shop, "the token is that of system:serviceaccount:endpointlag:shop"),
        (NODE, &for_others, "the token is not accepted"),
        ("another-node", &of_node, "and the agent says it is on \"another-node\""),
        (NODE, &of_no_pod, "the token is not accepted"),
    ] {
        let why = refusal(&listening.agent(node, token)?.1).await?.context("refused")?;
        assert!(why.contains(said), "{said:?} is not in {why:?}");
    }
    assert_eq!(listening.json("/api/v1/agents").await?["agents"], json!([]));
    Ok(())
}
