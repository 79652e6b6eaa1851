use super::*;
use crate::{
    ledger::{Cause, Change, Hop},
    model::Uid,
    programming::{self, NodeOutcome, Share, Stale},
    propagation::{Ended, PodRef, Report, ServiceName, Subject},
    stats::{Bounds, OutOfSync, SeriesLimits, Stats},
};
use prost::Message;
use std::{
    env, fs,
    path::Path,
    time::{Duration, SystemTime},
};

mod advice;
mod startup;

fn at(seconds: f64) -> Stamp {
    Stamp::new(Duration::from_secs_f64(seconds))
}

fn scrape() -> Scrape {
    scrape_of("cart-0", "u")
}

/// After changes of a pod of this name and UID.
fn scrape_of(pod: &str, uid: &str) -> Scrape {
    let limits = SeriesLimits { services: 100, idle: Duration::from_secs(3600) };
    let mut stats = Stats::new("0.01,0.1,5".parse::<Bounds>().expect("valid"), limits, at(0.5));
    let service = Arc::new(ServiceName { namespace: "shop".into(), name: "cart".into() });
    let change = Change::Ready;
    let outcomes = [
        Outcome::Propagated { delay: Duration::from_millis(10), reordered: None },
        Outcome::Propagated { delay: Duration::from_millis(250), reordered: None },
        Outcome::Propagated { delay: Duration::ZERO, reordered: Some(Duration::from_millis(3)) },
        Outcome::Expired { age: Duration::from_secs(600) },
        Outcome::Superseded,
    ];
    for outcome in outcomes {
        let pod = Some(PodRef { name: pod.into(), uid: Uid::from(uid) });
        let (key, at) = (Subject { service: service.clone(), pod }, at(1.0));
        let ended =
            Ended { hop: Hop::Slice, key, change, cause: Cause::Pod, began: at, outcome, at, shown: None, by: None };
        stats.record(&Report::Ended(ended), at);
    }
    stats.record(&Report::Judged { service: service.clone(), change, missed: true }, at(1.0));
    follow_to_nodes(&mut stats, &service);
    let starts = startup::start_a_pod(&mut stats, &service);
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut snapshot = stats.snapshot(&[], at(9.0), wall);
    let stale = Stale { service: service.clone(), nodes: vec!["a".into(), "b".into()], since: at(3.0) };
    let mut standing = programming::Standing { following: 3, stale: vec![stale], ..Default::default() };
    standing.unmatched.no_change = 4;
    standing.pending[change.index()] = 2;
    standing.oldest[change.index()] = Some(at(3.0));
    snapshot.nodes = Some(stats.nodes(standing));
    snapshot.startup = Some(stats.startup_snapshot(starts));
    snapshot.objectives.push((service.clone(), Duration::from_secs(5)));
    let in_sync = Arc::new(ServiceName { namespace: "shop".into(), name: "search".into() });
    let wrong = OutOfSync { endpoints: 3, oldest: Some(at(2.0)), oldest_traffic: Some(at(6.5)) };
    snapshot.out_of_sync.extend([(service, wrong), (in_sync, OutOfSync::default())]);
    let pods = WatchHealth::new(Resource::Pods, None, Arc::default());
    pods.read(at(7.5), 1000);
    (0..3).for_each(|_| pods.count_event());
    pods.count_restart(Restart::Idle);
    pods.count_gap(Duration::from_millis(1500));
    pods.set_synced();
    let watches = vec![
        Arc::new(pods),
        Arc::new(WatchHealth::new(Resource::Services, None, Arc::default())),
        Arc::new(WatchHealth::new(Resource::EndpointSlices, None, Arc::default())),
    ];
    let http = HttpCounts { requests: vec![("/metrics".to_owned(), 200, 7)], dropped: vec![("slow_reader", 2)] };
    Scrape {
        snapshot,
        watches,
        samples_dropped: 0,
        samples_errors: 0,
        tls: Some(TlsCounts { expiration: 2_000_000_000, failures: 1 }),
        hdr_log_errors: 0,
        histograms: Histograms::Both,
        visible_slo: true,
        http,
        agents: Some(summary_of_agents()),
        advice: Some(advice::view()),
    }
}

