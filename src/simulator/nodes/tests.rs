//! The nodes on a store that the test writes, in virtual time.

use super::*;
use crate::{
    cluster::{
        object::SERVICE_NAME_LABEL,
        wire::{EndpointConditions, EndpointPort, ServicePort, ServiceSpec},
    },
    dataplane::{Backend, Frontend, Protocol},
    simulator::messages::Endpoint,
};
use std::collections::BTreeSet;
use tokio::time::timeout;

const READY: (bool, bool) = (true, false);
const UNREADY: (bool, bool) = (false, false);
const TERMINATING: (bool, bool) = (false, true);

/// Writes the slice of the Service `shop/cart`. Each pod is ready, or terminating.
fn write(store: &Store, pods: &[(u8, (bool, bool))]) {
    let mut slice = EndpointSlice { address_type: "IPv4".to_owned(), ..EndpointSlice::default() };
    (slice.metadata.namespace, slice.metadata.name) = ("shop".to_owned(), "cart-x7k2p".to_owned());
    slice.metadata.labels.insert(SERVICE_NAME_LABEL.to_owned(), "cart".to_owned());
    slice.ports.push(EndpointPort { name: Some("http".to_owned()), port: Some(8080), ..EndpointPort::default() });
    slice.endpoints = pods
        .iter()
        .map(|(number, (ready, terminating))| Endpoint {
            addresses: vec![format!("10.244.0.{number}")],
            conditions: Some(EndpointConditions {
                ready: Some(*ready),
                serving: Some(*ready || *terminating),
                terminating: Some(*terminating),
            }),
            ..Endpoint::default()
        })
        .collect();
    store.apply(slice);
}

fn cluster(pods: &[(u8, (bool, bool))]) -> (Store, Nodes) {
    let store = Store::new(100);
    let mut service = Service::default();
    (service.metadata.namespace, service.metadata.name) = ("shop".to_owned(), "cart".to_owned());
    let port = |name: &str, port| ServicePort {
        name: name.to_owned(),
        protocol: "TCP".to_owned(),
        port,
        ..ServicePort::default()
    };
    service.spec = Some(ServiceSpec {
        cluster_ips: vec!["10.96.0.20".to_owned()],
        // The slice does not have the second port.
        ports: vec![port("http", 80), port("metrics", 9090)],
        ..ServiceSpec::default()
    });
    store.apply(service);
    write(&store, pods);
    let nodes = Nodes::new(store.clone(), 1);
    (store, nodes)
}

/// What every kernel does for the only frontend with endpoints.
fn used(store: &Store) -> Vec<Backend> {
    let wanted = rules::wanted(store);
    assert!(wanted.len() <= 1);
    let frontend = Frontend { address: [10, 96, 0, 20].into(), protocol: Protocol::Tcp, port: 80 };
    wanted.get(&frontend).to_vec()
}

fn pods(numbers: &[u8]) -> Vec<Backend> {
    numbers.iter().map(|number| Backend { address: [10, 244, 0, *number].into(), port: 8080 }).collect()
}

#[test]
fn ready_endpoints_are_used_and_else_those_that_terminate_and_serve() {
    let (store, _nodes) = cluster(&[(1, READY), (2, UNREADY), (3, TERMINATING), (4, READY)]);
    assert_eq!(used(&store), pods(&[1, 4]));
    write(&store, &[(1, UNREADY), (2, UNREADY), (3, TERMINATING)]);
    assert_eq!(used(&store), pods(&[3]));
    write(&store, &[(1, UNREADY)]);
    assert_eq!(used(&store), pods(&[]));
}

#[tokio::test(start_paused = true)]
async fn each_node_follows_a_change_once_and_in_its_own_time() {
    let (store, mut nodes) = cluster(&[(1, READY)]);
    assert!(timeout(Duration::from_secs(10), nodes.next()).await.is_err(), "their kernels are right from the start");
    write(&store, &[(1, UNREADY), (2, READY)]);
    let (start, mut delays) = (Instant::now(), BTreeSet::new());
    let mut names: BTreeSet<_> = nodes.kernels().map(|(node, _)| node.clone()).collect();
    assert!(names.iter().all(|name| name.starts_with("simulated-node-")));
    assert_eq!(names.len(), NODES);
    while !names.is_empty() {
        let NodeSync { node, observations } = nodes.next().await;
        assert!(names.remove(&node), "{node} changed twice");
        let [Observation { change, .. }] = &*observations else { panic!("{observations:?}") };
        assert_eq!((&*change.removed, &*change.added), (&*pods(&[1]), &*pods(&[2])));
        delays.insert(start.elapsed());
    }
    assert!(delays.len() > NODES / 2, "{delays:?}");
    let (first, last) = (delays.first().copied().unwrap_or_default(), delays.last().copied().unwrap_or_default());
    assert!(first >= Duration::from_millis(10) && last <= Duration::from_secs(9), "{first:?} to {last:?}");
    assert!(timeout(Duration::from_secs(10), nodes.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_flap_between_two_syncs_is_not_seen() {
    let (store, mut nodes) = cluster(&[(1, READY), (2, READY)]);
    write(&store, &[(1, READY)]);
    for _ in 0..NODES {
        nodes.next().await;
    }
    // All of them rest for the remainder of a second.
    write(&store, &[(1, READY), (2, READY)]);
    assert!(timeout(Duration::from_millis(20), nodes.next()).await.is_err());
    write(&store, &[(1, READY)]);
    assert!(timeout(Duration::from_secs(5), nodes.next()).await.is_err());
    write(&store, &[(1, READY), (2, READY)]);
    assert_eq!(nodes.next().await.observations[0].change.added, pods(&[2]));
}

#[tokio::test(start_paused = true)]
async fn now_and_then_one_node_is_slow_and_no_other() {
    let (store, mut nodes) = cluster(&[]);
    let mut slow = Vec::new();
    for second in 0..300 {
        write(&store, if second % 2 == 0 { &[(1, READY)] } else { &[] });
        let end = Instant::now() + Duration::from_secs(1);
        while tokio::time::timeout_at(end, nodes.next()).await.is_ok() {}
        slow.extend(nodes.slow);
    }
    let share = slow.len() as f64 / 300.0;
    assert!((0.2..0.7).contains(&share), "a node is slow for {share} of the time");
    slow.dedup();
    assert!(slow.len() >= 3, "{slow:?}");
}
