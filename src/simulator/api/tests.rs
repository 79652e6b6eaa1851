//! Over a real loopback socket, decoded with the messages that the daemon decodes with.

use crate::simulator::{LifeSettings, Simulator, SimulatorSettings, Store, object::set_ready};
use crate::{
    cluster::wire::{List, MAGIC, ObjectMeta, Service, Status},
    simulator::messages::{EndpointSlice, Pod, Unknown, WatchEvent},
};
use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use prost::Message;
use std::time::Duration;
use tokio::time::timeout;

const INITIAL: &str = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

async fn start(settings: SimulatorSettings) -> Simulator {
    Simulator::start(settings).await.unwrap()
}

async fn get(simulator: &Simulator, path: &str) -> Response<Incoming> {
    let uri = format!("{}{path}", simulator.url());
    let request = Request::get(uri).header("accept", super::PROTOBUF).body(Empty::<Bytes>::new());
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request.unwrap()).await.unwrap()
}

/// The object in an envelope, with its API version and kind.
fn opened<M: Message + Default>(bytes: &[u8]) -> (String, String, M) {
    let unknown = Unknown::decode(bytes.strip_prefix(MAGIC).expect("magic first")).unwrap();
    let meta = unknown.type_meta.unwrap();
    let object = M::decode(unknown.raw).unwrap();
    (meta.api_version, meta.kind, object)
}

async fn listed(simulator: &Simulator, path: &str) -> (String, List) {
    let response = get(simulator, path).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], super::PROTOBUF);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let (_, kind, list) = opened(&body);
    (kind, list)
}

async fn failed(response: Response<Incoming>) -> Status {
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let (version, kind, status) = opened::<Status>(&body);
    assert_eq!((version.as_str(), kind.as_str()), ("v1", "Status"));
    assert_eq!(status.code, i32::from(code));
    status
}

/// Reads a watch frame by frame.
struct Watch {
    body: Incoming,
    buffer: BytesMut,
}

/// A frame's parts: event, kind of the object, and its metadata, which all types have in their first field.
#[derive(Debug, PartialEq)]
struct Seen {
    event: String,
    kind: String,
    name: String,
    version: String,
    ends_initial: bool,
    raw: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyObject {
    #[prost(message, required, tag = "1")]
    metadata: ObjectMeta,
}

impl Watch {
    async fn open(simulator: &Simulator, path: &str) -> Self {
        let response = get(simulator, path).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], super::PROTOBUF_WATCH);
        Self { body: response.into_body(), buffer: BytesMut::new() }
    }

    /// The next event; none at the end of the stream.
    async fn event(&mut self) -> Option<WatchEvent> {
        let whole = |b: &BytesMut| b.len() >= 4 && b.len() - 4 >= (&b[..4]).get_u32() as usize;
        while !whole(&self.buffer) {
            let frame = timeout(Duration::from_secs(5), self.body.frame()).await;
            let frame = frame.expect("an event within 5 s")?.unwrap();
            self.buffer.extend_from_slice(&frame.into_data().unwrap());
        }
        let length = self.buffer.get_u32() as usize;
        Some(WatchEvent::decode(self.buffer.split_to(length)).unwrap())
    }

    async fn next(&mut self) -> Seen {
        let event = self.event().await.expect("an event");
        let (_, kind, object) = opened::<AnyObject>(&event.object.raw);
        let annotations = &object.metadata.annotations;
        Seen {
            event: event.kind,
            kind,
            ends_initial: annotations.get("k8s.io/initial-events-end") == Some(&"true".to_owned()),
            name: object.metadata.name,
            version: object.metadata.resource_version,
            raw: event.object.raw,
        }
    }

    /// Event and name, which is most of what matters.
    async fn brief(&mut self) -> (String, String) {
        let seen = self.next().await;
        (seen.event, seen.name)
    }
}

fn brief(event: &str, name: &str) -> (String, String) {
    (event.to_owned(), name.to_owned())
}

fn add_pod(store: &Store, namespace: &str, name: &str) {
    let mut pod = Pod::default();
    pod.metadata.namespace = namespace.to_owned();
    pod.metadata.name = name.to_owned();
    pod.metadata.uid = format!("uid-of-{name}");
    store.apply(pod);
}

