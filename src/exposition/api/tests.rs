use super::*;
use crate::{
    collector::Summary,
    ledger::{Cause, Change, Fault, Hop, Outcome},
    model::{SliceVersion, Uid},
    pipeline::Changes,
    programming,
    propagation::{Ended, OutOfSyncEndpoint, PendingChange, PodRef, Report, ServiceName, Subject},
    stats::{Bounds, KEPT, Measured, OutOfSync, Recent, Selection, SeriesLimits, Stats, Table},
};
use serde_json::Value;
use std::{str::FromStr, sync::Arc, time::SystemTime};

mod advice;
mod startup;

/// The moment of all answers: an hour and ten minutes after the start.
const NOW: Duration = Duration::from_secs(4_200);

fn now<T>(value: T) -> Now<T> {
    Now { at: Stamp::new(NOW), wall: SystemTime::UNIX_EPOCH + NOW, value }
}

fn name(namespace: &str, name: &str) -> Arc<ServiceName> {
    Arc::new(ServiceName { namespace: namespace.into(), name: name.into() })
}

fn ended(service: &Arc<ServiceName>, change: Change, seconds: u64, millis: u64) -> Ended {
    let delay = Duration::from_millis(millis);
    let outcome = Outcome::Propagated { delay, reordered: None };
    let pod = PodRef { name: "a-pod".into(), uid: Uid::from("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0") };
    let at = Stamp::new(Duration::from_secs(seconds));
    let by = SliceVersion { uid: Uid::from("slice"), name: "cart-x7k2p".into(), resource_version: seconds };
    let key = Subject { service: service.clone(), pod: Some(pod) };
    let (hop, began, by) = (Hop::Slice, at.minus(delay), Some(Arc::new(by)));
    Ended { hop, key, change, cause: Cause::Pod, began, outcome, at, shown: Some(at), by }
}

/// Two Services: `shop/cart` was slow an hour ago and is fast now, `shop/search` the other way round.
fn all_ended() -> Vec<Ended> {
    let (cart, search) = (name("shop", "cart"), name("shop", "search"));
    vec![
        ended(&cart, Change::Ready, 100, 8_000),
        ended(&search, Change::Ready, 200, 10),
        ended(&cart, Change::Removed, 4_100, 20),
        ended(&cart, Change::Ready, 4_150, 30),
        ended(&search, Change::Ready, 4_160, 2_000),
    ]
}

fn stats() -> Stats {
    let limits = SeriesLimits { services: 100, idle: Duration::from_secs(3600) };
    let bounds = Bounds::DEFAULT.parse().expect("the default is valid");
    let mut stats = Stats::new(bounds, limits, Stamp::default());
    for ended in all_ended() {
        let at = ended.at;
        stats.record(&Report::Ended(ended), at);
    }
    stats
}

fn table(selection: &Selection) -> Now<Table> {
    now(stats().table(&[], selection))
}

fn ask_services(query: &str) -> Value {
    let query = ServicesQuery::from_str(query).expect("valid");
    serde_json::from_slice(&services(&table(&query.selection), &query).expect("JSON")).expect("JSON")
}

fn ask_overview(nodes: Option<(&Now<programming::Standing>, &Summary)>) -> Value {
    let cluster = now(stats().cluster(&[], Stamp::new(NOW)));
    serde_json::from_slice(&overview(&cluster, nodes, "simulated cluster", &[]).expect("JSON")).expect("JSON")
}

fn rows(answer: &Value) -> Vec<String> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let rows = answer["services"].as_array().expect("rows").iter();
    rows.map(|row| format!("{} {}", text(row, "service"), text(row, "change"))).collect()
}

fn about(value: &Value, seconds: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - seconds).abs() <= seconds * 0.01)
}

