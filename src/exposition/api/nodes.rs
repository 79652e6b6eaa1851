//! The hop to the nodes in `/api/v1/overview`.

use super::age;
use crate::{
    collector,
    pipeline::Now,
    programming::{Stale, Standing},
};
use serde::Serialize;
use std::cmp::Reverse;

/// Maximum number of Services with stale nodes in an answer.
const SERVICES: usize = 20;

/// Maximum number of names of nodes for each of them.
const NAMES: usize = 5;

/// The hop to the nodes now.
#[derive(Debug, Serialize)]
pub(super) struct NodesNow<'a> {
    agents: AgentsNow,
    /// Nodes that new changes are followed to: those whose agent sees the data plane.
    following: u64,
    /// Changes that a node does not show yet. Each counts once for each node.
    pending: u64,
    /// Time since the EndpointSlice of the oldest of them.
    oldest_pending_seconds: Option<f64>,
    /// Number of Services with stale nodes. The list may contain fewer.
    stale_services: usize,
    /// The Services with stale nodes, those that have been stale for longest first.
    stale: Vec<StaleLine<'a>>,
}

#[derive(Debug, Serialize)]
struct AgentsNow {
    connected: usize,
    /// Those that are connected, or were heard within the last hour.
    expected: usize,
    /// Those of them that were not heard recently.
    silent: usize,
}

#[derive(Debug, Serialize)]
struct StaleLine<'a> {
    namespace: &'a str,
    service: &'a str,
    /// Number of stale nodes.
    nodes: usize,
    /// Some of their names, sorted.
    names: Vec<&'a str>,
    /// How long ago the EndpointSlice came that the first of them does not follow.
    age_seconds: f64,
}

// === impl NodesNow ===

impl<'a> NodesNow<'a> {
    pub(super) fn new(now: &'a Now<Standing>, agents: &collector::Summary) -> Self {
        let Standing { following, pending, oldest, stale, .. } = &now.value;
        let mut longest: Vec<_> = stale.iter().collect();
        longest.sort_by_key(|it| (Reverse(now.at.since(it.since)), &it.service));
        Self {
            agents: AgentsNow { connected: agents.connected, expected: agents.expected, silent: agents.silent },
            following: *following,
            pending: pending.iter().sum(),
            oldest_pending_seconds: oldest.iter().flatten().min().map(|since| age(now, *since)),
            stale_services: stale.len(),
            stale: longest.into_iter().take(SERVICES).map(|it| StaleLine::new(it, now)).collect(),
        }
    }
}

// === impl StaleLine ===

impl<'a> StaleLine<'a> {
    fn new(Stale { service, nodes, since }: &'a Stale, now: &Now<Standing>) -> Self {
        let mut names: Vec<_> = nodes.iter().map(|node| &**node).collect();
        names.sort_unstable();
        names.truncate(NAMES);
        Self {
            namespace: &service.namespace,
            service: &service.name,
            nodes: nodes.len(),
            names,
            age_seconds: age(now, *since),
        }
    }
}
