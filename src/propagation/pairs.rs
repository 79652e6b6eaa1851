//! The pairs of Service and pod. They compare the two sides, and start and end changes.

use super::{
    changes::Changes,
    key::{ByService, Key, PodId, ServiceId},
    pair::{Desired, Entry, Facts, Marks, Pair, Shown},
    services::Terms,
    slices::{Difference, Listed},
};
use crate::{
    ledger::{Cause, Change, Ending, Start},
    model::{Families, Family, Resource, Seen},
};
use foldhash::fast::RandomState;
use std::collections::{HashMap, hash_map};

/// All pairs. A pod that a Service does not expect and its slices do not list has no pair with it.
#[derive(Debug, Default)]
pub(super) struct Pairs(ByService<OfService>);

/// The pairs of one Service.
#[derive(Debug, Default)]
struct OfService {
    pairs: HashMap<PodId, Pair, RandomState>,
    /// Few: only for pods whose slices were ahead of the pod watch.
    marks: HashMap<PodId, Marks, RandomState>,
}

/// The effect of an edit of a Service on a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rebased {
    /// It is expected as before, or unexpected as before.
    Stayed,
    /// The Service expects it now.
    Entered,
    /// The Service no longer expects it.
    Left,
}

// === impl Pairs ===

impl Pairs {
    /// The pair of a pod in a Service.
    pub(super) fn get(&self, service: ServiceId, pod: PodId) -> Option<&Pair> {
        self.0.get(service)?.pairs.get(&pod)
    }

    /// The pods of a Service's pairs.
    pub(super) fn pods(&self, service: ServiceId) -> impl Iterator<Item = PodId> {
        self.0.get(service).into_iter().flat_map(|of| of.pairs.keys().copied())
    }

    /// The pods that a Service expects, each with its expected families.
    pub(super) fn expected(&self, service: ServiceId) -> impl Iterator<Item = (PodId, Families)> {
        let pairs = self.0.get(service).into_iter().flat_map(|of| &of.pairs);
        pairs.filter(|(_, pair)| pair.desired != Desired::Out).map(|(pod, pair)| (*pod, pair.expected))
    }

    /// The pod watch says that a pod should be `desired` in a Service, in these families. Returns the pair if this is new.
    pub(super) fn move_to(
        &mut self,
        (service, pod): (ServiceId, PodId),
        (desired, expected): (Desired, Families),
        terms: Terms,
        seen: Seen,
        changes: &mut Changes,
    ) -> Option<Pair> {
        let of = self.0.get_mut(service);
        let pair = match of.pairs.entry(pod) {
            hash_map::Entry::Occupied(pair) => pair.into_mut(),
            hash_map::Entry::Vacant(_) if desired == Desired::Out => return None,
            hash_map::Entry::Vacant(free) => free.insert(Pair::default()),
        };
        if pair.desired == desired && pair.expected == expected {
            return None;
        }
        let moved = pair.desired != desired;
        // A ready pod with a new address of another family becomes ready there.
        let starts = moved || desired == Desired::Ready && !pair.expected.contains_all(expected);
        (pair.desired, pair.expected) = (desired, expected);
        let (pair, key, change) = (*pair, Key::of_pod(service, pod), desired.change());
        let marks = if moved { of.take_marks(pod, change) } else { None };
        if changes.is_measuring() {
            let opposes = |change| desired.opposes(change);
            let (pending, overtaken) =
                if moved { changes.overtake(key, opposes, seen) } else { (changes.pending(key), None) };
            let start = Start { change, cause: Cause::Pod, seen, objective: terms.objective };
            let mark_of = |change| marks.as_ref().and_then(|marks| marks.get(change, expected));
            match (pending.contains(change), pair.shows(change, terms.published)) {
                // It lost an address, so the slices need not show that address.
                (true, true) => drop(changes.end(key, change, seen, Ending::Withdrawn)),
                (true, false) => {}
                (false, true) => {
                    let is_change = mark_of(change).is_some_and(|mark| changes.take_shown(key, start, mark));
                    if let Some(overtaken) = overtaken.filter(|_| !is_change) {
                        changes.remember(key, change, seen, overtaken);
                    }
                }
                // The slices show a pod as ready that the pod watch has only now delivered as unready. They are more than one step ahead:
                // the pod cannot leave Ready before the pod watch shows it Ready.
                (false, false)
                    if change == Change::Unready
                        && mark_of(Change::Ready).is_some_and(|mark| changes.is_ahead(Resource::Pods, seen, mark)) => {}
                (false, false) if starts => changes.start(key, start),
                (false, false) => {}
            }
        }
        of.drop_if_empty(pod, &pair);
        Some(pair)
    }