fn add_service(store: &Store, namespace: &str, name: &str) {
    let mut service = Service::default();
    service.metadata.namespace = namespace.to_owned();
    service.metadata.name = name.to_owned();
    store.apply(service);
}

#[tokio::test]
async fn lists_carry_kind_version_and_items() {
    let simulator = start(SimulatorSettings::default()).await;
    add_pod(simulator.store(), "shop", "cart-1");
    add_pod(simulator.store(), "payments", "ledger-1");
    let (kind, list) = listed(&simulator, "api/v1/pods").await;
    assert_eq!(kind, "PodList");
    assert_eq!(list.metadata.unwrap().resource_version, "2");
    let pods: Vec<_> = list.items.iter().map(|b| Pod::decode(b.clone()).unwrap()).collect();
    assert_eq!(pods[0].metadata.name, "ledger-1");
    assert_eq!(pods[1].metadata.uid, "uid-of-cart-1");
    assert_eq!(pods[1].metadata.resource_version, "1");

    let (kind, list) = listed(&simulator, "api/v1/namespaces/shop/pods").await;
    assert_eq!((kind.as_str(), list.items.len()), ("PodList", 1));
    let (kind, list) = listed(&simulator, "apis/discovery.k8s.io/v1/endpointslices").await;
    assert_eq!((kind.as_str(), list.items.len()), ("EndpointSliceList", 0));
    simulator.shutdown().await;
}

#[tokio::test]
async fn pages_fit_together_and_their_tokens_expire() {
    let simulator = start(SimulatorSettings::default()).await;
    let store = simulator.store();
    for n in 0..5 {
        add_pod(store, "shop", &format!("cart-{n}"));
    }
    let mut path = "api/v1/pods?limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let (_, list) = listed(&simulator, &path).await;
        names.extend(list.items.into_iter().map(|b| Pod::decode(b).unwrap().metadata.name));
        let metadata = list.metadata.unwrap();
        assert_eq!(metadata.resource_version, "5", "one version over all pages");
        if metadata.r#continue.is_empty() {
            break;
        }
        // Not in the pages to come: they show the state of the first.
        add_pod(store, "shop", &format!("cart-{}-late", names.len()));
        path = format!("api/v1/pods?limit=2&continue={}", metadata.r#continue);
    }
    assert_eq!(names, ["cart-0", "cart-1", "cart-2", "cart-3", "cart-4"]);

    store.compact();
    let status = failed(get(&simulator, &path).await).await;
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
}

