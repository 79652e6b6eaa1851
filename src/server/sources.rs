//! The sources of the answers.

use crate::{
    adviser::Board,
    cluster::health::WatchHealth,
    collector::Agents,
    exposition::{metrics::Histograms, samples},
    pipeline::PipelineHandle,
};
use std::sync::{Arc, atomic::AtomicU64};

/// The sources of the answers. Each module of routes takes what it needs from here.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Answers what was measured.
    pub pipeline: PipelineHandle,
    /// The health of the watches.
    pub watches: Vec<Arc<WatchHealth>>,
    /// Samples that were not written.
    pub samples: Arc<samples::Counts>,
    /// Number of errors of the HDR log.
    pub hdr_log_errors: Arc<AtomicU64>,
    /// Which histograms a scrape gets.
    pub histograms: Histograms,
    /// Whether a scrape gets the met and missed objectives of the hop to the nodes.
    pub visible_slo: bool,
    /// The agents, if the daemon listens for them.
    pub agents: Option<Arc<Agents>>,
    /// What was found, if the daemon gives advice.
    pub advice: Option<Arc<Board>>,
    /// What is measured, in a few words.
    pub subject: String,
}

#[cfg(test)]
impl Sources {
    /// Those of a daemon that has ended: its pipeline does not answer.
    pub(super) fn ended() -> Self {
        Self {
            pipeline: PipelineHandle::new().0,
            watches: Vec::new(),
            samples: Arc::default(),
            hdr_log_errors: Arc::default(),
            histograms: Histograms::Both,
            visible_slo: false,
            agents: None,
            advice: None,
            subject: "nothing".to_owned(),
        }
    }
}
