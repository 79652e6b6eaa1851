//! The worker on a store, in virtual time.

use super::*;
use crate::simulator::object::set_ready;
use crate::{
    cluster::wire::ServiceSpec,
    simulator::messages::{PodIp, PodStatus},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::sleep;

struct Bench {
    store: Store,
    controller: Controller,
    _stop: watch::Sender<bool>,
}

impl Bench {
    fn start(settings: ControllerSettings) -> Self {
        Self::on(Store::new(10_000), settings)
    }

    fn on(store: Store, settings: ControllerSettings) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (controller, worker) = Controller::new(store.clone(), settings, 1);
        tokio::spawn(worker.run(stopped));
        Self { store, controller, _stop: stop }
    }

    fn service(&self, name: &str, app: &str) {
        let mut service = Service::default();
        service.metadata.namespace = "shop".to_owned();
        service.metadata.name = name.to_owned();
        service.metadata.uid = format!("uid-{name}");
        service.spec =
            Some(ServiceSpec { selector: labels(app), cluster_ip: "10.96.0.20".to_owned(), ..ServiceSpec::default() });
        self.store.apply(service);
    }

    fn pod(&self, name: &str, app: &str) {
        let mut pod = Pod::default();
        pod.metadata.namespace = "shop".to_owned();
        pod.metadata.name = name.to_owned();
        pod.metadata.uid = format!("uid-{name}");
        pod.metadata.labels = labels(app);
        pod.status = Some(PodStatus { pod_ips: vec![PodIp { ip: "10.244.0.1".to_owned() }], ..PodStatus::default() });
        set_ready(&mut pod, true);
        self.store.apply(pod);
    }

    fn flip(&self, name: &str, ready: bool) {
        let flipped = self.store.update("shop", name, |p: &mut Pod| set_ready(p, ready));
        assert!(flipped.is_some());
    }

    /// Names of the pods in the Service's slices, with their readiness. None where there is no slice.
    fn endpoints(&self, service: &str) -> Option<Vec<(String, bool)>> {
        let slices = self.store.select::<EndpointSlice>(None, |s| {
            s.metadata.labels.get(SERVICE_NAME).map(String::as_str) == Some(service)
        });
        if slices.is_empty() {
            return None;
        }
        let endpoints = slices.iter().flat_map(|s| &s.endpoints);
        let mut shown: Vec<_> = endpoints
            .map(|e| {
                let name = e.target_ref.as_ref().unwrap().name.clone();
                (name, e.conditions.unwrap().ready.unwrap())
            })
            .collect();
        shown.sort();
        Some(shown)
    }

    fn shows(&self, service: &str, expected: &[(&str, bool)]) -> bool {
        let expected = expected.iter().map(|(n, r)| ((*n).to_owned(), *r));
        self.endpoints(service) == Some(expected.collect())
    }

    fn writes(&self) -> usize {
        let batch = self.store.since::<EndpointSlice>(0, usize::MAX).unwrap();
        batch.events.len()
    }
}

fn labels(app: &str) -> BTreeMap<String, String> {
    [("app".to_owned(), app.to_owned())].into()
}

fn after(millis: u64) -> ControllerSettings {
    ControllerSettings { delay: Delay::fixed(Duration::from_millis(millis)), ..ControllerSettings::default() }
}

