//! From what the pipeline counts to what advice rests on.

use super::{Measured, Sample};
use crate::{
    ledger::{Change, Outcome},
    model::Stamp,
    propagation::ServiceName,
    stats::{ClusterView, Row, Table, Window, WindowView},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

// === impl Sample ===

impl Sample {
    /// The delays of a window.
    pub fn of(view: &WindowView) -> Self {
        let quantile = |q| view.quantile(q).unwrap_or_default();
        Self {
            count: view.histogram.total(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: view.max.unwrap_or_default(),
            ..Self::default()
        }
    }

    fn of_row(row: &Row, now: Stamp) -> Self {
        let delays = row.delays.as_ref().map(|delays| Self::of(&delays.view(Window::Start, now)));
        let oldest_pending = row.oldest.map(|oldest| now.since(oldest)).unwrap_or_default();
        let expired = row.outcomes[Outcome::Expired { age: Duration::ZERO }.index()];
        Self { expired, pending: row.pending, oldest_pending, ..delays.unwrap_or_default() }
    }
}

// === impl Measured ===

impl Measured {
    /// All Services of a table, of which each was measured over `window`. Without the hop to the nodes, and without rollouts.
    pub fn of_table(table: &Table, now: Stamp, window: Duration) -> BTreeMap<Arc<ServiceName>, Self> {
        let new = || Self { window, ..Self::default() };
        let mut all: BTreeMap<_, _> = table.measured.iter().map(|it| (it.service.clone(), new())).collect();
        for row in &table.rows {
            let own = all.entry(row.service.clone()).or_insert_with(new);
            own.changes.insert(row.change, Sample::of_row(row, now));
        }
        all
    }
}

/// The whole cluster, or as much of it as is measured.
pub fn of_cluster(view: &ClusterView, now: Stamp) -> BTreeMap<Change, Sample> {
    let of = |(change, delays): (Change, &crate::stats::Distribution)| {
        (change, Sample::of(&delays.view(Window::Start, now)))
    };
    Change::ALL.into_iter().zip(&view.delays).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Bounds, Misses};

    #[test]
    fn what_has_expired_is_told_apart() {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: "web".into() });
        let now = Stamp::new(Duration::from_secs(1_000));
        let mut delays = crate::stats::Delays::new(Arc::new(Bounds::default()), crate::stats::Precision::Service, now);
        delays.record(Duration::from_millis(200), now);
        delays.record_expired(Duration::from_secs(600), now);
        let row = Row {
            service: service.clone(),
            change: Change::Terminating,
            outcomes: [1, 0, 1, 0, 0],
            missed: Misses::default(),
            delays: Some(delays.distribution().clone()),
            pending: 0,
            oldest: None,
        };
        let table = Table { rows: vec![row], measured: Vec::new(), out_of_sync: Default::default() };
        let measured = Measured::of_table(&table, now, Duration::from_secs(1_000));
        let sample = measured[&service].changes[&Change::Terminating];
        assert_eq!((sample.count, sample.expired, sample.max), (2, 1, Duration::from_secs(600)));
    }
}
