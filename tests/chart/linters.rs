//! Checks without a cluster: Helm's linter, schemas, the Prometheus Operator's own types, kube-score.

use super::schemas::Schemas;
use super::variants::{VARIANTS, manifests};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::gobuild::{Module, Program, version};
use testkit::helm::{CHART, Helm, parse};

/// The kinds of the Prometheus Operator, for which kubeconform has no schema: its own types check them.
const OF_THE_OPERATOR: [&str; 3] = ["ServiceMonitor", "PodMonitor", "PrometheusRule"];

/// The checks that kube-score is told to skip, and why.
const NOT_ASKED_FOR: [(&str, &str); 3] = [
    ("container-image-pull-policy", "tags are never moved, and a pod must start while the registry is away"),
    (
        "pod-networkpolicy",
        "the chart's is off until somebody says where the API server is; the variant that has it passes",
    ),
    ("container-security-context-user-group-id", "agents need root for NET_ADMIN; the variants without agents pass"),
];

#[test]
fn helm_lints_every_variant() -> Result<()> {
    for helm in Helm::ALL {
        for variant in VARIANTS {
            let arguments = [&["lint", "--strict", CHART, "--kube-version=1.37.2"], variant.flags].concat();
            helm.run(&arguments).with_context(|| variant.name)?;
        }
    }
    Ok(())
}

#[test]
fn every_object_fits_its_schema() -> Result<()> {
    let (kubeconform, schemas, folder) = (kubeconform()?, Schemas::strict()?, tempfile::tempdir()?);
    let run = |text: &str| -> Result<Value> {
        let file = folder.path().join("objects.yaml");
        fs::write(&file, text)?;
        let mut command = Command::new(&kubeconform);
        command.args(["-strict", "-output=json", "-summary", "-kubernetes-version=1.37.0"]);
        command.arg(format!("-skip={}", OF_THE_OPERATOR.join(","))).arg("-schema-location").arg(schemas.location());
        Ok(serde_json::from_slice(&command.arg(&file).output()?.stdout)?)
    };
    for (name, text) in manifests()? {
        let report = run(&text)?;
        let objects = parse(&text)?;
        let of_operator = |it: &&Value| it["kind"].as_str().is_some_and(|kind| OF_THE_OPERATOR.contains(&kind));
        let (skipped, summary) = (objects.iter().filter(of_operator).count(), &report["summary"]);
        ensure!(
            summary["valid"] == objects.len() - skipped && summary["skipped"] == skipped,
            "{name}: {}",
            serde_json::to_string_pretty(&report)?
        );
    }
    // The schemas can reject: here a field that does not exist, deep inside.
    let bad = Helm::Four.template("x", "x", &["--set-json=affinity={\"nodeAfinity\":{}}"])?;
    let report = run(&bad)?;
    ensure!(report["summary"]["invalid"] == 1, "an unknown field passes: {report}");
    Ok(())
}

#[test]
fn the_operator_knows_every_field() -> Result<()> {
    let (decoder, folder) = (decoder()?, tempfile::tempdir()?);
    let decode = |object: &Value| -> Result<()> {
        let file = folder.path().join("object.json");
        fs::write(&file, object.to_string())?;
        let output = Command::new(&decoder).arg(&file).output()?;
        ensure!(output.status.success(), "{}: {object}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let mut seen = Vec::new();
    for (name, text) in manifests()? {
        for object in parse(&text)? {
            let kind = object["kind"].as_str().context("a kind")?.to_owned();
            if OF_THE_OPERATOR.contains(&&*kind) {
                decode(&object).with_context(|| name.clone())?;
                let mut misspelt = object.clone();
                misspelt["spec"]["scrapeNativeHistogram"] = true.into();
                ensure!(decode(&misspelt).is_err(), "{name}: an unknown field passes");
                seen.push(kind);
            }
        }
    }
    seen.sort();
    seen.dedup();
    ensure!(seen == ["PodMonitor", "PrometheusRule", "ServiceMonitor"], "only {seen:?} were there");
    Ok(())
}

#[test]
fn kube_score_finds_nothing_critical() -> Result<()> {
    let (kube_score, folder) = (kube_score()?, tempfile::tempdir()?);
    for (name, text) in manifests()? {
        // It reads only Kubernetes' own kinds, and files that add to an installation have no pod to select.
        if ["monitoring.yaml", "rbac-advice.yaml", "rbac-auth.yaml"].contains(&&*name) {
            continue;
        }
        let file = folder.path().join("objects.yaml");
        fs::write(&file, text)?;
        let mut command = Command::new(&kube_score);
        // A daemon that is throttled reads late, so it has no CPU limit.
        command.args(["score", "--output-format=json", "--ignore-container-cpu-limit"]);
        let is_skipped = |test: &str| match test {
            "pod-networkpolicy" => name != "network-policy",
            "container-security-context-user-group-id" => name.starts_with("agents"),
            _ => true,
        };
        for (test, _) in NOT_ASKED_FOR.iter().filter(|(test, _)| is_skipped(test)) {
            command.args(["--ignore-test", test]);
        }
        let output = command.arg(&file).output()?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{name}: {}", String::from_utf8_lossy(&output.stderr)))?;
        let mut critical = Vec::new();
        for object in report.as_array().context("a list")? {
            for check in object["checks"].as_array().into_iter().flatten() {
                // 1 is critical, 5 a warning, 10 good.
                if check["skipped"] != true && check["grade"] == 1 {
                    critical.push(format!("{} {}: {}", object["object_name"], check["check"]["id"], check["comments"]));
                }
            }
        }
        if !critical.is_empty() || !output.status.success() {
            bail!("{name}: {}\n{}", critical.join("\n"), String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}

fn kubeconform() -> Result<PathBuf> {
    let package = "github.com/yannh/kubeconform/cmd/kubeconform";
    tool("kubeconform", include_str!("kubeconform/go.mod"), "github.com/yannh/kubeconform", package)
}

fn kube_score() -> Result<PathBuf> {
    let package = "github.com/zegl/kube-score/cmd/kube-score";
    tool("kube-score", include_str!("kube-score/go.mod"), "github.com/zegl/kube-score", package)
}

/// A small program of this repository, which knows only the operator's types.
fn decoder() -> Result<PathBuf> {
    let library = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring";
    tool("monitoring", include_str!("monitoring/go.mod"), library, ".")
}

fn tool(name: &'static str, go_mod: &str, module: &str, package: &'static str) -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    include_str!("monitoring/main.go").hash(&mut hash);
    let key = match package {
        "." => format!("{}-{:016x}", version(go_mod, module)?, hash.finish()),
        _ => version(go_mod, module)?.to_owned(),
    };
    let folder = match name {
        "kubeconform" => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/kubeconform"),
        "kube-score" => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/kube-score"),
        _ => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/monitoring"),
    };
    let module = Module { folder, topic: name, key, flags: vec!["-ldflags=-s -w".into()] };
    Ok(Path::new(&module.build(&[Program { name, package }])?).join(name))
}