#[test]
fn each_window_has_its_own_distribution() {
    let answer = ask_services("service=cart&change=ready");
    assert_eq!(rows(&answer), ["cart ready"]);
    let windows = &answer["services"][0]["windows"];
    for (window, count, max) in [("5m", 1, 0.03), ("1h", 1, 0.03), ("start", 2, 8.0)] {
        assert_eq!(windows[window]["count"], count, "{window}: {windows}");
        assert_eq!(windows[window]["max"], max, "{window}: {windows}");
    }
    assert!(about(&windows["start"]["p50"], 0.03) && about(&windows["start"]["p99"], 8.0), "{windows}");
    assert_eq!(answer["services"][0]["outcomes"]["propagated"], 2);
}

#[test]
fn rows_are_sorted_by_the_window_that_is_asked_for() {
    assert_eq!(rows(&ask_services("")), ["cart ready", "cart removed", "search ready"]);
    assert_eq!(rows(&ask_services("sort=p99")), ["cart ready", "search ready", "cart removed"]);
    assert_eq!(rows(&ask_services("sort=p99&window=5m")), ["search ready", "cart ready", "cart removed"]);
    assert_eq!(rows(&ask_services("sort=max&order=asc&window=5m")), ["cart removed", "cart ready", "search ready"]);
    assert_eq!(rows(&ask_services("sort=name&order=desc"))[0], "search ready");
    let answer = ask_services("sort=p99&window=5m&limit=1&offset=1");
    assert_eq!((rows(&answer), &answer["total"]), (vec!["cart ready".to_owned()], &Value::from(3)));
    assert_eq!(answer["services"][0]["windows"].as_object().map(serde_json::Map::len), Some(1));
}

#[test]
fn kinds_of_change_merge_into_their_service() {
    let answer = ask_services("by=service&sort=count");
    assert_eq!(rows(&answer), ["cart -", "search -"]);
    assert_eq!(answer["services"][0]["windows"]["start"]["count"], 3);
    assert_eq!(rows(&ask_services("by=service&q=SEA")), ["search -"]);
    assert_eq!(rows(&ask_services("q=shop/c&change=removed")), ["cart removed"]);
    assert!(rows(&ask_services("namespace=other")).is_empty());
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let error = |query: &str| ServicesQuery::from_str(query).expect_err("bad").to_string();
    assert_eq!(error("sort=size").split(':').next(), Some("sort=\"size\""));
    for of_services in ["only=stuck", "first=stuck&by=change", "sort=out_of_sync", "sort=oldest_out_of_sync"] {
        assert!(error(of_services).ends_with("add by=service"), "{of_services}");
    }
    assert_eq!(error("window=2m"), "window=\"2m\": write one of 5m, 1h, start");
    assert_eq!(error("limit=-1"), "limit=\"-1\": write a whole number from 0 to 100000");
    assert_eq!(error("srot=p99"), "unknown parameter \"srot\"");
    assert_eq!(error("q=a&q=b"), "the parameter \"q\" is given twice");
    let error = HistogramQuery::from_str("namespace=shop").expect_err("bad").to_string();
    assert_eq!(error, "a Service needs both namespace and service");
    assert!(ChangesQuery::from_str("limit=10001").is_err());
    assert_eq!(ServicesQuery::from_str("q=&window="), ServicesQuery::from_str(""), "a form sends empty fields");
}

