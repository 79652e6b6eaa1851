//! Changes of a Service itself: created, or edited so that its slices must show something else.

use super::{Tracker, ports::endpoint_ports};
use crate::{
    ledger::{Cause, Change, PendingId},
    model::{Seen, Service},
    propagation::{
        membership::{PodId, ServiceId},
        overtaken::Written,
        pair::{Desired, Pair},
        subject::Subject,
    },
};
use std::collections::HashSet;

/// What the slices owe a Service since its last edit.
#[derive(Debug)]
pub(super) struct Edit {
    /// `None` where the slices showed the edit at once, and an edit that it overtook may still be written.
    pending: Option<PendingId>,
    /// Pods that were expected at the edit and still are: each must be listed, with the Service's ports.
    awaited: HashSet<PodId>,
    /// Pods that the edit excluded: none may be listed. Held, so that their indices stay theirs.
    excluded: HashSet<PodId>,
    /// A pod that stood in the way at the last look. While it does, the others need no look.
    blocker: Option<PodId>,
}

// === impl Edit ===

impl Edit {
    /// The change that is pending for it.
    pub(super) fn pending(&self) -> Option<PendingId> {
        self.pending
    }

    /// Whether it waits for the slices to list this pod.
    pub(super) fn is_waiting_for(&self, pod: PodId) -> bool {
        self.pending.is_some() && self.awaited.contains(&pod)
    }

    pub(super) fn into_excluded(self) -> HashSet<PodId> {
        self.excluded
    }
}

// === impl Tracker ===

impl Tracker {
    /// The Service was created or edited, and its slices must follow. `ahead` is when they last changed, if that was after
    /// the Service's state until now began: what they show already, they then may have come to show for this edit.
    pub(super) fn start_edit(
        &mut self,
        service: ServiceId,
        excluded: HashSet<PodId>,
        seen: Seen,
        mut ahead: Option<Seen>,
    ) {
        if !self.measuring {
            return;
        }
        let subject = Subject::of_service(service);
        let mut overtaken = self.overtaken.get(subject, seen.at);
        self.forget(subject);
        if let Some(pending) = self.services.get(service).edit.as_ref().and_then(Edit::pending) {
            // They never followed that edit, so what they show is what they showed before it.
            ahead = None;
            let until = self.end(pending, seen, Cause::Superseded);
            overtaken = (until > seen.at).then(|| Written::new(Change::Service, until));
        }
        let edit = Edit { pending: None, awaited: self.expected_pods(service).collect(), excluded, blocker: None };
        if !self.is_shown(service, &edit) {
            let pending = Some(self.start(subject, Change::Service, seen));
            self.keep_edit(service, Edit { pending, ..edit });
        } else if ahead.is_some_and(|mark| self.report_reordered(subject, Change::Service, seen, mark)) {
            // The slices have followed.
        } else if let Some(overtaken) = overtaken {
            self.overtaken.remember(subject, Change::Service, seen, overtaken);
            self.keep_edit(service, edit);
        }
    }

    /// Pods are listed with other ports, or in other families, than the Service has: that was an edit which nobody saw.
    pub(super) fn start_unseen_edit(&mut self, service: ServiceId, seen: Seen) {
        let expected: Vec<PodId> = self.expected_pods(service).collect();
        let awaited: HashSet<PodId> = expected.into_iter().filter(|pod| self.is_edited_unseen(service, *pod)).collect();
        if !awaited.is_empty() {
            let pending = Some(self.start(Subject::of_service(service), Change::Service, Seen::late(seen.at)));
            self.keep_edit(service, Edit { pending, awaited, excluded: HashSet::new(), blocker: None });
        }
    }

    fn is_edited_unseen(&mut self, service: ServiceId, pod: PodId) -> bool {
        let state = self.services.get(service);
        let is_shown = |pair: &&Pair| pair.shows(pair.desired.change(), state.publishes());
        state.pair(pod).is_some_and(|pair| is_shown(&pair)) && self.is_listed_otherwise(service, pod)
    }

    /// Whether the slices list an expected pod where they should not, or with other ports than the Service has.
    fn is_listed_otherwise(&mut self, service: ServiceId, pod: PodId) -> bool {
        self.services.get(service).pair(pod).is_some_and(Pair::is_listed_astray)
            || self.is_listed_with_other_ports(service, pod)
    }

    fn keep_edit(&mut self, service: ServiceId, edit: Edit) {
        for pod in &edit.excluded {
            self.pods.hold(*pod);
        }
        self.services.get_mut(service).edit = Some(edit);
    }

