//! Changes of Services: what an edit requires of the slices, and when they have it.

use super::{
    Pending, Reference,
    endings::Cause,
    history::{PodState, View, has_controller},
};
use crate::kubernetes::endpoint_ports;
use endpointlag::{
    ledger::Change,
    model::{Resource, Seen, Uid},
};
use std::collections::BTreeSet;

/// What an edit of a Service requires of its slices.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Pods that were expected at that moment, and have been ever since.
    awaited: BTreeSet<Uid>,
    /// Pods that were expected before, and not since.
    excluded: BTreeSet<Uid>,
}

// === impl Edit ===

impl Edit {
    /// Stops waiting for pods that the Service no longer expects, whatever happens to them later.
    pub fn forget_unexpected(&mut self, view: &View, service: &Uid) {
        self.awaited.retain(|pod| !view.expected_families(service, pod).is_empty());
    }

    /// Whether the slices have what the edit required.
    pub fn is_shown(&self, view: &View, service: &Uid) -> bool {
        let Some(of) = view.measured(service) else { return false };
        let mut families = of.families.iter();
        let has_slices = families.all(|family| view.slices_of(service).any(|(it, _)| it == family));
        self.awaited.iter().all(|pod| !view.owes(service, pod))
            && self.excluded.iter().all(|pod| !view.lingers(service, pod))
            && (!self.awaited.is_empty() || has_slices)
    }

    /// Whether the slices list a pod that they should not, or list a pod wrongly. A missing pod alone does not count.
    pub fn is_contradicted(&self, view: &View, service: &Uid) -> bool {
        self.awaited.iter().any(|pod| view.is_listed_otherwise(service, pod))
            || self.excluded.iter().any(|pod| view.lingers(service, pod))
    }

    /// Whether the slices do not have yet what the edit required for this pod.
    fn waits_for(&self, view: &View, service: &Uid, pod: &Uid) -> bool {
        self.awaited.contains(pod) && view.owes(service, pod)
    }
}

// === impl Reference ===

impl Reference {
    /// After an event of the Service watch.
    pub(super) fn services_edited(&mut self) {
        let named = self.history[self.history.len() - 1].services_named.clone();
        for service in &named {
            self.forget_reconsidered(service);
            if self.now().measured(service).is_none() {
                self.end_where(Cause::Withdrawn, |pending| pending.owner == *service);
                self.uncompared.retain(|(owner, _)| owner != service);
                continue;
            }
            self.pods_reconsidered(service);
            if self.before().measured(service).is_none() {
                self.measuring_of_service_began(service);
            } else if self.is_change(service) {
                self.service_changed(service);
                self.start_what_entered(service);
            }
        }
        self.end_shown(Cause::Withdrawn);
    }

    /// Pods that an edit moves have not changed themselves, but their pending changes may no longer hold.
    fn pods_reconsidered(&mut self, service: &Uid) {
        let (before, now) = (self.before().clone(), self.now().clone());
        let left = |pod: &Uid| {
            !before.expected_families(service, pod).is_empty() && now.expected_families(service, pod).is_empty()
        };
        self.end_where(Cause::Withdrawn, |pending| pending.owner == *service && pending.pod.as_ref().is_some_and(left));
        self.end_where(Cause::Superseded, |pending| {
            let moved_to = pending.pod.as_ref().map(|pod| now.state(service, pod));
            pending.owner == *service && moved_to.is_some_and(|state| !state.upholds(pending.change))
        });
    }

    /// Begins to measure a Service. If the controller did not write slices for it before, it has to now. If the Service was only
    /// ignored, only the present state is known.
    fn measuring_of_service_began(&mut self, service: &Uid) {
        if self.before().services.get(service).is_some_and(|old| has_controller(old)) {
            return self.start_what_disagrees(service);
        }
        self.service_changed(service);
        for pod in self.now().concerned(service) {
            self.start_unless_awaited(service, &pod);
        }
    }

    /// Starts a change if the slices do not show a pod's state, unless the Service's own change waits for that.
    pub(super) fn start_unless_awaited(&mut self, service: &Uid, pod: &Uid) {
        let own = |it: &&Pending| it.owner == *service && it.pod.is_none();
        let edit = self.pending.iter().find(own).and_then(|it| it.edit.clone());
        let is_awaited = edit.is_some_and(|mut edit| {
            edit.forget_unexpected(self.now(), service);
            edit.waits_for(self.now(), service, pod)
        });
        if self.is_blind() || !is_awaited {
            self.start_unless_shown(service, pod);
        }
    }

