//! The cost of a scrape: series, bytes and memory by the number of Services, for each choice of histograms and each format.
//!
//! Memory is the maximum resident memory of the process while it encodes, minus that before, with the statistics and their copy
//! included. Each is measured in a separate process, because an allocator keeps its memory.
//!
//! Every Service has had four kinds of change, thirty of each, with delays around 20 ms and some up to seconds. Most
//! Services of a cluster never have so many, so this is an upper bound.

use endpointlag::{
    cluster::health::WatchHealth,
    exposition::metrics::{Format, Histograms, HttpCounts, Scrape, gzip},
    ledger::{Cause, Change, Hop, Outcome},
    model::{Resource, Stamp, Uid},
    propagation::{Ended, PodRef, Report, ServiceName, Subject},
    stats::{Bounds, OutOfSync, SeriesLimits, Stats},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::{
    env, fs,
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

const CHANGES: [Change; 4] = [Change::Ready, Change::Unready, Change::Terminating, Change::Removed];

const HISTOGRAMS: [Histograms; 4] =
    [Histograms::Classic, Histograms::Native, Histograms::Both, Histograms::ClusterOnly];

/// Tells the process to measure memory: the number of Services, the choice of histograms, and the format.
const PEAK: &str = "--peak";

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(place) = arguments.iter().position(|it| it == PEAK) {
        println!("{}", peak(&arguments[place + 1..]));
        return;
    }
    println!(
        "| Services | histograms | series | text | protobuf | protobuf, gzip | ms to encode | memory for text | for protobuf |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for services in [100, 1_000, 10_000] {
        let stats = stats(services);
        for histograms in HISTOGRAMS {
            let scrape = scrape(&stats, services, histograms);
            let text = scrape.encode(Format::Text).expect("encodes");
            let began = Instant::now();
            let protobuf = scrape.encode(Format::Protobuf).expect("encodes");
            let took = began.elapsed();
            // A native histogram is one series. In text it appears as three.
            let series = match histograms {
                Histograms::Native => text_series(&text) - 2 * 4 * services,
                Histograms::Both => text_series(&text) + 4 * services,
                Histograms::Classic | Histograms::ClusterOnly => text_series(&text),
            };
            let small = gzip(&protobuf).expect("compresses");
            println!(
                "| {services} | {} | {series} | {} | {} | {} | {} | {} MB | {} MB |",
                name(histograms),
                size(&text),
                size(&protobuf),
                size(&small),
                took.as_millis(),
                measured_apart(services, histograms, "text"),
                measured_apart(services, histograms, "protobuf"),
            );
        }
    }
}

/// A scrape of Services that are all measured, and in sync.
fn scrape(stats: &Stats, services: usize, histograms: Histograms) -> Scrape {
    let mut snapshot = stats.snapshot(&[], at(60.0), SystemTime::now());
    for service in (0..services).map(service) {
        snapshot.objectives.push((service.clone(), Duration::from_secs(5)));
        snapshot.out_of_sync.insert(service, OutOfSync::default());
    }
    let watches = Resource::ALL.map(|resource| Arc::new(WatchHealth::new(resource, None, Arc::default()))).to_vec();
    Scrape {
        snapshot,
        watches,
        samples_dropped: 0,
        samples_errors: 0,
        tls: None,
        hdr_log_errors: 0,
        histograms,
        visible_slo: false,
        agents: None,
        advice: None,
        http: HttpCounts::default(),
    }
}

/// Megabytes that encoding takes, measured in a separate process.
fn measured_apart(services: usize, histograms: Histograms, format: &str) -> String {
    let program = env::current_exe().expect("has a path");
    let arguments = [PEAK, &services.to_string(), name(histograms), format];
    let output = Command::new(program).args(arguments).output().expect("runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn peak(arguments: &[String]) -> u64 {
    let [services, histograms, format] = arguments else { panic!("{PEAK} SERVICES HISTOGRAMS FORMAT") };
    let services = services.parse().expect("a number");
    let histograms = HISTOGRAMS.into_iter().find(|it| name(*it) == histograms).expect("a choice");
    let format = if format == "text" { Format::Text } else { Format::Protobuf };
    let stats = stats(services);
    let before = memory("VmRSS");
    let bytes = scrape(&stats, services, histograms).encode(format).expect("encodes");
    std::hint::black_box(&bytes);
    (memory("VmHWM") - before) >> 10
}

/// Memory of this process, in kilobytes.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the field");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn service(number: usize) -> Arc<ServiceName> {
    let namespace = format!("team-{}", number % 50).into();
    Arc::new(ServiceName { namespace, name: format!("service-{number}").into() })
}

fn stats(services: usize) -> Stats {
    let mut random = SmallRng::seed_from_u64(1);
    let limits = SeriesLimits { services: 100_000, idle: Duration::from_secs(3600) };
    let mut stats = Stats::new(Bounds::DEFAULT.parse().expect("valid"), limits, at(0.0));
    for number in 0..services {
        let service = service(number);
        for change in CHANGES {
            for pod in 0..30 {
                let delay = Duration::from_secs_f64(0.02 * f64::exp(random.random_range(-1.0..4.5f64)));
                let pod = PodRef { name: format!("service-{number}-7d9c5b-{pod:05}").into(), uid: Uid::from("pod") };
                let outcome = Outcome::Propagated { delay, reordered: None };
                let (key, at) = (Subject { service: service.clone(), pod: Some(pod) }, at(1.0));
                let ended = Ended {
                    hop: Hop::Slice,
                    key,
                    change,
                    cause: Cause::Pod,
                    began: at,
                    outcome,
                    at,
                    shown: None,
                    by: None,
                };
                stats.record(&Report::Judged { service: service.clone(), change, missed: false }, at);
                stats.record(&Report::Ended(ended), at);
            }
        }
    }
    stats
}

fn at(seconds: f64) -> Stamp {
    Stamp::new(Duration::from_secs_f64(seconds))
}

fn text_series(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).lines().filter(|line| !line.starts_with('#')).count()
}

fn size(bytes: &[u8]) -> String {
    format!("{:.2} MB", bytes.len() as f64 / 1e6)
}

fn name(histograms: Histograms) -> &'static str {
    match histograms {
        Histograms::Classic => "classic",
        Histograms::Native => "native",
        Histograms::Both => "both",
        Histograms::ClusterOnly => "cluster-only",
    }
}
