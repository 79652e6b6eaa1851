//! Changes of a Service itself: created, or edited so that its slices must show something else.

use super::{
    changes::Changes,
    key::{ByService, Key, PodId, ServiceId},
    overtaken::Written,
    pair::{Desired, Pair, Shown},
    pairs::Pairs,
    views::Views,
};
use crate::{
    ledger::{Cause, Change, Ending, Start},
    model::Seen,
};
use std::collections::HashSet;

/// The last edit of each Service.
#[derive(Debug, Default)]
pub(super) struct Edits(ByService<OfService>);

#[derive(Debug, Default)]
struct OfService {
    /// It is pending; or the slices showed it at once, but an edit that it overtook may still be written. Few Services have one.
    edit: Option<Box<Edit>>,
    /// The last slice event that changed what is shown, if it came after the last Service event.
    last_slice: Option<Shown>,
}

/// What the slices must show for the last edit of a Service.
#[derive(Debug)]
struct Edit {
    /// Pods that were expected at the edit and still are: each must be listed, with the Service's ports.
    awaited: HashSet<PodId>,
    /// Pods that the edit excluded: none may be listed. Held, so that their indices are not reused.
    excluded: HashSet<PodId>,
    /// A pod that was wrong at the last check. While it is wrong, the others need no check.
    blocker: Option<PodId>,
}

/// What an edit is compared with, and where it starts and ends.
pub(super) struct World<'a> {
    pub(super) views: &'a mut Views,
    pub(super) pairs: &'a Pairs,
    pub(super) changes: &'a mut Changes,
}

// === impl Edits ===

impl Edits {
    /// A slice of the Service changed what it shows.
    pub(super) fn set_last_slice(&mut self, service: ServiceId, shown: Shown) {
        self.0.get_mut(service).last_slice = Some(shown);
    }

    /// Removes and returns the last slice event that came after the previous Service event.
    pub(super) fn take_last_slice(&mut self, service: ServiceId) -> Option<Shown> {
        self.0.get_mut(service).last_slice.take()
    }

    /// The Service was created or edited, and its slices must follow. `ahead` is their last change, if it came after
    /// the previous state of the Service. Then what they already show may be the result of this edit.
    pub(super) fn start(
        &mut self,
        service: ServiceId,
        excluded: HashSet<PodId>,
        seen: Seen,
        mut ahead: Option<Shown>,
        world: &mut World<'_>,
    ) {
        if !world.changes.is_measuring() {
            return;
        }
        let key = Key::of_service(service);
        let mut overtaken = world.changes.overtaken(key, seen.at);
        world.changes.forget(key);
        if let Some(until) = world.changes.end(key, Change::Service, seen, Ending::Superseded) {
            // They never showed the previous edit, so they still show the state before it.
            ahead = None;
            overtaken = (until > seen.at).then(|| Written::new(Change::Service, until));
        }
        self.drop(service, world.changes);
        let awaited = world.pairs.expected(service).map(|(pod, _)| pod).collect();
        let edit = Edit { awaited, excluded, blocker: None };
        let start = world.start(service, Cause::Service, seen);
        if !edit.is_shown(service, world) {
            world.changes.start(key, start);
            self.keep(service, edit, world.changes);
        } else if ahead.is_some_and(|shown| world.changes.take_shown(key, start, &shown)) {
            // The slices already show it.
        } else if let Some(overtaken) = overtaken {
            world.changes.remember(key, Change::Service, seen, overtaken);
            self.keep(service, edit, world.changes);
        }
    }

    /// Pods are listed with other ports or in other families than the Service has, so there was an edit that was not seen.
    pub(super) fn start_unseen(&mut self, service: ServiceId, seen: Seen, world: &mut World<'_>) {
        let expected: Vec<PodId> = world.pairs.expected(service).map(|(pod, _)| pod).collect();
        let awaited: HashSet<PodId> =
            expected.into_iter().filter(|pod| world.is_edited_unseen(service, *pod)).collect();
        if !awaited.is_empty() {
            let start = world.start(service, Cause::FirstSight, Seen::late(seen.at));
            world.changes.start(Key::of_service(service), start);
            self.keep(service, Edit { awaited, excluded: HashSet::new(), blocker: None }, world.changes);
        }
    }

    fn keep(&mut self, service: ServiceId, edit: Edit, changes: &mut Changes) {
        changes.hold(edit.excluded.iter().copied());
        self.0.get_mut(service).edit = Some(Box::new(edit));
    }

    /// The last edit of a Service is no longer waited for.
    pub(super) fn drop(&mut self, service: ServiceId, changes: &mut Changes) {
        let edit = self.0.get_mut(service).edit.take();
        changes.release(edit.into_iter().flat_map(|edit| edit.excluded));
    }

