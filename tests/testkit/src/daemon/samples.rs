//! The daemon's `--samples`: one JSON line per outcome.

use crate::truth::Change;
use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;

/// One line, with exactly the documented fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    time: String,
    /// Namespace of the Service and its pods.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Name of the pod, except for [`Change::Service`].
    pub pod: Option<String>,
    /// UID of the pod, except for [`Change::Service`].
    pub uid: Option<String>,
    hop: String,
    /// The kind.
    pub change: Change,
    cause: Cause,
    /// How it ended.
    pub outcome: Outcome,
    delay_seconds: Option<f64>,
    slice: Option<Slice>,
}

/// What started a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    Pod,
    Service,
    FirstSight,
    LateWrite,
}

/// The version of the slice that showed a change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slice {
    name: String,
    uid: String,
    resource_version: String,
}

/// The daemon's outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Reflected, with a delay.
    Propagated,
    /// Superseded by its opposite.
    Superseded,
    /// Expired after `--expiry`, with its age.
    Expired,
    /// Its time is unknown.
    Censored,
    /// No longer expected.
    Withdrawn,
}

impl Sample {
    /// The delay, or the age of an expired change.
    pub fn delay(&self) -> Option<Duration> {
        self.delay_seconds.map(Duration::from_secs_f64)
    }

    /// Checks the line against its documentation.
    fn check(&self) -> Result<()> {
        let digits = self.time.strip_suffix('Z').and_then(|time| time.rsplit_once('.')).map(|(_, digits)| digits.len());
        ensure!(digits == Some(6), "`time` is not UTC with microseconds");
        self.time.parse::<Timestamp>().context("`time`")?;
        let of_service = self.change == Change::Service;
        ensure!(self.pod.is_none() == of_service && self.uid.is_none() == of_service, "`pod` and `uid` of a pod only");
        ensure!(self.hop == "slice", "the one hop there is");
        let is_own_cause = self.cause == if of_service { Cause::Service } else { Cause::Pod };
        ensure!(is_own_cause || matches!(self.cause, Cause::FirstSight | Cause::LateWrite), "another's `cause`");
        ensure!(self.slice.is_some() == (self.outcome == Outcome::Propagated), "`slice` where it propagated only");
        if let Some(Slice { name, uid, resource_version }) = &self.slice {
            ensure!(!name.is_empty() && !uid.is_empty(), "a `slice` without a name or a UID");
            ensure!(
                resource_version.parse::<u64>().is_ok_and(|version| version > 0),
                "`resource_version` of the slice"
            );
        }
        let ends_known = matches!(self.outcome, Outcome::Propagated | Outcome::Expired);
        ensure!(self.delay_seconds.is_some() == ends_known, "`delay_seconds` where it is known only");
        ensure!(self.delay_seconds.is_none_or(|delay| delay >= 0.0), "`delay_seconds` below zero");
        Ok(())
    }
}

/// The complete lines of a samples file. An unfinished last line is left for later.
///
/// # Errors
/// A line is not as documented.
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
