//! Prometheus metrics, computed from the state at each scrape.

mod advice;
mod agents;
mod data_plane;
mod encode;
mod exemplar;
mod family;
mod native;
mod node;
mod openmetrics;
mod process;
mod startup;
mod table;

use self::{
    encode::Page,
    family::{Context, Exemplars, Family},
    table as metric,
};
pub use self::{
    encode::{Format, gzip},
    node::{NODE_METRICS, Node, NodeUplink},
    table::{Kind, METRICS, Metric},
};
use crate::{
    adviser,
    cluster::health::{Protocol, Restart, WatchHealth},
    collector,
    ledger::{Change, Outcome},
    model::{Resource, Stamp},
    stats::{OutOfSync, Series, Snapshot},
};
use clap::ValueEnum;
use std::sync::Arc;

/// The contents of a scrape, except the metrics of the process itself.
#[derive(Debug)]
pub struct Scrape {
    /// The measurements.
    pub snapshot: Snapshot,
    /// The state of the watches.
    pub watches: Vec<Arc<WatchHealth>>,
    /// Number of samples that were not written.
    pub samples_dropped: u64,
    /// Number of failed writes of samples.
    pub samples_errors: u64,
    /// Number of errors of the HDR log.
    pub hdr_log_errors: u64,
    /// The state of the certificate, if there is one.
    pub tls: Option<TlsCounts>,
    /// Which histograms are included.
    pub histograms: Histograms,
    /// Whether met and missed objectives of the hop to the nodes are included.
    pub visible_slo: bool,
    /// The counts of the HTTP endpoint.
    pub http: HttpCounts,
    /// The agents, if they are listened to.
    pub agents: Option<collector::Summary>,
    /// What was found, if the daemon gives advice.
    pub advice: Option<adviser::View>,
}

/// The state of the certificate of the HTTP endpoint.
#[derive(Clone, Copy, Debug)]
pub struct TlsCounts {
    /// When it expires, in seconds since 1970.
    pub expiration: i64,
    /// How often a new certificate could not be loaded.
    pub failures: u64,
}

/// Counts of the HTTP endpoint since the start.
#[derive(Clone, Debug, Default)]
pub struct HttpCounts {
    /// Requests by path and status.
    pub requests: Vec<(String, u16, u64)>,
    /// Dropped connections by reason.
    pub dropped: Vec<(&'static str, u64)>,
}

/// Which histograms of delays a scrape contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Histograms {
    /// Classic buckets for each Service.
    Classic,
    /// Native buckets for each Service, if the scrape asks for protobuf.
    Native,
    /// Both for each Service.
    Both,
    /// Both, for the whole cluster only.
    ClusterOnly,
}

/// Outcomes that are exported before they first occur, so that a rate includes the first one.
const ALWAYS_SHOWN: [&str; 2] = ["propagated", "expired"];

/// Label value for namespace and Service if all Services share one histogram.
const ALL: &str = "_all";

// === impl Scrape ===

