//! What a tracker shows of itself: pending changes, what is out of sync, its size.

use super::Tracker;
use crate::{
    ledger::Change,
    model::Stamp,
    propagation::{
        membership::ServiceId,
        report::{PodRef, ServiceName},
    },
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Pending changes of one kind of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingView {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// Kind of change.
    pub change: Change,
    /// How many there are.
    pub count: u64,
    /// When the oldest started; a lower bound of its age where the start was not seen.
    pub oldest: Stamp,
}

/// A change that is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// The pod; `None` for [`Change::Service`].
    pub pod: Option<PodRef>,
    /// Kind of change.
    pub change: Change,
    /// When it started.
    pub since: Stamp,
    /// Whether it really started then. If not it was first seen then, and its age is a lower bound.
    pub exact: bool,
}

/// The endpoints of one Service that its slices show now otherwise than its pods and the Service say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfSyncService {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// How many endpoints, each a pod.
    pub endpoints: u64,
    /// Since when the oldest of them is; a lower bound of its age where nobody saw it begin.
    pub oldest: Stamp,
    /// The same of those that send connections where they should not go, or keep them from where they should; `None` if
    /// none does.
    pub oldest_traffic: Option<Stamp>,
}

/// An endpoint that the slices show now otherwise than its pod and Service say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfSyncEndpoint {
    /// The Service.
    pub service: Arc<ServiceName>,
    /// The pod.
    pub pod: PodRef,
    /// Since when; where nobody saw it begin, since it was first seen.
    pub since: Stamp,
    /// Whether it sends connections where they should not go, or keeps them from where they should.
    pub traffic: bool,
}

/// How much a tracker holds. Nothing in it grows without one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Pods that exist, and pods that are gone and still listed by a slice, excluded by an edit that is pending, or remembered.
    pub pods: usize,
    /// Services that exist, measured or not, and Services that are gone and still have a slice.
    pub services: usize,
    /// Slices that the EndpointSlice controller writes for a Service.
    pub slices: usize,
    /// Pending changes: one a Service, and one a pod, Service and kind, at most.
    pub pending: usize,
    /// Endpoints that are out of sync: one a pod and Service at most.
    pub out_of_sync: usize,
    /// Pods and Services with an overtaken change that may still be written: one a Service, and one a pod and Service at most.
    pub overtaken: usize,
}

// === impl Tracker ===

impl Tracker {
    /// Pending changes by Service and kind, in no order.
    pub fn pending(&self) -> Vec<PendingView> {
        let mut views: HashMap<(ServiceId, Change), (u64, Stamp)> = HashMap::new();
        for pending in self.ledger.iter() {
            let (count, oldest) = views.entry((pending.key.service, pending.change)).or_insert((0, pending.since));
            *count += 1;
            *oldest = pending.since.min(*oldest);
        }
        let view =
            |((service, change), (count, oldest))| PendingView { service: self.name(service), change, count, oldest };
        views.into_iter().map(view).collect()
    }

    /// Each pending change, in no order.
    pub fn pending_changes(&self) -> impl Iterator<Item = PendingChange> {
        self.ledger.iter().map(|pending| PendingChange {
            service: self.name(pending.key.service),
            pod: pending.key.pod.map(|pod| self.pods.named(pod)),
            change: pending.change,
            since: pending.since,
            exact: pending.exact,
        })
    }

    /// How many changes are pending.
    pub fn pending_count(&self) -> usize {
        self.ledger.len()
    }

    /// Services with endpoints that are out of sync, in no order.
    pub fn out_of_sync(&self) -> Vec<OutOfSyncService> {
        let mut views: HashMap<ServiceId, OutOfSyncService> = HashMap::new();
        for ((service, _), fault) in self.out_of_sync.iter() {
            let view = views.entry(service).or_insert_with(|| OutOfSyncService {
                service: self.name(service),
                endpoints: 0,
                oldest: fault.since,
                oldest_traffic: None,
            });
            view.endpoints += 1;
            view.oldest = view.oldest.min(fault.since);
            if fault.traffic {
                view.oldest_traffic = Some(view.oldest_traffic.map_or(fault.since, |other| other.min(fault.since)));
            }
        }
        views.into_values().collect()
    }

    /// Each endpoint that is out of sync, in no order.
    pub fn out_of_sync_endpoints(&self) -> impl Iterator<Item = OutOfSyncEndpoint> {
        self.out_of_sync.iter().map(|((service, pod), fault)| OutOfSyncEndpoint {
            service: self.name(service),
            pod: self.pods.named(pod),
            since: fault.since,
            traffic: fault.traffic,
        })
    }

    /// How much it holds.
    pub fn size(&self) -> Size {
        Size {
            pods: self.pods.len(),
            services: self.services.len(),
            slices: self.slices.len(),
            pending: self.ledger.len(),
            out_of_sync: self.out_of_sync.len(),
            overtaken: self.overtaken.len(),
        }
    }

    /// The Services whose endpoints are measured, each with its objective.
    pub fn measured_services(&self) -> impl Iterator<Item = (&Arc<ServiceName>, Duration)> {
        self.services.measured().map(|(name, objective)| (name, objective.unwrap_or(self.settings.objective)))
    }

    /// Whether this Service's endpoints are measured.
    pub fn measures(&self, name: &ServiceName) -> bool {
        self.services.is_measured(name)
    }

    fn name(&self, service: ServiceId) -> Arc<ServiceName> {
        self.services.get(service).name.clone()
    }
}