    /// Looks whether the slices show the last edit. `by_slice` says that a slice event is the cause to look: if something
    /// else takes the last obstacle away, there is no delay to speak of.
    pub(super) fn check_edit(&mut self, service: ServiceId, seen: Seen, by_slice: bool) {
        // Taken out while it is looked at: looking resolves the Service's ports.
        let Some(mut edit) = self.services.get_mut(service).edit.take() else { return };
        let subject = Subject::of_service(service);
        let was_blocked = edit.blocker;
        let is_blocked = was_blocked.is_some_and(|pod| self.is_obstacle(service, &edit, pod));
        if !is_blocked {
            edit.blocker = self.find_obstacle(service, &edit);
        }
        let is_shown = !is_blocked && edit.blocker.is_none() && !self.lacks_slice(service, &edit);
        let absent = !is_shown && edit.pending.is_none() && !self.is_contradicted(service, &edit);
        let pending = edit.pending;
        self.services.get_mut(service).edit = Some(edit);
        match pending {
            Some(pending) if is_shown => {
                self.end(pending, seen, if by_slice { Cause::Reflected } else { Cause::Withdrawn });
            }
            None if !is_shown && by_slice && self.overtaken.writable(subject, seen.at).next().is_some() => {
                let (mut answers, _) = self.overtaken.take(subject, |_| true);
                if let Some((change, since)) = answers.pop() {
                    let pending = self.start_answer(subject, change, since, seen.at, absent);
                    if let Some(edit) = &mut self.services.get_mut(service).edit {
                        edit.pending = Some(pending);
                    }
                }
            }
            _ => {}
        }
    }

    /// The pod is not expected any more: the last edit need not wait for it.
    pub(super) fn no_longer_awaited(&mut self, service: ServiceId, pod: PodId) {
        if let Some(edit) = &mut self.services.get_mut(service).edit {
            edit.awaited.remove(&pod);
        }
    }

    fn is_shown(&mut self, service: ServiceId, edit: &Edit) -> bool {
        self.find_obstacle(service, edit).is_none() && !self.lacks_slice(service, edit)
    }

    /// Whether the slices list what an edit says they should not, and do not merely lack a pod.
    fn is_contradicted(&mut self, service: ServiceId, edit: &Edit) -> bool {
        edit.awaited.iter().any(|pod| self.is_listed_otherwise(service, *pod))
            || edit.excluded.iter().any(|pod| self.lingers(service, *pod))
    }

    fn find_obstacle(&mut self, service: ServiceId, edit: &Edit) -> Option<PodId> {
        edit.awaited.iter().chain(&edit.excluded).find(|pod| self.is_obstacle(service, edit, **pod)).copied()
    }

    fn is_obstacle(&mut self, service: ServiceId, edit: &Edit, pod: PodId) -> bool {
        (edit.awaited.contains(&pod) && self.owes(service, pod))
            || (edit.excluded.contains(&pod) && self.lingers(service, pod))
    }

    /// Whether a Service without pods has not got its first, empty slices.
    fn lacks_slice(&self, service: ServiceId, edit: &Edit) -> bool {
        edit.awaited.is_empty() && !self.has_every_slice(service)
    }

    /// Whether the slices do not list an expected pod in just the families expected of it, with the Service's ports.
    pub(super) fn owes(&mut self, service: ServiceId, pod: PodId) -> bool {
        let listed = self.services.get(service).pair(pod).is_some_and(|pair| pair.is_listed_as_expected());
        !listed || self.is_listed_with_other_ports(service, pod)
    }

    /// Whether the slices still list a pod that the Service does not expect.
    fn lingers(&self, service: ServiceId, pod: PodId) -> bool {
        self.services.get(service).pair(pod).is_some_and(|pair| pair.desired == Desired::Out && pair.is_listed())
    }

    /// Whether there is a slice of each family of the Service, be it an empty one.
    fn has_every_slice(&self, service: ServiceId) -> bool {
        let state = self.services.get(service);
        let has = |family| state.slices.iter().any(|id| self.slices.get(*id).family == family);
        state.spec().is_some_and(|spec| spec.families.iter().all(has))
    }

    fn expected_pods(&self, service: ServiceId) -> impl Iterator<Item = PodId> {
        let expected = self.services.get(service).pairs().filter(|(_, pair)| pair.desired != Desired::Out);
        expected.map(|(pod, _)| pod)
    }

    /// Whether an edit changed the ports that slices show for any expected pod. The Service's own port numbers are not
    /// among them, and two names may mean the same number.
    pub(super) fn ports_differ(&self, service: ServiceId, old: &Service, new: &Service) -> bool {
        let mut known = self.expected_pods(service).filter_map(|pod| self.pods.known(pod));
        old.ports != new.ports
            && known.any(|known| endpoint_ports(old, &known.ports) != endpoint_ports(new, &known.ports))
    }
}
