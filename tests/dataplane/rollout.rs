//! `endpointlag rollout` with a daemon whose agents watch real kube-proxies: when each node followed.

use super::fleet::Fleet;
use super::shared_plane;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::controlplane::objects::life::{Life, Pace};
use testkit::node::Mode;
use testkit::truth::Change;
use testkit::watching::Watching;
use testkit::workspace::Workspace;
use tokio::time::sleep;

const PACE: Pace = Pace { start: Duration::from_millis(300), stop: Duration::from_millis(400) };

/// How long the kube-proxy of one node stays stopped after the slices have shown both changes of the rollout. It has no other share in the
/// delays.
const STOPPED: Duration = Duration::from_secs(3);

/// The least that this adds to the delay of each change. The other node follows within a second, and later on a busy machine.
const LATE: f64 = 1.0;

/// Number of rollouts, until one has all its times. On a busy machine some changes are censored.
const ROLLOUTS: usize = 4;

#[tokio::test]
async fn a_rollout_tells_when_the_nodes_followed_and_names_the_last() -> Result<()> {
    let mut fleet = Fleet::begin("rollout", &[Mode::Nftables, Mode::Iptables], &[]).await?;
    let client = shared_plane().await?.admin().await?;
    let _life = Life::start(client.clone(), "rollout", PACE);
    let deployments: Api<Deployment> = Api::namespaced(client, "rollout");
    let template = json!({
        "metadata": { "labels": { "app": "rollout" } },
        "spec": {
            "nodeName": fleet.followers[0].name,
            "containers": [{ "name": "main", "image": "registry.example.org/main:0" }],
        },
    });
    let deployment = serde_json::from_value(json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": "rollout" } },
            "strategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": template,
        },
    }))?;
    deployments.create(&PostParams::default(), &deployment).await?;
    // On both nodes, however the change ends there, and whether or not it is followed to them.
    let spreads = fleet.spreads("the first pod", &[Change::Ready], 0).await?;
    if spreads.iter().any(Option::is_none) {
        sleep(STOPPED).await;
    }
    let late = fleet.followers[1].name.clone();
    for number in 1..=ROLLOUTS {
        let answer = roll(&mut fleet, &deployments, number).await?;
        let endpoints = answer["services"][0]["endpoints"].as_array().context("endpoints")?;
        let (mut found, mut known) = (0, 0);
        for endpoint in endpoints {
            for (since, told) in [("listed", "visible"), ("unlisted", "withdrawn")] {
                let (since, told) = (&endpoint[since], &endpoint[told]);
                // What was listed before the rollout is none of its changes.
                if !since["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0) {
                    ensure!(told.is_null(), "{endpoint:#}");
                    continue;
                }
                found += 1;
                let (Some(all), Some(half)) = (told["all_seconds"].as_f64(), told["p50_seconds"].as_f64()) else {
                    continue;
                };
                known += 1;
                ensure!(told["last"] == *late && all > LATE && half < all - LATE, "{endpoint:#}");
                let at = told["at"]["seconds"].as_f64().zip(since["seconds"].as_f64()).map(|(at, since)| at - since);
                ensure!(at.is_some_and(|took| (took - all).abs() < 1e-6), "{endpoint:#}");
            }
        }
        ensure!(found == 2, "one is listed and one is not any more: {answer:#}");
        if known == found {
            let delays = answer["services"][0]["delays"].as_array().context("delays")?;
            let of_nodes = delays.iter().filter(|delay| delay["hop"] == "nodes").count();
            ensure!(of_nodes == 2, "{delays:#?}");
            return Ok(());
        }
    }
    anyhow::bail!("none of {ROLLOUTS} rollouts has all its times")
}

/// Follows a rollout during which one kube-proxy stands still. Returns what was printed.
async fn roll(fleet: &mut Fleet, deployments: &Api<Deployment>, number: usize) -> Result<Value> {
    let workspace = Workspace::create("rollout-command")?;
    let kubeconfig = shared_plane().await?.admin_kubeconfig()?;
    let daemon = fleet.as_daemon();
    let flags = ["deploy/web", "-n", "rollout", "-o", "json", "--objective=1m", &daemon[0], &daemon[1]];
    let following = Watching::start_as("rollout", &kubeconfig, workspace.path(), &flags)?;
    following.wait_for_message("waiting for a rollout of ").await?;
    let before = fleet.objects.wait_for_endpoints("rollout", 1).await?;
    let old = listed(&before);
    fleet.followers[1].node.signal_proxy(Signal::STOP)?;
    let container = json!({ "name": "main", "image": format!("registry.example.org/main:{number}") });
    let patch = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
    deployments.patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await?;
    // The new pod is there, and the old one is not any more.
    fleet.objects.wait_for_slices("rollout", |slices| listed(slices).len() == 1 && listed(slices) != old).await?;
    sleep(STOPPED).await;
    fleet.followers[1].node.signal_proxy(Signal::CONT)?;
    let ended = following.end().await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    serde_json::from_str(&ended.printed).with_context(|| format!("{ended:?}"))
}

/// Names of the pods that the slices list.
fn listed(slices: &[EndpointSlice]) -> Vec<String> {
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints.filter_map(|it| it.target_ref.as_ref()?.name.clone()).collect()
}