#[tokio::test]
async fn errors_are_statuses() {
    let simulator = start(SimulatorSettings::default()).await;
    for (path, code, reason) in [
        ("api/v1/nodes", 404, "NotFound"),
        ("api/v1/namespaces/shop/pods/cart-1", 404, "NotFound"),
        ("apis/apps/v1/pods", 404, "NotFound"),
        ("", 404, "NotFound"),
        ("api/v1/pods?watch=true&sendInitialEvents=true", 422, "Invalid"),
        ("api/v1/pods?labelSelector=app", 400, "BadRequest"),
        ("api/v1/pods?resourceVersion=99", 504, "Timeout"),
    ] {
        let status = failed(get(&simulator, path).await).await;
        assert_eq!((status.code, status.reason.as_str()), (code, reason), "{path}");
    }

    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = |method: &str, accept: &str| {
        let uri = format!("{}api/v1/pods", simulator.url());
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("accept", accept);
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let response = client.request(request("GET", "application/json")).await;
    assert_eq!(failed(response.unwrap()).await.code, 406);
    let response = client.request(request("DELETE", super::PROTOBUF)).await;
    assert_eq!(failed(response.unwrap()).await.code, 405);
}

#[tokio::test]
async fn a_watch_follows_every_kind_of_change() {
    let simulator = start(SimulatorSettings::default()).await;
    let store = simulator.store();
    add_pod(store, "shop", "before");
    let mut watch = Watch::open(&simulator, "api/v1/pods?watch=true&resourceVersion=1").await;
    add_pod(store, "shop", "cart-1");
    store.update("shop", "cart-1", |p: &mut Pod| set_ready(p, true));
    store.delete::<Pod>("shop", "cart-1");
    assert_eq!(watch.brief().await, brief("ADDED", "cart-1"));
    let modified = watch.next().await;
    assert_eq!(modified.event, "MODIFIED");
    let (version, kind, pod) = opened::<Pod>(&modified.raw);
    assert_eq!((version.as_str(), kind.as_str()), ("v1", "Pod"));
    assert_eq!(pod.status.unwrap().conditions[0].status, "True");
    let deleted = watch.next().await;
    assert_eq!(
        (deleted.event.as_str(), deleted.version.as_str()),
        ("DELETED", "4"),
        "the version of the deletion, not of the last write"
    );
}

#[tokio::test]
async fn a_resumed_watch_misses_nothing_and_repeats_nothing() {
    let simulator = start(SimulatorSettings::default()).await;
    let store = simulator.store();
    let mut watch = Watch::open(&simulator, "api/v1/services?watch=true&resourceVersion=1").await;
    add_service(store, "shop", "first");
    add_service(store, "shop", "cart");
    let seen = watch.next().await;
    assert_eq!((seen.name.as_str(), seen.version.as_str()), ("cart", "2"));
    drop(watch);
    add_service(store, "shop", "checkout");
    let path = format!("api/v1/services?watch=true&resourceVersion={}", seen.version);
    let mut watch = Watch::open(&simulator, &path).await;
    assert_eq!(watch.brief().await, brief("ADDED", "checkout"));
}

#[tokio::test]
async fn a_streaming_list_ends_with_its_bookmark_and_goes_on() {
    let simulator = start(SimulatorSettings::default()).await;
    let store = simulator.store();
    add_pod(store, "payments", "ledger-1");
    add_pod(store, "shop", "cart-1");
    add_service(store, "shop", "cart");
    let mut watch = Watch::open(&simulator, &format!("api/v1/pods?watch=true&{INITIAL}")).await;
    assert_eq!(watch.brief().await, brief("ADDED", "ledger-1"));
    assert_eq!(watch.brief().await, brief("ADDED", "cart-1"));
    let end = watch.next().await;
    assert_eq!((end.event.as_str(), end.kind.as_str()), ("BOOKMARK", "Pod"));
    assert!(end.ends_initial);
    let reached: u64 = end.version.parse().unwrap();
    assert!(reached >= 3, "the whole cluster's version: {reached}");
    add_pod(store, "shop", "cart-2");
    assert_eq!(watch.brief().await, brief("ADDED", "cart-2"));

    let namespaced = format!("api/v1/namespaces/shop/pods?watch=true&{INITIAL}");
    let mut watch = Watch::open(&simulator, &namespaced).await;
    assert_eq!(watch.brief().await, brief("ADDED", "cart-1"));
    assert_eq!(watch.brief().await, brief("ADDED", "cart-2"));
    assert!(watch.next().await.ends_initial);
    add_pod(store, "payments", "ledger-2");
    add_pod(store, "shop", "cart-3");
    assert_eq!(watch.brief().await, brief("ADDED", "cart-3"));
}

#[tokio::test]
async fn a_watch_from_forgotten_history_gets_an_error_event_and_ends() {
    let simulator = start(SimulatorSettings { history: 3, ..SimulatorSettings::default() }).await;
    for n in 0..10 {
        add_pod(simulator.store(), "shop", &format!("cart-{n}"));
    }
    let mut watch = Watch::open(&simulator, "api/v1/pods?watch=true&resourceVersion=2").await;
    let event = watch.event().await.unwrap();
    assert_eq!(event.kind, "ERROR");
    let (version, kind, status) = opened::<Status>(&event.object.raw);
    assert_eq!((version.as_str(), kind.as_str()), ("v1", "Status"));
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert_eq!(status.message, "too old resource version: 2 (7)");
    assert_eq!(watch.event().await, None);
}

#[tokio::test]
async fn bookmarks_come_while_nothing_happens_and_carry_the_cluster_version() {
    let simulator =
        start(SimulatorSettings { bookmark_interval: Duration::from_millis(50), ..SimulatorSettings::default() }).await;
    add_pod(simulator.store(), "shop", "cart-1");
    let path = "apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=1";
    let asked = format!("{path}&allowWatchBookmarks=true");
    let mut watch = Watch::open(&simulator, &asked).await;
    let first = watch.next().await;
    assert_eq!((first.event.as_str(), first.kind.as_str(), first.version.as_str()), ("BOOKMARK", "EndpointSlice", "1"));
    assert!(!first.ends_initial);
    add_pod(simulator.store(), "shop", "cart-2");
    while watch.next().await.version != "2" {}

    let mut unasked = Watch::open(&simulator, &format!("{path}&timeoutSeconds=1")).await;
    assert_eq!(unasked.event().await, None, "no bookmark before the end");
}

#[tokio::test]
async fn shutdown_ends_open_watches() {
    // One that it waits for takes a second each time. A busy machine may make any end that slow, but hardly each.
    let mut took = Vec::new();
    for _ in 0..5 {
        let simulator = start(SimulatorSettings::default()).await;
        let mut watch = Watch::open(&simulator, "api/v1/pods?watch=true").await;
        let begun = std::time::Instant::now();
        simulator.shutdown().await;
        took.push(begun.elapsed());
        assert_eq!(watch.event().await, None);
        if took.last() < Some(&Duration::from_millis(900)) {
            return;
        }
    }
    panic!("it waits for watches: {took:?}");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_holds_nobody_up() {
    let simulator = start(SimulatorSettings { history: 100, ..SimulatorSettings::default() }).await;
    let store = simulator.store();
    let mut idle = Watch::open(&simulator, "api/v1/pods?watch=true").await;
    let mut pod = Pod::default();
    pod.metadata.namespace = "shop".to_owned();
    // More than socket buffers and one batch take.
    let ballast = "x".repeat(64 * 1024);
    for n in 0..1_000 {
        pod.metadata.name = format!("cart-{n}");
        pod.metadata.labels.insert("ballast".to_owned(), ballast.clone());
        store.apply(pod.clone());
        if n % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut last = idle.event().await.unwrap();
    let mut events = 1;
    while let Some(event) = idle.event().await {
        last = event;
        events += 1;
    }
    assert_eq!(last.kind, "ERROR", "it fell out of the history");
    assert!(events < 1_000);
    assert_eq!(store.select::<Pod>(None, |_| true).len(), 1_000);
}

#[tokio::test]
async fn the_controller_s_slices_arrive_over_the_wire() {
    let simulator = start(SimulatorSettings::default()).await;
    let path = format!("apis/discovery.k8s.io/v1/endpointslices?watch=true&{INITIAL}");
    let mut watch = Watch::open(&simulator, &path).await;
    assert!(watch.next().await.ends_initial);
    let mut service = Service::default();
    service.metadata.namespace = "shop".to_owned();
    service.metadata.name = "cart".to_owned();
    let spec = service.spec.get_or_insert_default();
    spec.cluster_ip = "10.96.0.20".to_owned();
    spec.selector = [("app".to_owned(), "cart".to_owned())].into();
    simulator.store().apply(service);
    let seen = watch.next().await;
    assert_eq!((seen.event.as_str(), seen.kind.as_str()), ("ADDED", "EndpointSlice"));
    let (version, _, slice) = opened::<EndpointSlice>(&seen.raw);
    assert_eq!(version, "discovery.k8s.io/v1");
    assert_eq!(slice.metadata.labels["kubernetes.io/service-name"], "cart");
    assert_eq!(slice.address_type, "IPv4");
}

#[tokio::test]
async fn a_living_cluster_is_whole_at_the_first_list_and_then_changes() {
    let simulator =
        start(SimulatorSettings { life: Some(LifeSettings::default()), ..SimulatorSettings::default() }).await;
    let (_, pods) = listed(&simulator, "api/v1/pods").await;
    let (_, slices) = listed(&simulator, "apis/discovery.k8s.io/v1/endpointslices").await;
    let endpoints = slices.items.into_iter().map(|b| EndpointSlice::decode(b).unwrap().endpoints.len());
    assert_eq!(endpoints.sum::<usize>(), pods.items.len());
    let version = pods.metadata.unwrap().resource_version;
    let mut watch = Watch::open(&simulator, &format!("api/v1/pods?watch=true&resourceVersion={version}")).await;
    // A disturbance comes at least every 2.4 s.
    watch.next().await;
    simulator.shutdown().await;
}
