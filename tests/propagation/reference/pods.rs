//! Changes of pods: which moves from one state to another are changes, and whether the slices showed them before.

use super::{
    Pending, Reference,
    endings::Cause,
    history::{PodState, View},
    slices::Question,
};
use endpointlag::{
    ledger::Change,
    model::{Resource, Seen, Uid},
};
use std::collections::BTreeSet;

impl Reference {
    /// Services that came when the pod watch might not have delivered all earlier events, and has not delivered them all since: the
    /// Services came late themselves, or while the pod watch was lost.
    pub(super) fn newcomers(&self) -> BTreeSet<Uid> {
        self.now().all_measured().filter(|service| self.is_newcomer(service)).cloned().collect()
    }

    fn is_newcomer(&self, service: &Uid) -> bool {
        for index in (1..self.history.len()).rev().take_while(|index| *index > self.measuring_since) {
            let (moment, earlier) = (&self.history[index], &self.history[index - 1]);
            if earlier.view.measured(service).is_none() {
                return moment.seen.is_late() || moment.pods_lost;
            }
            if moment.pods_caught_up {
                return false;
            }
        }
        false
    }

    /// After an event of the pod watch: every move of a pod in a Service is a change. If a ready pod gets an address of another
    /// family, it becomes ready there.
    pub(super) fn pods_moved(&mut self) {
        let services: Vec<_> = self.now().services.keys().cloned().collect();
        let mut pods: Vec<_> = self.before().pods.keys().chain(self.now().pods.keys()).cloned().collect();
        pods.sort();
        pods.dedup();
        for service in &services {
            for pod in &pods {
                let (from, to) = (self.before().state(service, pod), self.now().state(service, pod));
                if self.history[self.history.len() - 1].newcomers.contains(service) {
                    self.pod_found(service, pod);
                } else if from != to {
                    let of = |it: &&Pending| it.owner == *service && it.pod.as_ref() == Some(pod);
                    let kinds = self.pending.iter().filter(of).map(|it| it.change);
                    let overtaken: BTreeSet<_> = kinds.filter(|change| !to.upholds(*change)).collect();
                    let overtaken_until = self.end_where(Cause::Superseded, |pending| {
                        pending.owner == *service && pending.pod.as_ref() == Some(pod) && !to.upholds(pending.change)
                    });
                    let counted = self.pod_changed(service, pod, to);
                    self.remember_overtaken(service, pod, overtaken_until, overtaken, counted);
                } else if to == PodState::Ready && self.gained_a_family(service, pod) {
                    self.wait_for(service, pod, Change::Ready);
                }
            }
        }
        // When a pod lost an address, or is no longer expected, its pending changes may have nothing left to wait for.
        self.end_shown(Cause::Withdrawn);
    }

    /// What the event says of the pod may be older than the Service: then it is no change for it, and it is unknown how the slices came to
    /// show it. If they do not show it, a change is pending with an unknown start.
    fn pod_found(&mut self, service: &Uid, pod: &Uid) {
        let families = |view: &View| view.expected_families(service, pod);
        let (from, to) = (self.before().state(service, pod), self.now().state(service, pod));
        if from == to && families(self.before()) == families(self.now()) {
            return;
        }
        self.found += 1;
        let is_of_it = |it: &Pending| it.owner == *service && it.pod.as_ref() == Some(pod);
        if from != to {
            self.overtaken.remove(&(service.clone(), pod.clone()));
        }
        if to == PodState::Out {
            self.end_where(Cause::Withdrawn, is_of_it);
        } else {
            self.end_where(Cause::Superseded, |it| is_of_it(it) && !to.upholds(it.change));
        }
        self.start_unless_awaited(service, pod);
    }

    fn gained_a_family(&self, service: &Uid, pod: &Uid) -> bool {
        let before = self.before().expected_families(service, pod);
        self.now().expected_families(service, pod).iter().any(|family| !before.contains(family))
    }

    /// A pod moved. Returns whether that was counted as a change that the slices already show.
    fn pod_changed(&mut self, service: &Uid, pod: &Uid, to: PodState) -> bool {
        let question = self.now().question(service, pod);
        if self.now().shows(&question, to.change()) {
            let mark = self.came_to_show(&question, service, pod, to);
            return mark.is_some_and(|mark| self.count_shown(service, Some(pod), to.change(), mark));
        }
        if to != PodState::Unready || !self.ready_is_ahead(&question, service, pod) {
            self.wait_for(service, pod, to.change());
        }
        false
    }

    /// Whether the slices show a pod as ready, in some family, before the pod watch did: then this is no change from Ready.
    fn ready_is_ahead(&self, question: &Question, service: &Uid, pod: &Uid) -> bool {
        question.by_family().iter().any(|question| {
            self.now().shows(question, Change::Ready)
                && self
                    .came_to_show(question, service, pod, PodState::Ready)
                    .is_some_and(|mark| self.is_ahead(mark, Change::Ready))
        })
    }

    /// Starts a change if the slices do not show it, unless it is pending already.
    fn wait_for(&mut self, service: &Uid, pod: &Uid, change: Change) {
        let shown = self.now().shows(&self.now().question(service, pod), change);
        if !shown && !self.is_pending(service, pod, change) {
            self.start(service, Some(pod), change, self.seen(), None);
        }
    }

    /// Whether a change of this kind is pending for the pair.
    pub(super) fn is_pending(&self, service: &Uid, pod: &Uid, change: Change) -> bool {
        let of = |it: &Pending| it.owner == *service && it.pod.as_ref() == Some(pod) && it.change == change;
        self.pending.iter().any(of)
    }

    /// The slice event by which the slices came to show what they show, if the pod was not in the state `to` then and since.
    /// `None` for the time before the Service was measured, or was edited so that the pod moved, and for a pod that
    /// was neither expected nor listed.
    fn came_to_show(&self, question: &Question, service: &Uid, pod: &Uid, to: PodState) -> Option<Seen> {
        let last = self.history.len() - 1;
        for index in (self.measuring_since + 1..=last).rev() {
            let (moment, earlier) = (&self.history[index], &self.history[index - 1]);
            let state = moment.view.state(service, pod);
            let is_found = moment.resource == Resource::Services || moment.newcomers.contains(service);
            let edited = is_found && earlier.view.state(service, pod) != state;
            let unheard_of = index != last && state == PodState::Out && !moment.view.listed(service).contains(pod);
            let begun = earlier.view.measured(service).is_none() || self.asks_otherwise(index, service);
            if edited || unheard_of || begun || earlier.view.state(service, pod) == to {
                return None;
            }
            if !earlier.view.shows(question, to.change()) {
                return (moment.resource == Resource::EndpointSlices).then_some(moment.seen);
            }
        }
        None
    }

    /// Whether the event at `index` changed what counts as ready in the Service.
    fn asks_otherwise(&self, index: usize, service: &Uid) -> bool {
        let published =
            |index: usize| self.history[index].view.services.get(service).map(|s| s.publish_not_ready_addresses);
        published(index - 1) != published(index)
    }
}
