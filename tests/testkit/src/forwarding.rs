//! A node whose kubelet forwards ports: `kubectl port-forward` to its pods reaches the same port of this machine. The kubelet is only its
//! port-forward endpoint, served by the library that kubelets and container runtimes use.

use crate::gobuild::{Module, Program, version};
use crate::process::{Output, Process};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

const GO_MOD: &str = include_str!("../go/kubelet/go.mod");

/// The running kubelet, and its node. Dropping it kills the kubelet.
pub struct Forwarding {
    _process: Process,
    node: String,
    client: Client,
}

impl Forwarding {
    /// Builds the kubelet if needed, starts it, and creates a node that it serves.
    ///
    /// # Errors
    /// It cannot be built or started, or the API server refuses the node.
    pub async fn start(client: Client, node: &str, folder: &Path) -> Result<Self> {
        let module = Module {
            folder: concat!(env!("CARGO_MANIFEST_DIR"), "/go/kubelet"),
            topic: "kubelet",
            key: format!("cri-streaming-{}", version(GO_MOD, "k8s.io/cri-streaming")?),
            flags: Vec::new(),
        };
        let program = Program { name: "kubelet", package: "." };
        let built = tokio::task::spawn_blocking(move || module.build(&[program])).await??;
        let command = Command::new(built.join(program.name));
        let mut process = Process::start("kubelet", command, Output::Pipe, &folder.join("kubelet.log"))?;
        let mut line = String::new();
        BufReader::new(process.take_stdout().context("standard output is a pipe")?).read_line(&mut line)?;
        let port: u16 = line.trim().parse().context("the port of the kubelet")?;

        let nodes: Api<Node> = Api::all(client.clone());
        let named = serde_json::from_value(json!({ "metadata": { "name": node } }))?;
        nodes.create(&PostParams::default(), &named).await.context("creating the node")?;
        let status = json!({ "status": {
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
        } });
        nodes.patch_status(node, &PatchParams::default(), &Patch::Strategic(status)).await.context("its status")?;
        Ok(Self { _process: process, node: node.to_owned(), client })
    }

    /// Creates a ready pod as the chart makes those of daemons, whose daemon listens on this port of the machine.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn daemon_pod(&self, namespace: &str, name: &str, port: u16, args: &[&str]) -> Result<()> {
        let labels = json!({
            "app.kubernetes.io/name": "endpointlag",
            "app.kubernetes.io/instance": "lag",
            "app.kubernetes.io/component": "daemon",
        });
        let pod: Value = json!({
            "metadata": { "name": name, "labels": labels },
            "spec": { "nodeName": self.node, "containers": [{
                "name": "endpointlag",
                "image": "endpointlag",
                "args": args,
                "ports": [{ "name": "metrics", "containerPort": port }],
            }] },
        });
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await.context("creating the pod")?;
        let status = json!({ "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await.context("its status")?;
        Ok(())
    }
}
