//! Where each change goes that ended: to `--samples` and `--hdr-log`, as far as they are asked for.

use super::{
    ExpositionSettings,
    hdr_log::{self, HdrLog, HdrLogError},
    samples::{self, Samples, SamplesError},
};
use crate::{cluster::clock::Clock, propagation::Ended};
use futures::future::OptionFuture;
use std::sync::{Arc, atomic::AtomicU64};
use tokio::task::spawn_blocking;

/// An output cannot be written from the start.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The lines for `--samples`.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// The file of `--hdr-log`.
    #[error(transparent)]
    HdrLog(#[from] HdrLogError),
}

/// Takes ended changes, and never blocks.
#[derive(Debug)]
pub struct Outputs {
    samples: Option<Samples>,
    hdr_log: Option<HdrLog>,
}

/// The threads that write, as their owner sees them.
#[derive(Debug)]
pub struct Writers {
    samples: Option<samples::Writer>,
    hdr_log: Option<hdr_log::Writer>,
}

// === impl Outputs ===

impl Outputs {
    /// Opens what is asked for, and starts the threads that write to it.
    ///
    /// # Errors
    /// An output cannot be opened. That one cannot be written, then or later, is counted and logged instead.
    pub fn start(settings: &ExpositionSettings, clock: Clock) -> Result<(Self, Writers), OutputError> {
        let samples = settings.samples.clone().map(|target| Samples::start(target, clock)).transpose()?;
        let hdr_log = settings.hdr_log.clone().map(HdrLog::start).transpose()?;
        let ((samples, samples_writer), (hdr_log, hdr_log_writer)) = (samples.unzip(), hdr_log.unzip());
        Ok((Self { samples, hdr_log }, Writers { samples: samples_writer, hdr_log: hdr_log_writer }))
    }

    /// Hands a change to each of them.
    pub fn push(&self, ended: &Ended) {
        if let Some(samples) = &self.samples {
            samples.push(ended);
        }
        if let Some(hdr_log) = &self.hdr_log {
            hdr_log.push(ended);
        }
    }
}

// === impl Writers ===

impl Writers {
    /// What went wrong with the samples so far.
    pub fn samples_counts(&self) -> Arc<samples::Counts> {
        self.samples.as_ref().map(|writer| writer.counts.clone()).unwrap_or_default()
    }

    /// Writes of the HDR log that failed, and delays that came faster than they could be counted.
    pub fn hdr_log_errors(&self) -> Arc<AtomicU64> {
        self.hdr_log.as_ref().map(|writer| writer.errors.clone()).unwrap_or_default()
    }

    /// Has the files opened anew, after they were moved away.
    pub fn reopen(&self) {
        if let Some(samples) = &self.samples {
            samples.reopen();
        }
        if let Some(hdr_log) = &self.hdr_log {
            hdr_log.reopen();
        }
    }

    /// Waits until all is written, or cannot be. The [`Outputs`] must be gone before.
    pub async fn finish(self) {
        let samples = self.samples.map(|samples| spawn_blocking(|| samples.finish()));
        let hdr_log = self.hdr_log.map(|hdr_log| spawn_blocking(|| hdr_log.finish()));
        // A panic of either has ended the process already.
        let _ = tokio::join!(OptionFuture::from(samples), OptionFuture::from(hdr_log));
    }
}
