//! Whether scrapes disturb the stamps: how late events of a simulated cluster are stamped, with and without a client that scrapes
//! 10,000 Services over and over. The daemon is a separate process; the CPUs are shared.

mod fleet;

use anyhow::Result;
use endpointlag::simulator::{Fleet, FleetSize, Simulator, SimulatorSettings};
use fleet::{flip_every_service, stamp_errors};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};
use testkit::bench::{Daemon, quantile};

const SIZE: FleetSize = FleetSize { namespaces: 500, services: 10_000, pods: 10_000 };

/// Changes a second, and the length.
const RATE: usize = 200;
const PHASE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let cluster =
        runtime.block_on(Simulator::start(SimulatorSettings { history: 100_000, ..SimulatorSettings::default() }))?;
    cluster.controller().pause();
    let mut fleet = Fleet::new(cluster.store().clone(), SIZE);
    let daemon = Daemon::start(&cluster.url().to_string(), &[], None)?;
    daemon.wait_until_ready()?;
    flip_every_service(&mut fleet, &daemon)?;

    let mut pods = 0..SIZE.pods;
    let (quiet, _) = stamp_errors(&cluster, &mut fleet, &daemon, &mut pods, RATE, PHASE)?;
    let (stop, scrapes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let scraped = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                scrapes.fetch_add(usize::from(daemon.get("/metrics").is_ok()), Relaxed);
            }
        });
        let scraped = stamp_errors(&cluster, &mut fleet, &daemon, &mut pods, RATE, PHASE);
        stop.store(true, Relaxed);
        scraped
    })?
    .0;
    println!("| {} Services, {RATE} changes a second | p50 | p99 | max |", SIZE.services);
    println!("| --- | --- | --- | --- |");
    println!("| no scrapes | {} |", figures(quiet));
    println!("| {} scrapes, one after the other | {} |", scrapes.load(Relaxed), figures(scraped));
    runtime.block_on(cluster.shutdown());
    Ok(())
}

fn figures(mut errors: Vec<Duration>) -> String {
    let at = |q: f64, errors: &mut Vec<Duration>| quantile(errors, q).as_secs_f64() * 1e3;
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| at(q, &mut errors));
    format!("{p50:.2} ms | {p99:.2} ms | {max:.2} ms")
}
