//! Values that make no sense are rejected before anything is installed, and the message says which and why.

use anyhow::{Result, ensure};
use testkit::helm::{CHART, Helm};

/// Flags, and the words of the message.
const REFUSED: [(&[&str], &str); 37] = [
    // By the schema.
    (&["--set=objective=soon"], "'/objective': 'soon' does not match pattern"),
    (&["--set=expiry=0s"], "'/expiry': '0s' does not match pattern"),
    (&["--set=histogram=sparse"], "'/histogram': value must be one of 'classic', 'native', 'both', 'cluster-only'"),
    (&["--set=advice.interval=often"], "'/advice/interval': 'often' does not match pattern"),
    (&["--set=port=70000"], "'/port': maximum: got 70,000, want 65,535"),
    (&["--set=probePort=-1"], "'/probePort': minimum"),
    (&["--set=replica=2"], "additional properties 'replica' not allowed"),
    (&["--set=serviceMonitor.enable=true"], "additional properties 'enable' not allowed"),
    (&["--set=shards=0"], "'/shards': minimum: got 0, want 1"),
    (&["--set-string=replicas=2"], "'/replicas': got string, want integer"),
    (&["--set=namespaces={Shop}"], "'/namespaces/0': 'Shop' does not match pattern"),
    (&["--set=namespaces={shop,shop}"], "'/namespaces': items at 0 and 1 are equal"),
    (&["--set=image.repository=endpointlag:latest"], "'/image/repository'"),
    (&["--set=image.digest=latest"], "'/image/digest'"),
    (&["--set=listenAddress=0.0.0.0:80"], "'/listenAddress'"),
    (&["--set=extraArgs={-n}"], "'/extraArgs/0'"),
    (&["--set=log.level=inf"], "'/log/level': 'inf' does not match pattern"),
    (&["--set=log.level="], "'/log/level': '' does not match pattern"),
    (&["--set=agents.listenPort=0"], "'/agents/listenPort': minimum: got 0, want 1"),
    (&["--set=agents.enable=true"], "additional properties 'enable' not allowed"),
    // By the templates.
    (&["--set=replicas=2,shards=2"], "replicas and shards: choose one"),
    (&["--set=shards=2,namespaces={shop}"], "shards divide the whole cluster"),
    (&["--set=excludeNamespaces={bank},namespaces={shop}"], "excludeNamespaces leaves out of the whole cluster"),
    (&["--set=auth.kind=kubernetes"], "auth.kind kubernetes needs tls.secretName"),
    (&["--set=auth.readers[0].namespace=a,auth.readers[0].name=b"], "auth.readers has a meaning with"),
    (&["--set=probePort=10911"], "probePort is the same as port"),
    (&["--set=serviceMonitor.enabled=true,podMonitor.enabled=true"], "or each daemon is scraped twice"),
    (
        &["--set=auth.kind=kubernetes,tls.secretName=tls,podMonitor.enabled=true"],
        "podMonitor.authorization has to name a token",
    ),
    (&["--set=extraArgs={--listen=0.0.0.0:1}"], "extraArgs: --listen has a value of its own"),
    (&["--set=extraArgs={--watch-protocol=http1}"], "extraArgs: --watch-protocol has a value of its own"),
    (&["--set=extraArgs={--advice}"], "extraArgs: --advice has a value of its own"),
    (&["--set=agents.enabled=true"], "agents.enabled needs tls.secretName"),
    (&["--set=agents.enabled=true,tls.secretName=tls,replicas=2"], "set replicas and shards to 1"),
    (&["--set=agents.enabled=true,tls.secretName=tls,shards=2"], "set replicas and shards to 1"),
    (
        &["--set=agents.enabled=true,tls.secretName=tls,agents.port=10911"],
        "agents.port is the same as port or probePort",
    ),
    (
        &["--set=agents.enabled=true,tls.secretName=tls,agents.serviceAccount.create=false"],
        "agents.serviceAccount.name has to name an existing ServiceAccount",
    ),
    (&["--set=agents.extraArgs={--node-name=a}"], "agents.extraArgs: --node-name has a value of its own"),
];

#[test]
fn what_makes_no_sense_is_refused_in_words() -> Result<()> {
    for helm in Helm::ALL {
        for (flags, words) in REFUSED {
            let arguments = [&["template", "x", CHART, "--kube-version=1.37.2"], flags].concat();
            let said = helm.run(&arguments).err().map(|error| format!("{error:#}")).unwrap_or_default();
            ensure!(said.contains(words), "{helm:?} {flags:?}: {said:?} does not say {words:?}");
        }
    }
    Ok(())
}

/// A parent chart passes its `global` to all its charts.
#[test]
fn the_values_of_a_parent_chart_pass() -> Result<()> {
    Helm::Four.template("x", "x", &["--set=global.anything=1"]).map(drop)
}

#[test]
fn an_old_cluster_is_refused() -> Result<()> {
    let refused = Helm::Four.run(&["template", "x", CHART, "--kube-version=1.27.16"]);
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("kubeVersion")), "1.27 is taken");
    // Its tokens do not name the node of a pod.
    let agents = "--set=agents.enabled=true,tls.secretName=tls";
    let refused = Helm::Four.run(&["template", "x", CHART, "--kube-version=1.29.9", agents]);
    ensure!(
        refused.is_err_and(|error| format!("{error:#}").contains("agents.enabled needs Kubernetes 1.30 or later")),
        "agents on 1.29"
    );
    // Providers append their own version.
    Helm::Four.run(&["template", "x", CHART, "--kube-version=v1.30.0-gke.100", agents])?;
    Ok(())
}