/// A change that two of three nodes have in effect.
fn follow_to_nodes(stats: &mut Stats, service: &Arc<ServiceName>) {
    let change = Change::Ready;
    for millis in [20, 300] {
        let delay = Some(Duration::from_millis(millis));
        stats.record_nodes(
            &programming::Report::Nodes { change, outcome: NodeOutcome::InEffect, delay, nodes: 1 },
            at(2.0),
        );
    }
    let age = Some(Duration::from_secs(600));
    stats.record_nodes(
        &programming::Report::Nodes { change, outcome: NodeOutcome::Expired, delay: age, nodes: 1 },
        at(2.0),
    );
    let (share, delay) = (Share::Half, Duration::from_millis(320));
    stats.record_nodes(
        &programming::Report::Visible { service: service.clone(), change, share, delay, is_expired: false },
        at(2.0),
    );
    for missed in [false, true, false] {
        stats.record_nodes(&programming::Report::Judged { service: service.clone(), change, missed }, at(2.0));
    }
}

fn summary_of_agents() -> collector::Summary {
    let counts = collector::Counts {
        received: 7,
        untimed: 2,
        duplicate: 1,
        lost_ring: 3,
        gaps: [0, 0, 1, 0, 0],
        steps: 1,
        ..collector::Counts::default()
    };
    collector::Summary { connected: 3, expected: 4, silent: 1, clock_error: Duration::from_micros(250), counts }
}

fn text(format: Format) -> String {
    String::from_utf8(scrape().encode(format).expect("encodes")).expect("text")
}

fn lines_of<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(name)).collect()
}

#[test]
fn a_histogram_is_cumulative_and_counts_the_expired_beyond_every_bound() {
    let text = text(Format::Text);
    let cart = r#"{change="ready",namespace="shop",service="cart""#;
    assert_eq!(
        lines_of(&text, "endpointlag_propagation_seconds"),
        [
            format!("endpointlag_propagation_seconds_bucket{cart},le=\"0.01\"}} 2"),
            format!("endpointlag_propagation_seconds_bucket{cart},le=\"0.1\"}} 2"),
            format!("endpointlag_propagation_seconds_bucket{cart},le=\"5\"}} 3"),
            format!("endpointlag_propagation_seconds_bucket{cart},le=\"+Inf\"}} 4"),
            format!("endpointlag_propagation_seconds_sum{cart}}} 600.26"),
            format!("endpointlag_propagation_seconds_count{cart}}} 4"),
        ]
    );
}