impl Scrape {
    /// Encodes the scrape, including the metrics of the process.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn encode(&self, format: Format) -> prometheus::Result<Vec<u8>> {
        let context = Context { format, histograms: self.histograms, at: self.snapshot.at, wall: self.snapshot.wall };
        let mut page = Page::new(context);
        self.write_changes(&mut page)?;
        self.write_states(&mut page)?;
        self.write_watches(&mut page)?;
        self.write_data_plane(&mut page)?;
        self.write_startup(&mut page)?;
        self.write_agents(&mut page)?;
        self.write_advice(&mut page)?;
        self.write_daemon(&mut page)?;
        for family in process::collect() {
            page.append(&family, &Exemplars::new())?;
        }
        Ok(page.finish())
    }

    /// Metrics by Service and kind of change.
    fn write_changes(&self, page: &mut Page) -> prometheus::Result<()> {
        let Snapshot { bounds, series, .. } = &self.snapshot;
        page.family(&metric::PROPAGATION, |family| {
            if self.histograms == Histograms::ClusterOnly {
                for (change, delays) in Change::ALL.iter().zip(&self.snapshot.cluster) {
                    family.histogram(&[ALL, ALL, change.as_str()], bounds, delays);
                }
                return;
            }
            for row in series {
                if let Some(delays) = &row.delays {
                    family.histogram(&labels(row), bounds, delays);
                }
            }
        })?;
        page.family(&metric::CHANGES, |family| {
            for row in series {
                let [namespace, name, change] = labels(row);
                for ((outcome, count), first) in Outcome::NAMES.iter().zip(row.outcomes).zip(row.first) {
                    let always = ALWAYS_SHOWN.contains(outcome);
                    // Most Services never have the other outcomes, so their series start with the first such change.
                    if count > 0 || always {
                        let began = if always { row.created } else { first };
                        family.count(&[namespace, name, change, outcome], count as f64, began);
                    }
                }
            }
        })?;
        let mut each = |metric, value: &dyn Fn(&Series) -> f64| {
            page.family(metric, |family| series.iter().for_each(|row| family.value(&labels(row), value(row))))
        };
        each(&metric::PENDING, &|row| row.pending as f64)?;
        each(&metric::OLDEST_PENDING, &|row| self.age(row.oldest))?;
        let mut each = |metric, value: &dyn Fn(&Series) -> u64| {
            page.family(metric, |family| {
                series.iter().for_each(|row| family.count(&labels(row), value(row) as f64, row.created));
            })
        };
        each(&metric::SLO_CHANGES, &|row| row.judged)?;
        each(&metric::SLO_MISSED, &|row| row.missed)
    }

    /// Metrics by Service, whether anything has changed or not.
    fn write_states(&self, page: &mut Page) -> prometheus::Result<()> {
        page.family(&metric::OBJECTIVE, |family| {
            for (service, objective) in &self.snapshot.objectives {
                family.value(&[&service.namespace, &service.name], objective.as_secs_f64());
            }
        })?;
        let mut each = |metric, value: &dyn Fn(&OutOfSync) -> f64| {
            page.family(metric, |family| {
                for (service, it) in &self.snapshot.out_of_sync {
                    family.value(&[&service.namespace, &service.name], value(it));
                }
            })
        };
        each(&metric::OUT_OF_SYNC, &|it| it.endpoints as f64)?;
        each(&metric::OLDEST_OUT_OF_SYNC, &|it| self.age(it.oldest))?;
        each(&metric::OLDEST_OUT_OF_SYNC_TRAFFIC, &|it| self.age(it.oldest_traffic))
    }

    /// Metrics by resource. The watches of several namespaces are combined: the age and the sync state are those of the worst
    /// watch.
    fn write_watches(&self, page: &mut Page) -> prometheus::Result<()> {
        let mut each = |metric, value: &dyn Fn(&[&WatchHealth]) -> f64| {
            page.family(metric, |family| {
                for resource in Resource::ALL {
                    family.value(&[resource.as_str()], value(&self.watches_of(resource)));
                }
            })
        };
        each(&metric::WATCH_EVENTS, &|all| sum(all, WatchHealth::events))?;
        each(&metric::WATCH_BYTES, &|all| sum(all, WatchHealth::bytes))?;
        each(&metric::WATCH_MALFORMED, &|all| sum(all, WatchHealth::malformed))?;
        each(&metric::WATCH_BACKPRESSURE, &|all| sum(all, WatchHealth::backpressure))?;
        each(&metric::WATCH_GAP, &|all| all.iter().map(|watch| watch.gap().as_secs_f64()).sum())?;
        each(&metric::WATCH_BLIND, &|all| all.iter().map(|watch| watch.blind().as_secs_f64()).sum())?;
        each(&metric::WATCH_AGE, &|all| self.age(all.iter().map(|watch| watch.last_byte()).min()))?;
        each(&metric::WATCH_CONNECT, &|all| {
            all.iter().map(|watch| watch.connect()).max().unwrap_or_default().as_secs_f64()
        })?;
        each(&metric::WATCH_PING, &|all| {
            all.iter().map(|watch| watch.link.ping()).max().unwrap_or_default().as_secs_f64()
        })?;
        each(&metric::WATCH_PING_BOUND, &|all| {
            all.iter().filter_map(|watch| watch.link.ping_bound()).max().unwrap_or_default().as_secs_f64()
        })?;
        each(&metric::WATCH_SLOW_PINGS, &|all| sum(all, |watch| watch.link.slow_pings()))?;
        each(&metric::WATCH_SYNCED, &|all| f64::from(u8::from(all.iter().all(|watch| watch.is_synced()))))?;
        page.family(&metric::WATCH_RESTARTS, |family| {
            for resource in Resource::ALL {
                let watches = self.watches_of(resource);
                for reason in Restart::ALL {
                    let restarts = sum(&watches, |watch| watch.restarts(reason));
                    family.value(&[resource.as_str(), reason.as_str()], restarts);
                }
            }
        })?;
        page.family(&metric::WATCH_PROTOCOL, |family| {
            for resource in Resource::ALL {
                let watches = self.watches_of(resource);
                for protocol in Protocol::ALL {
                    let users = watches.iter().filter(|watch| watch.link.protocol() == Some(protocol)).count();
                    family.value(&[resource.as_str(), protocol.as_str()], users as f64);
                }
            }
        })
    }

    /// Metrics of the daemon as a whole.
    fn write_daemon(&self, page: &mut Page) -> prometheus::Result<()> {
        let Snapshot { bounds, reordered, malformed_annotations, overflowed, .. } = &self.snapshot;
        page.family(&metric::HTTP_REQUESTS, |family| {
            for (path, code, count) in &self.http.requests {
                family.value(&[path, &code.to_string()], *count as f64);
            }
        })?;
        page.family(&metric::HTTP_DROPPED, |family| {
            for (reason, count) in &self.http.dropped {
                family.value(&[reason], *count as f64);
            }
        })?;
        page.family(&metric::REORDER, |family| family.histogram(&[], bounds, reordered))?;
        let mut one = |metric, value: f64| page.family(metric, |family: &mut Family| family.value(&[], value));
        one(&metric::REORDERED, reordered.counts.iter().sum::<u64>() as f64)?;
        one(&metric::MALFORMED_ANNOTATIONS, *malformed_annotations as f64)?;
        one(&metric::READER_STALLED, self.snapshot.reader_stalled.as_secs_f64())?;
        one(&metric::READER_STALLS, self.snapshot.reader_stalls as f64)?;
        one(&metric::SERVICES_OVERFLOWED, *overflowed as f64)?;
        one(&metric::SAMPLES_DROPPED, self.samples_dropped as f64)?;
        one(&metric::SAMPLES_ERRORS, self.samples_errors as f64)?;
        one(&metric::HDR_LOG_ERRORS, self.hdr_log_errors as f64)?;
        if let Some(tls) = &self.tls {
            one(&metric::TLS_EXPIRATION, tls.expiration as f64)?;
            one(&metric::TLS_RELOAD_FAILURES, tls.failures as f64)?;
        }
        page.family(&metric::BUILD_INFO, |family| family.value(&[crate::VERSION, crate::REVISION], 1.0))
    }

    fn watches_of(&self, resource: Resource) -> Vec<&WatchHealth> {
        self.watches.iter().map(AsRef::as_ref).filter(|watch: &&WatchHealth| watch.resource == resource).collect()
    }

    /// Time since the start stamp, in seconds; zero if there is none.
    fn age(&self, since: Option<Stamp>) -> f64 {
        since.map_or(0.0, |since| self.snapshot.at.since(since).as_secs_f64())
    }
}

fn labels(row: &Series) -> [&str; 3] {
    [&row.service.namespace, &row.service.name, row.change.as_str()]
}

fn sum(watches: &[&WatchHealth], of: impl Fn(&WatchHealth) -> u64) -> f64 {
    watches.iter().map(|watch| of(watch)).sum::<u64>() as f64
}

#[cfg(test)]
mod tests;
