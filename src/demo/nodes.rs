//! The agents of the simulated nodes.

use crate::{
    collector::{Agents, LocalAgent},
    dataplane::{self, FamilyPlane, Mode, Planes, Report},
    simulator::{NodeSync, Nodes},
};
use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

/// How often the agents are heard while their nodes do nothing, as the agents of real nodes.
const HEARD: Duration = Duration::from_secs(10);

/// Reports what the kernels of the nodes do. Each node has an agent, and all of them disconnect when this is dropped.
pub(super) async fn report(mut nodes: Nodes, agents: Arc<Agents>) -> Infallible {
    let mut connected = HashMap::new();
    let version = format!("{} (simulated)", crate::VERSION);
    let ipv4 = FamilyPlane { decides: Some(Mode::Nftables), behind: None };
    let planes = Planes { families: [ipv4, FamilyPlane::default()], unseen: Vec::new() };
    for (node, sets) in nodes.kernels() {
        let state = Report::State { at: dataplane::clock::now(), sets: sets.clone() };
        let first = vec![state, Report::Planes(planes.clone())];
        if let Some(agent) = LocalAgent::connect(&agents, node, &version, first).await {
            connected.insert(node.clone(), agent);
        }
    }
    tracing::info!(nodes = connected.len(), "the agents of simulated nodes are connected");
    let mut due = tokio::time::interval(HEARD);
    loop {
        tokio::select! {
            NodeSync { node, observations } = nodes.next() => {
                if let Some(agent) = connected.get_mut(&node) {
                    agent.tell(observations.into_iter().map(Report::Changed).collect()).await;
                }
            }
            _ = due.tick() => connected.values().for_each(LocalAgent::compare),
        }
    }
}
