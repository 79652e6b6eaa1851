//! What the chart contains, and what is rendered from it.

use super::committed::check;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use testkit::helm::{CHART, Helm};
use testkit::root;

/// Name and namespace of the manifests' release.
const RELEASE: &str = "endpointlag";

/// The source of a copy in the chart, its folder, and the end of its name.
const COPIES: [(&str, &str, &str); 2] =
    [("deploy/prometheus", "files", ".yaml"), ("dashboards", "files/dashboards", ".json")];

/// The namespace of a complete installation. The daemon's pod satisfies the policy that it enforces.
const NAMESPACE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: endpointlag
  labels:
    app.kubernetes.io/name: endpointlag
    pod-security.kubernetes.io/enforce: restricted
";

/// How an image gets into a complete installation.
const IMAGE: &str = "\
# The image has to be where nodes can pull it from; deploy/image says how it is built. With its place in front:
#   sed 's|image: \"endpointlag:|image: \"registry.example.org/endpointlag:|' FILE | kubectl apply -f -
";

/// A file of `deploy/kubernetes`.
struct Manifest {
    file: &'static str,
    /// Its description, as comments.
    about: &'static str,
    /// Whether it is a complete installation, or an addition to one.
    whole: bool,
    /// Helm's flags.
    flags: &'static [&'static str],
}

const MANIFESTS: [Manifest; 6] = [
    Manifest { file: "cluster.yaml", about: "# One daemon that measures the whole cluster.\n", whole: true, flags: &[] },
    Manifest {
        file: "namespaced.yaml",
        about: "\
# One daemon that measures one namespace and may see no other: here `default`. For another, replace it in the Role, in the
# RoleBinding and in --namespace; for several, repeat all three.
",
        whole: true,
        flags: &["--set=namespaces={default}"],
    },
    Manifest {
        file: "shards.yaml",
        about: "# Three daemons that divide the namespaces of the cluster between them. In place of cluster.yaml.\n",
        whole: true,
        flags: &["--set=shards=3"],
    },
    Manifest {
        file: "rbac-auth.yaml",
        about: "\
# What the daemon needs beside the others to run with --auth kubernetes, and what Prometheus needs then: bind the ClusterRole
# endpointlag-metrics-reader to its ServiceAccount.
",
        whole: false,
        flags: &["--set=auth.kind=kubernetes,tls.secretName=any", "--show-only=templates/rbac-auth.yaml"],
    },
    Manifest {
        file: "rbac-advice.yaml",
        about: "\
# What the daemon needs beside cluster.yaml or shards.yaml to run with --advice: to list workloads, what acts on their pods, what leads to
# Services, and nodes.
",
        whole: false,
        flags: &["--set=advice.enabled=true", "--show-only=templates/rbac-advice.yaml"],
    },
    Manifest {
        file: "monitoring.yaml",
        about: "\
# For the Prometheus Operator: what to scrape, recording rules and alerts. Your Prometheus may select either by labels, which
# have to be added then.
",
        whole: false,
        flags: &[
            "--set=serviceMonitor.enabled=true,prometheusRule.enabled=true",
            "--show-only=templates/monitors.yaml",
            "--show-only=templates/prometheusrule.yaml",
        ],
    },
];

/// First the copies, because the manifests are rendered from them.
#[test]
fn the_chart_and_the_manifests_are_up_to_date() -> Result<()> {
    for (source, copy, end) in COPIES {
        let (names, copies) = (names(source, end)?, format!("{CHART}/{copy}"));
        ensure!(!names.is_empty(), "nothing in {source}");
        for name in &names {
            check(&format!("{copies}/{name}"), &fs::read_to_string(root().join(source).join(name))?)?;
        }
        let there = self::names(&copies, end)?;
        ensure!(there == names, "{copies} has {there:?}, {source} has {names:?}");
    }
    for manifest in &MANIFESTS {
        check(&format!("deploy/kubernetes/{}", manifest.file), &manifest.render()?)?;
    }
    let there = names("deploy/kubernetes", "")?;
    let known: BTreeSet<_> = MANIFESTS.iter().map(|manifest| manifest.file.to_owned()).collect();
    ensure!(there == known, "deploy/kubernetes has {there:?}, of which only {known:?} are generated");
    Ok(())
}

/// The chart is released together with the daemon whose flags it uses.
#[test]
fn the_chart_has_the_version_of_the_daemon() -> Result<()> {
    let chart = fs::read_to_string(root().join(CHART).join("Chart.yaml"))?;
    let version = env!("CARGO_PKG_VERSION");
    for line in [format!("version: {version}"), format!("appVersion: \"{version}\"")] {
        ensure!(chart.lines().any(|it| it == line), "Chart.yaml has no line {line:?}");
    }
    Ok(())
}

impl Manifest {
    fn render(&self) -> Result<String> {
        let rendered = Helm::Four.template(RELEASE, RELEASE, self.flags)?;
        let mut text = format!("{}# Generated from {CHART}, not to be edited.\n", self.about);
        if self.whole {
            text = text + IMAGE + NAMESPACE + "---\n";
        }
        // With these lines Helm would treat the objects as its own.
        let of_helm = ["# Source: ", "helm.sh/chart: ", "app.kubernetes.io/managed-by: Helm"];
        let lines = rendered.lines().filter(|line| !of_helm.iter().any(|it| line.trim_start().starts_with(it)));
        let lines: Vec<_> = lines.collect();
        let objects = lines.split(|line| *line == "---").map(|object| object.join("\n").trim().to_owned());
        let objects: Vec<_> = objects.filter(|object| !object.is_empty()).collect();
        Ok(text + &objects.join("\n---\n") + "\n")
    }
}

/// Names of the files in a folder with this ending.
fn names(folder: &str, end: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join(folder)).with_context(|| format!("reading {folder}"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(end) && entry.path().is_file() {
            found.insert(name);
        }
    }
    Ok(found)
}
