//! One step of each kind, with each field in use.

use crate::{
    model::{
        Annotation, Endpoint, EndpointPort, EndpointSlice, EndpointsChange, EndpointsPart, Event, Families, Family,
        NamedPort, Pod, Resource, Seen, Service, ServicePort, SliceOwner, Stamp, TargetPort, Uid,
    },
    pipeline::Step,
    propagation::TrackerSettings,
    recording::Header,
};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

const UID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

pub(super) fn header(anonymized: bool) -> Header {
    Header {
        version: "0.1.0".into(),
        revision: "0123456789ab".into(),
        started: SystemTime::UNIX_EPOCH + Duration::new(1_795_733_039, 123_456_789),
        namespaces: vec!["shop".into()],
        tracker: TrackerSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(600) },
        anonymized,
    }
}

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn both() -> Families {
    Family::ALL.into_iter().collect()
}

fn pod() -> Pod {
    Pod {
        uid: UID.into(),
        namespace: "shop".into(),
        name: "checkout-7d4b9c6f5d-x2x7k".into(),
        resource_version: u64::MAX,
        labels: labels(&[("app.kubernetes.io/name", "checkout"), ("tier", "checkout"), ("password", "hunter2")]),
        ready: true,
        terminating: true,
        terminal: true,
        families: both(),
        ports: vec![NamedPort { name: "metrics".into(), protocol: "TCP".into(), number: 9_090 }],
    }
}

fn service() -> Service {
    let port = |name: &str, protocol: &str, target, app_protocol: Option<&str>| ServicePort {
        name: name.into(),
        protocol: protocol.into(),
        target,
        app_protocol: app_protocol.map(str::to_owned),
    };
    Service {
        uid: "other-uid".into(),
        namespace: "shop".into(),
        name: "checkout".into(),
        resource_version: 7,
        terminating: false,
        selector: labels(&[("app.kubernetes.io/name", "checkout")]),
        external_name: false,
        families: [Family::V6].into_iter().collect(),
        ports: vec![
            port("metrics", "TCP", TargetPort::Name("metrics".into()), None),
            port("grpc", "QUIC", TargetPort::Number(8_080), Some("kubernetes.io/h2c")),
        ],
        virtual_ips: None,
        publish_not_ready_addresses: true,
        objective: Annotation::Set(Duration::from_millis(1_500)),
        ignore: Annotation::Set(false),
    }
}

fn endpoint(name: &str) -> Endpoint {
    Endpoint { pod: UID.into(), name: name.into(), ready: true, serving: true, terminating: true, route: None }
}

fn slice() -> EndpointSlice {
    let port = |name: &str, protocol: &str, app_protocol: Option<&str>| EndpointPort {
        name: name.into(),
        protocol: protocol.into(),
        number: Some(8_080),
        app_protocol: app_protocol.map(str::to_owned),
    };
    EndpointSlice {
        uid: Uid::from("slice-uid"),
        namespace: "shop".into(),
        name: "checkout-abcde".into(),
        resource_version: 8,
        owner: Some(SliceOwner { uid: "other-uid".into(), service: "checkout".into(), family: Family::V4 }),
        foreign_to: None,
        ports: vec![port("grpc", "QUIC", Some("kubernetes.io/h2c")), port("metrics", "TCP", None)],
        endpoints: vec![endpoint("checkout-7d4b9c6f5d-x2x7k"), endpoint("checkout-0")],
    }
}

/// About every second one is late, and they span three seconds.
pub(super) fn steps() -> Vec<Step> {
    let malformed = Service { objective: Annotation::Malformed(String::new()), ..service() };
    let ended = Service { external_name: true, terminating: true, ..service() };
    let bare = Pod {
        labels: BTreeMap::new(),
        ready: false,
        terminating: false,
        terminal: false,
        families: Families::NONE,
        ports: Vec::new(),
        ..pod()
    };
    let foreign = EndpointSlice { owner: None, ports: Vec::new(), endpoints: Vec::new(), ..slice() };
    let change = EndpointsChange {
        uid: Uid::from("slice-uid"),
        name: "checkout-abcde".into(),
        resource_version: 9,
        endpoints: vec![
            EndpointsPart::New(Endpoint { ready: false, serving: false, terminating: false, ..endpoint("checkout-1") }),
            EndpointsPart::Kept(1..2),
        ],
    };
    let events = [
        Event::WatchLost(Resource::Pods),
        Event::Init(Resource::Services),
        Event::Service(service()),
        Event::Service(malformed),
        Event::InitDone(Resource::Services),
        Event::WatchRestored(Resource::EndpointSlices),
        Event::Pod(pod()),
        Event::Pod(bare),
        Event::EndpointSlice(slice()),
        Event::EndpointsChanged(change),
        Event::EndpointSliceDeleted(foreign),
        Event::PodDeleted(pod()),
        Event::ServiceDeleted(ended),
    ];
    let at = |number: usize| Stamp::from_nanos(number as u64 * 250_000_000);
    let mut steps: Vec<_> = events
        .into_iter()
        .enumerate()
        .map(|(number, event)| {
            let seen = if number % 2 == 0 { Seen::late(at(number)) } else { Seen::live(at(number)) };
            Step::Event { scope: 0, seen, event }
        })
        .collect();
    steps.insert(5, Step::Through { scope: 0, at: at(5) });
    steps.push(Step::Through { scope: 0, at: Stamp::from_nanos(3_000_000_500) });
    steps
}
