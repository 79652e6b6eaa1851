//! The collector on a store, in virtual time.

use super::*;
use crate::cluster::wire::OwnerReference;
use std::time::Duration;
use tokio::time::sleep;

const DELAY: Duration = Duration::from_millis(100);

struct Bench {
    store: Store,
    _stop: watch::Sender<bool>,
}

impl Bench {
    fn start(store: Store) -> Self {
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(GarbageCollector::new(store.clone(), Delay::fixed(DELAY), 1).run(stopped));
        Self { store, _stop: stop }
    }

    fn left(&self) -> Vec<String> {
        self.store.select::<EndpointSlice>(None, |_| true).iter().map(|it| it.metadata.name.clone()).collect()
    }
}

fn service(store: &Store, uid: &str) {
    let mut service = Service::default();
    service.metadata.namespace = "shop".to_owned();
    service.metadata.name = "cart".to_owned();
    service.metadata.uid = uid.to_owned();
    store.apply(service);
}

fn slice(store: &Store, name: &str, owner: Option<&str>) {
    let mut slice = EndpointSlice::default();
    slice.metadata.namespace = "shop".to_owned();
    slice.metadata.name = name.to_owned();
    slice.metadata.owner_references = owner.map(|uid| OwnerReference::to_service("cart", uid)).into_iter().collect();
    store.apply(slice);
}

#[tokio::test(start_paused = true)]
async fn slices_go_some_time_after_their_service() {
    let bench = Bench::start(Store::new(100));
    service(&bench.store, "old");
    slice(&bench.store, "cart-1", Some("old"));
    slice(&bench.store, "by-hand", None);
    sleep(2 * DELAY).await;
    assert_eq!(bench.left(), ["by-hand", "cart-1"]);
    bench.store.delete::<Service>("shop", "cart");
    sleep(DELAY - Duration::from_millis(10)).await;
    assert_eq!(bench.left(), ["by-hand", "cart-1"]);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(bench.left(), ["by-hand"]);
}

#[tokio::test(start_paused = true)]
async fn another_service_of_the_name_does_not_save_them() {
    let bench = Bench::start(Store::new(100));
    service(&bench.store, "old");
    slice(&bench.store, "cart-1", Some("old"));
    sleep(2 * DELAY).await;
    bench.store.delete::<Service>("shop", "cart");
    service(&bench.store, "new");
    slice(&bench.store, "cart-2", Some("new"));
    sleep(2 * DELAY).await;
    assert_eq!(bench.left(), ["cart-2"]);
    // In one write.
    service(&bench.store, "newer");
    sleep(2 * DELAY).await;
    assert!(bench.left().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_goes_as_well() {
    let bench = Bench::start(Store::new(100));
    slice(&bench.store, "cart-1", Some("old"));
    sleep(2 * DELAY).await;
    assert!(bench.left().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_finds_its_way_without_the_history() {
    let store = Store::new(4);
    service(&store, "old");
    slice(&store, "before", Some("older"));
    let bench = Bench::start(store);
    sleep(2 * DELAY).await;
    assert!(bench.left().is_empty(), "what was there at the start");
    slice(&bench.store, "cart-1", Some("old"));
    sleep(2 * DELAY).await;
    // All in one go, so that its end has left the log by the time the collector looks.
    bench.store.delete::<Service>("shop", "cart");
    for number in 0..10 {
        service(&bench.store, &format!("new-{number}"));
    }
    sleep(2 * DELAY).await;
    assert!(bench.left().is_empty());
}
