//! The advice as JUnit XML: a suite for each object, a test case for each finding.

use crate::advice::{Advice, Finding, Severity, Skipped};
use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use std::collections::BTreeMap;

/// Findings of at least this severity are failures, others are passed with their text. What is ignored or was not judged is skipped.
pub(super) fn text(advice: &Advice, fails: Option<Severity>) -> Result<String, SerializeError> {
    let mut suites: BTreeMap<String, TestSuite> = BTreeMap::new();
    for finding in &advice.findings {
        let target = finding.target.to_string();
        let suite = suites.entry(target.clone()).or_insert_with(|| TestSuite::new(target));
        suite.add_test_case(case(finding, fails));
    }
    let mut report = Report::new("endpointlag advise");
    report.add_test_suites(suites.into_values());
    if !advice.skipped.is_empty() {
        let mut suite = TestSuite::new("not judged");
        suite.add_test_cases(advice.skipped.iter().map(skipped));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn case(finding: &Finding, fails: Option<Severity>) -> TestCase {
    let Finding { check, severity, target, set, measured, rule, advice, cost, ignored, .. } = finding;
    let measured = measured.as_ref().map(|measured| format!("measured: {measured}\n")).unwrap_or_default();
    let text = format!("set: {set}\n{measured}rule: {rule}\nadvice: {advice}\nwhy: {}\ncost: {cost}", check.why);
    let mut case = if let Some(reason) = ignored {
        let mut status = TestCaseStatus::skipped();
        status.set_message(format!("ignored: {reason}"));
        TestCase::new(check.id, status)
    } else if fails.is_some_and(|least| *severity >= least) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(advice.as_ref()).set_type(severity.as_str()).set_description(text.as_str());
        TestCase::new(check.id, status)
    } else {
        TestCase::new(check.id, TestCaseStatus::success())
    };
    case.set_classname(target.to_string()).set_system_out(format!("{severity}\n{text}"));
    case
}

fn skipped(Skipped { service, checks, why }: &Skipped) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why.as_str());
    let of = service.as_ref().map_or_else(|| "all Services".to_owned(), ToString::to_string);
    let mut case = TestCase::new(checks.join(", "), status);
    case.set_classname(of);
    case
}
