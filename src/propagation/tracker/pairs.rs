//! A pod in a Service: where the two views meet, changes start and end.

use super::Tracker;
use crate::{
    ledger::{Cause, Change},
    model::{Families, Resource, Seen, Stamp},
    propagation::{
        membership::{PodId, ServiceId},
        overtaken::Written,
        pair::{Desired, Facts},
        subject::Subject,
    },
};

impl Tracker {
    /// The pod watch says that `pod` should be `desired` in `service`.
    pub(super) fn move_pair(
        &mut self,
        service: ServiceId,
        pod: PodId,
        desired: Desired,
        families: Families,
        seen: Seen,
    ) {
        let (desired, expected) = self.services.get(service).expectation(desired, families);
        let state = self.services.get_mut(service);
        if desired == Desired::Out && state.pair(pod).is_none() {
            return;
        }
        let pair = state.pair_mut(pod);
        if pair.desired == desired && pair.expected == expected {
            return;
        }
        let moved = pair.desired != desired;
        // A ready pod that gets an address of another family becomes ready there.
        let starts = moved || desired == Desired::Ready && !pair.expected.contains_all(expected);
        (pair.desired, pair.expected) = (desired, expected);
        let (subject, change) = (Subject::of_pod(service, pod), desired.change());
        let marks = if moved { state.take_marks(pod, change) } else { Default::default() };
        if self.measuring {
            let overtaken = if moved { self.overtake(subject, desired, seen) } else { None };
            let state = self.services.get(service);
            let shown = state.pair(pod).is_some_and(|pair| pair.shows(change, state.publishes()));
            match (state.pair(pod).and_then(|pair| pair.pending(change)), shown) {
                // It lost an address, and what the slices still owed with it.
                (Some(id), true) => {
                    self.end(id, seen, Cause::Withdrawn);
                }
                (Some(_), false) => {}
                (None, true) => {
                    let mark = marks.get(change, expected);
                    let is_change = mark.is_some_and(|mark| self.report_reordered(subject, change, seen, mark));
                    if let Some(overtaken) = overtaken.filter(|_| !is_change)
                        && self.overtaken.remember(subject, change, seen, overtaken)
                    {
                        self.pods.hold(pod);
                    }
                }
                // The slices show a pod as ready that the pod watch has only just told of: they are more than one step ahead,
                // and it has not left Ready, which it has not reached yet.
                (None, false)
                    if change == Change::Unready
                        && marks
                            .get(Change::Ready, expected)
                            .is_some_and(|mark| self.is_ahead(Resource::Pods, seen, mark)) => {}
                (None, false) if starts => {
                    self.start(subject, change, seen);
                }
                (None, false) => {}
            }
        }
        if desired == Desired::Out {
            self.no_longer_awaited(service, pod);
        }
        self.check_edit(service, seen, false);
        self.look_at(service, pod, seen.at);
        self.services.get_mut(service).drop_pair_if_empty(pod);
    }

    /// Ends what a move to `desired` is the opposite of. Returns what was overtaken, now or before, if it may still be written.
    fn overtake(&mut self, subject: Subject, desired: Desired, seen: Seen) -> Option<Written> {
        let mut overtaken = self.overtaken.get(subject, seen.at);
        let pod = subject.pod?;
        let (_, is_forgotten) = self.overtaken.take(subject, |change| desired.opposes(change));
        if is_forgotten {
            self.pods.release(pod);
        }
        let pair = self.services.get(subject.service).pair(pod)?;
        for (change, id) in pair.all_pending() {
            if desired.opposes(change) {
                let written = Written::new(change, self.end(id, seen, Cause::Superseded));
                overtaken = Some(overtaken.map_or(written, |others| others.or(written)));
            }
        }
        overtaken.filter(|overtaken| overtaken.until > seen.at)
    }

    /// An edit of the Service, not the pod, makes `pod` what it is: nothing starts, and what the Service does not expect any
    /// more is withdrawn. Says whether the pod was expected, and is so no longer.
    pub(super) fn rebase_pair(&mut self, service: ServiceId, pod: PodId, seen: Seen) -> Rebased {
        let (desired, families) = match self.pods.known(pod) {
            Some(known) if self.membership.selects(service, known.set) => (known.desired, known.families),
            _ => (Desired::Out, Families::NONE),
        };
        let (desired, expected) = self.services.get(service).expectation(desired, families);
        let state = self.services.get_mut(service);
        let pair = state.pair_mut(pod);
        let rebased = match (pair.desired, desired) {
            (Desired::Out, Desired::Out) => Rebased::Stayed,
            (Desired::Out, _) => Rebased::Entered,
            (_, Desired::Out) => Rebased::Left,
            _ => Rebased::Stayed,
        };
        (pair.desired, pair.expected) = (desired, expected);
        let pending: Vec<_> = pair.all_pending().collect();
        if rebased != Rebased::Stayed {
            state.marks.remove(&pod);
            self.forget(Subject::of_pod(service, pod));
        }
        for (change, id) in pending {
            let state = self.services.get(service);
            let shown = state.pair(pod).is_some_and(|pair| pair.shows(change, state.publishes()));
            if rebased == Rebased::Entered && desired.opposes(change) {
                self.end(id, seen, Cause::Superseded);
            } else if rebased == Rebased::Left || shown {
                self.end(id, seen, Cause::Withdrawn);
            }
        }
        if rebased == Rebased::Left {
            self.no_longer_awaited(service, pod);
        }
        self.look_at(service, pod, seen.at);
        self.services.get_mut(service).drop_pair_if_empty(pod);
        rebased
    }

