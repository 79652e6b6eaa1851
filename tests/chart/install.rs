//! Real installations, with Helm and with kubectl, and the daemon with the account that they create.

use super::kubectl::Cluster;
use super::process::{Container, Running, measured, told_once};
use super::variants::VARIANTS;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::controlplane::credentials::{Token, kubeconfig};
use testkit::controlplane::objects::Objects;
use testkit::helm::{CHART, Helm};
use testkit::workspace::{Workspace, free_port};

/// Questions of `kubectl auth can-i`, and whether the answer for the daemon's account should be yes.
const RIGHTS: [(&[&str], bool); 14] = [
    (&["list", "pods"], true),
    (&["watch", "pods"], true),
    (&["list", "services"], true),
    (&["watch", "services"], true),
    (&["list", "endpointslices.discovery.k8s.io"], true),
    (&["watch", "endpointslices.discovery.k8s.io"], true),
    (&["get", "pods"], false),
    (&["get", "pods", "--subresource=log"], false),
    (&["create", "pods"], false),
    (&["delete", "services"], false),
    (&["patch", "endpointslices.discovery.k8s.io"], false),
    (&["list", "secrets"], false),
    (&["list", "configmaps"], false),
    (&["list", "nodes"], false),
];

/// The API server would accept every variant, from both versions of Helm.
#[tokio::test]
async fn the_api_server_takes_every_variant() -> Result<()> {
    let cluster = Cluster::shared().await?;
    for namespace in ["dry", "shop", "bank"] {
        cluster.create_namespace(namespace)?;
    }
    for helm in Helm::ALL {
        for variant in VARIANTS {
            let install = ["install", "measure", CHART, "--namespace=dry", "--dry-run=server"];
            run(helm, cluster, &[&install, variant.flags].concat()).with_context(|| variant.name)?;
            let template = &variant.daemon(helm)?["spec"]["template"];
            cluster.admit("dry", template).with_context(|| format!("{}: its pod", variant.name))?;
        }
    }
    // The namespace does reject pods.
    let privileged = json!({ "spec": { "containers": [{ "name": "any", "image": "any" }] } });
    let refused = cluster.admit("dry", &privileged).err().context("an unrestricted pod is let in")?;
    ensure!(format!("{refused:#}").contains("violates PodSecurity"), "{refused:#}");
    Ok(())
}

/// From an empty cluster to a measurement: installed, upgraded to shards and back, uninstalled.
#[tokio::test]
async fn a_release_measures_and_goes_without_a_trace() -> Result<()> {
    let cluster = Cluster::shared().await?;
    for helm in Helm::ALL {
        let namespace = format!("tools-{helm:?}").to_lowercase();
        cluster.create_namespace(&namespace)?;
        let (in_it, values) = (format!("--namespace={namespace}"), values()?);
        run(helm, cluster, &["install", "measure", CHART, &in_it, &values])?;
        let deployment = cluster.object(&namespace, "deployment", "measure-endpointlag")?;
        let account = Account::of(cluster, &namespace, "measure-endpointlag")?;
        let daemon = Container::of(&deployment, 0)?.start(&account.kubeconfig).await?;
        changes(cluster, &[daemon], &[&format!("{namespace}-one")]).await?;

        let who = format!("system:serviceaccount:{namespace}:measure-endpointlag");
        let lists = ["list", "deployments.apps", "--namespace=default"];
        ensure!(cluster.soon_may(&who, &lists, false).await?, "it may list workloads without advice");
        run(helm, cluster, &["upgrade", "measure", CHART, &in_it, &values, "--set=advice.enabled=true"])?;
        for question in [["watch", lists[1], lists[2]], ["patch", lists[1], lists[2]], ["list", "secrets", lists[2]]] {
            ensure!(cluster.soon_may(&who, &question, false).await?, "it may {question:?}");
        }
        let deployment = cluster.object(&namespace, "deployment", "measure-endpointlag")?;
        let daemon = Container::of(&deployment, 0)?.start(&account.kubeconfig).await?;
        let left_out = daemon.left_out().await?;
        ensure!(!left_out.iter().any(|why| why.contains("permission")), "{helm:?}: {left_out:?}");
        drop(daemon);

        run(helm, cluster, &["upgrade", "measure", CHART, &in_it, &values, "--set=shards=3"])?;
        let set = cluster.object(&namespace, "statefulset", "measure-endpointlag")?;
        ensure!(set["spec"]["replicas"] == 3, "{set}");
        let mut shards = Vec::new();
        for index in 0..3 {
            // Each pod has its own address; the port is the same.
            let container = Container::of(&set, index)?.at(&format!("127.0.0.{}", index + 1));
            shards.push(container.start(&account.kubeconfig).await?);
        }
        let places: Vec<_> = (0..4).map(|number| format!("{namespace}-shard-{number}")).collect();
        changes(cluster, &shards, &places.iter().map(String::as_str).collect::<Vec<_>>()).await?;

        run(helm, cluster, &["upgrade", "measure", CHART, &in_it, &values, "--set=namespaces={default}"])?;
        let [here, there] = ["default", "kube-system"].map(|namespace| format!("--namespace={namespace}"));
        ensure!(cluster.soon_may(&who, &["list", "pods", &here], true).await?, "the Role is not enough");
        ensure!(cluster.soon_may(&who, &["list", "pods", &there], false).await?, "the ClusterRole is still there");

        let agents = "--set=agents.enabled=true,tls.secretName=any";
        run(helm, cluster, &["upgrade", "measure", CHART, &in_it, &values, agents])?;
        let reviews = ["create", "tokenreviews.authentication.k8s.io"];
        let who_reports = format!("system:serviceaccount:{namespace}:measure-endpointlag-agent");
        ensure!(cluster.soon_may(&who, &reviews, true).await?, "the daemon cannot review the tokens of agents");
        for question in [&reviews[..], &["list", "pods"], &["watch", "services"], &["get", "/metrics"]] {
            ensure!(cluster.soon_may(&who_reports, question, false).await?, "an agent may {question:?}");
        }

        run(helm, cluster, &["uninstall", "measure", &in_it])?;
        let kinds = "deployments,statefulsets,daemonsets,serviceaccounts,services,roles,rolebindings,clusterroles,clusterrolebindings,poddisruptionbudgets";
        let selector = "--selector=app.kubernetes.io/instance=measure";
        let left = cluster.kubectl(&["get", kinds, "--all-namespaces", selector, "--output=name"])?;
        ensure!(left.is_empty(), "left behind:\n{left}");
    }
    Ok(())
}

