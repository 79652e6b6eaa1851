//! Flags of what is shown and written.

use super::{hdr_log, lines::Target, metrics::Histograms};
use crate::flags::FlagErrors;
use std::path::PathBuf;

/// Which histograms are shown, and which files are written.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Which histograms of delays are shown: per Service with classic buckets, native ones, both, or both for the cluster as a
    /// whole. Native buckets go to scrapers that ask for protobuf.
    #[arg(long, value_name = "KIND", env = "ENDPOINTLAG_HISTOGRAM", default_value = "both")]
    histogram: Histograms,

    /// Write a line of JSON for each change that ended to this file, or to standard output if it is "-".
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_SAMPLES")]
    samples: Option<String>,

    /// Write an HDR histogram of the cluster's delays for each kind of change and interval to this file, an interval log that
    /// HdrHistogram's tools open. What is in it stays.
    #[arg(long, value_name = "FILE", env = "ENDPOINTLAG_HDR_LOG")]
    hdr_log: Option<PathBuf>,

    /// Length of an interval of --hdr-log.
    #[arg(long, value_name = "DURATION", env = "ENDPOINTLAG_HDR_LOG_INTERVAL", default_value = "10s")]
    hdr_log_interval: String,
}

/// What is shown and written, checked.
#[derive(Clone, Debug)]
pub struct ExpositionSettings {
    /// Which histograms are shown.
    pub histograms: Histograms,
    /// Where each change goes.
    pub samples: Option<Target>,
    /// Where HDR histograms go.
    pub hdr_log: Option<hdr_log::Target>,
}

// === impl Args ===

impl Args {
    /// Checks these flags.
    pub(crate) fn settings(&self, errors: &mut FlagErrors) -> Option<ExpositionSettings> {
        let interval = errors.duration("--hdr-log-interval", &self.hdr_log_interval)?;
        Some(ExpositionSettings {
            histograms: self.histogram,
            samples: self.samples.as_deref().map(Target::parse),
            hdr_log: self.hdr_log.clone().map(|path| hdr_log::Target { path, interval }),
        })
    }
}