#[test]
fn counters_gauges_and_watches_show_what_was_counted() {
    let text = text(Format::Text);
    for line in [
        r#"endpointlag_changes_total{change="ready",namespace="shop",outcome="propagated",service="cart"} 3"#,
        r#"endpointlag_changes_total{change="ready",namespace="shop",outcome="superseded",service="cart"} 1"#,
        r#"endpointlag_slo_missed_total{change="ready",namespace="shop",service="cart"} 1"#,
        r#"endpointlag_objective_seconds{namespace="shop",service="cart"} 5"#,
        r#"endpointlag_out_of_sync_endpoints{namespace="shop",service="cart"} 3"#,
        r#"endpointlag_oldest_out_of_sync_seconds{namespace="shop",service="cart"} 7"#,
        r#"endpointlag_oldest_out_of_sync_traffic_seconds{namespace="shop",service="cart"} 2.5"#,
        r#"endpointlag_out_of_sync_endpoints{namespace="shop",service="search"} 0"#,
        r#"endpointlag_oldest_out_of_sync_seconds{namespace="shop",service="search"} 0"#,
        r#"endpointlag_oldest_out_of_sync_traffic_seconds{namespace="shop",service="search"} 0"#,
        "endpointlag_reordered_total 1",
        r#"endpointlag_dataplane_changes_total{change="ready",outcome="in_effect"} 2"#,
        r#"endpointlag_dataplane_seconds_bucket{change="ready",le="0.1"} 1"#,
        r#"endpointlag_dataplane_seconds_count{change="ready"} 3"#,
        r#"endpointlag_dataplane_pending_changes{change="ready"} 2"#,
        r#"endpointlag_dataplane_oldest_pending_seconds{change="ready"} 6"#,
        r#"endpointlag_stale_nodes{namespace="shop",service="cart"} 2"#,
        r#"endpointlag_visible_seconds_bucket{change="ready",namespace="_all",nodes="0.5",service="_all",le="5"} 1"#,
        r#"endpointlag_dataplane_unmatched_total{reason="no_change"} 4"#,
        r#"endpointlag_watch_age_seconds{resource="pods"} 1.5"#,
        r#"endpointlag_watch_synced{resource="pods"} 1"#,
        r#"endpointlag_watch_synced{resource="services"} 0"#,
        r#"endpointlag_watch_restarts_total{reason="idle",resource="pods"} 1"#,
        r#"endpointlag_watch_gap_seconds_total{resource="pods"} 1.5"#,
        r#"endpointlag_http_requests_total{code="200",path="/metrics"} 7"#,
        r#"endpointlag_http_connections_dropped_total{reason="slow_reader"} 2"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_metric_of_the_table_is_shown_and_no_other() {
    let text = text(Format::Text);
    let mut shown: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    shown.retain(|line| line.starts_with("endpointlag_"));
    let mut table: Vec<_> = METRICS.iter().map(|metric| format!("{} {}", metric.name, metric.kind.as_str())).collect();
    table.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, table);
}

