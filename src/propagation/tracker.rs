//! The tracker: one scope's pods, Services and slices, and the changes between them.

use super::{
    changes::{Holds, Said},
    join::Join,
    key::{PairKey, ServiceId},
    pair::{Desired, Shown},
    report::{OutOfSyncEndpoint, PendingChange, Report, ServiceName, Size, Standing},
    slices::Difference,
    views::Views,
    watches::Watches,
};
use crate::model::{EndpointSlice, EndpointsChange, Event, Pod, Resource, Seen, Service, SliceVersion, Stamp, Uid};
use std::{sync::Arc, time::Duration};

/// The settings of the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerSettings {
    /// Delay within which a change should be reflected, for Services without their own objective.
    pub objective: Duration,
    /// Age at which a change expires.
    pub expiry: Duration,
}

/// Measures one scope: the whole cluster or one namespace.
///
/// [`Tracker::apply`] takes the events of the scope's three watches in the order of their arrival; [`Tracker::advance`]
/// lets time pass; [`Tracker::reports`] returns what ended. Nothing is measured before each watch has listed once:
/// the objects of an initial list are no changes.
#[derive(Debug)]
pub struct Tracker {
    watches: Watches,
    views: Views,
    join: Join,
    reports: Vec<Report>,
    /// Whether the reports of one step are sorted.
    in_order: bool,
}

// === impl Tracker ===

impl Tracker {
    /// An empty tracker.
    pub fn new(settings: TrackerSettings) -> Self {
        Self {
            watches: Watches::default(),
            views: Views::new(settings.objective),
            join: Join::new(settings.expiry),
            reports: Vec::new(),
            in_order: false,
        }
    }

    /// The same tracker, which sorts what one step ends. Otherwise this order depends on hash values, which differ from one process
    /// to another.
    #[must_use]
    pub fn in_order(self) -> Self {
        Self { in_order: true, ..self }
    }

    /// Takes the next event of a watch. No time passes by this: its stamp decides about what it ends.
    pub fn apply(&mut self, seen: Seen, event: Event) {
        let reported = self.reports.len();
        match event {
            Event::WatchLost(resource) => self.join.changes.set_lost(resource, Some(seen.at)),
            Event::WatchRestored(resource) => self.restored(resource, seen),
            Event::Init(resource) => self.begin_list(resource),
            Event::InitDone(resource) => self.end_list(resource, Seen::late(seen.at)),
            Event::Pod(pod) => self.pod_told(seen, &pod, true),
            Event::PodDeleted(pod) => self.pod_told(seen, &pod, false),
            Event::Service(service) => self.service_seen(seen, service),
            Event::ServiceDeleted(service) => {
                if let Some((id, true)) = self.views.services.namesake(&service) {
                    self.service_gone(seen, id);
                }
            }
            Event::EndpointSlice(slice) => self.slice_written(seen, slice),
            Event::EndpointsChanged(change) => self.endpoints_changed(seen, change),
            Event::EndpointSliceDeleted(slice) => {
                let by = version(slice.uid.clone(), slice.name, slice.resource_version);
                self.slice_gone(&slice.uid, Shown { seen, by });
            }
        }
        self.tell();
        self.sort_from(reported);
    }

    /// Lets time pass: changes that are too old at `now` miss their objective or expire. Everything that arrived before
    /// `now` must have been applied. While a watch is lost, no change becomes too old.
    pub fn advance(&mut self, now: Stamp) {
        let reported = self.reports.len();
        self.join.advance(now);
        self.tell();
        self.sort_from(reported);
    }