    /// Checks whether the slices show the last edit. `by` is the slice event that caused the check, if there is one. If something
    /// else removes the last obstacle, the change has no delay.
    pub(super) fn check(&mut self, service: ServiceId, seen: Seen, by: Option<&Shown>, world: &mut World<'_>) {
        let Some(edit) = self.0.known_mut(service).and_then(|of| of.edit.as_mut()) else { return };
        let key = Key::of_service(service);
        let is_blocked = edit.blocker.is_some_and(|pod| edit.is_obstacle(service, pod, world));
        if !is_blocked {
            edit.blocker = edit.find_obstacle(service, world);
        }
        let is_shown = !is_blocked && edit.blocker.is_none() && !edit.lacks_slice(service, world);
        let is_pending = world.changes.pending(key).contains(Change::Service);
        if is_pending && is_shown {
            match by {
                Some(shown) => world.changes.reflect(key, Change::Service, shown),
                None => drop(world.changes.end(key, Change::Service, seen, Ending::Withdrawn)),
            }
            self.drop(service, world.changes);
        } else if !is_pending
            && !is_shown
            && by.is_some()
            && world.changes.writable(key, seen.at).next().is_some()
            && let Some((_, since)) = world.changes.take_remembered(key, |_| true).pop()
        {
            let absent = !edit.is_contradicted(service, world);
            let start = world.start(service, Cause::LateWrite, since);
            world.changes.start_answer(key, start, seen.at, absent);
        }
    }

    /// The pod is no longer expected, so the last edit need not wait for it.
    pub(super) fn no_longer_await(&mut self, service: ServiceId, pod: PodId) {
        if let Some(edit) = self.0.known_mut(service).and_then(|of| of.edit.as_mut()) {
            edit.awaited.remove(&pod);
        }
    }

    /// Whether the last edit is pending, and waits until the slices list this pod correctly.
    pub(super) fn is_waiting_for(&self, service: ServiceId, pod: PodId, world: &mut World<'_>) -> bool {
        let edit = self.0.get(service).and_then(|of| of.edit.as_ref());
        edit.is_some_and(|edit| edit.awaited.contains(&pod))
            && world.changes.pending(Key::of_service(service)).contains(Change::Service)
            && world.owes(service, pod)
    }

    /// A Service is gone.
    pub(super) fn forget(&mut self, service: ServiceId) {
        self.0.take(service);
    }
}

// === impl Edit ===

impl Edit {
    fn is_shown(&self, service: ServiceId, world: &mut World<'_>) -> bool {
        self.find_obstacle(service, world).is_none() && !self.lacks_slice(service, world)
    }

    /// Whether the slices list something that the edit forbids, and do not merely lack a pod.
    fn is_contradicted(&self, service: ServiceId, world: &mut World<'_>) -> bool {
        self.awaited.iter().any(|pod| world.is_listed_otherwise(service, *pod))
            || self.excluded.iter().any(|pod| world.lingers(service, *pod))
    }

    fn find_obstacle(&self, service: ServiceId, world: &mut World<'_>) -> Option<PodId> {
        self.awaited.iter().chain(&self.excluded).find(|pod| self.is_obstacle(service, **pod, world)).copied()
    }

    fn is_obstacle(&self, service: ServiceId, pod: PodId, world: &mut World<'_>) -> bool {
        (self.awaited.contains(&pod) && world.owes(service, pod))
            || (self.excluded.contains(&pod) && world.lingers(service, pod))
    }

    /// Whether a Service without pods still lacks its first, empty slices.
    fn lacks_slice(&self, service: ServiceId, world: &World<'_>) -> bool {
        self.awaited.is_empty() && !world.views.has_every_slice(service)
    }
}

// === impl World ===

impl World<'_> {
    fn start(&self, service: ServiceId, cause: Cause, seen: Seen) -> Start {
        let objective = self.views.services.terms(service).objective;
        Start { change: Change::Service, cause, seen, objective }
    }

    /// Whether an expected pod is not yet listed in exactly its expected families, with the Service's ports.
    fn owes(&mut self, service: ServiceId, pod: PodId) -> bool {
        let is_listed = self.pairs.get(service, pod).is_some_and(Pair::is_listed_as_expected);
        !is_listed || self.views.has_other_ports(service, pod)
    }

    /// Whether the slices still list a pod that the Service does not expect.
    fn lingers(&self, service: ServiceId, pod: PodId) -> bool {
        self.pairs.get(service, pod).is_some_and(|pair| pair.desired == Desired::Out && pair.is_listed())
    }

    /// Whether an expected pod is listed in a wrong family, or with other ports than the Service has.
    fn is_listed_otherwise(&mut self, service: ServiceId, pod: PodId) -> bool {
        self.pairs.get(service, pod).is_some_and(Pair::is_listed_astray) || self.views.has_other_ports(service, pod)
    }

    /// Whether the slices show a pod's state correctly, but list it differently from the Service.
    fn is_edited_unseen(&mut self, service: ServiceId, pod: PodId) -> bool {
        let terms = self.views.services.terms(service);
        self.pairs.get(service, pod).is_some()
            && self.pairs.is_shown(service, pod, terms)
            && self.is_listed_otherwise(service, pod)
    }
}
