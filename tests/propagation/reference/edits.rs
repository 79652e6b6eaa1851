//! Changes of Services: what an edit asks of the slices, and when they have it.

use super::{
    Ending, Reference,
    history::{View, has_controller, is_ignored, resolve_ports},
};
use endpointlag::{
    cluster::{
        event::{Resource, Seen},
        object::{EndpointSlice, Uid},
    },
    propagation::{Change, ServiceName},
};
use std::collections::BTreeSet;

/// What an edit of a Service asks of its slices.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Pods expected at that moment, and ever since.
    awaited: BTreeSet<Uid>,
    /// Pods expected before, and not since.
    excluded: BTreeSet<Uid>,
}

impl Edit {
    /// A pod that the Service does not expect any more is not awaited, whatever becomes of it later.
    pub fn forget_unexpected(&mut self, view: &View, name: &ServiceName) {
        self.awaited.retain(|uid| !view.expected_families(name, uid).is_empty());
    }

    /// Whether the slices have what the edit asked for.
    pub fn is_reflected(&self, view: &View, name: &ServiceName) -> bool {
        let Some(service) = view.measured(name) else { return false };
        let lists = |slice: &EndpointSlice, uid: &Uid| slice.endpoints.iter().any(|endpoint| endpoint.pod == *uid);
        let all_listed = self.awaited.iter().all(|uid| {
            let mut families = view.expected_families(name, uid).iter();
            families.all(|family| view.slices_of(name).any(|(of, slice)| of == family && lists(slice, uid)))
        });
        let ports_agree = self.awaited.iter().all(|uid| {
            let mut listing = view.slices_of(name).filter(|(_, slice)| lists(slice, uid));
            listing.all(|(_, slice)| slice.ports == resolve_ports(service, &view.pods[uid]))
        });
        let listed = view.listed(name);
        let none_excluded =
            self.excluded.iter().all(|uid| !listed.contains(uid) || !view.expected_families(name, uid).is_empty());
        let slices_exist = !self.awaited.is_empty()
            || service.families.iter().all(|family| view.slices_of(name).any(|(of, _)| of == family));
        all_listed && ports_agree && none_excluded && slices_exist
    }
}

impl Reference {
    /// After an event of the Service watch.
    pub(super) fn services_edited(&mut self) {
        let named: Vec<_> = self.history[self.history.len() - 1].services_named.iter().cloned().collect();
        for name in &named {
            if self.now().measured(name).is_some() {
                self.pods_reconsidered(name);
                if self.is_change(name) {
                    self.service_changed(name);
                }
            } else {
                self.end_where(self.seen().at, Ending::Withdrawn, |pending| pending.service == *name);
            }
        }
        self.end_shown(Ending::Withdrawn);
    }

    /// Pods that an edit moves have not changed themselves, but what was pending of them may have lost its reason.
    fn pods_reconsidered(&mut self, name: &ServiceName) {
        let (before, now, at) = (self.before().clone(), self.now().clone(), self.seen().at);
        let left =
            |uid: &Uid| !before.expected_families(name, uid).is_empty() && now.expected_families(name, uid).is_empty();
        self.end_where(at, Ending::Withdrawn, |pending| {
            pending.service == *name && pending.pod.as_ref().is_some_and(left)
        });
        self.end_where(at, Ending::Superseded, |pending| {
            let moved_to = pending.pod.as_ref().map(|pod| now.state(name, pod));
            pending.service == *name && moved_to.is_some_and(|state| state.opposes(pending.change))
        });
    }

    /// Whether the Service's slices must be others than before.
    fn is_change(&self, name: &ServiceName) -> bool {
        let (before, now) = (self.before(), self.now());
        let Some(service) = now.measured(name) else { return false };
        let Some(old) = before.services.get(name) else { return true };
        if !has_controller(old) {
            return true;
        }
        if is_ignored(old) {
            return false;
        }
        let expected = now.expected(name);
        let families = |view: &View| -> Vec<_> {
            view.expected(name).iter().map(|uid| (uid.clone(), view.expected_families(name, uid))).collect()
        };
        old.families != service.families
            || families(before) != families(now)
            || expected.iter().any(|uid| resolve_ports(old, &now.pods[uid]) != resolve_ports(service, &now.pods[uid]))
    }

    fn service_changed(&mut self, name: &ServiceName) {
        let (awaited, before) = (self.now().expected(name), self.before().expected(name));
        let edit = Edit { excluded: before.difference(&awaited).cloned().collect(), awaited };
        let count = self.pending.len();
        self.end_where(self.seen().at, Ending::Superseded, |pending| pending.service == *name && pending.pod.is_none());
        let superseded_one = self.pending.len() != count;
        if !edit.is_reflected(self.now(), name) {
            self.start(name, None, Change::Service, self.seen(), Some(edit));
        } else if let Some(changed) = self.slices_changed(name).filter(|_| !superseded_one) {
            self.start_shown(name, None, Change::Service, changed);
        }
    }

    /// The last change of the Service's slices, if it came after the previous event of the Service and after the first
    /// lists.
    fn slices_changed(&self, name: &ServiceName) -> Option<Seen> {
        for index in (self.measuring_since + 1..self.history.len() - 1).rev() {
            let (moment, earlier) = (&self.history[index], &self.history[index - 1]);
            if moment.services_named.contains(name) {
                return None;
            }
            if moment.resource == Resource::EndpointSlices && moment.view.content(name) != earlier.view.content(name) {
                return Some(moment.seen);
            }
        }
        None
    }
}
