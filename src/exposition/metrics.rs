//! Prometheus metrics, made from the state at the moment of a scrape.

mod encode;
mod families;
mod native;
mod openmetrics;
mod table;

pub use self::{
    encode::{Format, gzip},
    table::{Kind, METRICS, Metric},
};
use self::{families::Families, table as metric};
use crate::{
    cluster::{
        event::{Resource, Stamp},
        health::{Protocol, Restart, WatchHealth},
    },
    propagation::{Change, Outcome},
    stats::Snapshot,
};
use clap::ValueEnum;
use prometheus::{core::Collector, process_collector::ProcessCollector};
use std::sync::Arc;

/// All that a scrape shows besides the process itself.
#[derive(Debug)]
pub struct Scrape {
    /// What was measured.
    pub snapshot: Snapshot,
    /// How the watches are doing.
    pub watches: Vec<Arc<WatchHealth>>,
    /// Samples that could not be written in time.
    pub samples_dropped: u64,
    /// What went wrong with the HDR log.
    pub hdr_log_errors: u64,
    /// Which histograms are shown.
    pub histograms: Histograms,
    /// What the HTTP endpoint counted.
    pub http: HttpCounts,
}

/// What the HTTP endpoint counted since the start.
#[derive(Clone, Debug, Default)]
pub struct HttpCounts {
    /// Requests by path and status.
    pub requests: Vec<(&'static str, u16, u64)>,
    /// Dropped connections by reason.
    pub dropped: Vec<(&'static str, u64)>,
}

/// Which histograms of delays are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Histograms {
    /// Classic buckets for each Service.
    Classic,
    /// Native buckets for each Service, where the scrape asks for protobuf.
    Native,
    /// Both.
    Both,
    /// Both, for the cluster as a whole.
    ClusterOnly,
}

/// Outcomes that are shown before there is one, so that a rate sees the first.
const ALWAYS_SHOWN: [&str; 2] = ["propagated", "expired"];

/// What stands in place of namespace and Service where all are shown as one.
const ALL: &str = "_all";

// === impl Scrape ===

impl Scrape {
    /// Encodes it, the process's own metrics included.
    ///
    /// # Errors
    /// If two metrics got the same name.
    pub fn encode(&self, format: Format) -> prometheus::Result<Vec<u8>> {
        let mut families = self.families();
        families.merge(ProcessCollector::for_self().collect());
        encode::encode(&families, format)
    }

    fn families(&self) -> Families {
        let mut families = Families::new(self.histograms, self.snapshot.at, self.snapshot.wall);
        self.collect_series(&mut families);
        self.collect_watches(&mut families);
        for (path, code, count) in &self.http.requests {
            families.value(&metric::HTTP_REQUESTS, &[path, &code.to_string()], *count as f64);
        }
        for (reason, count) in &self.http.dropped {
            families.value(&metric::HTTP_DROPPED, &[reason], *count as f64);
        }
        let Snapshot { bounds, reordered, malformed_annotations, .. } = &self.snapshot;
        families.histogram(&metric::REORDER, &[], bounds, reordered);
        families.value(&metric::REORDERED, &[], reordered.counts.iter().sum::<u64>() as f64);
        families.value(&metric::MALFORMED_ANNOTATIONS, &[], *malformed_annotations as f64);
        families.value(&metric::READER_STALLED, &[], self.snapshot.reader_stalled.as_secs_f64());
        families.value(&metric::READER_STALLS, &[], self.snapshot.reader_stalls as f64);
        families.value(&metric::SERVICES_OVERFLOWED, &[], self.snapshot.overflowed as f64);
        families.value(&metric::SAMPLES_DROPPED, &[], self.samples_dropped as f64);
        families.value(&metric::HDR_LOG_ERRORS, &[], self.hdr_log_errors as f64);
        families.value(&metric::BUILD_INFO, &[crate::VERSION, crate::REVISION], 1.0);
        families
    }