/// The files of `deploy/kubernetes` as they are, in a cluster without any of their objects.
#[tokio::test]
async fn the_manifests_apply_as_they_are() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let _vacancy = cluster.vacate().await?;
    let who = "system:serviceaccount:endpointlag:endpointlag";
    for (file, kind, everywhere) in [
        ("cluster.yaml", "deployment", true),
        ("shards.yaml", "statefulset", true),
        ("namespaced.yaml", "deployment", false),
    ] {
        let path = format!("deploy/kubernetes/{file}");
        let [auth, advice] = ["auth", "advice"].map(|it| format!("deploy/kubernetes/rbac-{it}.yaml"));
        for beside in [&path, &auth, "deploy/kubernetes/monitoring.yaml"] {
            cluster.kubectl(&["apply", "-f", beside])?;
        }
        let workload = cluster.object("endpointlag", kind, "endpointlag")?;
        cluster.admit("endpointlag", &workload["spec"]["template"]).with_context(|| file)?;
        for (question, expected) in RIGHTS {
            for (namespace, here) in [("default", true), ("kube-system", everywhere)] {
                let question = [question, &["--namespace", namespace]].concat();
                ensure!(cluster.soon_may(who, &question, expected && here).await?, "{file}: {question:?}");
            }
        }
        let reviews = ["create", "tokenreviews.authentication.k8s.io"];
        ensure!(cluster.soon_may(who, &reviews, true).await?, "rbac-auth.yaml");
        cluster.kubectl(&["apply", "-f", &advice])?;
        ensure!(cluster.soon_may(who, &["list", "poddisruptionbudgets.policy"], true).await?, "rbac-advice.yaml");
        ensure!(cluster.soon_may(who, &["get", "/metrics"], false).await?, "the daemon is no reader");
        // This deletes the namespace, with everything in it.
        cluster.kubectl(&["delete", "-f", &path])?;
        cluster.kubectl(&["delete", "-f", &auth, "-f", &advice])?;
    }
    Ok(())
}

/// The account of a release, as its pods use it.
struct Account {
    kubeconfig: std::path::PathBuf,
    _workspace: Workspace,
}

impl Account {
    fn of(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self> {
        let token = cluster.kubectl(&["create", "token", name, "--namespace", namespace])?;
        let workspace = Workspace::create(namespace)?;
        let config = kubeconfig(&cluster.plane.server(), &cluster.plane.authority(), Token::Inline(token.trim()));
        Ok(Self { kubeconfig: workspace.write("kubeconfig", config)?, _workspace: workspace })
    }
}

/// The addresses at which the processes may listen, instead of a pod's own address.
fn values() -> Result<String> {
    Ok(format!("--set=listenAddress=127.0.0.1,port={}", free_port()?))
}

/// A pod becomes ready in each of some new namespaces, and the daemons report it once.
async fn changes(cluster: &Cluster, daemons: &[Running], namespaces: &[&str]) -> Result<()> {
    for namespace in namespaces {
        let objects = Objects::create(cluster.plane.admin().await?, namespace).await?;
        objects.create_service("web", json!({ "selector": { "app": "web" }, "ports": [{ "port": 80 }] })).await?;
        measured(daemons, namespace, "web").await?;
        let pod = objects.create_pod("web-0", "web").await?;
        objects.report(&pod, true).await?;
    }
    for namespace in namespaces {
        told_once(daemons, namespace).await?;
    }
    Ok(())
}

fn run(helm: Helm, cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = helm.command()?.env("KUBECONFIG", &cluster.kubeconfig).args(arguments).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm {helm:?} {}: {complaint}", arguments.join(" "));
    String::from_utf8(output.stdout).context("not UTF-8")
}
