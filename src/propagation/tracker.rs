//! The tracker: one scope's pods, Services and slices, and the changes between them.

mod edits;
mod pairs;
mod pods;
mod services;
mod slices;

use self::{edits::Edit, pods::Pods, services::Services, slices::Slices};
use super::{
    change::{Change, Ended, Outcome, PodRef, Report, ServiceName},
    membership::{Membership, PodId, ServiceId},
    pending::{Due, Pending, PendingId, Pendings},
};
use crate::cluster::{
    event::{Event, Resource, Seen, Stamp},
    object::ObjectError,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// What the tracker is told by its user.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Delay within which a change should be reflected, for Services that do not say otherwise.
    pub objective: Duration,
    /// Age at which a change is given up.
    pub expiry: Duration,
}

/// Measures one scope: the whole cluster or one namespace.
///
/// [`Tracker::apply`] takes the events of the scope's three watches in the order in which they came; [`Tracker::advance`]
/// lets time pass; [`Tracker::reports`] hands out what ended. Nothing is measured before each watch has listed once:
/// the objects of an initial list are no changes.
#[derive(Debug)]
pub struct Tracker {
    settings: Settings,
    /// Whether every watch has listed once.
    measuring: bool,
    lists: [ListState; 3],
    membership: Membership,
    pods: Pods,
    services: Services,
    slices: Slices,
    pendings: Pendings,
    reports: Vec<Report>,
}

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

/// How much a tracker holds. Nothing in it grows without one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Pods that exist, and pods that are gone and still listed by a slice, or excluded by an edit that is pending.
    pub pods: usize,
    /// Services that exist, measured or not, and Services that are gone and still have a slice.
    pub services: usize,
    /// Slices of the EndpointSlice controller.
    pub slices: usize,
    /// Pending changes: one a Service, and one a pod, Service and kind, at most.
    pub pending: usize,
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

/// Where a watch stands with listing.
#[derive(Clone, Copy, Debug, Default)]
struct ListState {
    /// Number of the last list; objects remember in which they were seen last.
    number: u32,
    listing: bool,
    listed_once: bool,
}

/// Slices and pods come by two watches; how far one may run behind the other before what the slices show first is taken
/// for an older state instead of the same change. Watches of one API server lie milliseconds apart. What leads by more has
/// causes of its own, such as a deleted node, whose pods leave the slices long before they are deleted themselves.
const REORDER_HORIZON: Duration = Duration::from_secs(10);

/// Why a pending change ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// A slice event showed it.
    Reflected(Seen),
    Superseded,
    Withdrawn,
    Expired,
}

// === impl Tracker ===

