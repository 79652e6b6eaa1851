//! Advice as JSON, of the subcommand and of a daemon.

use crate::advice::{Action, Advice, Finding, Severity, Skipped};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    /// Number of findings by severity, and of those that are ignored.
    pub(super) summary: BTreeMap<&'static str, usize>,
    pub(super) findings: Vec<FindingLine<'a>>,
    pub(super) skipped: Vec<SkippedLine<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct FindingLine<'a> {
    check: &'static str,
    lever: &'static str,
    severity: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    /// Each as `namespace/name`.
    services: Vec<String>,
    set: &'a str,
    measured: Option<&'a str>,
    rule: &'a str,
    advice: &'a str,
    why: &'static str,
    cost: &'a str,
    source: &'static str,
    patch: Option<PatchLine>,
    /// The reason of the annotation, if it is ignored.
    ignored: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PatchLine {
    /// `merge` for a strategic merge patch, `create` for a new object.
    action: &'static str,
    document: Value,
}

#[derive(Debug, Serialize)]
pub(super) struct SkippedLine<'a> {
    /// `namespace/name`; `None` for all.
    service: Option<String>,
    checks: &'a [&'static str],
    why: &'a str,
}

/// The advice, as JSON.
///
/// # Errors
/// None in practice: all values can be written as JSON.
pub fn advice(advice: &Advice) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Answer {
        summary: summary(&advice.findings),
        findings: advice.findings.iter().map(FindingLine::from).collect(),
        skipped: advice.skipped.iter().map(SkippedLine::from).collect(),
    })
}

/// Number of findings by severity; those that are ignored count as `ignored` only.
pub(crate) fn summary<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> BTreeMap<&'static str, usize> {
    let names = Severity::ALL.into_iter().map(Severity::as_str).chain(["ignored"]);
    let mut counts: BTreeMap<_, _> = names.map(|name| (name, 0)).collect();
    for finding in findings {
        let name = if finding.ignored.is_some() { "ignored" } else { finding.severity.as_str() };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

// === impl FindingLine ===

impl<'a> From<&'a Finding> for FindingLine<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding { check, severity, target, services, set, measured, rule, advice, cost, patch, ignored, .. } =
            finding;
        let patch = patch.as_ref().map(|patch| PatchLine {
            action: match patch.action {
                Action::Merge => "merge",
                Action::Create => "create",
            },
            document: patch.document(),
        });
        Self {
            check: check.id,
            lever: check.lever.as_str(),
            severity: severity.as_str(),
            kind: target.kind,
            namespace: &target.namespace,
            name: &target.name,
            container: target.container.as_deref(),
            services: services.iter().map(ToString::to_string).collect(),
            set,
            measured: measured.as_deref(),
            rule,
            advice,
            why: check.why,
            cost,
            source: check.source,
            patch,
            ignored: ignored.as_deref(),
        }
    }
}

// === impl SkippedLine ===

impl<'a> From<&'a Skipped> for SkippedLine<'a> {
    fn from(Skipped { service, checks, why }: &'a Skipped) -> Self {
        Self { service: service.as_ref().map(ToString::to_string), checks, why }
    }
}
