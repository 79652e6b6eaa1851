//! `/api/v1/overview`: the cluster as a whole, and the state of the watches.

use super::{ByWindow, Quantiles, age, nodes::NodesNow, seconds, time};
use crate::{
    cluster::health::WatchHealth,
    collector,
    model::Stamp,
    pipeline::Now,
    programming::Standing,
    stats::{ClusterView, Window, WindowView},
};
use serde::Serialize;
use std::sync::Arc;

/// The answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    version: &'static str,
    revision: &'static str,
    /// What is measured, in words.
    subject: &'a str,
    time: String,
    /// Time since counting started.
    uptime_seconds: f64,
    services: usize,
    pending: u64,
    oldest_pending_seconds: Option<f64>,
    /// Services with a change that has been pending for longer than their objective.
    late_services: usize,
    /// Endpoints that the slices show wrongly now. `None` before the first lists are complete, as for the next two fields.
    out_of_sync: Option<u64>,
    oldest_out_of_sync_seconds: Option<f64>,
    oldest_out_of_sync_traffic_seconds: Option<f64>,
    /// Services whose endpoints have affected traffic for longer than their objective.
    misrouted_services: usize,
    /// All kinds of change together.
    windows: ByWindow,
    /// The hop to the nodes. `None` without agents.
    nodes: Option<NodesNow<'a>>,
    watches: Vec<Watch<'a>>,
}

#[derive(Debug, Serialize)]
struct Watch<'a> {
    resource: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    synced: bool,
    /// The present failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// Time since the last byte. Bookmarks come about once a minute.
    age_seconds: f64,
}

/// The answer, as JSON. `nodes` is what is known of the hop to the nodes, if there can be agents.
///
/// # Errors
/// None in practice: all values can be written as JSON.
pub fn overview(
    now: &Now<ClusterView>,
    nodes: Option<(&Now<Standing>, &collector::Summary)>,
    subject: &str,
    watches: &[Arc<WatchHealth>],
) -> serde_json::Result<Vec<u8>> {
    let view = &now.value;
    let by_window = |window: Window| {
        let views: Vec<_> = view.delays.iter().map(|delays| delays.view(window, now.at)).collect();
        // There is a distribution for each kind of change, so there is at least one.
        let all = WindowView::merged(&views)?;
        Some((window.as_str(), Quantiles::of(&all)))
    };
    let watches = watches.iter().map(|watch| Watch {
        resource: watch.resource.as_str(),
        namespace: watch.namespace.as_deref(),
        synced: watch.is_synced(),
        failure: watch.failure(),
        age_seconds: age(now, watch.last_byte()),
    });
    let age_of = |since: Option<Stamp>| since.map(|since| age(now, since));
    serde_json::to_vec(&Answer {
        version: crate::VERSION,
        revision: crate::REVISION,
        subject,
        time: time(now, now.at),
        uptime_seconds: seconds(now.at.since_origin()),
        services: view.services,
        pending: view.pending,
        oldest_pending_seconds: age_of(view.oldest),
        late_services: view.late_services,
        out_of_sync: view.out_of_sync.as_ref().map(|it| it.endpoints),
        oldest_out_of_sync_seconds: age_of(view.out_of_sync.as_ref().and_then(|it| it.oldest)),
        oldest_out_of_sync_traffic_seconds: age_of(view.out_of_sync.as_ref().and_then(|it| it.oldest_traffic)),
        misrouted_services: view.misrouted_services,
        nodes: nodes.map(|(standing, agents)| NodesNow::new(standing, agents)),
        windows: Window::ALL.into_iter().filter_map(by_window).collect(),
        watches: watches.collect(),
    })
}
