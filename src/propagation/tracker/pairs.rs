//! A pod in a Service: where the two views meet, changes start and end.

use super::{Ending, Tracker};
use crate::{
    cluster::{event::Seen, object::Families},
    propagation::{
        change::Change,
        membership::{PodId, ServiceId},
        pair::{Desired, Facts, Pair},
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
        let marks = if moved { state.take_marks(pod, desired.change()) } else { Default::default() };
        if self.measuring {
            self.end_opposed(service, pod, desired, seen);
            let change = desired.change();
            let state = self.services.get(service);
            let shown = state.pair(pod).is_some_and(|pair| pair.shows(change, state.publishes()));
            match (state.pair(pod).and_then(|pair| pair.pending(change)), shown) {
                // It lost an address, and what the slices still owed with it.
                (Some(id), true) => self.end(id, seen.at, Ending::Withdrawn),
                (Some(_), false) => {}
                (None, true) => {
                    if let Some(mark) = marks.get(change, expected) {
                        self.report_reordered(service, Some(pod), change, seen, mark);
                    }
                }
                // The slices show a pod as ready that the pod watch has only just told of: they are more than one step ahead,
                // and it has not left Ready, which it has not reached yet.
                (None, false) if change == Change::Unready && marks.get(Change::Ready, expected).is_some() => {}
                (None, false) if starts => self.start_pod_change(service, pod, change, seen),
                (None, false) => {}
            }
        }
        if desired == Desired::Out {
            self.no_longer_awaited(service, pod);
        }
        self.check_edit(service, seen, false);
        self.services.get_mut(service).drop_pair_if_empty(pod);
    }

    fn start_pod_change(&mut self, service: ServiceId, pod: PodId, change: Change, seen: Seen) {
        let id = self.start(service, Some(pod), change, seen);
        self.services.get_mut(service).pair_mut(pod).set_pending(change, Some(id));
    }

    fn end_opposed(&mut self, service: ServiceId, pod: PodId, desired: Desired, seen: Seen) {
        let Some(pair) = self.services.get(service).pair(pod) else { return };
        for (change, id) in pair.all_pending() {
            if desired.opposes(change) {
                self.end(id, seen.at, Ending::Superseded);
            }
        }
    }

    /// An edit of the Service, not the pod, makes `pod` what it is: nothing starts, and what the Service does not expect any
    /// more is withdrawn. Says whether the pod was expected, and is so no longer.
    pub(super) fn rebase_pair(&mut self, service: ServiceId, pod: PodId, seen: Seen) -> bool {
        let (desired, families) = match self.pods.known(pod) {
            Some(known) if self.membership.selects(service, known.set) => (known.desired, known.families),
            _ => (Desired::Out, Families::NONE),
        };
        let (desired, expected) = self.services.get(service).expectation(desired, families);
        let state = self.services.get_mut(service);
        let pair = state.pair_mut(pod);
        let left = pair.desired != Desired::Out && desired == Desired::Out;
        let entered = pair.desired == Desired::Out && desired != Desired::Out;
        (pair.desired, pair.expected) = (desired, expected);
        let pending: Vec<_> = pair.all_pending().collect();
        if left || entered {
            state.marks.remove(&pod);
        }
        for (change, id) in pending {
            let state = self.services.get(service);
            let shown = state.pair(pod).is_some_and(|pair| pair.shows(change, state.publishes()));
            if entered && desired.opposes(change) {
                self.end(id, seen.at, Ending::Superseded);
            } else if left || shown {
                self.end(id, seen.at, Ending::Withdrawn);
            }
        }
        if left {
            self.no_longer_awaited(service, pod);
        }
        self.services.get_mut(service).drop_pair_if_empty(pod);
        left
    }

    /// The slices of `service` have come to show `pod` otherwise than `before`.
    pub(super) fn settle_pair(&mut self, service: ServiceId, pod: PodId, before: Facts, seen: Seen) {
        let state = self.services.get(service);
        let (measured, published) = (self.measuring && state.is_measured(), state.publishes());
        let Some(pair) = state.pair(pod) else { return };
        let (after, current) = (pair.facts(published), pair.desired.change());
        let reflected: Vec<_> = pair.all_pending().filter(|(change, _)| pair.shows(*change, published)).collect();
        for (_, id) in reflected {
            self.end(id, seen.at, Ending::Reflected(seen));
        }
        let state = self.services.get_mut(service);
        if measured && before != after {
            state.mark(pod, before, after, current, seen);
        }
        state.drop_pair_if_empty(pod);
    }

    /// Where the first lists disagree, something is pending whose start nobody saw.
    pub(super) fn start_from_lists(&mut self, seen: Seen) {
        for service in self.services.measured_ids() {
            let state = self.services.get(service);
            let disagrees = |pair: &Pair| !pair.shows(pair.desired.change(), state.publishes());
            let late: Vec<_> = state
                .pairs()
                .filter(|(_, pair)| disagrees(pair))
                .map(|(pod, pair)| (pod, pair.desired.change()))
                .collect();
            for (pod, change) in late {
                self.start_pod_change(service, pod, change, seen);
            }
        }
    }
}
