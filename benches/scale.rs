//! The daemon's cost by the size of the cluster, with a simulated cluster whose pods have a real size.
//!
//! The simulated cluster and the daemon are two processes, each on its own CPU. Errors of stamps count from the moment at
//! which the simulated API server writes an event to its socket until the daemon's stamp of it.

mod fleet;

use anyhow::Result;
use endpointlag::simulator::{Fleet, FleetSize, Simulator, SimulatorSettings};
use fleet::{flip_every_service, stamp_errors};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{
    fmt, thread,
    time::{Duration, Instant},
};
use testkit::bench::{Daemon, at_rate, quantile};

/// Pods of the tested clusters. Each Service has 15.
const PODS: [usize; 3] = [1_500, 15_000, 150_000];
const PODS_PER_SERVICE: usize = 15;

/// The rate at which stamps are checked and CPU time is measured.
const STEADY: usize = 1_000;

/// Tested rates, ascending, until the daemon does not keep up.
const RATES: [usize; 6] = [2_000, 5_000, 10_000, 20_000, 30_000, 40_000];

/// How long each rate lasts.
const PHASE: Duration = Duration::from_secs(8);

struct Row {
    pods: usize,
    services: usize,
    sync: Duration,
    sync_processor: Duration,
    synced: (u64, u64),
    used: u64,
    steady: Duration,
    stamps: [Duration; 2],
    rates: Vec<Rate>,
    scrape: (Duration, usize),
}

/// The result for a rate.
struct Rate {
    asked: usize,
    made: usize,
    backpressure: u64,
    lost: u64,
    processor: Duration,
}

fn main() -> Result<()> {
    // The last CPU is reserved for the daemon.
    let processors = thread::available_parallelism()?.get();
    let apart = (processors > 1).then(|| (processors - 1).to_string());
    if processors > 1 {
        let mut own = CpuSet::new();
        (0..processors - 1).for_each(|processor| own.set(processor));
        sched_setaffinity(None, &own)?;
    }
    let only: Option<usize> = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let mut rows = Vec::new();
    for pods in PODS.into_iter().filter(|pods| only.is_none_or(|only| only == *pods)) {
        eprintln!("{pods} pods");
        rows.push(measure(pods, apart.as_deref())?);
    }
    print(&rows);
    Ok(())
}

fn measure(pods: usize, processors: Option<&str>) -> Result<Row> {
    let services = pods / PODS_PER_SERVICE;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let settings = SimulatorSettings { history: 50_000, real_size: true, ..SimulatorSettings::default() };
    let cluster = runtime.block_on(Simulator::start(settings))?;
    cluster.controller().pause();
    let size = FleetSize { namespaces: services.div_ceil(20), services, pods };
    let mut fleet = Fleet::new(cluster.store().clone(), size);

    let daemon = Daemon::start(&cluster.url().to_string(), &[], processors)?;
    let sync = daemon.wait_until_ready()?;
    let (sync_processor, synced) = (daemon.processor_time()?, daemon.memory()?);
    eprintln!("  synced in {sync:.1?} with {} MB, {} MB at the peak", synced.0 / 1_000_000, synced.1 / 1_000_000);

    flip_every_service(&mut fleet, &daemon)?;
    let used = daemon.memory()?.0;
    let started = Instant::now();
    let scrape = daemon.get("/metrics")?.len();
    let scrape = (started.elapsed(), scrape);

    let mut next = (0..pods).cycle();
    let length = PHASE.min(Duration::from_secs_f64(pods as f64 / STEADY as f64));
    let before = daemon.processor_time()?;
    let (mut errors, made) = stamp_errors(&cluster, &mut fleet, &daemon, &mut next, STEADY, length)?;
    let steady = (daemon.processor_time()? - before) / made as u32;
    let stamps = [0.5, 0.99].map(|q| quantile(&mut errors, q));
    let mut rates = Vec::new();
    for asked in RATES {
        let rate = rate(&mut fleet, &daemon, &mut next, asked)?;
        eprintln!("  {rate}");
        let kept_up = rate.is_kept_up();
        rates.push(rate);
        if !kept_up {
            break;
        }
    }
    runtime.block_on(cluster.shutdown());
    Ok(Row { pods, services, sync, sync_processor, synced, used, steady, stamps, rates, scrape })
}

fn rate(fleet: &mut Fleet, daemon: &Daemon, pods: &mut impl Iterator<Item = usize>, asked: usize) -> Result<Rate> {
    let (backpressure, lines, cost) = (daemon.backpressure()?, daemon.sample_count(), daemon.processor_time()?);
    let started = Instant::now();
    let made = at_rate(asked, PHASE, |_| {
        fleet.flip(pods.next().expect("cycles"));
    });
    let made_per_second = (made as f64 / started.elapsed().as_secs_f64()) as usize;
    // Until all changes are reported, or no more come: lost ones will not come.
    let (mut told, mut before) = (daemon.sample_count(), 0);
    while told < lines + made && told > before {
        thread::sleep(Duration::from_secs(2));
        (told, before) = (daemon.sample_count(), told);
    }
    let lost = (lines + made).saturating_sub(daemon.sample_count()) as u64;
    let processor = (daemon.processor_time()? - cost) / made as u32;
    Ok(Rate { asked, made: made_per_second, backpressure: daemon.backpressure()? - backpressure, lost, processor })
}

impl Rate {
    /// Whether the cluster made as many changes as required, and the daemon read them as they came and reported each.
    fn is_kept_up(&self) -> bool {
        self.made * 100 >= self.asked * 98 && self.backpressure == 0 && self.lost == 0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, made, backpressure, lost, processor } = self;
        let processor = processor.as_secs_f64() * 1e6;
        write!(
            f,
            "{asked}/s asked, {made}/s made, {backpressure} times backpressure, {lost} lost, {processor:.0} us each"
        )
    }
}

fn print(rows: &[Row]) {
    println!("| pods | Services | s to synced | processor s | MB synced | MB peak | MB with histograms |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    for Row { pods, services, sync, sync_processor, synced: (now, peak), used, .. } in rows {
        let (sync, processor) = (sync.as_secs_f64(), sync_processor.as_secs_f64());
        let (now, peak, used) = (megabytes(*now), megabytes(*peak), megabytes(*used));
        println!("| {pods} | {services} | {sync:.1} | {processor:.1} | {now:.0} | {peak:.0} | {used:.0} |");
    }
    println!();
    println!(
        "| pods | us a change at {STEADY}/s | stamp error p50 | p99 | most changes a second | us a change | scrape |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for Row { pods, steady, stamps, rates, scrape: (time, bytes), .. } in rows {
        let kept_up = rates.iter().rev().find(|rate| rate.is_kept_up());
        let most = kept_up.map_or_else(|| "none".to_owned(), |rate| rate.asked.to_string());
        let each = kept_up.map_or(f64::NAN, |rate| rate.processor.as_secs_f64() * 1e6);
        let [p50, p99] = stamps.map(|error| error.as_secs_f64() * 1e3);
        println!(
            "| {pods} | {:.0} | {p50:.2} ms | {p99:.2} ms | {most} | {each:.0} | {:.0} ms, {:.1} MB |",
            steady.as_secs_f64() * 1e6,
            time.as_secs_f64() * 1e3,
            megabytes(*bytes as u64)
        );
    }
}
