//! The sources of the answers.

use crate::{
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
    /// The agents, if the daemon listens for them.
    pub agents: Option<Arc<Agents>>,
    /// What is measured, in a few words.
    pub subject: String,
}