    /// Pairs whose sides differed when they were first seen, while a watch was lost, so that one side could be older than the other. Now
    /// none is.
    pub(super) fn compare_what_waited(&mut self) {
        for (service, pod) in std::mem::take(&mut self.uncompared) {
            self.start_unless_awaited(&service, &pod);
        }
    }

    /// Where pods and slices disagree, a change is pending with an unknown start: a change of the pod if the slices
    /// do not show its state, otherwise a change of the Service.
    pub(super) fn start_what_disagrees(&mut self, service: &Uid) {
        let (view, mut awaited) = (self.now().clone(), BTreeSet::new());
        for pod in view.concerned(service) {
            if !view.shows_state(service, &pod) {
                self.start_unless_shown(service, &pod);
            } else if view.state(service, &pod) != PodState::Out && view.is_listed_otherwise(service, &pod) {
                awaited.insert(pod);
            }
        }
        if !awaited.is_empty() {
            let edit = Edit { awaited, excluded: BTreeSet::new() };
            self.start_unseen(service, None, Change::Service, Some(edit));
        }
    }

    /// Pods that an edit brought in, and that the slices already list in another state.
    fn start_what_entered(&mut self, service: &Uid) {
        let (before, now) = (self.before().expected(service), self.now().expected(service));
        for pod in now.difference(&before) {
            if self.is_blind() || !self.now().owes(service, pod) {
                self.start_unless_shown(service, pod);
            }
        }
    }

    fn start_unless_shown(&mut self, service: &Uid, pod: &Uid) {
        let change = self.now().state(service, pod).change();
        if self.now().shows_state(service, pod) {
            return;
        }
        if self.is_blind() {
            self.uncompared.insert((service.clone(), pod.clone()));
        } else if !self.is_pending(service, pod, change) {
            self.start_unseen(service, Some(pod), change, None);
        }
    }

    /// Whether the slices of a Service that was measured before must differ from before.
    fn is_change(&self, service: &Uid) -> bool {
        let (before, now) = (self.before(), self.now());
        let (old, new) = (&before.services[service], &now.services[service]);
        let families = |view: &View| -> Vec<_> {
            view.expected(service).iter().map(|pod| (pod.clone(), view.expected_families(service, pod))).collect()
        };
        let moves_ports = |pod: &Uid| endpoint_ports(old, &now.pods[pod]) != endpoint_ports(new, &now.pods[pod]);
        old.families != new.families
            || families(before) != families(now)
            || now.expected(service).iter().any(moves_ports)
    }

    fn service_changed(&mut self, service: &Uid) {
        let (awaited, before) = (self.now().expected(service), self.before().expected(service));
        let edit = Edit { excluded: before.difference(&awaited).cloned().collect(), awaited };
        let superseded =
            self.end_where(Cause::Superseded, |pending| pending.owner == *service && pending.pod.is_none());
        let at = self.seen().at;
        let overtaken_until = superseded.or(self.forget_edit(service)).filter(|until| *until > at);
        if !edit.is_shown(self.now(), service) {
            self.start(service, None, Change::Service, self.seen(), Some(edit));
            return;
        }
        // If the slices never showed the edit before this one, they have not changed for this one either.
        let mark = self.slices_changed(service).filter(|_| superseded.is_none());
        let counted = mark.is_some_and(|mark| self.count_shown(service, None, Change::Service, mark));
        if let Some(until) = overtaken_until.filter(|_| !counted) {
            self.remember_edit(service, edit, until);
        }
    }

    /// The last change of the Service's slices, if it came after the previous event of the Service and after the first
    /// lists.
    fn slices_changed(&self, service: &Uid) -> Option<Seen> {
        for index in (self.measuring_since + 1..self.history.len() - 1).rev() {
            let (moment, earlier) = (&self.history[index], &self.history[index - 1]);
            if moment.services_named.contains(service) {
                return None;
            }
            if moment.resource == Resource::EndpointSlices
                && moment.view.content(service) != earlier.view.content(service)
            {
                return Some(moment.seen);
            }
        }
        None
    }
}
