//! What promtool reports about the rules, with the tests in `promtool/`: each alert fires when it should, is quiet when it should, and
//! resolves.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::prometheus;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yaml");
const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/alerts.yaml");
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/promtool");

/// Labels that distinguish the rules of one alert.
const TELLING: [&str; 4] = ["severity", "long", "short", "cause"];

/// One rule of an alert: its name, and the labels that distinguish it from others with that name.
type Rule = Vec<String>;

#[test]
fn promtool_finds_no_fault_with_the_rules() -> Result<()> {
    for file in [RULES, ALERTS] {
        prometheus::promtool(&["check", "rules", file], Path::new(file))?;
    }
    Ok(())
}

#[test]
fn alerts_fire_and_stay_quiet_as_the_unit_tests_say() -> Result<()> {
    for file in tests()? {
        let path = file.to_str().context("a path in UTF-8")?;
        prometheus::promtool(&["test", "rules", path], &file)?;
    }
    Ok(())
}

#[test]
fn every_rule_of_every_alert_is_seen_to_fire_and_every_alert_to_be_quiet_and_to_resolve() -> Result<()> {
    let (mut firing, mut quiet, mut resolving) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for file in tests()? {
        for test in list(&read(&file)?["tests"]) {
            let mut fired = BTreeSet::new();
            for check in list(&test["alert_rule_test"]) {
                let name = text(&check["alertname"])?;
                let alerts = list(&check["exp_alerts"]);
                firing.extend(alerts.iter().map(|alert| rule(&name, &alert["exp_labels"])));
                match (alerts.is_empty(), fired.contains(&name)) {
                    (true, true) => drop(resolving.insert(name)),
                    (true, false) => drop(quiet.insert(name)),
                    (false, _) => drop(fired.insert(name)),
                }
            }
        }
    }
    let mut rules = BTreeSet::new();
    for alert in list(&read(Path::new(ALERTS))?["groups"]).iter().flat_map(|group| list(&group["rules"])) {
        rules.insert(rule(&text(&alert["alert"])?, &alert["labels"]));
    }
    let names: BTreeSet<String> = rules.iter().map(|rule| rule[0].clone()).collect();
    ensure!(!names.is_empty(), "no alerts");
    ensure!(firing == rules, "seen to fire: {firing:#?}\nthere are: {rules:#?}");
    ensure!(quiet == names, "seen to be quiet: {quiet:?}, there are: {names:?}");
    ensure!(resolving == names, "seen to resolve: {resolving:?}, there are: {names:?}");
    Ok(())
}

fn rule(name: &str, labels: &Value) -> Rule {
    let telling = TELLING.iter().map(|label| labels[label].as_str().unwrap_or_default().to_owned());
    [name.to_owned()].into_iter().chain(telling).collect()
}

/// The files of unit tests.
fn tests() -> Result<Vec<PathBuf>> {
    let mut found = fs::read_dir(TESTS)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    found.sort();
    ensure!(!found.is_empty(), "no unit tests in {TESTS}");
    Ok(found)
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| file.display().to_string())
}

/// The items of a list that may be missing.
fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("no text: {value}"))
}
