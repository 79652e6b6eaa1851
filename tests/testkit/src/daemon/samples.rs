//! The daemon's `--samples`: one JSON line per outcome.

use crate::truth::Change;
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;

/// One line, each field as documented and no other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    time: String,
    /// Namespace of the Service and its pods.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Name of the pod, but not for [`Change::Service`].
    pub pod: Option<String>,
    /// UID of the pod, but not for [`Change::Service`].
    pub uid: Option<String>,
    /// The kind.
    pub change: Change,
    /// How it ended.
    pub outcome: Outcome,
    delay_seconds: Option<f64>,
}

/// The daemon's outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Reflected, with a delay.
    Propagated,
    /// Overtaken by its opposite.
    Superseded,
    /// Given up after `--expiry`, with its age.
    Expired,
    /// Its time is unknown.
    Censored,
    /// No longer expected.
    Withdrawn,
}

impl Sample {
    /// The delay, or the age of an expired one.
    pub fn delay(&self) -> Option<Duration> {
        self.delay_seconds.map(Duration::from_secs_f64)
    }

    /// Holds the line to its documentation.
    fn check(&self) -> Result<()> {
        let digits = self.time.strip_suffix('Z').and_then(|time| time.rsplit_once('.')).map(|(_, digits)| digits.len());
        ensure!(digits == Some(6), "`time` is not UTC with microseconds");
        self.time.parse::<Timestamp>().context("`time`")?;
        let of_service = self.change == Change::Service;
        ensure!(self.pod.is_none() == of_service && self.uid.is_none() == of_service, "`pod` and `uid` of a pod only");
        let ends_known = matches!(self.outcome, Outcome::Propagated | Outcome::Expired);
        ensure!(self.delay_seconds.is_some() == ends_known, "`delay_seconds` where it is known only");
        ensure!(self.delay_seconds.is_none_or(|delay| delay >= 0.0), "`delay_seconds` below zero");
        Ok(())
    }
}

/// The whole lines of a samples file; an unfinished last one is left for later.
///
/// # Errors
/// A line that is not as documented.
pub fn parse(text: &str) -> Result<Vec<Sample>> {
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| {
            let sample: Sample = serde_json::from_str(line).with_context(|| format!("the sample {line}"))?;
            sample.check().with_context(|| format!("the sample {line}"))?;
            Ok(sample)
        })
        .collect()
}
