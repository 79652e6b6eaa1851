//! The mixin and what is rendered from it: rules and alerts for Prometheus, SLOs, dashboards. Also the runbook of each alert.

use super::committed::check;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use testkit::jsonnet::{self, evaluate, evaluate_text};
use testkit::root;

const MIXIN: &str = "(import 'deploy/mixin/mixin.libsonnet')";

/// YAML files, and the part of the mixin in each.
const YAML: [(&str, &str); 4] = [
    ("deploy/prometheus/rules.yaml", "prometheusRules"),
    ("deploy/prometheus/alerts.yaml", "prometheusAlerts"),
    ("deploy/slo/sloth.yaml", "sloth"),
    ("deploy/slo/pyrra.yaml", "pyrra"),
];

#[test]
fn yaml_is_what_the_mixin_renders() -> Result<()> {
    for (path, field) in YAML {
        let rendered = evaluate_text(&format!(
            "local field = {MIXIN}.{field};
             local documents = if std.isArray(field) then field else [field];
             std.join('---\\n', [
               std.manifestYamlDoc(document, indent_array_in_object=false, quote_keys=false) + '\\n' for document in documents
             ])"
        ))?;
        check(
            path,
            &format!(
                "# Rendered from deploy/mixin, not to be edited. The mixin's config.libsonnet has the choices.\n{rendered}"
            ),
        )?;
    }
    Ok(())
}

#[test]
fn dashboards_are_what_the_mixin_renders() -> Result<()> {
    let names = evaluate(&format!("std.objectFields({MIXIN}.grafanaDashboards)"))?;
    let names: BTreeSet<_> =
        names.as_array().context("no list")?.iter().filter_map(|name| name.as_str()).map(str::to_owned).collect();
    for name in &names {
        let rendered =
            evaluate_text(&format!("std.manifestJsonEx({MIXIN}.grafanaDashboards['{name}'], '  ') + '\\n'"))?;
        check(&format!("dashboards/{name}"), &rendered)?;
    }
    let there: BTreeSet<_> = files("dashboards", ".json")?;
    ensure!(there == names, "dashboards/ has {there:?}, the mixin has {names:?}");
    Ok(())
}

#[test]
fn jsonnet_is_formatted_and_has_no_lint() -> Result<()> {
    let sources = jsonnet::sources(&["deploy/mixin", "dashboards"])?;
    ensure!(!sources.is_empty(), "no sources");
    jsonnet::check(&sources)
}

#[test]
fn each_alert_has_its_runbook_and_no_runbook_is_an_orphan() -> Result<()> {
    let alerts = evaluate(&format!(
        "[rule for group in {MIXIN}.prometheusAlerts.groups for rule in group.rules if std.objectHas(rule, 'alert')]"
    ))?;
    let alerts = alerts.as_array().context("no list")?;
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert["alert"].as_str().context("an alert without a name")?;
        let shown = &alert["annotations"];
        let runbook = format!("deploy/runbooks/{name}.md");
        ensure!(shown["runbook"] == *runbook, "{name}: {shown}");
        for annotation in ["summary", "description"] {
            ensure!(shown[annotation].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {annotation}");
        }
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        ensure!(["critical", "warning", "info"].contains(&severity), "{name}: severity {severity:?}");
        names.insert(format!("{name}.md"));
    }
    ensure!(!names.is_empty(), "no alerts");
    let there = files("deploy/runbooks", ".md")?;
    ensure!(there == names, "deploy/runbooks has {there:?}, the mixin's alerts want {names:?}");
    for name in &names {
        let text = fs::read_to_string(root().join("deploy/runbooks").join(name))?;
        let title = format!("# {}\n", name.trim_end_matches(".md"));
        ensure!(text.starts_with(&title), "{name} does not begin with {title:?}");
    }
    Ok(())
}

#[test]
fn addresses_of_runbooks_and_dashboards_are_shown_once_they_are_known() -> Result<()> {
    let with = "{ _config+:: { runbookURLPrefix: 'https://example.org/r/', grafanaURL: 'https://example.org/g' } }";
    let annotations = |mixin: &str| {
        evaluate(&format!(
            "[{{ name: rule.alert }} + rule.annotations for group in ({mixin}).prometheusAlerts.groups for rule in group.rules]"
        ))
    };
    for shown in annotations(&format!("{MIXIN} + {with}"))?.as_array().context("no list")? {
        let name = shown["name"].as_str().context("no name")?;
        ensure!(shown["runbook_url"] == *format!("https://example.org/r/{name}.md"), "{shown}");
        let dashboard = shown["dashboard_url"].as_str().unwrap_or_default();
        ensure!(dashboard.starts_with("https://example.org/g/d/endpointlag-"), "{shown}");
    }
    let links =
        evaluate(&format!("[link.title for link in ({MIXIN} + {with}).grafanaDashboards['overview.json'].links]"))?;
    ensure!(links.as_array().is_some_and(|titles| titles.iter().any(|title| title == "Runbook")), "{links}");
    let alerts = evaluate(&format!(
        "[panel for panel in ({MIXIN} + {with}).grafanaDashboards['overview.json'].panels if panel.title == 'Firing alerts'][0]"
    ))?;
    let query = alerts["targets"][0]["expr"].as_str().unwrap_or_default();
    ensure!(query.contains("\"runbook\", \"https://example.org/r/$1.md\", \"alertname\""), "{query}");
    ensure!(alerts["fieldConfig"].to_string().contains("Open the runbook"), "{alerts}");
    for shown in annotations(MIXIN)?.as_array().context("no list")? {
        ensure!(shown.get("runbook_url").is_none() && shown.get("dashboard_url").is_none(), "{shown}");
    }
    Ok(())
}

/// Names of the files in a folder with this ending.
fn files(folder: &str, end: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join(folder)).with_context(|| format!("reading {folder}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(end) {
            found.insert(name);
        }
    }
    Ok(found)
}
