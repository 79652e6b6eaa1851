//! What only the measurement shows: the EndpointSlice controller, and the hop to the nodes.

use super::*;

#[test]
fn a_service_that_is_much_slower_than_the_cluster() {
    let p99 = |own: u64, count| {
        Scene::with(|scene| {
            let sample = scene.sample(Change::Service);
            (sample.count, sample.p99) = (count, millis(own));
            scene.facts.changes.insert(Change::Service, super::sample(1_000, millis(200)));
        })
    };
    let finding = p99(1_000, 29).finding();
    assert_eq!(finding.check.id, "endpoints-slower-than-cluster");
    assert_eq!(finding.measured.as_deref(), Some("service: p99 1.0 s of 29 in 10 min; cluster p99 200 ms of 1000"));
    assert_eq!(p99(999, 29).found(), [""; 0]);
    assert_eq!(p99(1_000, 28).found(), [""; 0]);
}

#[test]
fn a_very_large_service() {
    let endpoints = |number: usize| {
        Scene::with(|scene| scene.service.places = (0..number).map(|node| place(&node.to_string(), "1")).collect())
    };
    let mut large = endpoints(1_001);
    large.facts.zones = Some(1);
    assert_eq!(large.finding().check.id, "very-large-service");
    assert!(large.finding().rule.starts_with("about 11 slices"), "{}", large.finding().rule);
    let mut smaller = endpoints(1_000);
    smaller.facts.zones = Some(1);
    assert_eq!(smaller.found(), [""; 0]);
}

#[test]
fn a_controller_that_batches_or_is_rate_limited() {
    let cluster = |p50: u64, p90: u64, p99: u64| {
        let [p50, p90, p99] = [p50, p90, p99].map(millis);
        Scene::with(|scene| {
            let sample = Sample { p50, p90, p99, ..super::sample(100, p99) };
            scene.facts.changes.insert(Change::Ready, sample);
        })
    };
    assert_eq!(cluster(500, 700, 800).finding().check.id, "controller-batches");
    assert_eq!(cluster(249, 300, 400).found(), [""; 0]);
    assert_eq!(cluster(500, 1_000, 1_100).found(), [""; 0]);
    assert_eq!(cluster(100, 300, 1_000).finding().check.id, "controller-rate-limited");
    assert_eq!(cluster(101, 300, 1_000).found(), [""; 0]);
    assert_eq!(cluster(100, 300, 1_000).finding().target.to_string(), "the cluster");
}

#[test]
fn the_node_hop_dominates() {
    let nodes = |median: u64, count| Scene::with(|scene| scene.nodes(Change::Unready, count, millis(median)));
    let finding = nodes(900, 29).finding();
    assert_eq!(finding.check.id, "node-hop-dominates");
    let measured = finding.measured.expect("is measured");
    assert!(
        measured.starts_with("unready: median 100 ms until the slice, then 900 ms until the last node (90 %)"),
        "{measured}"
    );
    assert!(measured.ends_with("29 changes in 10 min"), "{measured}");
    // Only the last changes are kept.
    let mut recent = nodes(900, 29);
    recent.measured.as_mut().expect("is measured").recent = Some(millis(300_000));
    assert!(recent.finding().measured.is_some_and(|it| it.ends_with("29 changes in 5 min")));
    assert_eq!(nodes(899, 29).found(), [""; 0]);
    assert_eq!(nodes(900, 28).found(), [""; 0]);
    let slow_slices = Scene::with(|scene| {
        scene.sample(Change::Unready).p50 = millis(901);
        scene.nodes(Change::Unready, 29, millis(900));
    });
    assert_eq!(slow_slices.found(), [""; 0]);
}

#[test]
fn a_proxy_mode_that_is_slow_at_this_size() {
    let with = |mode: &str, services| {
        Scene::with(|scene| {
            scene.facts.services = services;
            scene.facts.proxy_modes = [(mode.to_owned(), 12)].into();
        })
    };
    let finding = with("iptables", 1_000).finding();
    assert_eq!((finding.check.id, finding.severity), ("proxy-mode-slow", Severity::Note));
    assert_eq!(with("nftables", 1_000).found(), [""; 0]);
    assert_eq!(with("iptables", 999).found(), [""; 0]);
}