    /// The slices of `service` have come to show `pod` otherwise than `before`.
    pub(super) fn settle_pair(&mut self, service: ServiceId, pod: PodId, before: Facts, seen: Seen) {
        let state = self.services.get(service);
        let (measured, published) = (self.measuring && state.is_measured(), state.publishes());
        let Some(pair) = state.pair(pod) else { return };
        let (after, current) = (pair.facts(published), pair.desired.change());
        let reflected: Vec<_> = pair.all_pending().filter(|(change, _)| pair.shows(*change, published)).collect();
        for (_, id) in reflected {
            self.end(id, seen, Cause::Reflected);
        }
        if measured && before != after {
            self.services.get_mut(service).mark(pod, before, after, current, seen);
            self.start_answers(service, pod, seen);
        }
        self.look_at(service, pod, seen.at);
        self.services.get_mut(service).drop_pair_if_empty(pod);
    }

    /// An overtaken change was written after all: what overtook it has to be written again, and is a change since it came.
    fn start_answers(&mut self, service: ServiceId, pod: PodId, seen: Seen) {
        let subject = Subject::of_pod(service, pod);
        let state = self.services.get(service);
        let Some(pair) = state.pair(pod) else { return };
        let written: Vec<Change> =
            self.overtaken.writable(subject, seen.at).filter(|change| pair.is_written(*change)).collect();
        if written.is_empty() {
            return;
        }
        let absent = written == [Change::Removed];
        let published = state.publishes();
        let (answers, is_forgotten) = self.overtaken.take(subject, |change| !pair.shows(change, published));
        for (change, since) in answers {
            if self.services.get(service).pair(pod).is_some_and(|pair| pair.pending(change).is_none()) {
                self.start_answer(subject, change, since, seen.at, absent);
            }
        }
        if is_forgotten {
            self.pods.release(pod);
        }
    }

    /// Where the two views differ and nothing else waits for it, something is pending whose start nobody saw.
    pub(super) fn start_unseen(&mut self, service: ServiceId, seen: Seen) {
        let pods: Vec<PodId> = self.services.get(service).pairs().map(|(pod, _)| pod).collect();
        for pod in pods {
            self.start_unseen_change(service, pod, seen);
        }
    }

    pub(super) fn start_unseen_change(&mut self, service: ServiceId, pod: PodId, seen: Seen) {
        if !self.measuring {
            return;
        }
        let state = self.services.get(service);
        let Some(pair) = state.pair(pod) else { return };
        let change = pair.desired.change();
        if pair.shows(change, state.publishes()) || pair.pending(change).is_some() {
            return;
        }
        let awaited = state.edit.as_ref().is_some_and(|edit| edit.is_waiting_for(pod)) && self.owes(service, pod);
        if !awaited {
            self.start(Subject::of_pod(service, pod), change, Seen::late(seen.at));
        }
    }

    /// Notes whether a pair is out of sync. To be called whenever one of its views has changed.
    pub(super) fn look_at(&mut self, service: ServiceId, pod: PodId, at: Stamp) {
        if !self.measuring {
            return;
        }
        let fault = self.fault(service, pod);
        self.out_of_sync.set((service, pod), fault, at);
    }

    /// Looks at every pair of a Service.
    pub(super) fn look_at_all(&mut self, service: ServiceId, at: Stamp) {
        let pods: Vec<PodId> = self.services.get(service).pairs().map(|(pod, _)| pod).collect();
        for pod in pods {
            self.look_at(service, pod, at);
        }
    }

    /// Whether the slices show a pod otherwise than it and the Service say; if so, whether that misleads connections.
    fn fault(&mut self, service: ServiceId, pod: PodId) -> Option<bool> {
        let state = self.services.get(service);
        let pair = state.pair(pod).filter(|_| state.is_measured())?;
        let is_expected = pair.desired != Desired::Out;
        let differs = !pair.shows(pair.desired.change(), state.publishes()) || pair.is_listed_astray();
        let (is_listed, is_shown_ready, is_misrouted) = (pair.is_listed(), pair.is_shown_ready(), pair.is_misrouted());
        let other_ports = is_expected && is_listed && self.is_listed_with_other_ports(service, pod);
        (differs || other_ports).then_some(is_misrouted || other_ports && is_shown_ready)
    }
}

/// What an edit of a Service makes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rebased {
    /// It is expected as before, or not, as before.
    Stayed,
    /// The Service expects it now.
    Entered,
    /// The Service expects it no longer.
    Left,
}
