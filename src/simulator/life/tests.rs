//! An hour and more of the simulated cluster, in virtual time.

use super::*;
use crate::simulator::controller::ControllerSettings;
use crate::simulator::messages::{EndpointSlice, Pod};
use crate::simulator::object::is_ready;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::sleep;

struct Bench {
    store: Store,
    phase: watch::Receiver<Phase>,
    stop_life: watch::Sender<bool>,
    _stop_controller: watch::Sender<bool>,
}

impl Bench {
    fn start(seed: u64) -> Self {
        let store = Store::new(100_000);
        let life = Life::new(store.clone(), LifeSettings::default(), seed);
        let phase = life.phase();
        let (controller, worker) = Controller::new(store.clone(), ControllerSettings::default(), seed);
        let (stop_controller, stopped) = watch::channel(false);
        tokio::spawn(worker.run(stopped));
        let (stop_life, stopped) = watch::channel(false);
        tokio::spawn(life.run(controller, stopped));
        Self { store, phase, stop_life, _stop_controller: stop_controller }
    }

    fn pods(&self) -> Vec<std::sync::Arc<Pod>> {
        self.store.select::<Pod>(None, |_| true)
    }

    /// The pods that the slices show, with whether they are ready.
    fn shown(&self) -> BTreeMap<String, bool> {
        let slices = self.store.select::<EndpointSlice>(None, |_| true);
        let endpoints = slices.iter().flat_map(|s| &s.endpoints);
        endpoints
            .map(|e| {
                let uid = e.target_ref.as_ref().unwrap().uid.clone();
                (uid, e.conditions.unwrap().ready.unwrap())
            })
            .collect()
    }
}

fn replicas() -> usize {
    APPLICATIONS.iter().map(|a| a.replicas).sum()
}

async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn it_begins_whole_and_settled() {
    let bench = Bench::start(1);
    let pods = bench.pods();
    assert_eq!(pods.len(), replicas());
    assert!(APPLICATIONS.iter().all(|a| (3..=40).contains(&a.replicas)));
    assert!(pods.iter().all(|p| is_ready(p)));
    let shown = bench.shown();
    assert_eq!(shown.len(), pods.len());
    assert!(shown.values().all(|ready| *ready));
}

#[tokio::test(start_paused = true)]
async fn an_hour_stays_within_bounds_and_converges() {
    let bench = Bench::start(2);
    let mut written = 0;
    let begun = bench.store.version();
    let all_names = |store: &Store| -> BTreeSet<String> {
        let pods = store.select::<Pod>(None, |_| true);
        pods.iter().map(|p| p.metadata.uid.clone()).collect()
    };
    let first = all_names(&bench.store);
    for _ in 0..360 {
        pass(10).await;
        let pods = bench.pods().len();
        // Surge, and the old pods on their way out.
        assert!((replicas() - 2..=replicas() + 30).contains(&pods), "{pods} pods");
        let slices = bench.store.select::<EndpointSlice>(None, |_| true).len();
        assert!((APPLICATIONS.len()..=APPLICATIONS.len() * 3).contains(&slices));
        written = bench.store.version() - begun;
    }
    let per_second = written as f64 / 3600.0;
    assert!((2.0..15.0).contains(&per_second), "{per_second} writes a second");
    let replaced = first.difference(&all_names(&bench.store)).count();
    assert_eq!(replaced, first.len(), "every application was updated");

    // Stopped, the slices come to show exactly what the pods are.
    bench.stop_life.send_replace(true);
    pass(60).await;
    let expected: BTreeMap<_, _> = bench
        .pods()
        .iter()
        .filter(|p| !p.status.as_ref().unwrap().pod_ips.is_empty())
        .map(|p| {
            let published = p.metadata.labels["app"] == "event-broker";
            let ready = is_ready(p) && p.metadata.deletion_timestamp.is_none();
            (p.metadata.uid.clone(), ready || published)
        })
        .collect();
    assert_eq!(bench.shown(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_reuses_names_and_never_uids() {
    let bench = Bench::start(3);
    pass(3600).await;
    let log = bench.store.since::<Pod>(0, usize::MAX).unwrap().events;
    let database = log.iter().map(|e| &e.object.metadata).filter(|m| m.name.starts_with("orders-db-"));
    let mut uids: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for metadata in database {
        uids.entry(&metadata.name).or_default().insert(&metadata.uid);
    }
    assert_eq!(uids.len(), 3);
    assert!(uids.values().all(|uids| uids.len() > 2), "{uids:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_phases_come_in_time_and_end() {
    let mut bench = Bench::start(4);
    let start = Instant::now();
    let mut begins = Vec::new();
    while begins.len() < 20 {
        bench.phase.changed().await.unwrap();
        if let Phase::Slow { lasting } = *bench.phase.borrow_and_update() {
            begins.push((start.elapsed(), lasting));
        }
    }
    assert_eq!(begins[0].0.as_secs(), 30);
    for pair in begins.windows(2) {
        let interval = (pair[1].0 - pair[0].0).as_secs();
        assert!((74..=106).contains(&interval), "{interval} s");
    }
    assert!(begins.iter().all(|(_, lasting)| (10..=20).contains(&lasting.as_secs())));
}

#[tokio::test(start_paused = true)]
async fn the_seed_decides_what_happens() {
    async fn history(seed: u64) -> Vec<(u64, String, String)> {
        let bench = Bench::start(seed);
        pass(120).await;
        let events = bench.store.since::<Pod>(0, usize::MAX).unwrap().events;
        let pods = events.iter().enumerate().map(|(n, e)| {
            let metadata = &e.object.metadata;
            (n as u64, metadata.name.clone(), metadata.uid.clone())
        });
        pods.collect()
    }
    assert_eq!(history(5).await, history(5).await);
    assert_ne!(history(5).await, history(6).await);
}
