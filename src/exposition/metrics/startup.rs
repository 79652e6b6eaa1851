//! The metrics of the starts of pods, and of the report hop.

use super::{ALL, Format, Histograms, Scrape, encode::Page, family::Family, table as metric};
use crate::{
    startup::{Kind, Phase, Standing},
    stats::{REPORTED, StartupSnapshot},
};

// === impl Scrape ===

impl Scrape {
    /// The metrics of the starts of pods, if they are followed.
    pub(super) fn write_startup(&self, page: &mut Page) -> prometheus::Result<()> {
        let Some(startup) = &self.snapshot.startup else { return Ok(()) };
        self.write_startup_times(startup, page)?;
        let Standing { waiting, settling, kinds, implausible, negative, overflowed } = &startup.standing;
        page.family(&metric::POD_STARTS, |family| {
            Kind::ALL.iter().zip(kinds).for_each(|(kind, count)| family.value(&[kind.as_str()], *count as f64));
        })?;
        page.family(&metric::STARTUP_IMPLAUSIBLE, |family| {
            // Those by other clocks than the daemon's.
            let by_others = Phase::ALL.iter().zip(implausible).take(Phase::Listed.index());
            by_others.for_each(|(phase, count)| family.value(&[phase.as_str()], *count as f64));
        })?;
        let mut one = |metric, value: f64| page.family(metric, |family: &mut Family| family.value(&[], value));
        one(&metric::REPORT_NEGATIVE, *negative as f64)?;
        one(&metric::PODS_STARTING, (waiting + settling) as f64)?;
        one(&metric::STARTUP_OVERFLOWED, *overflowed as f64)
    }

    /// Nine phases of each Service would be a million classic buckets, so only native histograms are by Service or namespace.
    fn write_startup_times(&self, startup: &StartupSnapshot, page: &mut Page) -> prometheus::Result<()> {
        let by_owner =
            page.format() == Format::Protobuf && matches!(self.histograms, Histograms::Native | Histograms::Both);
        let bounds = &self.snapshot.bounds;
        page.family(&metric::REPORT, |family| {
            if by_owner {
                for (namespace, change, buckets) in &startup.namespaces {
                    family.native_histogram(&[namespace, change.as_str()], buckets);
                }
                return;
            }
            for (change, buckets) in REPORTED.iter().zip(&startup.reported) {
                family.histogram(&[ALL, change.as_str()], bounds, buckets);
            }
        })?;
        page.family(&metric::POD_STARTUP, |family| {
            if by_owner {
                for (service, phase, buckets) in &startup.services {
                    family.native_histogram(&[&service.namespace, &service.name, phase.as_str()], buckets);
                }
                return;
            }
            for (phase, buckets) in Phase::ALL.iter().zip(&startup.phases) {
                family.histogram(&[ALL, ALL, phase.as_str()], bounds, buckets);
            }
        })
    }
}
