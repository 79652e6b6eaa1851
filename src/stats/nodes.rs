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

/// One kind of change of one Service.
#[derive(Debug)]
struct VisibleStats {
    /// By share.
    shares: [Option<Delays>; Share::ALL.len()],
    judged: Judged,
}

/// Changes that met or missed their objective on [`Share::Most`] of the nodes.
#[derive(Clone, Copy, Debug)]
struct Judged {
    changes: u64,
    /// Those that missed it.
    missed: u64,
    /// When counting started.
    created: Stamp,
}

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
    /// Met and missed objectives by Service, sorted.
    pub judged: Vec<JudgedSeries>,
}

/// Changes of one kind of one Service that met or missed their objective on [`Share::Most`] of the nodes.
#[derive(Clone, Debug)]
pub struct JudgedSeries {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// Kind of change.
    pub change: Change,
    /// Changes that met or missed it.
    pub changes: u64,
    /// Those that missed it.
    pub missed: u64,
    /// When counting started.
    pub created: Stamp,
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
        let of_services = self.services.values_mut().flatten().flatten().flat_map(|it| it.shares.iter_mut().flatten());
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
            Report::Visible { service, change, share, delay, is_expired } => {
                let (change, share) = (change.index(), *share as usize);
                let bounds = self.bounds.clone();
                let new = || Delays::new(bounds, Precision::Service, now);
                let record = if *is_expired { Delays::record_expired } else { Delays::record };
                record(&mut self.nodes.visible[change][share], *delay, now);
                record(self.visible_of(service, change, now).shares[share].get_or_insert_with(new), *delay, now);
            }
            Report::Judged { service, change, missed } => {
                let judged = &mut self.visible_of(service, change.index(), now).judged;
                judged.changes += 1;
                judged.missed += u64::from(*missed);
            }
            Report::Spread(_) => {}
        }
    }

    fn visible_of(&mut self, service: &Arc<ServiceName>, change: usize, now: Stamp) -> &mut VisibleStats {
        let service = self.shown_as(service);
        let of_service = self.nodes.services.entry(service).or_default();
        let judged = Judged { changes: 0, missed: 0, created: now };
        of_service[change].get_or_insert_with(|| Box::new(VisibleStats { shares: Default::default(), judged }))
    }

    /// The counts of the hop.
    pub fn nodes(&self, standing: Standing) -> NodesSnapshot {
        let NodeStats { delays, outcomes, visible, services } = &*self.nodes;
        let (mut series, mut all_judged) = (Vec::new(), Vec::new());
        for (service, changes) in services {
            for (change, it) in Change::ALL.into_iter().zip(changes) {
                let Some(it) = it else { continue };
                let (service, Judged { changes, missed, created }) = (service.clone(), it.judged);
                all_judged.push(JudgedSeries { service: service.clone(), change, changes, missed, created });
                for (share, delays) in Share::ALL.into_iter().zip(&it.shares) {
                    let Some(delays) = delays else { continue };
                    let (service, delays) = (service.clone(), delays.buckets());
                    series.push(VisibleSeries { service, change, share, delays });
                }
            }
        }
        series.sort_unstable_by(|one, other| {
            (&one.service, one.change, one.share as u8).cmp(&(&other.service, other.change, other.share as u8))
        });
        all_judged.sort_unstable_by(|one, other| (&one.service, one.change).cmp(&(&other.service, other.change)));
        let buckets = |delays: &Delays| delays.buckets();
        NodesSnapshot {
            standing,
            delays: delays.each_ref().map(buckets),
            outcomes: *outcomes,
            visible: visible.each_ref().map(|shares| shares.each_ref().map(buckets)),
            services: series,
            judged: all_judged,
        }
    }
}
