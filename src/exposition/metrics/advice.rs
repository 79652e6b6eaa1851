//! The metrics of advice.

use super::{ALL, Scrape, encode::Page, family::Family, table as metric};
use crate::{advice::Severity, adviser::View};
use std::time::SystemTime;

// === impl Scrape ===

impl Scrape {
    /// The metrics of advice, if the daemon gives any.
    pub(super) fn write_advice(&self, page: &mut Page) -> prometheus::Result<()> {
        let Some(View { found, last, evaluations, failures, .. }) = &self.advice else { return Ok(()) };
        page.family(&metric::FINDING, |family| {
            for series in &found.series {
                let (namespace, name) = match &series.service {
                    Some(service) => (&*service.namespace, &*service.name),
                    None => (ALL, ALL),
                };
                family.value(&[namespace, name, series.check, series.severity.as_str()], 1.0);
            }
        })?;
        page.family(&metric::FINDINGS, |family| {
            let by_severity = Severity::ALL.into_iter().map(Severity::as_str).zip(found.by_severity);
            for (name, count) in by_severity.chain([("ignored", found.ignored)]) {
                family.value(&[name], count as f64);
            }
        })?;
        page.family(&metric::MISSING_RIGHTS, |family| {
            for (resource, count) in &found.missing {
                family.value(&[resource], *count as f64);
            }
        })?;
        let mut one = |metric, value: f64| page.family(metric, |family: &mut Family| family.value(&[], value));
        one(&metric::FINDINGS_OVERFLOWED, found.overflowed as f64)?;
        one(&metric::EVALUATIONS, *evaluations as f64)?;
        one(&metric::EVALUATION_FAILURES, *failures as f64)?;
        if let Some(last) = last {
            let at = last.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            one(&metric::EVALUATED, at.as_secs_f64())?;
            one(&metric::EVALUATION, last.took.as_secs_f64())?;
        }
        Ok(())
    }
}