impl Tracker {
    /// A tracker that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            measuring: false,
            lists: Default::default(),
            membership: Membership::default(),
            pods: Pods::default(),
            services: Services::default(),
            slices: Slices::default(),
            pendings: Pendings::default(),
            reports: Vec::new(),
        }
    }

    /// Takes the next event of a watch.
    ///
    /// # Errors
    /// If an object cannot be used. All goes on without it.
    pub fn apply(&mut self, seen: Seen, event: Event) -> Result<(), ObjectError> {
        self.advance(seen.at);
        match event {
            Event::WatchLost(_) | Event::WatchRestored(_) => {}
            Event::ListBegan(resource) => self.begin_list(resource),
            Event::ListEnded(resource) => self.end_list(resource, seen),
            Event::Pod(pod) => self.pod_seen(seen, pod),
            Event::PodDeleted(pod) => self.pod_gone(seen, &pod.uid),
            Event::Service(service) => self.service_seen(seen, service),
            Event::ServiceDeleted(service) => self.service_gone(seen, &service),
            Event::EndpointSlice(slice) => self.slice_seen(seen, slice)?,
            Event::EndpointSliceDeleted(slice) => self.slice_gone(seen, &slice.uid),
        }
        Ok(())
    }

    /// Lets time pass: changes that have grown too old by `now` miss their objective or expire.
    pub fn advance(&mut self, now: Stamp) {
        while let Some((id, due)) = self.pendings.next_due(now) {
            match due {
                Due::Objective => self.judge(id, true),
                Due::Expiry => self.end(id, now, Ending::Expired),
            }
        }
    }

    /// What has ended or been judged since the last call, in order.
    pub fn reports(&mut self) -> std::vec::Drain<'_, Report> {
        self.reports.drain(..)
    }

    /// Whether every watch has listed once, so that changes are measured.
    pub fn is_measuring(&self) -> bool {
        self.measuring
    }

    /// Pending changes by Service and kind, in no order.
    pub fn pending(&self) -> Vec<PendingView> {
        let mut views: HashMap<(ServiceId, Change), (u64, Stamp)> = HashMap::new();
        for pending in self.pendings.iter() {
            let (count, oldest) = views.entry((pending.service, pending.change)).or_insert((0, pending.since));
            *count += 1;
            *oldest = pending.since.min(*oldest);
        }
        let name = |id| self.services.get(id).name.clone();
        let view = |((service, change), (count, oldest))| PendingView { service: name(service), change, count, oldest };
        views.into_iter().map(view).collect()
    }

    /// Each pending change, in no order.
    pub fn pending_changes(&self) -> impl Iterator<Item = PendingChange> {
        self.pendings.iter().map(|pending| PendingChange {
            service: self.services.get(pending.service).name.clone(),
            pod: pending.pod.map(|pod| self.pods.named(pod)),
            change: pending.change,
            since: pending.since,
            exact: pending.exact,
        })
    }

    /// Services with endpoints that are out of sync, in no order.
    pub fn out_of_sync(&self) -> Vec<OutOfSyncService> {
        Vec::new()
    }

    /// Each endpoint that is out of sync, in no order.
    pub fn out_of_sync_endpoints(&self) -> impl Iterator<Item = OutOfSyncEndpoint> {
        std::iter::empty()
    }

    /// How many changes are pending.
    pub fn pending_count(&self) -> usize {
        self.pendings.len()
    }

    /// How much it holds.
    pub fn size(&self) -> Size {
        Size {
            pods: self.pods.len(),
            services: self.services.len(),
            slices: self.slices.len(),
            pending: self.pendings.len(),
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

    fn begin_list(&mut self, resource: Resource) {
        let list = &mut self.lists[resource as usize];
        list.number = list.number.wrapping_add(1);
        list.listing = true;
        if resource == Resource::Pods {
            self.begin_pod_list();
        }
    }

    fn end_list(&mut self, resource: Resource, seen: Seen) {
        self.lists[resource as usize].listing = false;
        self.lists[resource as usize].listed_once = true;
        let (number, late) = (self.lists[resource as usize].number, Seen::late(seen.at));
        match resource {
            Resource::Pods => self.drop_unlisted_pods(number, late),
            Resource::Services => self.drop_unlisted_services(number, late),
            Resource::EndpointSlices => self.drop_unlisted_slices(number, late),
        }
        if !self.measuring && self.lists.iter().all(|list| list.listed_once) {
            self.measuring = true;
            self.start_from_lists(late);
        }
    }

    /// The number of the list under way, if one is.
    fn listing(&self, resource: Resource) -> Option<u32> {
        let list = &self.lists[resource as usize];
        list.listing.then_some(list.number)
    }

    /// Starts to wait for a change to be reflected.
    fn start(&mut self, service: ServiceId, pod: Option<PodId>, change: Change, seen: Seen) -> PendingId {
        let objective = self.objective(service);
        let pending = Pending { service, pod, change, since: seen.at, exact: !seen.is_late(), missed: false };
        self.pendings.start(pending, objective, self.settings.expiry)
    }

    /// Ends a pending change, and says how. A change whose start was not seen ends censored whatever ends it.
    fn end(&mut self, id: PendingId, at: Stamp, ending: Ending) {
        let pending = *self.pendings.get(id);
        let outcome = match ending {
            _ if !pending.exact => Outcome::Censored,
            Ending::Reflected(seen) if seen.is_late() => Outcome::Censored,
            Ending::Reflected(seen) => propagated(pending.since, seen.at),
            Ending::Superseded => Outcome::Superseded,
            Ending::Withdrawn => Outcome::Withdrawn,
            Ending::Expired => Outcome::Expired { age: at.since(pending.since) },
        };
        if !pending.missed {
            match outcome {
                // Time has advanced to the event that ends it: had it been too late, it had been judged by now.
                Outcome::Propagated { .. } => self.judge(id, false),
                Outcome::Expired { .. } => self.judge(id, true),
                Outcome::Superseded | Outcome::Censored | Outcome::Withdrawn => {}
            }
        }
        self.pendings.end(id);
        match pending.pod {
            Some(pod) => self.services.get_mut(pending.service).pair_mut(pod).set_pending(pending.change, None),
            None => {
                let edit = self.services.get_mut(pending.service).edit.take();
                for pod in edit.into_iter().flat_map(Edit::into_excluded) {
                    self.pods.release(pod);
                }
            }
        }
        self.report(pending.service, pending.pod, pending.change, outcome, at);
    }

    /// The delay within which a change that starts now should be reflected.
    fn objective(&self, service: ServiceId) -> Duration {
        self.services.objective(service).unwrap_or(self.settings.objective)
    }

    fn judge(&mut self, id: PendingId, missed: bool) {
        let Pending { service, change, .. } = *self.pendings.get(id);
        self.report_judged(service, change, missed);
    }

    fn report_judged(&mut self, service: ServiceId, change: Change, missed: bool) {
        let service = self.services.get(service).name.clone();
        self.reports.push(Report::Judged { service, change, missed });
    }

    fn report(&mut self, service: ServiceId, pod: Option<PodId>, change: Change, outcome: Outcome, at: Stamp) {
        let service = self.services.get(service).name.clone();
        let pod = pod.map(|pod| self.pods.named(pod));
        self.reports.push(Report::Ended(Ended { service, pod, change, outcome, at }));
    }

    /// A change that the slices showed before the change itself arrived: `mark` is when they came to. Not a change at all
    /// if they showed it long before.
    fn report_reordered(&mut self, service: ServiceId, pod: Option<PodId>, change: Change, seen: Seen, mark: Seen) {
        if seen.is_late() || mark.is_late() {
            self.report(service, pod, change, Outcome::Censored, seen.at);
        } else if seen.at.since(mark.at) <= REORDER_HORIZON {
            let outcome = propagated(seen.at, mark.at);
            // The slice came first, but by its stamp it may be the later of the two.
            let missed = outcome.delay().is_some_and(|delay| delay > self.objective(service));
            self.report_judged(service, change, missed);
            self.report(service, pod, change, outcome, seen.at);
        }
    }
}

/// The delay from a change to the slice that shows it. Each watch has its own connection, so the slice may come first.
fn propagated(since: Stamp, shown: Stamp) -> Outcome {
    let reordered = (shown < since).then(|| since.since(shown));
    Outcome::Propagated { delay: shown.since(since), reordered }
}

// === impl Pods ===

impl Pods {
    fn named(&self, pod: PodId) -> PodRef {
        let slot = self.slot(pod);
        PodRef { name: slot.name.clone(), uid: slot.uid.clone() }
    }
}
