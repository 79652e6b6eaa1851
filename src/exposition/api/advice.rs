//! `/api/v1/advice`: which settings of workloads and Services to change, as the subcommand `advise` says it.

use super::{
    query::{Query, QueryError},
    seconds,
};
use crate::{
    advice::{Finding, Severity, Skipped},
    adviser::{KEPT, View},
    exposition::advice::{Answer as Advice, FindingLine, SkippedLine, summary},
    stats::Selection,
};
use jiff::Timestamp;
use serde::Serialize;
use std::{cmp::Reverse, str::FromStr, time::SystemTime};

/// Default number of findings in an answer, and of what was not judged.
const LIMIT: usize = 100;

/// The query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdviceQuery {
    selection: Selection,
    severity: Option<Severity>,
    limit: usize,
}

/// The answer: that of the subcommand, and what only a daemon knows.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    /// Whether the daemon gives advice: `--advice`. If not, all else is empty.
    enabled: bool,
    /// When it last judged; `None` before the first time.
    evaluated: Option<String>,
    /// How long that took.
    took_seconds: Option<f64>,
    /// Why the last attempt failed. Then the findings are those of the time before.
    failure: Option<&'a str>,
    /// Number of selected findings. The list may contain fewer.
    findings_total: usize,
    /// Number of selected entries of what was not judged. The list may contain fewer.
    skipped_total: usize,
    /// The worst first, and then by namespace and target.
    #[serde(flatten)]
    advice: Advice<'a>,
}

// === impl AdviceQuery ===

impl FromStr for AdviceQuery {
    type Err = QueryError;

    /// Parses a query.
    ///
    /// # Errors
    /// If a parameter is unknown or malformed.
    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut query = Query::parse(text)?;
        let selection = query.services();
        let severity = query.choice("severity", &Severity::ALL.map(|severity| (severity.as_str(), severity)))?;
        let limit = query.number("limit", (0, KEPT), LIMIT)?;
        query.end()?;
        Ok(Self { selection, severity, limit })
    }
}

impl AdviceQuery {
    /// A finding is selected with any of its Services. What is about the whole cluster is selected with the whole cluster.
    fn takes(&self, finding: &Finding) -> bool {
        let is_taken = match &*finding.services {
            [] => self.selection == Selection::default(),
            services => services.iter().any(|service| self.selection.takes(service)),
        };
        is_taken && self.severity.is_none_or(|wanted| wanted == finding.severity)
    }

    /// What is left out for all Services is left out for the selected ones.
    fn takes_skipped(&self, skipped: &Skipped) -> bool {
        skipped.service.as_ref().is_none_or(|service| self.selection.takes(service))
    }
}

/// The answer, as JSON. Without a view the daemon gives no advice.
///
/// # Errors
/// None in practice: all values can be written as JSON.
pub fn advice(view: Option<&View>, query: &AdviceQuery) -> serde_json::Result<Vec<u8>> {
    let advice = view.map(|view| &view.found.advice);
    let findings = advice.into_iter().flat_map(|advice| &advice.findings);
    let mut findings: Vec<_> = findings.filter(|finding| query.takes(finding)).collect();
    findings.sort_by_key(|finding| (finding.ignored.is_some(), Reverse(finding.severity)));
    let skipped = advice.into_iter().flat_map(|advice| &advice.skipped);
    let skipped: Vec<_> = skipped.filter(|skipped| query.takes_skipped(skipped)).collect();
    let last = view.and_then(|view| view.last);
    serde_json::to_vec(&Answer {
        enabled: view.is_some(),
        evaluated: last.and_then(|last| time(last.at)),
        took_seconds: last.map(|last| seconds(last.took)),
        failure: view.and_then(|view| view.failure.as_deref()),
        findings_total: findings.len(),
        skipped_total: skipped.len(),
        advice: Advice {
            summary: summary(findings.iter().copied()),
            findings: findings.into_iter().take(query.limit).map(FindingLine::from).collect(),
            skipped: skipped.into_iter().take(query.limit).map(SkippedLine::from).collect(),
        },
    })
}

fn time(at: SystemTime) -> Option<String> {
    Timestamp::try_from(at).ok().map(|at| format!("{at:.3}"))
}
