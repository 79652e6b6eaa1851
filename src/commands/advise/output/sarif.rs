//! The advice as SARIF 2.1.0, the format of OASIS that code scanning of forges reads.

use crate::{
    VERSION,
    advice::{Advice, CHECKS, Check, Finding, Severity, Target},
};
use serde::Serialize;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
struct Run {
    tool: Tool,
    results: Vec<Outcome>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
struct Driver {
    name: &'static str,
    version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Text,
    full_description: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_uri: Option<&'static str>,
    default_configuration: Level,
}

#[derive(Serialize)]
struct Level {
    level: &'static str,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rule_id: &'static str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: [Location; 1],
    partial_fingerprints: Fingerprints,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    /// Forges show only results that are in a file. There is none, so it is the object's name.
    physical_location: PhysicalLocation,
    logical_locations: [LogicalLocation; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
    kind: &'static str,
}

/// The same finding has the same fingerprint in each run, whatever its figures.
#[derive(Serialize)]
struct Fingerprints {
    #[serde(rename = "target/v1")]
    target: String,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    justification: String,
}

/// The advice, as JSON.
///
/// # Errors
/// None in practice: all values can be written as JSON.
pub(super) fn text(advice: &Advice) -> serde_json::Result<String> {
    let rules = CHECKS.iter().map(|check| Rule::from(*check)).collect();
    let driver = Driver { name: "endpointlag", version: VERSION, rules };
    let results = advice.findings.iter().map(Outcome::from).collect();
    let runs = [Run { tool: Tool { driver }, results }];
    serde_json::to_string_pretty(&Log { schema: SCHEMA, version: "2.1.0", runs })
}

fn level(severity: Severity) -> &'static str {
    severity.as_str()
}

fn path(target: &Target) -> String {
    let place = if target.name.is_empty() {
        "cluster".to_owned()
    } else {
        format!("{}/{}/{}", target.namespace, target.kind, target.name)
    };
    match &target.container {
        Some(container) => format!("{place}/{container}"),
        None => place,
    }
}

// === impl Rule ===

impl From<&'static Check> for Rule {
    fn from(check: &'static Check) -> Self {
        Self {
            id: check.id,
            short_description: Text { text: check.rule.to_owned() },
            full_description: Text { text: check.why.to_owned() },
            help_uri: Some(check.source).filter(|source| source.starts_with("https://")),
            default_configuration: Level { level: level(check.severity) },
        }
    }
}

// === impl Outcome ===

impl From<&Finding> for Outcome {
    fn from(finding: &Finding) -> Self {
        let Finding { check, severity, target, set, measured, rule, advice, cost, ignored, .. } = finding;
        let measured = measured.as_ref().map(|measured| format!("Measured: {measured}. ")).unwrap_or_default();
        let text = format!("{target}: {set}. {measured}{rule} Advice: {advice} Cost: {cost}");
        let suppression = |reason: &String| Suppression { kind: "external", justification: reason.clone() };
        let path = path(target);
        Self {
            rule_id: check.id,
            rule_index: CHECKS.iter().position(|it| it.id == check.id).unwrap_or_default(),
            level: level(*severity),
            message: Text { text },
            locations: [Location {
                physical_location: PhysicalLocation {
                    artifact_location: Artifact { uri: path.clone() },
                    region: Region { start_line: 1 },
                },
                logical_locations: [LogicalLocation { fully_qualified_name: path.clone(), kind: "resource" }],
            }],
            partial_fingerprints: Fingerprints { target: format!("{}:{path}", check.id) },
            suppressions: ignored.iter().map(suppression).collect(),
        }
    }
}
