//! Flags of the metrics and the output files.

use super::{hdr_log, lines::Target, metrics::Histograms};
use crate::flags::FlagErrors;
use std::path::PathBuf;

/// Which histograms are shown, and which files are written.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Histograms of delays: for each Service with classic buckets, native buckets or both, or with both for the whole cluster
    /// only. Only scrapers that ask for protobuf get native buckets.
    #[arg(long, value_name = "KIND", env = "ENDPOINTLAG_HISTOGRAM", default_value = "both")]
    histogram: Histograms,

    /// With agents: count for each Service how many changes were in effect on 99 % of the nodes within the objective, for an SLO on that.
    /// Two series for each Service and kind of change.
    #[arg(long, env = "ENDPOINTLAG_VISIBLE_SLO")]
    visible_slo: bool,

    /// Write a line of JSON for each change that ended to this file, or to standard output if it is "-".
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_SAMPLES")]
    samples: Option<String>,

    /// Append an HDR histogram of the cluster's delays for each kind of change and interval to this file, in the interval log
    /// format of HdrHistogram's tools.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_HDR_LOG")]
    hdr_log: Option<PathBuf>,

    /// Length of an interval of --hdr-log.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_HDR_LOG_INTERVAL", default_value = "10s")]
    hdr_log_interval: String,
}

/// The checked settings of metrics and output files.
#[derive(Clone, Debug)]
pub struct ExpositionSettings {
    /// Which histograms a scrape contains.
    pub histograms: Histograms,
    /// Whether a scrape contains the met and missed objectives of the hop to the nodes.
    pub visible_slo: bool,
    /// Where a line for each change is written.
    pub samples: Option<Target>,
    /// Where HDR histograms are written.
    pub hdr_log: Option<hdr_log::Target>,
}

// === impl Args ===

impl Args {
    /// Checks these flags.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<ExpositionSettings> {
        let interval = errors.duration("--hdr-log-interval", &self.hdr_log_interval)?;
        Some(ExpositionSettings {
            histograms: self.histogram,
            visible_slo: self.visible_slo,
            samples: self.samples.as_deref().map(Target::parse),
            hdr_log: self.hdr_log.clone().map(|path| hdr_log::Target { path, interval }),
        })
    }
}
