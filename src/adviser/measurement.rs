//! What was measured, as advice takes it.

use crate::{
    advice::{Ends, Measured, Sample, Starts, of_cluster},
    collector::Agents,
    ledger::Change,
    pipeline::PipelineHandle,
    propagation::ServiceName,
    stats::Selection,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;

/// What was measured of all Services.
#[derive(Debug, Default)]
pub struct Measurement {
    /// Over how long; `None` if nothing was.
    pub window: Option<Duration>,
    /// By Service.
    pub services: BTreeMap<Arc<ServiceName>, Measured>,
    /// Of the whole cluster.
    pub cluster: BTreeMap<Change, Sample>,
    /// Modes of kube-proxy, and the number of nodes with each.
    pub proxy_modes: BTreeMap<String, usize>,
    /// The starts of pods, where they are followed.
    pub starts: Starts,
}

// === impl Measurement ===

impl Measurement {
    /// What a daemon has measured since its start. `None` if it is ending.
    pub async fn of_daemon(pipeline: &PipelineHandle, agents: Option<&Agents>) -> Option<Self> {
        let proxy_modes = agents.map(proxy_modes).unwrap_or_default();
        // The last starts are needed, and no table of Services: no namespace has this name.
        let no_services = Selection { namespace: Some(String::new()), ..Selection::default() };
        let starts = pipeline.startup(no_services).await?.value;
        let starts = starts.map(|view| Starts::of(&view.finished)).unwrap_or_default();
        let (cluster, changes) = (pipeline.cluster().await?, pipeline.changes().await?);
        let table = pipeline.table(Selection::default()).await?;
        // Quantiles of 10,000 Services take time.
        let computing = spawn_blocking(move || {
            let window = table.at.since_origin();
            let mut services = Measured::of_table(&table.value, table.at, window);
            Ends::of(&changes.value.recent, changes.at).add_to(&mut services);
            let cluster = of_cluster(&cluster.value, cluster.at);
            Self { window: Some(window), services, cluster, proxy_modes, starts }
        });
        computing.await.ok()
    }
}

/// Of each node the mode for IPv4, or for IPv6 if there is no other.
fn proxy_modes(agents: &Agents) -> BTreeMap<String, usize> {
    let mut modes = BTreeMap::new();
    for planes in agents.list().into_iter().filter_map(|agent| agent.planes) {
        if let Some(mode) = planes.families.iter().find_map(|family| family.decides) {
            *modes.entry(mode.as_str().to_owned()).or_default() += 1;
        }
    }
    modes
}