    /// Whether the pod's side has these values.
    pub(super) fn is_as(&self, service: ServiceId, pod: PodId, (desired, expected): (Desired, Families)) -> bool {
        let pair = self.get(service, pod).copied().unwrap_or_default();
        pair.desired == desired && pair.expected == expected
    }

    /// A pod becomes `desired` by an edit of the Service, or by an event from before the Service came, and not by its own change. Nothing
    /// starts. What the Service no longer expects is withdrawn.
    pub(super) fn rebase(
        &mut self,
        (service, pod): (ServiceId, PodId),
        (desired, expected): (Desired, Families),
        terms: Terms,
        seen: Seen,
        changes: &mut Changes,
    ) -> Rebased {
        let of = self.0.get_mut(service);
        let pair = of.pairs.entry(pod).or_default();
        let rebased = match (pair.desired, desired) {
            (Desired::Out, Desired::Out) => Rebased::Stayed,
            (Desired::Out, _) => Rebased::Entered,
            (_, Desired::Out) => Rebased::Left,
            _ => Rebased::Stayed,
        };
        let moved = pair.desired != desired;
        (pair.desired, pair.expected) = (desired, expected);
        let (pair, key) = (*pair, Key::of_pod(service, pod));
        if moved {
            of.marks.remove(&pod);
            changes.forget(key);
        }
        for change in changes.pending(key).iter() {
            if rebased != Rebased::Left && moved && desired.opposes(change) {
                changes.end(key, change, seen, Ending::Superseded);
            } else if rebased == Rebased::Left || pair.shows(change, terms.published) {
                changes.end(key, change, seen, Ending::Withdrawn);
            }
        }
        of.drop_if_empty(pod, &pair);
        rebased
    }

    /// Applies the difference of one slice to the union, and ends the changes that are now shown. Returns the affected pods.
    pub(super) fn show(
        &mut self,
        difference: &mut Difference,
        terms: Terms,
        shown: &Shown,
        changes: &mut Changes,
    ) -> Vec<PodId> {
        let Difference { service, family, left, came, .. } = difference;
        left.sort_unstable();
        came.sort_unstable();
        let touched = touched_pods(left, came);
        let of = self.0.get_mut(*service);
        for pod in &touched {
            let pair = of.pairs.entry(*pod).or_default();
            let before = pair.facts(terms.published);
            for entry in entries_of(came, *pod) {
                pair.show(*family, entry, terms.published);
            }
            for entry in entries_of(left, *pod) {
                pair.hide(*family, entry, terms.published);
            }
            let pair = *pair;
            of.settle(Key::of_pod(*service, *pod), &pair, before, terms, shown, changes);
            of.drop_if_empty(*pod, &pair);
        }
        touched
    }

    /// Counts every pair of a Service again, after an edit of what counts as ready. `listed` is everything in its slices. What the slices
    /// showed by the old count is no longer valid.
    pub(super) fn recount(
        &mut self,
        service: ServiceId,
        terms: Terms,
        listed: impl Iterator<Item = (Family, Listed)>,
        changes: &mut Changes,
    ) {
        let of = self.0.get_mut(service);
        of.marks.clear();
        changes.forget_pods(service);
        of.pairs.values_mut().for_each(Pair::hide_all);
        for (family, (pod, entry)) in listed {
            of.pairs.entry(pod).or_default().show(family, entry, terms.published);
        }
    }

    /// Whether the slices show what a pod should be in a Service.
    pub(super) fn is_shown(&self, service: ServiceId, pod: PodId, terms: Terms) -> bool {
        self.get(service, pod).is_none_or(|pair| pair.shows(pair.desired.change(), terms.published))
    }

