//! The EndpointSlice controller: what makes the slice hop slow.

use super::{
    Facts, Finding, Measured, Sample, Target, checks,
    finding::Findings,
    measured::ENOUGH,
    words::{counted, delay, window},
};
use crate::{ledger::Change, model::spec::ServiceSpec};
use std::time::Duration;

/// A p99 below this is not slow.
const SLOW: Duration = Duration::from_secs(1);

/// How many times the cluster's p99 is far above it.
const FAR: u32 = 5;

/// More ready endpoints than this are very many.
const MANY: usize = 1_000;

/// Endpoints of a slice: --max-endpoints-per-slice.
const OF_SLICE: usize = 100;

/// A median from this on points to a fixed wait, unless the delays differ.
const WAIT: Duration = Duration::from_millis(250);

/// How many times the median p99 is far above it.
const QUEUE: u32 = 10;

pub(super) fn of_service(service: &ServiceSpec, measured: Option<&Measured>, facts: &Facts, findings: &mut Findings) {
    let endpoints = service.places.len();
    if endpoints > MANY {
        let slices = endpoints.div_ceil(OF_SLICE) as u64;
        let finding = Finding::new(
            checks::MANY_ENDPOINTS,
            Target::of_service(service),
            counted(endpoints as u64, "ready endpoint"),
        )
        .rule(format!(
            "about {}; a rollout writes each of them up to {} times, to every node",
            counted(slices, "slice"),
            2 * OF_SLICE
        ))
        .advice(
            "Several Services with fewer pods each, or slower rollouts (maxSurge, maxUnavailable), if the \
             slice hop is slow.",
        )
        .cost("Clients have to know several names.");
        findings.add(finding);
    }
    let Some(measured) = measured else { return };
    let worst = measured.changes.iter().filter_map(|(change, own)| {
        let cluster = facts.changes.get(change).filter(|cluster| cluster.count >= ENOUGH)?;
        let is_far = own.count >= ENOUGH && own.p99 >= SLOW && own.p99 >= cluster.p99 * FAR;
        is_far.then_some((change, own, cluster))
    });
    let Some((change, own, cluster)) = worst.max_by_key(|(_, own, _)| own.p99) else { return };
    let finding =
        Finding::new(checks::CONTROLLER_SLOW, Target::of_service(service), counted(endpoints as u64, "ready endpoint"))
            .measured(format!(
                "{change}: p99 {} of {} in {}; cluster p99 {} of {}",
                delay(own.p99),
                own.count,
                window(measured.window),
                delay(cluster.p99),
                cluster.count
            ))
            .advice(
                "Look for failed writes of its slices: endpoint_slice_controller_syncs{result=\"error\"}, and \
                 another writer of them.",
            )
            .cost("Nothing.");
    findings.add(finding);
}

pub(super) fn of_cluster(facts: &Facts, findings: &mut Findings) {
    // These three are started by pods. Edits of Services take longer, as they write all slices.
    let kinds = [Change::Ready, Change::Unready, Change::Terminating];
    let samples = kinds.into_iter().filter_map(|change| Some((change, facts.changes.get(&change)?)));
    let enough: Vec<_> = samples.filter(|(_, sample)| sample.count >= ENOUGH).collect();
    let by_median = enough.iter().filter(|(_, it)| it.p50 >= WAIT && it.p90 < it.p50 * 2).max_by_key(|(_, it)| it.p50);
    if let Some((change, sample)) = by_median {
        let finding =
            Finding::new(checks::BATCHING, Target::cluster(), "not known from here: a flag of kube-controller-manager")
                .measured(figures(*change, sample))
                .advice("--endpointslice-updates-batch-period=0s (the default), if removals should be fast.")
                .cost("More writes of slices when many pods of a Service change at once.");
        findings.add(finding);
    }
    let by_tail =
        enough.iter().filter(|(_, it)| it.p99 >= SLOW && it.p99 >= it.p50 * QUEUE).max_by_key(|(_, it)| it.p99);
    if let Some((change, sample)) = by_tail {
        let finding = Finding::new(
            checks::RATE_LIMITED,
            Target::cluster(),
            "not known from here: a flag of \
             kube-controller-manager",
        )
        .measured(figures(*change, sample))
        .advice(
            "A higher --kube-api-qps and --kube-api-burst of kube-controller-manager. \
             workqueue_depth{name=\"endpoint_slice\"} and \
             rest_client_rate_limiter_duration_seconds show whether it waits for them.",
        )
        .cost("More requests to the API server at once.");
        findings.add(finding);
    }
}

fn figures(change: Change, sample: &Sample) -> String {
    let [p50, p90, p99] = [sample.p50, sample.p90, sample.p99].map(delay);
    format!("{change} in the whole cluster: p50 {p50}, p90 {p90}, p99 {p99} of {}", sample.count)
}