#[test]
fn histograms_read_back_with_their_counts() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let query = HistogramQuery::from_str("namespace=shop&service=cart").expect("valid");
    let histograms = Histograms::of_service(&table(&query.selection), &query).expect("known");
    let answer: Value = serde_json::from_slice(&histograms.json().expect("JSON")).expect("JSON");
    let bytes = STANDARD.decode(answer["histograms"][0]["histogram"].as_str().expect("text")).expect("base64");
    let back: hdrhistogram::Histogram<u64> =
        hdrhistogram::serialization::Deserializer::new().deserialize(&mut &*bytes).expect("V2");
    let unit = answer["unit"]["seconds"].as_f64().expect("a number");
    assert_eq!((back.len(), &answer["histograms"][0]["change"]), (2, &Value::from("ready")));
    let max = (back.max() + 1) as f64 * unit;
    assert!((8.0..8.08).contains(&max), "{max}");
    assert_eq!(answer["merged"]["count"], 3);
    let last = answer["merged"]["percentiles"].as_array().and_then(|all| all.last()).expect("steps");
    assert_eq!((&last[1], &last[2]), (&Value::from(1.0), &Value::from(3)));
    assert!(histograms.text().contains("Total count    =            3]"), "{}", histograms.text());

    let query = HistogramQuery::from_str("change=ready&window=5m").expect("valid");
    let cluster = Histograms::of_cluster(&now(stats().cluster(&[], Stamp::new(NOW))), &query);
    let answer: Value = serde_json::from_slice(&cluster.json().expect("JSON")).expect("JSON");
    assert_eq!((&answer["histograms"][0]["count"], &answer["merged"]["count"]), (&Value::from(2), &Value::from(2)));
    let query = HistogramQuery::from_str("namespace=shop&service=nothing").expect("valid");
    assert!(Histograms::of_service(&table(&query.selection), &query).is_none());
}

/// What would be asked of trackers, made by hand: `shop/cart` misleads traffic, `shop/idle` has a pod listed for nothing,
/// `shop/search` is in sync.
fn table_out_of_sync(selection: &Selection) -> Now<Table> {
    let mut table = table(selection);
    let at = |seconds| Some(Stamp::new(Duration::from_secs(seconds)));
    let wrong = [
        ("cart", OutOfSync { endpoints: 3, oldest: at(4_100), oldest_traffic: at(4_190) }),
        ("idle", OutOfSync { endpoints: 1, oldest: at(600), oldest_traffic: None }),
        ("search", OutOfSync::default()),
    ];
    for (service, out_of_sync) in wrong {
        let measured = Measured { service: name("shop", service), objective: Duration::from_secs(5) };
        if selection.takes(&measured.service) {
            table.value.out_of_sync.insert(measured.service.clone(), out_of_sync);
            table.value.measured.push(measured);
        }
    }
    table
}

#[test]
fn what_is_out_of_sync_is_said_of_each_service_and_comes_first() {
    let ask = |query: &str| -> Value {
        let query = ServicesQuery::from_str(query).expect("valid");
        let table = table_out_of_sync(&query.selection);
        serde_json::from_slice(&services(&table, &query).expect("JSON")).expect("JSON")
    };
    let answer = ask("by=service&service=cart");
    let cart = &answer["services"][0];
    let ages = ["oldest_out_of_sync_seconds", "oldest_out_of_sync_traffic_seconds"].map(|key| &cart[key]);
    assert_eq!((&cart["out_of_sync"], ages), (&3.into(), [&100.0.into(), &10.0.into()]));
    assert_eq!(cart["stuck"], "traffic");
    let answer = ask("by=service&service=search");
    let search = &answer["services"][0];
    assert_eq!((&search["out_of_sync"], &search["oldest_out_of_sync_seconds"]), (&0.into(), &Value::Null));
    assert_eq!(search["stuck"], Value::Null);
    assert_eq!(ask("service=cart")["services"][0].get("out_of_sync"), None, "a kind of change has no such state");

    assert_eq!(rows(&ask("by=service")), ["cart -", "idle -", "search -"]);
    assert_eq!(rows(&ask("by=service&sort=out_of_sync")), ["cart -", "idle -", "search -"]);
    assert_eq!(rows(&ask("by=service&sort=oldest_out_of_sync")), ["idle -", "cart -", "search -"]);
    assert_eq!(rows(&ask("by=service&order=desc")), ["search -", "idle -", "cart -"]);
    assert_eq!(rows(&ask("by=service&only=stuck")), ["cart -", "idle -"]);
    assert_eq!(rows(&ask("by=service&order=desc&first=stuck")), ["cart -", "idle -", "search -"]);
}

