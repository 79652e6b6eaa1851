//! Where the answers come from.

use crate::{
    cluster::health::WatchHealth,
    collector::Agents,
    exposition::{metrics::Histograms, samples},
    pipeline::PipelineHandle,
};
use std::sync::{Arc, atomic::AtomicU64};

/// What the answers are made from. A module of routes takes from it what it tells about.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Tells what was measured.
    pub pipeline: PipelineHandle,
    /// How the watches are doing.
    pub watches: Vec<Arc<WatchHealth>>,
    /// Samples that were not written.
    pub samples: Arc<samples::Counts>,
    /// What went wrong with the HDR log.
    pub hdr_log_errors: Arc<AtomicU64>,
    /// Which histograms a scrape gets.
    pub histograms: Histograms,
    /// The agents, if they are listened to.
    pub agents: Option<Arc<Agents>>,
    /// What is measured, in a few words.
    pub subject: String,
}
