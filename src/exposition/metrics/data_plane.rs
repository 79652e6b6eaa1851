//! The metrics of the hop to the nodes.

use super::{ALL, Format, Histograms, Scrape, encode::Page, family::Family, table as metric};
use crate::{
    ledger::Change,
    programming::{NodeOutcome, Share, Standing},
    stats::{JudgedSeries, NodesSnapshot},
};

// === impl Scrape ===

impl Scrape {
    /// The metrics of the hop to the nodes, if the daemon listens for agents.
    pub(super) fn write_data_plane(&self, page: &mut Page) -> prometheus::Result<()> {
        let Some(nodes) = &self.snapshot.nodes else { return Ok(()) };
        let bounds = &self.snapshot.bounds;
        page.family(&metric::DATAPLANE, |family| {
            for (change, delays) in Change::ALL.iter().zip(&nodes.delays) {
                family.histogram(&[change.as_str()], bounds, delays);
            }
        })?;
        page.family(&metric::DATAPLANE_CHANGES, |family| {
            for (change, outcomes) in Change::ALL.iter().zip(&nodes.outcomes) {
                for (outcome, count) in NodeOutcome::ALL.iter().zip(outcomes) {
                    family.value(&[change.as_str(), outcome.as_str()], *count as f64);
                }
            }
        })?;
        self.write_visible(nodes, page)?;
        if self.visible_slo {
            let mut each = |metric, value: &dyn Fn(&JudgedSeries) -> u64| {
                page.family(metric, |family: &mut Family| {
                    for row in &nodes.judged {
                        let labels = [&*row.service.namespace, &row.service.name, row.change.as_str()];
                        family.count(&labels, value(row) as f64, row.created);
                    }
                })
            };
            each(&metric::VISIBLE_SLO_CHANGES, &|row| row.changes)?;
            each(&metric::VISIBLE_SLO_MISSED, &|row| row.missed)?;
        }
        let Standing { following, pending, oldest, stale, unmatched, overflowed } = &nodes.standing;
        let mut each = |metric, value: &dyn Fn(usize) -> f64| {
            page.family(metric, |family: &mut Family| {
                Change::ALL.iter().for_each(|change| family.value(&[change.as_str()], value(change.index())));
            })
        };
        each(&metric::DATAPLANE_PENDING, &|change| pending[change] as f64)?;
        each(&metric::DATAPLANE_OLDEST_PENDING, &|change| self.age(oldest[change]))?;
        page.family(&metric::STALE_NODES, |family| {
            for it in stale {
                family.value(&[&it.service.namespace, &it.service.name], it.nodes.len() as f64);
            }
        })?;
        page.family(&metric::DATAPLANE_UNMATCHED, |family| {
            family.value(&["no_change"], unmatched.no_change as f64);
            family.value(&["no_service"], unmatched.no_service as f64);
        })?;
        let mut one = |metric, value: f64| page.family(metric, |family: &mut Family| family.value(&[], value));
        one(&metric::DATAPLANE_NODES, *following as f64)?;
        one(&metric::DATAPLANE_OVERFLOWED, *overflowed as f64)
    }

    /// Three shares of each kind of change of each Service would be hundreds of thousands of classic buckets, so only native histograms are
    /// by Service.
    fn write_visible(&self, nodes: &NodesSnapshot, page: &mut Page) -> prometheus::Result<()> {
        let by_service =
            page.format() == Format::Protobuf && matches!(self.histograms, Histograms::Native | Histograms::Both);
        page.family(&metric::VISIBLE, |family| {
            if by_service {
                for row in &nodes.services {
                    let labels = [&*row.service.namespace, &row.service.name, row.change.as_str(), row.share.as_str()];
                    family.native_histogram(&labels, &row.delays);
                }
                return;
            }
            for (change, shares) in Change::ALL.iter().zip(&nodes.visible) {
                for (share, delays) in Share::ALL.iter().zip(shares) {
                    let labels = [ALL, ALL, change.as_str(), share.as_str()];
                    family.histogram(&labels, &self.snapshot.bounds, delays);
                }
            }
        })
    }
}
