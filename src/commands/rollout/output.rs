//! The result in each format.

mod json;
mod table;

use super::{Output, RolloutError, follow::End};
use crate::{
    advice::Help,
    cluster::{clock::Clock, workload::WorkloadName},
    commands::text::has_colours,
    rollout::Report,
};

/// What is printed.
pub(super) struct Told<'a> {
    pub(super) name: &'a WorkloadName,
    pub(super) report: &'a Report,
    pub(super) end: &'a End,
    /// By the index of the Service in the report.
    pub(super) helps: &'a [(usize, Vec<Help>)],
    pub(super) clock: Clock,
    /// Where the figures come from, in words.
    pub(super) source: &'a str,
}

/// What is printed on standard output.
pub(super) fn text(told: &Told<'_>, output: Output) -> Result<String, RolloutError> {
    match output {
        Output::Table => Ok(table::text(told, has_colours())),
        Output::Json => Ok(json::text(told)? + "\n"),
    }
}
