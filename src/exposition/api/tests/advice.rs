//! `/api/v1/advice`.

use crate::{
    advice::{Facts, Severity, Subject, advise},
    adviser::{Evaluation, Found, View},
    cluster::inventory::Missing,
    exposition::api,
    model::spec::{IGNORE_ADVICE_ANNOTATION, Place, ServiceSpec},
};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Services whose endpoints are on one node, one with a malformed annotation that should ignore this, and one whose annotation does.
fn view() -> View {
    let place = Place { node: "a".into(), zone: None };
    let subject = |namespace: &str, name: &str, ignored: Option<&str>| Subject {
        service: ServiceSpec {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            places: vec![place.clone(), place.clone()],
            ignored: ignored.map(str::to_owned),
            ..ServiceSpec::default()
        },
        backings: Vec::new(),
        unread: vec![("Rollout web".to_owned(), "not known".to_owned())],
        measured: None,
    };
    let subjects = [
        subject("bank", "ledger", None),
        subject("shop", "web", Some("spreading")),
        subject("shop", "api", Some("spreading=one node only")),
    ];
    let facts = Facts { services: 1_000, proxy_modes: [("iptables".to_owned(), 3)].into(), ..Facts::default() };
    let missing = [Missing { resource: "nodes", namespace: None }];
    let last = Some(Evaluation { at: SystemTime::UNIX_EPOCH, took: Duration::from_millis(1_500) });
    let found = Arc::new(Found::new(advise(&subjects, &facts), &missing));
    View { found, last, evaluations: 1, failures: 0, failure: None }
}

fn answer(view: Option<&View>, query: &str) -> Value {
    let json = api::advice(view, &query.parse().expect("a query")).expect("JSON");
    serde_json::from_slice(&json).expect("JSON")
}

fn found(answer: &Value) -> Vec<String> {
    let line = |it: &Value| format!("{} {}", it["check"].as_str().unwrap_or_default(), it["services"]);
    answer["findings"].as_array().expect("findings").iter().map(line).collect()
}

#[test]
fn the_worst_come_first_and_ignored_ones_last() {
    let answer = answer(Some(&view()), "");
    let expected = [
        r#"endpoints-on-one-node ["bank/ledger"]"#,
        r#"endpoints-on-one-node ["shop/web"]"#,
        r#"ignore-advice-malformed ["shop/web"]"#,
        "proxy-mode-slow []",
        r#"endpoints-on-one-node ["shop/api"]"#,
    ];
    assert_eq!(found(&answer), expected, "{IGNORE_ADVICE_ANNOTATION}");
    assert_eq!(answer["summary"], serde_json::json!({ "error": 0, "ignored": 1, "note": 1, "warning": 3 }));
    assert_eq!((&answer["enabled"], &answer["took_seconds"]), (&Value::Bool(true), &serde_json::json!(1.5)));
    assert_eq!((answer["findings_total"].as_u64(), answer["skipped_total"].as_u64()), (Some(5), Some(3)));
    assert_eq!(answer["evaluated"], "1970-01-01T00:00:00.000Z");
}

#[test]
fn a_query_selects_services_and_a_severity() {
    let view = view();
    let of = |query: &str| found(&answer(Some(&view), query)).len();
    assert_eq!([of("namespace=bank"), of("service=web"), of("q=shop/"), of("severity=note")], [1, 2, 3, 1]);
    assert_eq!([of("severity=error"), of("limit=2"), of("namespace=shop&service=ledger")], [0, 2, 0]);
    let limited = answer(Some(&view), "limit=2&severity=warning");
    assert_eq!((limited["findings_total"].as_u64(), &limited["summary"]["warning"]), (Some(4), &serde_json::json!(3)));
    let skipped = answer(Some(&view), "namespace=bank");
    assert_eq!(skipped["skipped"][0]["service"], "bank/ledger");
    assert_eq!(skipped["skipped_total"], 1);
    for wrong in ["severity=bad", "limit=10001", "window=5m"] {
        assert!(wrong.parse::<api::AdviceQuery>().is_err(), "{wrong}");
    }
    assert!(Severity::ALL.iter().all(|severity| format!("severity={severity}").parse::<api::AdviceQuery>().is_ok()));
}

#[test]
fn a_daemon_without_advice_says_so() {
    let answer = answer(None, "");
    assert_eq!(
        (&answer["enabled"], &answer["evaluated"], &answer["failure"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
    assert!(found(&answer).is_empty());
}