#[test]
fn a_service_of_which_nothing_is_known_is_not_said_to_be_in_sync() {
    assert_eq!(ask_services("by=service&service=cart")["services"][0]["out_of_sync"], Value::Null);
    let answer = ask_overview(None);
    assert_eq!((&answer["out_of_sync"], &answer["misrouted_services"]), (&Value::Null, &0.into()));
}

#[test]
fn misses_are_counted_by_window() {
    let mut stats = stats();
    let cart = name("shop", "cart");
    for seconds in [100, 4_150] {
        let report = Report::Judged { service: cart.clone(), change: Change::Ready, missed: true };
        stats.record(&report, Stamp::new(Duration::from_secs(seconds)));
    }
    let query = ServicesQuery::from_str("service=cart&change=ready&sort=missed&window=5m").expect("valid");
    let table = now(stats.table(&[], &query.selection));
    let answer: Value = serde_json::from_slice(&services(&table, &query).expect("JSON")).expect("JSON");
    let row = &answer["services"][0];
    assert_eq!((&row["missed"], &row["windows"]["5m"]["missed"]), (&2.into(), &1.into()));
}

#[test]
fn endpoints_that_mislead_traffic_come_first_and_then_the_oldest() {
    let endpoint = |service: &str, pod: &str, seconds: u64, traffic: bool| OutOfSyncEndpoint {
        service: name("shop", service),
        pod: PodRef { name: pod.into(), uid: Uid::from("u") },
        fault: Fault { since: Stamp::new(Duration::from_secs(seconds)), traffic },
    };
    let all = now(vec![
        endpoint("cart", "a", 4_000, true),
        endpoint("cart", "b", 100, false),
        endpoint("search", "c", 3_900, true),
    ]);
    let ask = |query: &str| -> Value {
        let query = OutOfSyncQuery::from_str(query).expect("valid");
        serde_json::from_slice(&out_of_sync(&all, &query).expect("JSON")).expect("JSON")
    };
    let pods = |answer: &Value| -> Vec<String> {
        let endpoints = answer["endpoints"].as_array().expect("a list").iter();
        endpoints.map(|it| it["pod"].as_str().expect("text").to_owned()).collect()
    };
    let answer = ask("");
    assert_eq!((pods(&answer), &answer["total"]), (["c", "a", "b"].map(str::to_owned).to_vec(), &3.into()));
    let last = &answer["endpoints"][2];
    assert_eq!((&last["age_seconds"], &last["traffic"]), (&4_100.0.into(), &false.into()));
    assert_eq!((&last["since"], &last["uid"]), (&"1970-01-01T00:01:40.000000Z".into(), &"u".into()));
    assert_eq!(pods(&ask("traffic=true&limit=1")), ["c"]);
    assert_eq!(pods(&ask("namespace=shop&service=cart&traffic=false")), ["b"]);
    assert_eq!(ask("q=sea")["total"], 1);
    assert!(OutOfSyncQuery::from_str("change=ready").is_err(), "a state is of no kind of change");
}

