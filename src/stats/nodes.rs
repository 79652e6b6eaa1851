//! What is counted of the hop to the nodes.

use super::{Bounds, Buckets, Delays, Precision, Stats};
use crate::{
    ledger::Change,
    model::Stamp,
    programming::{NodeOutcome, Report, Share, Standing},
    propagation::ServiceName,
};
use std::{collections::HashMap, sync::Arc};

/// The counts of the hop.
#[derive(Debug)]
pub(super) struct NodeStats {
    /// Delays on single nodes, by kind of change.
    delays: [Delays; Change::ALL.len()],
    /// Ended changes on single nodes, by kind of change and [`NodeOutcome`].
    outcomes: [[u64; NodeOutcome::ALL.len()]; Change::ALL.len()],
    /// Times until shares of the nodes had a change in effect, of all Services.
    visible: [[Delays; Share::ALL.len()]; Change::ALL.len()],
    /// The same by Service.
    services: HashMap<Arc<ServiceName>, [Option<Box<VisibleStats>>; Change::ALL.len()]>,
}

/// One kind of change of one Service, by share.
type VisibleStats = [Option<Delays>; Share::ALL.len()];

/// The counts of the hop at one moment, and its current state.
#[derive(Clone, Debug)]
pub struct NodesSnapshot {
    /// The current state.
    pub standing: Standing,
    /// Delays on single nodes, by kind of change.
    pub delays: [Buckets; Change::ALL.len()],
    /// Ended changes on single nodes, by kind of change and [`NodeOutcome`].
    pub outcomes: [[u64; NodeOutcome::ALL.len()]; Change::ALL.len()],
    /// Times until shares of the nodes had a change in effect, of all Services.
    pub visible: [[Buckets; Share::ALL.len()]; Change::ALL.len()],
    /// The same by Service, sorted.
    pub services: Vec<VisibleSeries>,
}

/// Times until a share of the nodes had the changes of one kind of one Service in effect.
#[derive(Clone, Debug)]
pub struct VisibleSeries {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// Kind of change.
    pub change: Change,
    /// The share.
    pub share: Share,
    /// The times.
    pub delays: Buckets,
}

// === impl NodeStats ===

impl NodeStats {
    pub(super) fn new(bounds: &Arc<Bounds>, created: Stamp) -> Self {
        let delays = || Delays::new(bounds.clone(), Precision::Cluster, created);
        Self {
            delays: std::array::from_fn(|_| delays()),
            outcomes: Default::default(),
            visible: std::array::from_fn(|_| std::array::from_fn(|_| delays())),
            services: HashMap::new(),
        }
    }

    /// Forgets Services for which `has_own` does not hold, and old numbers.
    pub(super) fn sweep(&mut self, has_own: impl Fn(&Arc<ServiceName>) -> bool, now: Stamp) {
        self.services.retain(|service, _| has_own(service));
        let of_services = self.services.values_mut().flatten().flatten().flat_map(|shares| shares.iter_mut().flatten());
        let of_all = self.delays.iter_mut().chain(self.visible.iter_mut().flatten());
        of_services.chain(of_all).for_each(|delays| delays.forget(now));
    }
}

// === impl Stats ===

impl Stats {
    /// Counts what became known of the hop to the nodes.
    pub fn record_nodes(&mut self, report: &Report, now: Stamp) {
        match report {
            Report::Nodes { change, outcome, delay, nodes } => {
                let index = change.index();
                self.nodes.outcomes[index][*outcome as usize] += nodes;
                let delays = &mut self.nodes.delays[index];
                match (outcome, delay) {
                    (NodeOutcome::Expired, Some(age)) => delays.record_expired(*age, now),
                    (_, Some(delay)) => delays.record(*delay, now),
                    (_, None) => {}
                }
            }
            Report::Visible { service, change, share, delay } => {
                let (change, share) = (change.index(), *share as usize);
                self.nodes.visible[change][share].record(*delay, now);
                let service = self.shown_as(service);
                let of_service = self.nodes.services.entry(service).or_default();
                let of_change = of_service[change].get_or_insert_default();
                let bounds = &self.bounds;
                let new = || Delays::new(bounds.clone(), Precision::Service, now);
                of_change[share].get_or_insert_with(new).record(*delay, now);
            }
            Report::Spread(_) => {}
        }
    }

    /// The counts of the hop.
    pub fn nodes(&self, standing: Standing) -> NodesSnapshot {
        let NodeStats { delays, outcomes, visible, services } = &*self.nodes;
        let mut series = Vec::new();
        for (service, changes) in services {
            for (change, shares) in Change::ALL.into_iter().zip(changes) {
                for (share, delays) in Share::ALL.into_iter().zip(shares.iter().flat_map(|shares| shares.iter())) {
                    let Some(delays) = delays else { continue };
                    let (service, delays) = (service.clone(), delays.buckets());
                    series.push(VisibleSeries { service, change, share, delays });
                }
            }
        }
        series.sort_unstable_by(|one, other| {
            (&one.service, one.change, one.share as u8).cmp(&(&other.service, other.change, other.share as u8))
        });
        let buckets = |delays: &Delays| delays.buckets();
        NodesSnapshot {
            standing,
            delays: delays.each_ref().map(buckets),
            outcomes: *outcomes,
            visible: visible.each_ref().map(|shares| shares.each_ref().map(buckets)),
            services: series,
        }
    }
}