    /// What has ended or been judged since the last call, in order.
    pub fn reports(&mut self) -> std::vec::Drain<'_, Report> {
        self.reports.drain(..)
    }

    fn restored(&mut self, resource: Resource, seen: Seen) {
        self.join.changes.set_lost(resource, None);
        if resource == Resource::Pods {
            self.join.pods_caught_up();
        }
        self.join.restored(&mut self.views, seen);
    }

    fn begin_list(&mut self, resource: Resource) {
        self.watches.begin(resource);
        if resource == Resource::Pods {
            let pods = &self.views.pods;
            self.join.changes.begin_pod_list(|pod| pods.known(pod).is_some());
        }
    }

    /// A list is complete: what it did not contain was deleted unseen.
    fn end_list(&mut self, resource: Resource, seen: Seen) {
        self.watches.end(resource);
        let list = self.watches.list(resource).number;
        match resource {
            Resource::Pods => {
                self.views.pods.unlisted(list).iter().for_each(|uid| self.pod_gone(seen, uid));
                self.join.changes.end_pod_list();
                self.join.pods_caught_up();
            }
            Resource::Services => {
                self.views.services.unlisted(list).into_iter().for_each(|id| self.service_gone(seen, id));
            }
            Resource::EndpointSlices => {
                let unlisted = self.views.slices.unlisted(list);
                unlisted.iter().for_each(|uid| self.slice_gone(uid, Shown { seen, by: None }));
            }
        }
        if !self.is_measuring() && self.watches.have_listed() {
            self.join.begin(&mut self.views, seen);
        }
    }

    fn pod_told(&mut self, seen: Seen, pod: &Pod, is_there: bool) {
        if !seen.is_late() {
            self.join.pods_caught_up();
        }
        if is_there { self.pod_seen(seen, pod) } else { self.pod_gone(seen, &pod.uid) }
    }

    fn pod_seen(&mut self, seen: Seen, pod: &Pod) {
        let step = self.views.pod_seen(pod, self.watches.list(Resource::Pods));
        self.join.pod_moved(&mut self.views, step, seen);
    }

    fn pod_gone(&mut self, seen: Seen, uid: &Uid) {
        let Some(step) = self.views.pod_gone(uid) else { return };
        let pod = step.pod;
        self.join.pod_moved(&mut self.views, step, seen);
        self.tell();
        self.views.pods.release(pod);
    }

    fn service_seen(&mut self, seen: Seen, service: Service) {
        if let Some((old, false)) = self.views.services.namesake(&service) {
            // It was deleted and created again, unseen.
            self.service_gone(seen, old);
        }
        let list = self.watches.list(Resource::Services);
        let id = self.views.services.intern(&service.uid, &service.namespace, &service.name);
        let resource_version = service.resource_version;
        let old = self.views.services.learn(id, service, list.number);
        let is_other = old.as_ref().is_some_and(|old| old.resource_version != resource_version);
        self.join.service_told(&mut self.views, id, old, is_other && list.is_under_way, seen);
    }

    fn service_gone(&mut self, seen: Seen, id: ServiceId) {
        self.join.service_gone(&mut self.views, id, seen);
        self.tell();
        self.drop_if_unknown(id);
    }

    fn slice_written(&mut self, seen: Seen, mut slice: EndpointSlice) {
        let by = version(slice.uid.clone(), std::mem::take(&mut slice.name), slice.resource_version);
        let Some(owner) = slice.owner.take() else {
            // It is not the controller's slice. If it was before, it has left the union.
            return self.slice_gone(&slice.uid, Shown { seen, by });
        };
        if self.views.has_another_owner(&slice.uid, &owner) {
            self.slice_gone(&slice.uid, Shown { seen, by: by.clone() });
        }
        let difference = self.views.slice_written(slice, &owner, self.watches.list(Resource::EndpointSlices));
        self.slice_shown(difference, Shown { seen, by });
    }

    fn endpoints_changed(&mut self, seen: Seen, mut change: EndpointsChange) {
        let by = version(change.uid.clone(), std::mem::take(&mut change.name), change.resource_version);
        if let Some(difference) = self.views.endpoints_changed(change) {
            self.slice_shown(difference, Shown { seen, by });
        }
    }

    fn slice_gone(&mut self, uid: &Uid, shown: Shown) {
        let Some(difference) = self.views.slices.remove(uid) else { return };
        let service = difference.service;
        self.slice_shown(difference, shown);
        self.drop_if_unknown(service);
    }

    fn slice_shown(&mut self, mut difference: Difference, shown: Shown) {
        self.join.slice_shown(&mut self.views, &mut difference, shown);
        self.tell();
        difference.left.into_iter().for_each(|(pod, _)| self.views.pods.release(pod));
    }

    /// Sorts the reports of a step, of which this number came before.
    fn sort_from(&mut self, reported: usize) {
        if self.in_order {
            self.reports[reported..].sort_by(Report::compare);
        }
    }

    fn drop_if_unknown(&mut self, service: ServiceId) {
        if self.views.drop_if_unknown(service) {
            self.join.forget(service);
        }
    }

    /// Reports what has happened, while the named objects are known.
    fn tell(&mut self) {
        for said in self.join.changes.take_said() {
            let report = match said {
                Said::Ended(ended) => Report::Ended(ended.map_key(|key| self.views.subject(key))),
                Said::Judged { service, change, missed } => {
                    Report::Judged { service: self.views.services.name(service).clone(), change, missed }
                }
            };
            self.reports.push(report);
        }
        let Holds { held, released } = self.join.changes.take_holds();
        held.into_iter().for_each(|pod| self.views.pods.hold(pod));
        released.into_iter().for_each(|pod| self.views.pods.release(pod));
    }

    // === The current state ===

    /// Whether every watch has listed once, so that changes are measured.
    pub fn is_measuring(&self) -> bool {
        self.join.changes.is_measuring()
    }

    /// Whether this Service's endpoints are measured.
    pub fn measures(&self, name: &ServiceName) -> bool {
        self.views.services.is_measured(name)
    }

    /// Whether the pod watch last showed this pod as ready, with an address and not terminating; `None` if it knows no such pod.
    pub fn is_ready(&self, pod: &Uid) -> Option<bool> {
        let known = self.views.pods.known(self.views.pods.find(pod)?)?;
        Some(known.desired == Desired::Ready)
    }

    /// Number of Services whose endpoints are measured and should list this pod.
    pub fn services_of(&self, pod: &Uid) -> usize {
        let Some(pod) = self.views.pods.find(pod) else { return 0 };
        let Some(known) = self.views.pods.known(pod) else { return 0 };
        let services = self.views.membership.services(known.set).iter();
        services.filter(|service| self.views.expectation(**service, pod).0 != Desired::Out).count()
    }

    /// The current state of the Services.
    pub fn standing(&self) -> Standing {
        let (views, changes) = (&self.views, &self.join.changes);
        let name = |service: ServiceId| views.services.name(service).clone();
        let measured = views.services.measured().map(|id| (name(id), views.services.terms(id).objective));
        let pending = changes.ledger.backlog(|key| key.service).into_iter();
        let out_of_sync = changes.out_of_sync.summary(|pair| pair.service).into_iter();
        Standing {
            is_measuring: changes.is_measuring(),
            measured: measured.collect(),
            pending: pending.map(|((service, change), backlog)| (name(service), change, backlog)).collect(),
            out_of_sync: out_of_sync.map(|(service, faults)| (name(service), faults)).collect(),
        }
    }

    /// Each pending change, in no order.
    pub fn pending_changes(&self) -> impl Iterator<Item = PendingChange> {
        self.join.changes.ledger.iter().map(|pending| pending.map_key(|key| self.views.subject(key)))
    }

    /// Each endpoint that is out of sync, in no order.
    pub fn out_of_sync_endpoints(&self) -> impl Iterator<Item = OutOfSyncEndpoint> {
        self.join.changes.out_of_sync.iter().map(|(PairKey { service, pod }, fault)| OutOfSyncEndpoint {
            service: self.views.services.name(service).clone(),
            pod: self.views.pods.named(pod),
            fault,
        })
    }

    /// How much the tracker holds.
    pub fn size(&self) -> Size {
        Size {
            pods: self.views.pods.len(),
            services: self.views.services.len(),
            slices: self.views.slices.len(),
            pending: self.join.changes.ledger.len(),
            out_of_sync: self.join.changes.out_of_sync.len(),
            overtaken: self.join.changes.overtaken.len(),
        }
    }
}

/// A version of a slice, to name the slice that shows a change.
fn version(uid: Uid, name: String, resource_version: u64) -> Option<Arc<SliceVersion>> {
    Some(Arc::new(SliceVersion { uid, name: name.into(), resource_version }))
}