    fn collect_series(&self, families: &mut Families) {
        let Snapshot { at, bounds, series, objectives, .. } = &self.snapshot;
        for row in series {
            let (namespace, name, change) = (&*row.service.namespace, &*row.service.name, row.change.as_str());
            let labels = [namespace, name, change];
            if let (Some(delays), true) = (&row.delays, self.histograms != Histograms::ClusterOnly) {
                families.histogram(&metric::PROPAGATION, &labels, bounds, delays);
            }
            for (outcome, count) in Outcome::NAMES.iter().zip(row.outcomes) {
                // Most Services never see the others: their series come with the first.
                if count == 0 && !ALWAYS_SHOWN.contains(outcome) {
                    continue;
                }
                families.value(&metric::CHANGES, &[namespace, name, change, outcome], count as f64);
            }
            families.value(&metric::PENDING, &labels, row.pending as f64);
            let oldest = row.oldest.map_or(0.0, |oldest| at.since(oldest).as_secs_f64());
            families.value(&metric::OLDEST_PENDING, &labels, oldest);
            families.value(&metric::SLO_CHANGES, &labels, row.judged as f64);
            families.value(&metric::SLO_MISSED, &labels, row.missed as f64);
        }
        if self.histograms == Histograms::ClusterOnly {
            for (change, delays) in Change::ALL.iter().zip(&self.snapshot.cluster) {
                families.histogram(&metric::PROPAGATION, &[ALL, ALL, change.as_str()], bounds, delays);
            }
        }
        for (service, objective) in objectives {
            let labels = [&*service.namespace, &*service.name];
            families.value(&metric::OBJECTIVE, &labels, objective.as_secs_f64());
        }
    }

    /// By resource: the watches of several namespaces count as one, which is as old and as synced as the worst of them.
    fn collect_watches(&self, families: &mut Families) {
        for resource in Resource::ALL {
            let watches: Vec<_> = self.watches.iter().filter(|watch| watch.resource == resource).collect();
            let sum = |of: fn(&WatchHealth) -> u64| watches.iter().map(|watch| of(watch)).sum::<u64>() as f64;
            let labels = [resource.as_str()];
            families.value(&metric::WATCH_EVENTS, &labels, sum(WatchHealth::events));
            families.value(&metric::WATCH_BYTES, &labels, sum(WatchHealth::bytes));
            families.value(&metric::WATCH_MALFORMED, &labels, sum(WatchHealth::malformed));
            families.value(&metric::WATCH_HELD_UP, &labels, sum(WatchHealth::held_up));
            for reason in Restart::ALL {
                let restarts: u64 = watches.iter().map(|watch| watch.restarts(reason)).sum();
                families.value(&metric::WATCH_RESTARTS, &[resource.as_str(), reason.as_str()], restarts as f64);
            }
            let gap: f64 = watches.iter().map(|watch| watch.gap().as_secs_f64()).sum();
            families.value(&metric::WATCH_GAP, &labels, gap);
            let blind: f64 = watches.iter().map(|watch| watch.blind().as_secs_f64()).sum();
            families.value(&metric::WATCH_BLIND, &labels, blind);
            let oldest: Option<Stamp> = watches.iter().map(|watch| watch.last_byte()).min();
            let age = oldest.map_or(0.0, |oldest| self.snapshot.at.since(oldest).as_secs_f64());
            families.value(&metric::WATCH_AGE, &labels, age);
            let connect = watches.iter().map(|watch| watch.connect()).max().unwrap_or_default();
            families.value(&metric::WATCH_CONNECT, &labels, connect.as_secs_f64());
            for protocol in Protocol::ALL {
                let users = watches.iter().filter(|watch| watch.link.protocol() == Some(protocol)).count();
                families.value(&metric::WATCH_PROTOCOL, &[resource.as_str(), protocol.as_str()], users as f64);
            }
            let ping = watches.iter().map(|watch| watch.link.ping()).max().unwrap_or_default();
            families.value(&metric::WATCH_PING, &labels, ping.as_secs_f64());
            families.value(&metric::WATCH_SLOW_PINGS, &labels, sum(|watch| watch.link.slow_pings()));
            let synced = watches.iter().all(|watch| watch.is_synced());
            families.value(&metric::WATCH_SYNCED, &labels, f64::from(u8::from(synced)));
        }
    }
}

#[cfg(test)]
mod tests;
