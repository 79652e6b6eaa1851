//! A daemon in the cluster is found by the labels of its chart, and reached through the API server and the kubelet, as
//! `kubectl port-forward` does. Without one, or without the right, commands measure by themselves and say why.

use super::watch::namespace;
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use testkit::controlplane::access::ACCOUNT;
use testkit::controlplane::objects::Objects;
use testkit::daemon::Daemon;
use testkit::daemon::metrics::Metrics;
use testkit::demo::Demo;
use testkit::forwarding::Forwarding;
use testkit::running::run;
use testkit::watching::Watching;
use testkit::workspace::Workspace;
use tokio::time::sleep;

/// Longer than an objective of a second, and until that is judged.
const LATE: Duration = Duration::from_secs(3);

/// A namespace with a Service, and an account that may measure it.
struct Scene {
    objects: Objects,
    kubeconfig: PathBuf,
    workspace: Workspace,
    account: &'static str,
}

impl Scene {
    async fn start(name: &'static str) -> Result<Self> {
        let (objects, kubeconfig, workspace) = namespace(name).await?;
        Ok(Self { objects, kubeconfig, workspace, account: name })
    }

    /// Lets the account forward ports, too.
    async fn grant_forwarding(&self) -> Result<()> {
        let namespace = self.objects.namespace();
        let role: Role = serde_json::from_value(json!({
            "metadata": { "name": "forward" },
            "rules": [{ "apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["create", "get"] }],
        }))?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": { "name": "forward" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "forward" },
            "subjects": [{ "kind": "ServiceAccount", "name": self.account, "namespace": ACCOUNT }],
        }))?;
        let client = self.objects.client();
        Api::<Role>::namespaced(client.clone(), namespace).create(&PostParams::default(), &role).await?;
        Api::<RoleBinding>::namespaced(client.clone(), namespace).create(&PostParams::default(), &binding).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_daemon_in_the_cluster_is_found_and_asked_through_the_api_server() -> Result<()> {
    let scene = Scene::start("daemon-found").await?;
    let namespace = scene.objects.namespace();
    // Nothing is late on a busy machine either.
    let flags = ["--namespace".to_owned(), namespace.to_owned(), "--objective=1m".to_owned()];
    let daemon = Daemon::start(&scene.kubeconfig, scene.workspace.path(), &flags).await?;
    daemon.wait_until_ready().await?;
    let port = daemon.address().rsplit_once(':').context("a port")?.1.parse()?;
    let kubelet = Forwarding::start(scene.objects.client().clone(), "daemon-node", scene.workspace.path()).await?;
    kubelet.daemon_pod(namespace, "lag-0", port, &["--namespace", namespace]).await?;

    let all = ["advise", "-n", namespace, "--fail-on=never"];
    let near = [&all[..], &["--daemon-namespace", namespace]].concat();
    // Without the right it says so, and measures by itself until Ctrl-C.
    let denied = Watching::start_as("advise", &scene.kubeconfig, scene.workspace.path(), &near[1..])?;
    denied.wait_for_message("measuring here: no permission to forward to pod daemon-found/lag-0").await?;
    denied.wait_for_message("measuring 1 Service in daemon-found for 10m").await?;
    denied.signal(Signal::INT)?;
    ensure!(denied.end().await?.code == Some(0));

    scene.grant_forwarding().await?;
    let found = run(&scene.kubeconfig, &near).await?;
    let words = "taking what the daemon of pod daemon-found/lag-0 (port-forward through the API server) has measured";
    ensure!(found.code == Some(0) && found.messages.contains(words), "{found:?}");
    // What it says is the daemon's: too few changes in the seconds since its start.
    ensure!(found.printed.contains("too few samples: 0 changes of kind terminating in "), "{found:?}");
    // It prints the daemon's changes, and ends as if it had measured them.
    let flags = ["-n", namespace, "--daemon-namespace", namespace, "web"];
    let watching = Watching::start_synced(&scene.kubeconfig, scene.workspace.path(), &flags).await?;
    let words = "until Ctrl-C, as the daemon of pod daemon-found/lag-0 (port-forward through the API server) measures; it has no agents";
    ensure!(watching.messages()?.contains(words), "{}", watching.messages()?);
    let pod = watching.wait_for_delay(&scene.objects, "web").await?;
    watching.wait_for_line(&["web  ", &pod, "ready", "propagated", "ms"]).await?;
    let lines = watching.printed().lines().map(str::to_owned).collect::<Vec<_>>();
    ensure!(lines.iter().all(|line| lines.iter().filter(|other| *other == line).count() == 1), "twice: {lines:#?}");
    watching.signal(Signal::INT)?;
    let ended = watching.end().await?;
    let words = ["CHANGE       PROPAGATED", "objective met: no change was late"];
    ensure!(ended.code == Some(0) && words.iter().all(|words| ended.printed.contains(words)), "{ended:?}");
    ensure!(!ended.printed.contains("NODES"), "{}", ended.printed);

    // The account may not list pods of the whole cluster.
    let far = Watching::start_as("advise", &scene.kubeconfig, scene.workspace.path(), &all[1..])?;
    far.wait_for_message("measuring here: no permission to list pods in the cluster, so no daemon was looked for")
        .await?;
    far.signal(Signal::TERM)?;
    far.end().await?;

    // One that measures other namespaces is none, nor is one that does not answer.
    let pods: Api<Pod> = Api::namespaced(scene.objects.client().clone(), namespace);
    pods.delete("lag-0", &DeleteParams::default().grace_period(0)).await?;
    kubelet.daemon_pod(namespace, "lag-1", port, &["--namespace=other"]).await?;
    let other = Watching::start_as("advise", &scene.kubeconfig, scene.workspace.path(), &near[1..])?;
    other
        .wait_for_message("measuring here: the daemon of pod daemon-found/lag-1 measures only namespace other")
        .await?;
    other.signal(Signal::TERM)?;
    other.end().await?;
    pods.delete("lag-1", &DeleteParams::default().grace_period(0)).await?;
    let closed = testkit::workspace::free_port()?;
    kubelet.daemon_pod(namespace, "lag-2", closed, &[]).await?;
    let silent = Watching::start_as("advise", &scene.kubeconfig, scene.workspace.path(), &near[1..])?;
    silent.wait_for_message("measuring here: the daemon of pod daemon-found/lag-2").await?;
    silent.wait_for_message("measuring 1 Service in daemon-found for 10m").await?;
    silent.signal(Signal::TERM)?;
    silent.end().await?;
    Ok(())
}

/// What a daemon judges late counts also if it ended without a delay. What was not seen is no success.
#[tokio::test]
async fn the_exit_code_is_that_of_what_the_daemon_judges() -> Result<()> {
    let Scene { objects, kubeconfig, workspace, .. } = Scene::start("daemon-judged").await?;
    let namespace = objects.namespace();
    let flags = ["--namespace".to_owned(), namespace.to_owned(), "--objective=1s".to_owned()];
    let daemon = Daemon::start(&kubeconfig, workspace.path(), &flags).await?;
    daemon.wait_until_ready().await?;
    daemon.wait_until_measuring(namespace, "web", true).await?;
    let url = format!("--daemon=http://{}", daemon.address());
    let typo = run(&kubeconfig, &["watch", &url, "-n", namespace, "--for=1s", "wep"]).await?;
    ensure!(typo.code == Some(2) && typo.messages.contains("no Service wep in daemon-judged was measured"), "{typo:?}");

    let watching = Watching::start_synced(&kubeconfig, workspace.path(), &[&url, "-n", namespace, "web"]).await?;
    // The controller lists no pod of a node that does not exist. On a busy machine the daemon may not trust its time.
    let mut has_missed = false;
    for number in 0..5 {
        let pod = objects.create_pod_on("no-such-node", &format!("unlisted-{number}"), "web").await?;
        objects.report(&pod, true).await?;
        sleep(LATE).await;
        let metrics = Metrics::parse(&daemon.get("/metrics").await?.body)?;
        has_missed = metrics.sum("endpointlag_slo_missed_total", &[("change", "ready")]) > 0.0;
        objects.report(&pod, false).await?;
        if has_missed {
            watching.wait_for_line(&["web  ", &format!("unlisted-{number}"), "ready", "superseded"]).await?;
            break;
        }
    }
    ensure!(has_missed, "nothing is late");
    watching.signal(Signal::INT)?;
    let ended = watching.end().await?;
    ensure!(ended.code == Some(1) && ended.printed.contains(" of daemon-judged/web (objective 1s)"), "{ended:?}");
    Ok(())
}

/// The demo is a daemon with agents, at an address. What is printed of a change is what it tells.
#[tokio::test]
async fn with_agents_each_change_has_its_way_over_the_nodes() -> Result<()> {
    let workspace = Workspace::create("daemon-demo")?;
    let demo = Demo::start(workspace.path(), &[]).await?;
    let url = format!("http://{}", demo.address);
    // It needs no cluster.
    let nowhere = workspace.file("no-kubeconfig");
    let table = run(&nowhere, &["watch", "--daemon", &url, "--for=12s"]).await?;
    ensure!(table.code.is_some_and(|code| code < 2), "{table:?}");
    let mut lines = table.printed.lines();
    let head = lines.next().context("a header")?;
    ensure!(head.ends_with("50% NODES  99% NODES  ALL NODES     ERROR  LAST NODE"), "{head}");
    ensure!(lines.any(|line| line.contains("propagated") && line.contains("  simulated-node-")), "{}", table.printed);

    let json = run(&nowhere, &["watch", "--daemon", &url, "--for=12s", "-o", "json"]).await?;
    let lines = json.printed.lines().map(serde_json::from_str).collect::<serde_json::Result<Vec<Value>>>()?;
    let of = |hop: &'static str| lines.iter().filter(move |line| line["hop"] == hop);
    let (slices, nodes) = (of("slice").count(), of("data-plane").count());
    ensure!(slices > 0 && nodes > 0 && nodes <= slices, "{slices} {nodes}: {json:?}");
    // Each is as the daemon has it.
    let told = testkit::http::get(&demo.address, "/api/v1/changes?limit=10000").await?;
    let told: Value = serde_json::from_str(&told.body)?;
    let ended = told["ended"].as_array().context("changes")?;
    for line in of("data-plane") {
        let same = |change: &&Value| ["uid", "service", "change"].iter().all(|key| change[key] == line[key]);
        let mut changes = ended.iter().filter(same);
        ensure!(changes.any(|change| change["nodes"] == line["nodes"] && change["slice"] == line["slice"]), "{line}");
    }

    let wrong = run(&nowhere, &["watch", "--daemon", &url, "--objective=2s"]).await?;
    ensure!(wrong.code == Some(2) && wrong.messages.contains("a daemon at a URL judges by its own"), "{wrong:?}");
    let gone = format!("http://127.0.0.1:{}", testkit::workspace::free_port()?);
    let silent = run(&nowhere, &["watch", "--daemon", &gone]).await?;
    ensure!(silent.code == Some(2) && silent.messages.contains("does not answer /api/v1/overview"), "{silent:?}");
    demo.stop().await
}