#[test]
fn changes_come_newest_or_slowest_first() {
    let mut recent = Recent::default();
    for ended in all_ended() {
        recent.push(&ended);
    }
    let pending = |seconds: u64, exact: bool| PendingChange {
        key: Subject { service: name("shop", "cart"), pod: None },
        change: Change::Service,
        cause: if exact { Cause::Service } else { Cause::FirstSight },
        since: Stamp::new(Duration::from_secs(seconds)),
        exact,
        objective: Duration::from_secs(5),
        doubt: None,
        judged: false,
    };
    let all = now(Changes { pending: vec![pending(4_000, false), pending(4_199, true)], recent });
    let ask = |query: &str| -> Value {
        let query = ChangesQuery::from_str(query).expect("valid");
        serde_json::from_slice(&changes(&all, &query).expect("JSON")).expect("JSON")
    };
    let newest = ask("limit=1");
    assert_eq!((&newest["pending_total"], &newest["pending"][0]["age_seconds"]), (&2.into(), &1.0.into()));
    assert_eq!((&newest["ended_total"], newest["ended"].as_array().map(Vec::len)), (&5.into(), Some(1)));
    assert_eq!(newest["ended"][0]["started"], "1970-01-01T01:09:18.000000Z");
    assert_eq!(newest["ended"][0]["ended"], "1970-01-01T01:09:20.000000Z");
    let slowest = ask("sort=slowest&namespace=shop&service=cart");
    assert_eq!(
        (&slowest["pending"][0]["age_seconds"], &slowest["pending"][0]["exact"]),
        (&200.0.into(), &false.into())
    );
    let delays: Vec<_> = slowest["ended"].as_array().expect("a list").iter().map(|it| &it["delay_seconds"]).collect();
    assert_eq!(delays, [&Value::from(8.0), &0.03.into(), &0.02.into()]);
    assert_eq!(slowest["ended"][0]["pod"], "a-pod");
    let slice = serde_json::json!({ "name": "cart-x7k2p", "uid": "slice", "resource_version": "100" });
    assert_eq!((&slowest["ended"][0]["slice"], &slowest["ended"][0]["cause"]), (&slice, &"pod".into()));
    assert_eq!(slowest["pending"][0]["cause"], "first-sight");
    assert_eq!(ask("change=removed")["ended_total"], 1);
    assert!(newest["ended_since"].is_null(), "they are all since the start");
    // One more than are kept.
    let mut recent = Recent::default();
    let ended = all_ended();
    for ended in ended.iter().cycle().take(KEPT + 1) {
        recent.push(ended);
    }
    let all = now(Changes { pending: Vec::new(), recent });
    let query = ChangesQuery::from_str("limit=1&service=none").expect("valid");
    let answer: Value = serde_json::from_slice(&changes(&all, &query).expect("JSON")).expect("JSON");
    assert_eq!(answer["ended_since"], super::time(&now(()), ended[1].at));
}

#[test]
fn the_overview_merges_all_kinds_of_change() {
    let answer = ask_overview(None);
    assert_eq!(answer["subject"], "simulated cluster");
    assert_eq!(answer["time"], "1970-01-01T01:10:00.000000Z");
    let counts: Vec<_> = ["5m", "1h", "start"].iter().map(|window| &answer["windows"][window]["count"]).collect();
    assert_eq!(counts, [3, 3, 5]);
    assert_eq!(answer["windows"]["5m"]["max"], 2.0);
}

#[test]
fn the_overview_tells_of_the_nodes_if_there_are_agents() {
    assert_eq!(ask_overview(None)["nodes"], Value::Null);
    let at = |seconds| Stamp::new(NOW - Duration::from_secs(seconds));
    let stale = |service: &str, nodes: &[&str], seconds| programming::Stale {
        service: name("shop", service),
        nodes: nodes.iter().map(|node| Arc::from(*node)).collect(),
        since: at(seconds),
    };
    let mut standing = programming::Standing { following: 7, ..Default::default() };
    (standing.pending[0], standing.oldest[0]) = (2, Some(at(3)));
    (standing.pending[3], standing.oldest[3]) = (1, Some(at(9)));
    standing.stale = vec![stale("cart", &["b"], 9), stale("search", &["f", "e", "d", "c", "b", "a"], 60)];
    let agents = Summary { connected: 7, expected: 9, silent: 2, ..Default::default() };
    let answer = ask_overview(Some((&now(standing), &agents)));
    let expected = serde_json::json!({
        "agents": { "connected": 7, "expected": 9, "silent": 2 },
        "following": 7,
        "pending": 3,
        "oldest_pending_seconds": 9.0,
        "stale_services": 2,
        "stale": [
            { "namespace": "shop", "service": "search", "nodes": 6, "names": ["a", "b", "c", "d", "e"], "age_seconds": 60.0 },
            { "namespace": "shop", "service": "cart", "nodes": 1, "names": ["b"], "age_seconds": 9.0 },
        ],
    });
    assert_eq!(answer["nodes"], expected);
}

