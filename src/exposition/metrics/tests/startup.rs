//! The metrics of the starts of pods.

use super::*;
use crate::startup::{Kind, Phase, Report, Standing};

/// A start whose cold start took 14 s, and its report.
pub(super) fn start_a_pod(stats: &mut Stats, service: &Arc<ServiceName>) -> Standing {
    let seconds = Duration::from_secs;
    let phases = [(Phase::Scheduled, seconds(1)), (Phase::ContainersReady, seconds(14)), (Phase::Total, seconds(16))];
    for (phase, took) in phases {
        stats.record_startup(&Report::Phase { service: service.clone(), phase, took }, at(2.0));
    }
    let (namespace, delay) = (service.namespace.as_ref().into(), Duration::from_millis(700));
    stats.record_startup(&Report::Reported { namespace, change: Change::Ready, delay }, at(2.0));
    let mut standing = Standing { waiting: 2, settling: 1, negative: 4, overflowed: 5, ..Standing::default() };
    standing.kinds[Kind::NewSandbox.index()] = 6;
    standing.implausible[Phase::Initialized.index()] = 7;
    standing
}

#[test]
fn text_has_the_phases_of_all_services_together() {
    let text = text(Format::Text);
    for line in [
        r#"endpointlag_pod_startup_seconds_bucket{namespace="_all",phase="scheduled",service="_all",le="5"} 1"#,
        r#"endpointlag_pod_startup_seconds_sum{namespace="_all",phase="containers_ready",service="_all"} 14"#,
        r#"endpointlag_pod_startup_seconds_count{namespace="_all",phase="in_effect",service="_all"} 0"#,
        r#"endpointlag_report_seconds_bucket{change="ready",namespace="_all",le="5"} 1"#,
        r#"endpointlag_report_seconds_count{change="unready",namespace="_all"} 0"#,
        r#"endpointlag_pod_starts_total{kind="new_sandbox"} 6"#,
        r#"endpointlag_pod_startup_implausible_total{phase="initialized"} 7"#,
        "endpointlag_report_negative_total 4",
        "endpointlag_pods_starting 3",
        "endpointlag_pod_startup_overflowed_total 5",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(r#"endpointlag_pod_startup_seconds_count{namespace="shop""#), "not by Service");
}

/// The page of metrics tells how many series there are.
#[test]
fn there_are_as_many_series_as_the_documentation_says() {
    let is_own = |line: &&str| {
        ["endpointlag_pod_start", "endpointlag_pods_starting", "endpointlag_report_"]
            .iter()
            .any(|it| line.starts_with(it))
    };
    let text = text(Format::Text);
    // Three bounds here, and twelve by default.
    let histograms = Phase::ALL.len() + 2;
    let with_default_bounds = text.lines().filter(is_own).count() + histograms * (12 - 3);
    assert_eq!(with_default_bounds, 181);
    let own = families_of(&scrape().encode(Format::Protobuf).expect("encodes")).into_iter();
    let own: Vec<_> = own.filter(|family| is_own(&&*family.name)).collect();
    let (times, counts): (Vec<_>, Vec<_>) = own.iter().partition(|family| family.name.ends_with("_seconds"));
    assert_eq!(counts.iter().map(|family| family.metric.len()).sum::<usize>(), 16);
    assert_eq!(times.iter().map(|family| family.metric.len()).sum::<usize>(), 3 + 1, "three phases and one namespace");
}

#[test]
fn native_histograms_are_by_service_and_namespace() {
    let rows =
        |histograms, name| rows_of(&Scrape { histograms, ..scrape() }.encode(Format::Protobuf).expect("encodes"), name);
    let labels = |row: &client_model::Metric| row.label.iter().map(|it| it.value.clone()).collect::<Vec<_>>().join(" ");
    for histograms in [Histograms::Native, Histograms::Both] {
        let phases = rows(histograms, "endpointlag_pod_startup_seconds");
        let expected = ["shop scheduled cart", "shop containers_ready cart", "shop total cart"];
        assert_eq!(phases.iter().map(labels).collect::<Vec<_>>(), expected);
        let cold_start = phases[1].histogram.as_ref().expect("a histogram");
        assert_eq!((cold_start.sample_count, cold_start.sample_sum, cold_start.bucket.len()), (1, 14.0, 0));
        let reports = rows(histograms, "endpointlag_report_seconds");
        assert_eq!(reports.iter().map(labels).collect::<Vec<_>>(), ["ready shop"]);
    }
    for histograms in [Histograms::Classic, Histograms::ClusterOnly] {
        let phases = rows(histograms, "endpointlag_pod_startup_seconds");
        assert!(phases.iter().all(|row| labels(row).starts_with("_all")) && phases.len() == 9);
    }
}

#[test]
fn without_starts_there_are_none_of_these_metrics() {
    let mut scrape = scrape();
    scrape.snapshot.startup = None;
    let text = String::from_utf8(scrape.encode(Format::Text).expect("encodes")).expect("text");
    assert!(!text.contains("endpointlag_pod_start") && !text.contains("endpointlag_report_"), "{text}");
}
