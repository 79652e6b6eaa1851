//! The tracker: one scope's pods, Services and slices, and the changes between them.

mod edits;
mod pairs;
mod pods;
mod ports;
mod services;
mod slices;
mod views;

pub use self::views::{OutOfSyncEndpoint, OutOfSyncService, PendingChange, PendingView, Size};

use self::{edits::Edit, pods::Pods, services::Services, slices::Slices};
use super::{
    membership::{Membership, PodId, ServiceId},
    overtaken::Overtaken,
    report::{Ended, PodRef, Report},
    subject::Subject,
};
use crate::{
    ledger::{Cause, Change, Closed, Doubt, Due, Ledger, OutOfSync, Outcome, PendingId},
    model::{Event, Resource, Seen, SliceEndpoint, Stamp},
};
use std::time::Duration;

/// What the tracker is told by its user.
#[derive(Clone, Copy, Debug)]
pub struct TrackerSettings {
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
    settings: TrackerSettings,
    /// Whether every watch has listed once.
    measuring: bool,
    watches: [WatchState; 3],
    membership: Membership,
    pods: Pods,
    services: Services,
    slices: Slices,
    ledger: Ledger<Subject>,
    out_of_sync: OutOfSync<(ServiceId, PodId)>,
    overtaken: Overtaken,
    reports: Vec<Report>,
}

/// Where a watch stands.
#[derive(Clone, Copy, Debug, Default)]
struct WatchState {
    /// Number of the last list; objects remember in which they were seen last.
    list: u32,
    listing: bool,
    listed_once: bool,
    /// Since when it may lack what happened.
    lost: Option<Stamp>,
}

/// Slices and pods come by two watches; how far one may run behind the other before what the slices show first is taken
/// for an older state instead of the same change. Watches of one API server lie milliseconds apart, and some hundred of them while
/// it is busy. What leads by more has causes of its own, such as a deleted node, whose pods leave the slices long before they are
/// deleted themselves.
const REORDER_HORIZON: Duration = Duration::from_millis(500);

// === impl Tracker ===

impl Tracker {
    /// A tracker that knows nothing yet.
    pub fn new(settings: TrackerSettings) -> Self {
        Self {
            settings,
            measuring: false,
            watches: Default::default(),
            membership: Membership::default(),
            pods: Pods::default(),
            services: Services::default(),
            slices: Slices::default(),
            ledger: Ledger::new(settings.expiry),
            out_of_sync: OutOfSync::default(),
            overtaken: Overtaken::default(),
            reports: Vec::new(),
        }
    }

    /// Takes the next event of a watch. No time passes by that: what it ends is judged by the event's stamp.
    ///
    /// # Errors
    /// If an endpoint of a slice cannot be read. All goes on without that slice.
    pub fn apply<E: SliceEndpoint>(&mut self, seen: Seen, event: Event<E>) -> Result<(), E::Error> {
        match event {
            Event::WatchLost(resource) => self.set_lost(resource, Some(seen.at)),
            Event::WatchRestored(resource) => self.set_lost(resource, None),
            Event::Init(resource) => self.begin_list(resource),
            Event::InitDone(resource) => self.end_list(resource, seen),
            Event::Pod(pod) => self.pod_seen(seen, pod),
            Event::PodDeleted(pod) => self.pod_gone(seen, &pod.uid),
            Event::Service(service) => self.service_seen(seen, service),
            Event::ServiceDeleted(service) => self.service_gone(seen, &service),
            Event::EndpointSlice(slice) => self.slice_seen(seen, slice)?,
            Event::EndpointSliceDeleted(slice) => self.slice_gone(seen, &slice.uid),
        }
        Ok(())
    }