#[test]
fn the_history_tells_each_minute_of_the_last_hour() {
    let mut stats = stats();
    let cart = name("shop", "cart");
    let missed = Report::Judged { service: cart.clone(), change: Change::Ready, missed: true };
    for seconds in [100, 4_130] {
        stats.record(&missed, Stamp::new(Duration::from_secs(seconds)));
    }
    let shown = |query: &str, answer: &Value| -> Vec<(String, u64, u64)> {
        let intervals = answer["intervals"].as_array().expect("a list");
        assert_eq!((intervals.len(), &answer["interval_seconds"]), (60, &60.0.into()), "{query}");
        let told = intervals.iter().filter(|it| it["count"] != 0 || it["missed"] != 0);
        let number = |it: &Value, key: &str| it[key].as_u64().expect("a number");
        told.map(|it| {
            (it["start"].as_str().expect("text")[11..19].to_owned(), number(it, "count"), number(it, "missed"))
        })
        .collect()
    };
    let minute = |start: &str, count, missed| (start.to_owned(), count, missed);

    let of_cluster = |query: &str| -> Value {
        let cluster = now(stats.cluster(&[], Stamp::new(NOW)));
        let query = HistoryQuery::from_str(query).expect("valid");
        serde_json::from_slice(&History::of_cluster(&cluster, &query).json().expect("JSON")).expect("JSON")
    };
    let all = of_cluster("");
    assert_eq!(shown("", &all), [minute("01:08:00", 1, 1), minute("01:09:00", 2, 0)]);
    assert_eq!(all["objective_seconds"], Value::Null);
    assert_eq!(shown("change=removed", &of_cluster("change=removed")), [minute("01:08:00", 1, 0)]);

    let of_service = |query: &str| {
        let query = HistoryQuery::from_str(query).expect("valid");
        let mut table = now(stats.table(&[], &query.selection));
        let objective = Duration::from_secs(2);
        table.value.measured.push(Measured { service: cart.clone(), objective });
        let history = History::of_service(&table).expect("known");
        serde_json::from_slice::<Value>(&history.json().expect("JSON")).expect("JSON")
    };
    let answer = of_service("namespace=shop&service=cart");
    assert_eq!(shown("cart", &answer), [minute("01:08:00", 1, 1), minute("01:09:00", 1, 0)]);
    assert_eq!(answer["objective_seconds"], 2.0);
}

#[test]
fn a_history_counts_delays_by_octave() {
    let query = HistoryQuery::from_str("change=ready").expect("valid");
    let cluster = now(stats().cluster(&[], Stamp::new(NOW)));
    let answer = History::of_cluster(&cluster, &query).json().expect("JSON");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    let bounds: Vec<f64> = answer["bounds"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert_eq!((bounds[0], bounds[5], bounds[11], bounds[22]), (1.0 / 1024.0, 0.03125, 2.0, 4096.0));
    let [.., last, open] = answer["intervals"].as_array().expect("a list").as_slice() else { panic!("{answer}") };
    let counts: Vec<_> = last["counts"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    let expected: Vec<u64> = (0..23).map(|octave| u64::from(octave == 5 || octave == 11)).collect();
    assert_eq!((counts, &last["count"], &open["count"]), (expected, &2.into(), &0.into()));
    assert!(about(&last["p50"], 0.03) && about(&last["p99"], 2.0) && about(&last["max"], 2.0), "{last}");

    let unknown = HistoryQuery::from_str("namespace=shop&service=nothing").expect("valid");
    assert!(History::of_service(&table(&unknown.selection)).is_none());
    assert_eq!(HistoryQuery::from_str("namespace=shop"), Err(QueryError::Halved));
    assert!(HistoryQuery::from_str("window=1h").is_err(), "it is the last hour");
}
