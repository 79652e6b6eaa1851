//! Writes each ended change to `--samples` and `--hdr-log`, if these flags are set.

use super::{
    ExpositionSettings,
    hdr_log::{self, HdrLog, HdrLogError},
    samples::{self, Samples, SamplesError},
};
use crate::{cluster::clock::Clock, pipeline::Ending};
use futures::future::OptionFuture;
use std::sync::{Arc, atomic::AtomicU64};
use tokio::task::spawn_blocking;

/// An output cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The lines for `--samples`.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The file of `--hdr-log`.
    #[error(transparent)]
    HdrLog(#[from] HdrLogError),
}

/// Takes ended changes. It never blocks.
#[derive(Debug)]
pub struct Outputs {
    samples: Option<Samples>,
    hdr_log: Option<HdrLog>,
}

/// The threads that write, for their owner.
#[derive(Debug)]
pub struct Writers {
    samples: Option<samples::Writer>,
    hdr_log: Option<hdr_log::Writer>,
}

// === impl Outputs ===

impl Outputs {
    /// Opens the requested outputs, and starts the threads that write to them.
    ///
    /// # Errors
    /// If an output cannot be opened. Failed writes, now or later, are only counted and logged.
    pub fn start(settings: &ExpositionSettings, clock: Clock) -> Result<(Self, Writers), OutputError> {
        let samples = settings.samples.clone().map(|target| Samples::start(target, clock)).transpose()?;
        let hdr_log = settings.hdr_log.clone().map(HdrLog::start).transpose()?;
        let ((samples, samples_writer), (hdr_log, hdr_log_writer)) = (samples.unzip(), hdr_log.unzip());
        Ok((Self { samples, hdr_log }, Writers { samples: samples_writer, hdr_log: hdr_log_writer }))
    }

    /// Passes a change to each output.
    pub fn push(&self, ending: Ending<'_>) {
        if let Some(samples) = &self.samples {
            samples.push(ending);
        }
        if let (Some(hdr_log), Ending::Slice(ended)) = (&self.hdr_log, ending) {
            hdr_log.push(ended);
        }
    }
}

// === impl Writers ===

impl Writers {
    /// Counts of errors with the samples.
    pub fn samples_counts(&self) -> Arc<samples::Counts> {
        self.samples.as_ref().map(|writer| writer.counts.clone()).unwrap_or_default()
    }

    /// Failed writes of the HDR log, and delays that arrived too fast to be counted.
    pub fn hdr_log_errors(&self) -> Arc<AtomicU64> {
        self.hdr_log.as_ref().map(|writer| writer.errors.clone()).unwrap_or_default()
    }

    /// Opens the files again, after they were moved away.
    pub fn reopen(&self) {
        if let Some(samples) = &self.samples {
            samples.reopen();
        }
        if let Some(hdr_log) = &self.hdr_log {
            hdr_log.reopen();
        }
    }

    /// Waits until everything is written or failed. The [`Outputs`] must be dropped before.
    pub async fn finish(self) {
        let samples = self.samples.map(|samples| spawn_blocking(|| samples.finish()));
        let hdr_log = self.hdr_log.map(|hdr_log| spawn_blocking(|| hdr_log.finish()));
        // If either panicked, the process has already ended.
        let _ = tokio::join!(OptionFuture::from(samples), OptionFuture::from(hdr_log));
    }
}
