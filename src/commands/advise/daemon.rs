//! Takes what a daemon has measured, by its JSON.

use super::args::Settings;
use crate::{
    advice::{Ends, Measured, OnNodes, Sample, Starts},
    adviser::Measurement,
    commands::daemon::{
        Daemon, DaemonError,
        answers::{Agents, Changes, Histogram, Histograms, Line, PhaseLine, Seconds, Services, Startup, kind, name},
    },
    ledger::Outcome,
    propagation::ServiceName,
    startup::{KEPT, Phase},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The window of all figures: since the daemon's start.
const WINDOW: &str = "start";

/// Maximum number of rows, as the daemon allows.
const ROWS: usize = 100_000;

/// Maximum number of single changes, as the daemon keeps.
const CHANGES: usize = 10_000;

/// What it has measured since its start.
pub(super) async fn measured(daemon: &Daemon, settings: &Settings) -> Result<Measurement, DaemonError> {
    let Daemon { client, overview, .. } = daemon;
    let only = match &settings.service {
        Some(service) => format!("&service={service}"),
        None => String::new(),
    };
    let Seconds(window) = overview.uptime_seconds;
    let path = format!("/api/v1/services?window={WINDOW}&limit={ROWS}{only}");
    let services: Services = client.get(&path).await?;
    let mut measured: BTreeMap<Arc<ServiceName>, Measured> = BTreeMap::new();
    for line in services.services {
        let Some(change) = kind(&line.change) else { continue };
        let own = measured.entry(name(&line.namespace, &line.service)).or_insert_with(|| Measured::nothing_in(window));
        own.changes.insert(change, line.sample());
    }
    let changes: Changes = client.get(&format!("/api/v1/changes?limit={CHANGES}{only}")).await?;
    add_changes(&changes, &mut measured);
    let startup: Startup = client.get(&format!("/api/v1/startup?limit={KEPT}{only}")).await?;
    let histograms: Histograms = client.get(&format!("/api/v1/histogram?window={WINDOW}")).await?;
    let cluster = histograms.histograms.iter().filter_map(|it| Some((kind(&it.change)?, it.sample())));
    let agents = match overview.nodes {
        Some(_) => client.get::<Agents>("/api/v1/agents").await?.agents,
        None => Vec::new(),
    };
    let mut proxy_modes = BTreeMap::new();
    for planes in agents.into_iter().filter_map(|agent| agent.planes) {
        if let Some(mode) = planes.ipv4.or(planes.ipv6) {
            *proxy_modes.entry(mode).or_default() += 1;
        }
    }
    Ok(Measurement {
        window: Some(window),
        services: measured,
        cluster: cluster.collect(),
        proxy_modes,
        starts: starts_of(&startup),
    })
}

/// Adds the hop to the nodes, and from how many rollouts the removals come, as far as single changes are kept.
fn add_changes(changes: &Changes, measured: &mut BTreeMap<Arc<ServiceName>, Measured>) {
    let lasted = |since| Duration::try_from(changes.time.duration_since(since)).unwrap_or_default();
    let mut ends = Ends::reaching_back(changes.ended_since.map(lasted));
    for it in &changes.ended {
        let Some(change) = kind(&it.change) else { continue };
        // Only differences count. A time before 1970 is that of a clock that is not set.
        let at = Duration::try_from(it.ended.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
        let nodes = it.nodes.as_ref().map(|of| OnNodes {
            all: of.all_seconds.map(|Seconds(all)| all),
            at_least: of.at_least(),
            is_open: of.is_open(),
        });
        ends.add(&name(&it.namespace, &it.service), change, it.pod.as_deref(), at, nodes);
    }
    ends.add_to(measured);
}

/// The starts of pods, if the daemon follows them.
fn starts_of(answer: &Startup) -> Starts {
    let mut starts = Starts::default();
    for it in &answer.pods {
        let phase = |name: Phase| {
            let found = it.phases.iter().find(|phase| phase.phase == name.as_str());
            found.map(|PhaseLine { seconds: Seconds(took), .. }| *took)
        };
        let service = name(&it.namespace, &it.service);
        starts.add(&service, it.pod.as_str().into(), phase(Phase::ContainersReady), phase(Phase::ReadinessGates));
    }
    starts
}

// === impl Line ===

impl Line {
    fn sample(&self) -> Sample {
        let Seconds(oldest_pending) = self.oldest_pending_seconds.unwrap_or_default();
        let expired = self.outcomes.get(Outcome::Expired { age: Duration::ZERO }.as_str()).copied().unwrap_or_default();
        let sample = Sample { expired, pending: self.pending, oldest_pending, ..Sample::default() };
        let Some(it) = self.windows.get(WINDOW) else { return sample };
        // Without a delay there are no quantiles.
        let [p50, p90, p99, p999, max] =
            [it.p50, it.p90, it.p99, it.p99_9, it.max].map(|value| value.unwrap_or_default().0);
        Sample { count: it.count, p50, p90, p99, p999, max, ..sample }
    }
}

// === impl Histogram ===

impl Histogram {
    fn sample(&self) -> Sample {
        let at = |wanted: f64| {
            let step = self.percentiles.iter().find(|(_, quantile, _)| *quantile >= wanted);
            step.or(self.percentiles.last()).map(|(Seconds(value), _, _)| *value).unwrap_or_default()
        };
        let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(at);
        Sample { count: self.count, p50, p90, p99, p999, max, ..Sample::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_far_single_changes_reach_back_is_told() {
        let service = name("shop", "web");
        let recent = |since: serde_json::Value| {
            let changes = json!({ "time": "2026-01-01T05:00:00Z", "pending": [], "ended_since": since, "ended": [] });
            let changes: Changes = serde_json::from_value(changes).expect("an answer");
            let mut measured = BTreeMap::from([(service.clone(), Measured::default())]);
            add_changes(&changes, &mut measured);
            measured[&service].recent
        };
        assert_eq!(recent(json!("2026-01-01T00:00:00Z")), Some(Duration::from_secs(5 * 3_600)));
        assert_eq!(recent(json!(null)), None);
    }

    #[test]
    fn what_has_expired_is_told_apart() {
        let line = json!({
            "namespace": "shop",
            "service": "web",
            "change": "terminating",
            "outcomes": { "propagated": 1, "expired": 1 },
            "missed": 1,
            "pending": 0,
            "windows": { "start": { "count": 2, "p50": 0.2, "p90": 600, "p99": 600, "p99_9": 600, "max": 600 } },
        });
        let sample = serde_json::from_value::<Line>(line).expect("a line").sample();
        assert_eq!((sample.count, sample.expired, sample.max), (2, 1, Duration::from_secs(600)));
    }
}