    /// Starts to wait for a state of a pod that the slices do not show. Its start was not seen.
    pub(super) fn start_unseen(&self, service: ServiceId, pod: PodId, terms: Terms, seen: Seen, changes: &mut Changes) {
        let change = self.get(service, pod).map_or(Change::Removed, |pair| pair.desired.change());
        let (seen, objective) = (Seen::late(seen.at), terms.objective);
        changes.start(Key::of_pod(service, pod), Start { change, cause: Cause::FirstSight, seen, objective });
    }

    /// A Service is gone.
    pub(super) fn forget(&mut self, service: ServiceId) {
        self.0.take(service);
    }
}

// === impl OfService ===

impl OfService {
    /// What the slices show of a pair has changed from `before`.
    fn settle(&mut self, key: Key, pair: &Pair, before: Facts, terms: Terms, shown: &Shown, changes: &mut Changes) {
        for change in changes.pending(key).iter().filter(|change| pair.shows(*change, terms.published)) {
            changes.reflect(key, change, shown);
        }
        let after = pair.facts(terms.published);
        if changes.is_measuring() && terms.is_measured && before != after {
            self.mark(key, before, after, pair.desired.change(), shown);
            start_answers(key, pair, terms, shown.seen, changes);
        }
    }

    /// Removes the pair of a pod, if it is like this and need not be kept.
    fn drop_if_empty(&mut self, pod: PodId, pair: &Pair) {
        if pair.is_empty() {
            self.pairs.remove(&pod);
            self.marks.remove(&pod);
        }
    }

    /// The marks of a pod that moves to the state of `change`. This uses up the mark for `change`. The others stay, because
    /// the slices may be several steps ahead.
    fn take_marks(&mut self, pod: PodId, change: Change) -> Option<Marks> {
        let marks = self.marks.get_mut(&pod)?;
        let taken = marks.clone();
        marks.clear(change);
        if marks.is_empty() {
            self.marks.remove(&pod);
        }
        Some(taken)
    }

    /// Records when the slices started to show something of a pod ahead of the pod watch, or that they stopped.
    fn mark(&mut self, key: Key, before: Facts, after: Facts, current: Change, shown: &Shown) {
        let Some(pod) = key.pod else { return };
        let marks = self.marks.entry(pod).or_default();
        marks.update(before, after, current, shown);
        if marks.is_empty() {
            self.marks.remove(&pod);
        }
    }
}

/// An overtaken change was written late. So what overtook it must be written again, and is a change since its arrival.
fn start_answers(key: Key, pair: &Pair, terms: Terms, seen: Seen, changes: &mut Changes) {
    let written: Vec<Change> = changes.writable(key, seen.at).filter(|change| pair.is_written(*change)).collect();
    if written.is_empty() {
        return;
    }
    let absent = written == [Change::Removed];
    for (change, since) in changes.take_remembered(key, |change| !pair.shows(change, terms.published)) {
        let start = Start { change, cause: Cause::LateWrite, seen: since, objective: terms.objective };
        changes.start_answer(key, start, seen.at, absent);
    }
}

/// The pods whose entries differ, each once. Both lists are sorted by pod.
fn touched_pods(old: &[Listed], new: &[Listed]) -> Vec<PodId> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut touched: Vec<PodId> = Vec::new();
    loop {
        let pod = match (old.peek(), new.peek()) {
            (None, None) => return touched,
            (Some(a), Some(b)) if a == b => {
                old.next();
                new.next();
                continue;
            }
            (Some(a), Some(b)) if a <= b => old.next(),
            (Some(_), None) => old.next(),
            (_, Some(_)) => new.next(),
        };
        let Some((pod, _)) = pod else { return touched };
        if touched.last() != Some(pod) {
            touched.push(*pod);
        }
    }
}

fn entries_of(all: &[Listed], pod: PodId) -> impl Iterator<Item = Entry> {
    let from = all.partition_point(|(listed, _)| *listed < pod);
    all[from..].iter().take_while(move |(listed, _)| *listed == pod).map(|(_, entry)| *entry)
}