    /// Lets time pass: changes that have grown too old by `now` miss their objective or expire. Everything that came before
    /// `now` must have been applied; while a watch is lost nothing grows too old.
    pub fn advance(&mut self, now: Stamp) {
        while let Some(due) = self.ledger.next_due(now) {
            match due {
                Due::Missed(subject, change) => self.report_judged(subject.service, change, true),
                Due::Expired(closed) => self.close(closed),
            }
        }
        while let Some(subject) = self.overtaken.next_forgotten(now) {
            self.forgotten(subject);
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

    fn set_lost(&mut self, resource: Resource, since: Option<Stamp>) {
        let lost = &mut self.watches[resource as usize].lost;
        *lost = since.map(|since| lost.unwrap_or(since));
        self.ledger.set_blind(self.watches.iter().any(|watch| watch.lost.is_some()));
    }

    fn begin_list(&mut self, resource: Resource) {
        let watch = &mut self.watches[resource as usize];
        watch.list = watch.list.wrapping_add(1);
        watch.listing = true;
        if resource == Resource::Pods {
            self.begin_pod_list();
        }
    }

    fn end_list(&mut self, resource: Resource, seen: Seen) {
        let watch = &mut self.watches[resource as usize];
        (watch.listing, watch.listed_once) = (false, true);
        let (number, late) = (watch.list, Seen::late(seen.at));
        match resource {
            Resource::Pods => self.drop_unlisted_pods(number, late),
            Resource::Services => self.drop_unlisted_services(number, late),
            Resource::EndpointSlices => self.drop_unlisted_slices(number, late),
        }
        if !self.measuring && self.watches.iter().all(|watch| watch.listed_once) {
            self.measuring = true;
            for service in self.services.measured_ids() {
                self.look_at_all(service, late.at);
                self.start_unseen(service, late);
                self.start_unseen_edit(service, late);
            }
        }
    }

    /// The number of the list under way, if one is.
    fn listing(&self, resource: Resource) -> Option<u32> {
        let watch = &self.watches[resource as usize];
        watch.listing.then_some(watch.list)
    }

    /// Starts to wait for a change to be reflected.
    fn start(&mut self, subject: Subject, change: Change, seen: Seen) -> PendingId {
        let id = self.ledger.start(subject, change, seen, self.objective(subject.service));
        self.started(subject, change, id)
    }

    /// Starts to wait for a change that came at `since` and was shown then, and that a slice contradicts at `now`: what it overtook
    /// was written after all. Or the slice is ahead of what ends the change; or endpoints are `absent` since they move from one
    /// slice to another. That is known soon.
    fn start_answer(&mut self, subject: Subject, change: Change, since: Seen, now: Stamp, absent: bool) -> PendingId {
        let doubt = Doubt { until: now.plus(REORDER_HORIZON), even_if_reflected: absent };
        let id = self.ledger.start_in_doubt(subject, change, since, self.objective(subject.service), Some(doubt));
        self.started(subject, change, id)
    }

    fn started(&mut self, subject: Subject, change: Change, id: PendingId) -> PendingId {
        if let Some(pod) = subject.pod {
            self.services.get_mut(subject.service).pair_mut(pod).set_pending(change, Some(id));
        }
        id
    }

    /// Ends a pending change, and says when it would have been given up.
    fn end(&mut self, id: PendingId, seen: Seen, cause: Cause) -> Stamp {
        let closed = self.ledger.end(id, seen, cause);
        let expires = closed.expires;
        self.close(closed);
        expires
    }

    /// Takes a change that has ended off its pod or Service, and reports it.
    fn close(&mut self, closed: Closed<Subject>) {
        let Closed { key: subject, change, outcome, at, missed, .. } = closed;
        match subject.pod {
            Some(pod) => self.services.get_mut(subject.service).pair_mut(pod).set_pending(change, None),
            None => self.drop_edit(subject.service),
        }
        if let Some(missed) = missed {
            self.report_judged(subject.service, change, missed);
        }
        if let Some(outcome) = outcome {
            self.report(subject, change, outcome, at);
        }
    }

    fn drop_edit(&mut self, service: ServiceId) {
        let edit = self.services.get_mut(service).edit.take();
        for pod in edit.into_iter().flat_map(Edit::into_excluded) {
            self.pods.release(pod);
        }
    }

    /// The delay within which a change that starts now should be reflected.
    fn objective(&self, service: ServiceId) -> Duration {
        self.services.objective(service).unwrap_or(self.settings.objective)
    }

    fn report_judged(&mut self, service: ServiceId, change: Change, missed: bool) {
        let service = self.services.get(service).name.clone();
        self.reports.push(Report::Judged { service, change, missed });
    }

    fn report(&mut self, subject: Subject, change: Change, outcome: Outcome, at: Stamp) {
        let service = self.services.get(subject.service).name.clone();
        let pod = subject.pod.map(|pod| self.pods.named(pod));
        self.reports.push(Report::Ended(Ended { service, pod, change, outcome, at }));
    }

    /// Whether the slices may have come to show at `mark` what a pod or a Service told at `seen`. If they showed it long before,
    /// that had another cause.
    fn is_ahead(&self, told_by: Resource, seen: Seen, mark: Seen) -> bool {
        // What came late may have happened when its watch was lost.
        let lost = self.watches[told_by as usize].lost.filter(|_| seen.is_late());
        lost.unwrap_or(seen.at) <= mark.at.plus(REORDER_HORIZON)
    }

    /// A change that the slices showed before the change itself arrived: `mark` is when they came to. Says whether it is a
    /// change at all.
    fn report_reordered(&mut self, subject: Subject, change: Change, seen: Seen, mark: Seen) -> bool {
        let told_by = if subject.pod.is_some() { Resource::Pods } else { Resource::Services };
        if !self.is_ahead(told_by, seen, mark) {
            return false;
        }
        if seen.is_late() || mark.is_late() || self.ledger.is_blind() {
            self.report(subject, change, Outcome::Censored, seen.at);
        } else {
            let outcome = Outcome::propagated(seen.at, mark.at);
            // The slice came first, but by its stamp it may be the later of the two.
            let missed = outcome.delay().is_some_and(|delay| delay > self.objective(subject.service));
            self.report_judged(subject.service, change, missed);
            self.report(subject, change, outcome, seen.at);
        }
        true
    }

    /// What was remembered of a subject is not remembered any more.
    fn forgotten(&mut self, subject: Subject) {
        match subject.pod {
            Some(pod) => self.pods.release(pod),
            None => self.drop_edit(subject.service),
        }
    }

    fn forget(&mut self, subject: Subject) {
        if self.overtaken.forget(subject) {
            self.forgotten(subject);
        }
    }
}

// === impl Pods ===

impl Pods {
    fn named(&self, pod: PodId) -> PodRef {
        let entry = self.entry(pod);
        PodRef { name: entry.name.clone(), uid: entry.uid.clone() }
    }
}
