//! The metrics of the agents: of all of them together, because a series for each node would mean thousands of series.

use super::{Scrape, encode::Page, family::Family, table as metric};
use crate::{
    collector::{Counts, Summary},
    dataplane::Loss,
};

// === impl Scrape ===

impl Scrape {
    /// The metrics of the agents, if the daemon listens for them.
    pub(super) fn write_agents(&self, page: &mut Page) -> prometheus::Result<()> {
        let Some(Summary { connected, expected, silent, clock_error, counts }) = self.agents else { return Ok(()) };
        let Counts { received, untimed, duplicate, .. } = counts;
        let mut one = |metric, value: f64| page.family(metric, |family: &mut Family| family.value(&[], value));
        one(&metric::AGENT_CONNECTED, connected as f64)?;
        one(&metric::AGENT_EXPECTED, expected as f64)?;
        one(&metric::AGENT_SILENT, silent as f64)?;
        one(&metric::AGENT_CLOCK_ERROR, clock_error.as_secs_f64())?;
        one(&metric::AGENT_CLOCK_STEPS, counts.steps as f64)?;
        let mut each = |metric, values: &[(&str, u64)]| {
            page.family(metric, |family: &mut Family| {
                values.iter().for_each(|(label, count)| family.value(&[label], *count as f64));
            })
        };
        let outcomes = [("timed", received - untimed), ("untimed", untimed), ("duplicate", duplicate)];
        each(&metric::AGENT_OBSERVATIONS, &outcomes)?;
        let lost =
            [("ring", counts.lost_ring), ("elsewhere", counts.lost_elsewhere), ("unreadable", counts.lost_unreadable)];
        each(&metric::AGENT_LOST, &lost)?;
        let gaps: Vec<_> = Loss::ALL.map(Loss::as_str).into_iter().zip(counts.gaps).collect();
        each(&metric::AGENT_GAPS, &gaps)?;
        let refused: Vec<_> = Summary::REFUSED.into_iter().zip(counts.refused).collect();
        each(&metric::AGENT_REFUSED, &refused)
    }
}
