//! What benches do with a simulated cluster, and how the daemon reacts.

use anyhow::{Context, Result};
use endpointlag::simulator::{Fleet, Simulator};
use std::{
    collections::HashMap,
    thread,
    time::{Duration, SystemTime},
};
use testkit::bench::{Daemon, at_rate, wait};

/// Makes a pod of every Service unready and ready again, so that each has series and histograms of two kinds of change.
pub fn flip_every_service(fleet: &mut Fleet, daemon: &Daemon) -> Result<()> {
    let services = fleet.size().services;
    for round in 1..=2 {
        for service in 0..services {
            fleet.flip(service);
            // No burst: the daemon would keep the memory that it needs for one.
            if service % 500 == 499 {
                thread::sleep(Duration::from_millis(50));
            }
        }
        let told = (round * services) as u64;
        wait("the first changes", Duration::from_millis(50), || daemon.propagated().is_ok_and(|count| count >= told))?;
    }
    Ok(())
}

/// How much later than the simulated API server sent them events were stamped, while this many pods are flipped in a
/// second, each no more than once. Also returns how many were flipped.
pub fn stamp_errors(
    cluster: &Simulator,
    fleet: &mut Fleet,
    daemon: &Daemon,
    pods: &mut impl Iterator<Item = usize>,
    per_second: usize,
    length: Duration,
) -> Result<(Vec<Duration>, usize)> {
    let (before, sent) = (daemon.sample_count(), cluster.sent());
    let mut flips = HashMap::new();
    let made = at_rate(per_second, length, |_| {
        // A change is identified by its pod.
        let pod = pods.next().expect("pods enough");
        flips.insert(Fleet::uid(pod), fleet.flip(pod));
    });
    wait("the samples", Duration::from_millis(50), || daemon.sample_count() >= before + made)?;
    let sent: HashMap<u64, SystemTime> = sent.try_iter().map(|sent| (sent.version, sent.at)).collect();
    let mut errors = Vec::new();
    for sample in daemon.samples(before)? {
        let flip = flips.get(&sample.uid).context("a sample of another pod")?;
        let at = |version| sent.get(version).copied().context("an event that was not sent");
        // A sample has whole microseconds, so it can seem to come before its cause.
        errors.push(sample.started.duration_since(at(&flip.pod)?).unwrap_or_default());
        errors.push(sample.ended.duration_since(at(&flip.slice)?).unwrap_or_default());
    }
    Ok((errors, made))
}