#[test]
fn openmetrics_shows_the_pod_behind_a_slow_delay_and_ends() {
    let text = text(Format::OpenMetrics);
    let cart = r#"{change="ready",namespace="shop",service="cart""#;
    assert_eq!(
        lines_of(&text, "endpointlag_propagation_seconds_bucket"),
        [
            format!("endpointlag_propagation_seconds_bucket{cart},le=\"0.01\"}} 2"),
            format!("endpointlag_propagation_seconds_bucket{cart},le=\"0.1\"}} 2"),
            format!("endpointlag_propagation_seconds_bucket{cart},le=\"5\"}} 3"),
            format!(
                "endpointlag_propagation_seconds_bucket{cart},le=\"+Inf\"}} 4 # {{pod=\"cart-0\",uid=\"u\"}} 600 \
                 1699999992.000"
            ),
        ]
    );
    assert!(text.contains("# TYPE endpointlag_changes counter\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn an_exemplar_has_no_more_labels_than_openmetrics_allows() {
    let uid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    for (length, shown) in [(86, "pod,uid"), (87, "pod"), (125, "pod"), (126, "")] {
        let scrape = scrape_of(&"p".repeat(length), uid);
        let text = String::from_utf8(scrape.encode(Format::OpenMetrics).expect("encodes")).expect("text");
        let slow = lines_of(&text, "endpointlag_propagation_seconds_bucket")[3];
        let exemplar = slow.split_once(" # {").map_or("", |(_, exemplar)| exemplar);
        let labels = exemplar.split_once('}').map_or("", |(labels, _)| labels);
        let names: Vec<_> = labels.split(',').map(|label| label.split('=').next().unwrap_or_default()).collect();
        assert_eq!(names.join(","), shown, "{length}: {slow}");
        let protobuf = scrape.encode(Format::Protobuf).expect("encodes");
        let [histogram] = &propagation_of(&protobuf)[..] else { panic!("one histogram") };
        assert_eq!(histogram.exemplars.len(), usize::from(!shown.is_empty()), "{length}");
    }
}

/// `io.prometheus.client` as its readers have it, with the fields that the prometheus crate does not know.
mod client_model {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricFamily {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub help: String,
        #[prost(int32, tag = "3")]
        pub kind: i32,
        #[prost(message, repeated, tag = "4")]
        pub metric: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub label: Vec<Label>,
        #[prost(message, optional, tag = "2")]
        pub gauge: Option<Gauge>,
        #[prost(message, optional, tag = "3")]
        pub counter: Option<Counter>,
        #[prost(message, optional, tag = "7")]
        pub histogram: Option<Histogram>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Label {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Gauge {
        #[prost(double, tag = "1")]
        pub value: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Counter {
        #[prost(double, tag = "1")]
        pub value: f64,
        #[prost(message, optional, tag = "3")]
        pub start_timestamp: Option<Timestamp>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Histogram {
        #[prost(uint64, tag = "1")]
        pub sample_count: u64,
        #[prost(double, tag = "2")]
        pub sample_sum: f64,
        #[prost(message, repeated, tag = "3")]
        pub bucket: Vec<Bucket>,
        #[prost(sint32, tag = "5")]
        pub schema: i32,
        #[prost(double, tag = "6")]
        pub zero_threshold: f64,
        #[prost(uint64, tag = "7")]
        pub zero_count: u64,
        #[prost(message, repeated, tag = "12")]
        pub positive_span: Vec<Span>,
        #[prost(sint64, repeated, packed = "false", tag = "13")]
        pub positive_delta: Vec<i64>,
        #[prost(message, optional, tag = "15")]
        pub start_timestamp: Option<Timestamp>,
        #[prost(message, repeated, tag = "16")]
        pub exemplars: Vec<Exemplar>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Bucket {
        #[prost(uint64, tag = "1")]
        pub cumulative_count: u64,
        #[prost(double, tag = "2")]
        pub upper_bound: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(sint32, tag = "1")]
        pub offset: i32,
        #[prost(uint32, tag = "2")]
        pub length: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Timestamp {
        #[prost(int64, tag = "1")]
        pub seconds: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub label: Vec<Label>,
        #[prost(double, tag = "2")]
        pub value: f64,
    }
}

fn propagation_in_protobuf(histograms: Histograms) -> Vec<client_model::Histogram> {
    propagation_of(&Scrape { histograms, ..scrape() }.encode(Format::Protobuf).expect("encodes"))
}

fn propagation_of(protobuf: &[u8]) -> Vec<client_model::Histogram> {
    rows_of(protobuf, "endpointlag_propagation_seconds").into_iter().filter_map(|row| row.histogram).collect()
}

fn rows_of(protobuf: &[u8], name: &str) -> Vec<client_model::Metric> {
    families_of(protobuf).into_iter().filter(|family| family.name == name).flat_map(|family| family.metric).collect()
}

fn families_of(mut protobuf: &[u8]) -> Vec<client_model::MetricFamily> {
    let mut families = Vec::new();
    while !protobuf.is_empty() {
        families.push(client_model::MetricFamily::decode_length_delimited(&mut protobuf).expect("a family"));
    }
    families
}

/// Holds `shown` against a file beside this one, or writes it there.
fn assert_golden(file: &str, shown: &str) {
    let shown = shown.replace(crate::REVISION, "REVISION");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exposition/metrics/golden").join(file);
    if env::var_os("ENDPOINTLAG_WRITE_GENERATED").is_some() {
        fs::write(&path, shown).expect("written");
        return;
    }
    let golden = fs::read_to_string(&path).expect("the file is there");
    assert!(
        golden == shown,
        "{file} says:\n{golden}\nand it is:\n{shown}\nENDPOINTLAG_WRITE_GENERATED=1 writes it anew"
    );
}

/// Without the metrics of the process itself, which are what they are.
fn own_lines(text: &str) -> String {
    let is_own =
        |line: &&str| line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with("endpointlag_");
    text.lines().filter(is_own).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_whole_page_is_as_it_was() {
    assert_golden("text.txt", &own_lines(&text(Format::Text)));
    assert_golden("openmetrics.txt", &own_lines(&text(Format::OpenMetrics)));
    let mut protobuf = String::new();
    for family in families_of(&scrape().encode(Format::Protobuf).expect("encodes")) {
        if family.name.starts_with("endpointlag_") {
            protobuf += &format!("{} {} {}\n", family.name, family.kind, family.help);
            protobuf.extend(family.metric.iter().map(|metric| format!("    {metric:?}\n")));
        }
    }
    assert_golden("protobuf.txt", &protobuf);
}

#[test]
fn counters_say_in_protobuf_since_when_they_count() {
    let bytes = scrape().encode(Format::Protobuf).expect("encodes");
    let starts = |name| -> Vec<(f64, i64)> {
        let counters = rows_of(&bytes, name).into_iter().filter_map(|row| row.counter);
        counters.map(|it| (it.value, it.start_timestamp.map_or(0, |start| start.seconds))).collect()
    };
    // The first change ended a second after the start, eight before the scrape.
    let changes = starts("endpointlag_changes_total");
    assert_eq!(changes, [(3.0, 1_699_999_992), (1.0, 1_699_999_992), (1.0, 1_699_999_992)]);
    assert_eq!(starts("endpointlag_slo_missed_total"), [(1.0, 1_699_999_992)]);
    assert_eq!(starts("endpointlag_samples_dropped_total"), [(0.0, 1_699_999_991)]);
    let text = text(Format::OpenMetrics);
    assert!(!text.contains("_created"), "Prometheus would take each for a series of its own");
}

#[test]
fn protobuf_carries_native_buckets_beside_classic_ones_with_equal_counts() {
    let [histogram] = &propagation_in_protobuf(Histograms::Both)[..] else { panic!("one histogram") };
    assert_eq!((histogram.schema, histogram.sample_count, histogram.zero_count), (3, 4, 1));
    assert_eq!(histogram.bucket.last().map(|bucket| bucket.cumulative_count), Some(3), "one beyond every bound");
    // 10 ms, 250 ms and 600 s: buckets -53, -16 and 74 of schema 3.
    let spans: Vec<_> = histogram.positive_span.iter().map(|span| (span.offset, span.length)).collect();
    assert_eq!(spans, [(-53, 1), (36, 1), (89, 1)]);
    assert_eq!(histogram.positive_delta, [1, 0, 0]);
    assert_eq!(histogram.start_timestamp.as_ref().map(|start| start.seconds), Some(1_699_999_992));
    assert_eq!(histogram.exemplars.iter().map(|exemplar| exemplar.value).collect::<Vec<_>>(), [600.0]);
}

#[test]
fn the_choice_of_histograms_is_kept() {
    let [classic] = &propagation_in_protobuf(Histograms::Classic)[..] else { panic!("one histogram") };
    assert!(classic.positive_span.is_empty() && !classic.bucket.is_empty());
    let [native] = &propagation_in_protobuf(Histograms::Native)[..] else { panic!("one histogram") };
    assert!(!native.positive_span.is_empty() && native.bucket.is_empty());
    let cluster = propagation_in_protobuf(Histograms::ClusterOnly);
    assert_eq!(cluster.len(), 5, "one for each kind of change, whatever the number of Services");
    assert_eq!(cluster[0].sample_count, 4);
    let text = Scrape { histograms: Histograms::ClusterOnly, ..scrape() }.encode(Format::Text).expect("encodes");
    let text = String::from_utf8(text).expect("text");
    assert_eq!(lines_of(&text, "endpointlag_out_of_sync_endpoints{").len(), 2, "states stay by Service");
}

#[test]
fn a_scraper_gets_the_format_it_likes_most() {
    let prometheus = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                      application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let cases = [
        (prometheus, Format::Protobuf),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.6", Format::Text),
        ("application/openmetrics-text; version=1.0.0", Format::OpenMetrics),
        ("application/openmetrics-text;version=0.0.1,*/*;q=0.1", Format::Text),
        ("application/vnd.google.protobuf;encoding=text", Format::Text),
        ("application/vnd.google.protobuf;q=0", Format::Text),
        ("text/html", Format::Text),
        (";;q=,", Format::Text),
        ("", Format::Text),
    ];
    for (accept, format) in cases {
        assert_eq!(Format::negotiate(accept), format, "{accept}");
    }
}
