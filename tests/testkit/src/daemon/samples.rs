//! The daemon's `--samples`: one JSON line per outcome on the slice hop, and one per change that has ended on all nodes.

use crate::truth::Change;
use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// One line of the slice hop, with exactly the documented fields.
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
    #[serde(rename = "hop")]
    _hop: String,
    /// The kind.
    pub change: Change,
    cause: Cause,
    /// How it ended.
    pub outcome: Outcome,
    delay_seconds: Option<f64>,
    slice: Option<Slice>,
}

/// One line of the hop to the nodes, with exactly the documented fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    time: String,
    /// Namespace of the Service and its pods.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Name of the pod, except for [`Change::Service`].
    pub pod: Option<String>,
    /// UID of the pod, except for [`Change::Service`].
    pub uid: Option<String>,
    #[serde(rename = "hop")]
    _hop: String,
    /// The kind.
    pub change: Change,
    #[serde(rename = "cause")]
    _cause: Cause,
    slice: Slice,
    /// How it spread over the nodes.
    pub nodes: Nodes,
}

/// How a change spread over the nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// Number of nodes that had to follow.
    pub total: u32,
    /// On how many of them it ended in which way.
    pub outcomes: BTreeMap<String, u32>,
    /// Time from the slice event until it was in effect on half of them.
    pub p50_seconds: Option<f64>,
    /// On 99 of 100.
    pub p99_seconds: Option<f64>,
    /// On all.
    pub all_seconds: Option<f64>,
    /// The last node.
    pub last: Option<String>,
    /// Maximum error of these times.
    pub error_seconds: f64,
}

/// A line of either hop.
enum Line {
    Slice(Sample),
    DataPlane(Spread),
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

impl Spread {
    /// When the slice event arrived, from which its times count.
    ///
    /// # Errors
    /// The line has no time.
    pub fn shown(&self) -> Result<Timestamp> {
        self.time.parse().context("`time`")
    }

    /// Checks the line against its documentation.
    fn check(&self) -> Result<()> {
        self.shown()?;
        let Nodes { total, outcomes, p50_seconds, p99_seconds, all_seconds, last, error_seconds } = &self.nodes;
        ensure!(*total > 0 && outcomes.values().sum::<u32>() == *total, "the outcomes do not add up to the nodes");
        let in_effect = outcomes.get("in_effect").copied().unwrap_or_default();
        ensure!(all_seconds.is_some() == (in_effect == *total), "`all_seconds` if it is in effect on all nodes only");
        ensure!(last.is_some() == (in_effect > 0), "`last` if it is in effect somewhere");
        let shares = [p50_seconds, p99_seconds, all_seconds].map(|seconds| seconds.unwrap_or(f64::INFINITY));
        ensure!(shares.is_sorted() && shares[0] >= 0.0 && *error_seconds >= 0.0, "shares that are not in order");
        ensure!(!self.slice.name.is_empty(), "a `slice` without a name");
        Ok(())
    }
}

/// The complete lines of a samples file. An unfinished last line is left for later.
fn lines(text: &str) -> impl Iterator<Item = Result<Line>> {
    #[derive(Deserialize)]
    struct Hop {
        hop: String,
    }
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| {
        let parse = || {
            Ok(match &*serde_json::from_str::<Hop>(line)?.hop {
                "slice" => {
                    let sample: Sample = serde_json::from_str(line)?;
                    sample.check()?;
                    Line::Slice(sample)
                }
                "data-plane" => {
                    let spread: Spread = serde_json::from_str(line)?;
                    spread.check()?;
                    Line::DataPlane(spread)
                }
                other => bail!("{other:?} is no hop"),
            })
        };
        parse().with_context(|| format!("the sample {line}"))
    })
}

/// The lines of the slice hop.
///
/// # Errors
/// A line is not as documented.
pub fn parse(text: &str) -> Result<Vec<Sample>> {
    let of_slices = |line| match line {
        Ok(Line::Slice(sample)) => Some(Ok(sample)),
        Ok(Line::DataPlane(_)) => None,
        Err(error) => Some(Err(error)),
    };
    lines(text).filter_map(of_slices).collect()
}

/// The lines of the hop to the nodes.
///
/// # Errors
/// A line is not as documented.
pub fn spreads(text: &str) -> Result<Vec<Spread>> {
    let of_nodes = |line| match line {
        Ok(Line::DataPlane(spread)) => Some(Ok(spread)),
        Ok(Line::Slice(_)) => None,
        Err(error) => Some(Err(error)),
    };
    lines(text).filter_map(of_nodes).collect()
}