async fn pass(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_is_written_after_the_delay() {
    let bench = Bench::start(after(100));
    bench.service("cart", "cart");
    bench.pod("cart-1", "cart");
    pass(90).await;
    assert_eq!(bench.endpoints("cart"), None);
    pass(20).await;
    assert!(bench.shows("cart", &[("cart-1", true)]));
    bench.flip("cart-1", false);
    pass(110).await;
    assert!(bench.shows("cart", &[("cart-1", false)]));
    bench.store.delete::<Pod>("shop", "cart-1");
    pass(110).await;
    assert!(bench.shows("cart", &[]));
}

#[tokio::test(start_paused = true)]
async fn changes_within_the_delay_are_one_write_and_undone_ones_none() {
    let bench = Bench::start(after(100));
    bench.service("cart", "cart");
    bench.pod("cart-1", "cart");
    pass(200).await;
    let before = bench.writes();
    bench.flip("cart-1", false);
    pass(50).await;
    bench.flip("cart-1", true);
    pass(200).await;
    assert_eq!(bench.writes(), before);
    bench.pod("cart-2", "cart");
    bench.pod("cart-3", "cart");
    pass(200).await;
    assert_eq!(bench.writes(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn selectors_and_labels_decide_whose_a_pod_is() {
    let bench = Bench::start(after(10));
    bench.service("cart", "cart");
    bench.service("all", "cart");
    bench.service("checkout", "checkout");
    bench.pod("pod-1", "cart");
    pass(20).await;
    assert!(bench.shows("cart", &[("pod-1", true)]));
    assert!(bench.shows("all", &[("pod-1", true)]));
    assert!(bench.shows("checkout", &[]));

    // The pod's labels change, then a Service's selector.
    let relabel = |pod: &mut Pod| pod.metadata.labels = labels("checkout");
    bench.store.update("shop", "pod-1", relabel);
    pass(20).await;
    assert!(bench.shows("cart", &[]));
    assert!(bench.shows("checkout", &[("pod-1", true)]));
    bench.service("all", "checkout");
    pass(20).await;
    assert!(bench.shows("all", &[("pod-1", true)]));
}

#[tokio::test(start_paused = true)]
async fn slices_of_a_service_that_is_gone_are_left_to_the_garbage_collector() {
    let bench = Bench::start(after(10));
    bench.service("cart", "cart");
    pass(20).await;
    bench.store.delete::<Service>("shop", "cart");
    pass(20).await;
    assert!(bench.shows("cart", &[]));
    assert_eq!(bench.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_somebody_deletes_is_made_anew() {
    let bench = Bench::start(after(10));
    bench.service("cart", "cart");
    pass(20).await;
    let slices = bench.store.select::<EndpointSlice>(None, |_| true);
    bench.store.delete::<EndpointSlice>("shop", &slices[0].metadata.name);
    assert_eq!(bench.endpoints("cart"), None);
    pass(20).await;
    assert!(bench.shows("cart", &[]));
}

#[tokio::test(start_paused = true)]
async fn a_phase_alone_wakes_nobody() {
    let bench = Bench::start(after(10));
    bench.service("cart", "cart");
    bench.pod("cart-1", "cart");
    pass(20).await;
    bench.flip("cart-1", false);
    pass(20).await;
    let fail = |pod: &mut Pod| pod.status.get_or_insert_default().phase = "Failed".to_owned();
    bench.store.update("shop", "cart-1", fail);
    pass(20).await;
    assert!(bench.shows("cart", &[("cart-1", false)]));
    bench.pod("cart-2", "cart");
    pass(20).await;
    assert!(bench.shows("cart", &[("cart-2", true)]));
}

#[tokio::test(start_paused = true)]
async fn paused_it_writes_nothing_and_catches_up() {
    let bench = Bench::start(after(10));
    bench.service("cart", "cart");
    pass(20).await;
    bench.controller.pause();
    bench.pod("cart-1", "cart");
    pass(20_000).await;
    assert!(bench.shows("cart", &[]));
    bench.controller.resume();
    pass(1).await;
    assert!(bench.shows("cart", &[("cart-1", true)]));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_delay_holds_for_what_waits_already() {
    let bench = Bench::start(after(60_000));
    bench.service("cart", "cart");
    pass(1_000).await;
    bench.controller.set_delay(Delay::fixed(Duration::from_millis(10)));
    pass(11).await;
    assert!(bench.shows("cart", &[]));
    assert_eq!(bench.controller.delay().longest, Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn writes_are_bounded_in_rate() {
    let bench = Bench::start(ControllerSettings { rate: WriteRate { per_second: 10.0, burst: 5 }, ..after(0) });
    for n in 0..25 {
        bench.service(&format!("service-{n}"), "cart");
    }
    pass(10).await;
    assert_eq!(bench.writes(), 5);
    pass(1_000).await;
    assert_eq!(bench.writes(), 15);
    pass(1_010).await;
    assert_eq!(bench.writes(), 25);
}

#[tokio::test(start_paused = true)]
async fn it_finds_its_way_without_the_history() {
    let store = Store::new(4);
    let bench = Bench::on(store, after(10));
    bench.service("cart", "cart");
    pass(20).await;
    // All in one go, so that most of it has left the log by the time the worker looks.
    for n in 0..20 {
        bench.pod(&format!("cart-{n:02}"), "cart");
        bench.service(&format!("other-{n}"), "other");
    }
    for n in 0..10 {
        bench.service(&format!("more-{n}"), "other");
    }
    pass(10_000).await;
    assert_eq!(bench.endpoints("cart").unwrap().len(), 20);
    assert!(bench.shows("other-0", &[]));
}

#[tokio::test(start_paused = true)]
async fn what_is_there_at_the_start_is_settled_at_once() {
    let store = Store::new(100);
    let first = Bench::on(store.clone(), after(10));
    first.controller.pause();
    first.service("cart", "cart");
    first.pod("cart-1", "cart");
    let second = Bench::on(store, after(60_000));
    assert!(second.shows("cart", &[("cart-1", true)]));
}
