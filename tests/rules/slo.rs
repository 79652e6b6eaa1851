//! The objectives for other tools. Sloth makes rules from its file, and promtool accepts them. Pyrra is on no Go proxy,
//! so its file is compared with the fields of its resource.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use testkit::gobuild::{Module, Program, version};
use testkit::prometheus;

const SLOTH: Program = Program { name: "sloth", package: "github.com/slok/sloth/cmd/sloth" };
const FOR_SLOTH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/slo/sloth.yaml");
const FOR_PYRRA: &str = include_str!("../../deploy/slo/pyrra.yaml");

/// A ServiceLevelObjective of `pyrra.dev/v1alpha1`, with the fields of a ratio: kubernetes/api/v1alpha1 in Pyrra's repository.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Pyrra {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    description: String,
    /// A number as text, in percent.
    target: String,
    window: String,
    indicator: Indicator,
    alerting: Alerting,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Indicator {
    ratio: Ratio,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    errors: Metric,
    total: Metric,
    #[serde(default)]
    grouping: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    metric: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alerting {
    name: String,
    absent: bool,
}

#[test]
fn pyrra_gets_what_its_resource_has() -> Result<()> {
    let slos: Vec<Pyrra> = serde_saphyr::from_multiple(FOR_PYRRA)?;
    ensure!(!slos.is_empty(), "no objectives");
    let mut names = std::collections::BTreeSet::new();
    for slo in slos {
        ensure!((slo.api_version.as_str(), slo.kind.as_str()) == ("pyrra.dev/v1alpha1", "ServiceLevelObjective"));
        let Spec { description, target, window, indicator: Indicator { ratio }, alerting } = &slo.spec;
        let target: f64 = target.parse().with_context(|| format!("{slo:?}"))?;
        ensure!((1.0..100.0).contains(&target), "percent, not a share: {target}");
        let days: u32 = window.strip_suffix('d').context("days")?.parse()?;
        ensure!(days > 0 && !description.is_empty() && !slo.metadata.labels.is_empty(), "{slo:?}");
        ensure!(ratio.errors.metric.starts_with("endpointlag_slo_missed_total{"), "{slo:?}");
        ensure!(ratio.total.metric.starts_with("endpointlag_slo_changes_total{"), "{slo:?}");
        ensure!(ratio.grouping.is_empty() || ratio.grouping == ["namespace", "service"], "{slo:?}");
        ensure!(alerting.name.starts_with("EndpointLag") && !alerting.absent, "{slo:?}");
        ensure!(names.insert(slo.metadata.name.clone()), "two of the name {}", slo.metadata.name);
    }
    Ok(())
}

#[test]
fn sloth_makes_rules_of_the_slo() -> Result<()> {
    let go_mod = include_str!("sloth/go.mod");
    let module = Module {
        folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/sloth"),
        topic: "sloth",
        key: format!("sloth-{}", version(go_mod, "github.com/slok/sloth")?),
        flags: vec!["-ldflags=-s -w".into()],
    };
    let sloth = module.build(&[SLOTH])?.join(SLOTH.name);
    let made = tempfile::NamedTempFile::with_suffix(".yaml")?;
    for arguments in [vec!["validate"], vec!["generate", "--out", &made.path().to_string_lossy()]] {
        let output = Command::new(&sloth).args(&arguments).args(["--input", FOR_SLOTH]).output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "sloth {}: {complaint}", arguments.join(" "));
    }
    prometheus::promtool(&["check", "rules", &made.path().to_string_lossy()], made.path())?;
    let rules = fs::read_to_string(made.path())?;
    // For each window, and the two alerts.
    for part in ["slo:sli_error:ratio_rate5m", "slo:sli_error:ratio_rate3d", "severity: critical", "severity: warning"]
    {
        ensure!(rules.contains(part), "no {part} in\n{rules}");
    }
    Ok(())
}
