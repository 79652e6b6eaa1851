//! The metrics of advice.

use super::*;
use crate::{
    advice::{Severity, checks},
    adviser::{Evaluation, Found, Series, View},
};

/// Two findings of one Service, one of the cluster, and a right that is missing.
pub(super) fn view() -> View {
    let name = Some(ServiceName { namespace: "shop".into(), name: "cart".into() });
    let series = |service: &Option<ServiceName>, check: &'static crate::advice::Check| Series {
        service: service.clone(),
        check: check.id,
        severity: check.severity,
    };
    let found = Found {
        by_severity: [4, 1, 1],
        ignored: 2,
        overflowed: 3,
        series: vec![
            series(&None, checks::RATE_LIMITED),
            series(&name, checks::READINESS_MISSING),
            series(&name, checks::LIVENESS_MISSING),
        ],
        missing: [("nodes", 1)].into(),
        ..Found::default()
    };
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
    let last = Some(Evaluation { at, took: Duration::from_millis(250) });
    View { found: Arc::new(found), last, evaluations: 7, failures: 1, failure: None }
}

#[test]
fn findings_have_a_series_and_their_number() {
    let text = text(Format::Text);
    assert_eq!(Severity::Error as usize, 2);
    for line in [
        r#"endpointlag_finding{check="controller-rate-limited",namespace="_all",service="_all",severity="warning"} 1"#,
        r#"endpointlag_finding{check="readiness-probe-missing",namespace="shop",service="cart",severity="error"} 1"#,
        r#"endpointlag_finding{check="liveness-probe-missing",namespace="shop",service="cart",severity="note"} 1"#,
        r#"endpointlag_findings{severity="note"} 4"#,
        r#"endpointlag_findings{severity="error"} 1"#,
        r#"endpointlag_findings{severity="ignored"} 2"#,
        "endpointlag_findings_overflowed 3",
        r#"endpointlag_advice_missing_rights{resource="nodes"} 1"#,
        "endpointlag_advice_evaluations_total 7",
        "endpointlag_advice_failures_total 1",
        "endpointlag_advice_last_evaluation_timestamp_seconds 1700000000.5",
        "endpointlag_advice_evaluation_seconds 0.25",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_daemon_without_advice_has_none_of_its_metrics() {
    let text = Scrape { advice: None, ..scrape() }.encode(Format::Text).expect("encodes");
    let text = String::from_utf8(text).expect("text");
    assert!(!text.contains("endpointlag_finding") && !text.contains("endpointlag_advice"), "{text}");
}
