//! What a scrape costs: series and bytes by the number of Services, for each choice of histograms and each format.
//!
//! Every Service has had four kinds of change, thirty of each, with delays around 20 ms and some up to seconds: more than most
//! Services of a cluster ever see, so that this is an upper bound.

use endpointlag::{
    cluster::{
        event::{Resource, Stamp},
        health::WatchHealth,
        object::Uid,
    },
    exposition::metrics::{Format, Histograms, HttpCounts, Scrape, gzip},
    propagation::{Change, Ended, Outcome, PodRef, Report, ServiceName},
    stats::{Bounds, Limits, Stats},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

const CHANGES: [Change; 4] = [Change::Ready, Change::Unready, Change::Terminating, Change::Removed];

fn main() {
    println!("| Services | histograms | series | text | protobuf | protobuf, gzip | ms to encode |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for services in [100, 1_000, 10_000] {
        let stats = stats(services);
        for histograms in [Histograms::Classic, Histograms::Native, Histograms::Both, Histograms::ClusterOnly] {
            let snapshot = stats.snapshot(&[], at(60.0), SystemTime::now());
            let watches = Resource::ALL.map(|resource| Arc::new(WatchHealth::new(resource, None))).to_vec();
            let scrape = Scrape {
                snapshot,
                watches,
                samples_dropped: 0,
                samples_errors: 0,
                tls: None,
                hdr_log_errors: 0,
                histograms,
                http: HttpCounts::default(),
            };
            let text = scrape.encode(Format::Text).expect("encodes");
            let began = Instant::now();
            let protobuf = scrape.encode(Format::Protobuf).expect("encodes");
            let took = began.elapsed();
            // A native histogram is one series; in text it shows as three.
            let series = match histograms {
                Histograms::Native => text_series(&text) - 2 * 4 * services,
                Histograms::Both => text_series(&text) + 4 * services,
                Histograms::Classic | Histograms::ClusterOnly => text_series(&text),
            };
            let small = gzip(&protobuf).expect("compresses");
            println!(
                "| {services} | {} | {series} | {} | {} | {} | {} |",
                name(histograms),
                size(&text),
                size(&protobuf),
                size(&small),
                took.as_millis()
            );
        }
    }
}

fn stats(services: usize) -> Stats {
    let mut random = SmallRng::seed_from_u64(1);
    let limits = Limits { services: 100_000, idle: Duration::from_secs(3600) };
    let mut stats = Stats::new(Bounds::DEFAULT.parse().expect("valid"), limits, at(0.0));
    for number in 0..services {
        let namespace = format!("team-{}", number % 50).into();
        let service = Arc::new(ServiceName { namespace, name: format!("service-{number}").into() });
        for change in CHANGES {
            for pod in 0..30 {
                let delay = Duration::from_secs_f64(0.02 * f64::exp(random.random_range(-1.0..4.5f64)));
                let pod = PodRef { name: format!("service-{number}-7d9c5b-{pod:05}").into(), uid: Uid::from("pod") };
                let outcome = Outcome::Propagated { delay, reordered: None };
                let ended = Ended { service: service.clone(), pod: Some(pod), change, outcome, at: at(1.0) };
                stats.record(&Report::Judged { service: service.clone(), change, missed: false }, at(1.0));
                stats.record(&Report::Ended(ended), at(1.0));
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
