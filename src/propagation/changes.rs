//! The changes of the slice hop: those that are pending, those that were overtaken, what is out of sync, and what became of all.

use super::{
    key::{Key, PodId, ServiceId},
    overtaken::{Overtaken, Written},
    pair::Shown,
};
use crate::{
    ledger::{self, Change, Closed, Doubt, Due, Ending, Hop, Ledger, OutOfSync, Start},
    model::{Resource, Seen, SliceVersion, Stamp},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// All changes.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) ledger: Ledger<Key>,
    pub(super) overtaken: Overtaken,
    pub(super) out_of_sync: OutOfSync<(ServiceId, PodId)>,
    /// Whether every watch has listed once. Until then nothing is a change.
    is_measuring: bool,
    /// Since when the watches may lack what happened, by resource.
    lost: [Option<Stamp>; 3],
    /// While a list of pods is under way: Services of which something of the pod is pending or remembered, though they may not select
    /// it any more.
    left: HashMap<PodId, Vec<ServiceId>>,
    said: Vec<Said>,
    holds: Holds,
}

/// What is to be told, in the order in which it happened.
#[derive(Debug)]
pub(super) enum Said {
    Ended(ledger::Ended<Key, Arc<SliceVersion>>),
    Judged { service: ServiceId, change: Change, missed: bool },
}

/// Pods whose indices have to stay theirs from now on, and pods for which that is over.
#[derive(Debug, Default)]
pub(super) struct Holds {
    pub(super) held: Vec<PodId>,
    pub(super) released: Vec<PodId>,
}

/// Slices and pods come by two watches; how far one may run behind the other before what the slices show first is taken
/// for an older state instead of the same change. Watches of one API server lie milliseconds apart, and some hundred of them while
/// it is busy. What leads by more has causes of its own, such as a deleted node, whose pods leave the slices long before they are
/// deleted themselves.
const REORDER_HORIZON: Duration = Duration::from_millis(500);

// === impl Changes ===

impl Changes {
    /// None yet. They are given up at the age of `expiry`.
    pub(super) fn new(expiry: Duration) -> Self {
        Self {
            ledger: Ledger::new(Hop::Slice, expiry),
            overtaken: Overtaken::default(),
            out_of_sync: OutOfSync::default(),
            is_measuring: false,
            lost: [None; 3],
            left: HashMap::new(),
            said: Vec::new(),
            holds: Holds::default(),
        }
    }

    /// Whether there may be changes: every watch has listed once.
    pub(super) fn is_measuring(&self) -> bool {
        self.is_measuring
    }

    /// From now on there may be.
    pub(super) fn begin(&mut self) {
        self.is_measuring = true;
    }

    /// A watch may lack what happens from `since` on, or is whole again.
    pub(super) fn set_lost(&mut self, resource: Resource, since: Option<Stamp>) {
        let lost = &mut self.lost[resource as usize];
        *lost = since.map(|since| lost.unwrap_or(since));
        self.ledger.set_blind(self.lost.iter().any(Option::is_some));
    }

    /// Whether a watch may lack what happens.
    pub(super) fn is_lost(&self, resource: Resource) -> bool {
        self.lost[resource as usize].is_some()
    }

    /// The kinds of change that are pending of `key`.
    pub(super) fn pending(&self, key: Key) -> impl Iterator<Item = Change> + use<> {
        self.ledger.pending(key)
    }

    /// Whether a change of this kind is pending.
    pub(super) fn is_pending(&self, key: Key, change: Change) -> bool {
        self.ledger.is_pending(key, change)
    }

    /// Starts to wait for a change to be reflected.
    pub(super) fn start(&mut self, key: Key, start: Start) {
        self.ledger.start(key, start);
    }

    /// Starts to wait for a change that came and was shown, and that a slice contradicts at `now`: what it overtook was written after
    /// all. Or the slice is ahead of what ends the change; or endpoints are `absent` since they move from one slice to another. That
    /// is known soon.
    pub(super) fn start_answer(&mut self, key: Key, start: Start, now: Stamp, absent: bool) {
        let doubt = Doubt { until: now.plus(REORDER_HORIZON), even_if_reflected: absent };
        self.ledger.start_in_doubt(key, start, doubt);
    }

    /// Ends a change, if it is pending, and says when it would have been given up.
    pub(super) fn end(
        &mut self,
        key: Key,
        change: Change,
        seen: Seen,
        why: Ending<Arc<SliceVersion>>,
    ) -> Option<Stamp> {
        let closed = self.ledger.end(key, change, seen, why)?;
        let expires = closed.expires;
        self.close(closed);
        Some(expires)
    }

    /// Ends a change, if it is pending, that slices have come to show.
    pub(super) fn reflect(&mut self, key: Key, change: Change, shown: &Shown) {
        self.end(key, change, shown.seen, Ending::Reflected { by: shown.by.clone() });
    }

    /// Takes a change that the slices showed before it arrived itself. Says whether it is a change at all: if they showed it long
    /// before, that had another cause.
    pub(super) fn take_shown(&mut self, key: Key, start: Start, shown: &Shown) -> bool {
        let told_by = if key.pod.is_some() { Resource::Pods } else { Resource::Services };
        let is_change = self.is_ahead(told_by, start.seen, shown);
        if is_change {
            let closed = self.ledger.reflected_before(key, start, shown.seen, shown.by.clone());
            self.close(closed);
        }
        is_change
    }

    /// Whether the slices may have come to show what a pod or a Service told at `seen`.
    pub(super) fn is_ahead(&self, told_by: Resource, seen: Seen, shown: &Shown) -> bool {
        // What came late may have happened when its watch was lost.
        let lost = self.lost[told_by as usize].filter(|_| seen.is_late());
        lost.unwrap_or(seen.at) <= shown.seen.at.plus(REORDER_HORIZON)
    }

    fn close(&mut self, closed: Closed<Key, Arc<SliceVersion>>) {
        let Closed { key, change, ended, missed, .. } = closed;
        if let Some(missed) = missed {
            self.said.push(Said::Judged { service: key.service, change, missed });
        }
        self.said.extend(ended.map(Said::Ended));
    }

    /// Ends what `opposes` says has lost its sense. Returns what was overtaken, now or before, if it may still be written.
    pub(super) fn overtake(&mut self, key: Key, opposes: impl Fn(Change) -> bool, seen: Seen) -> Option<Written> {
        let mut overtaken = self.overtaken(key, seen.at);
        self.take_remembered(key, &opposes);
        for change in self.pending(key).filter(|change| opposes(*change)) {
            if let Some(until) = self.end(key, change, seen, Ending::Superseded) {
                let written = Written::new(change, until);
                overtaken = Some(overtaken.map_or(written, |others| others.or(written)));
            }
        }
        overtaken.filter(|overtaken| overtaken.until > seen.at)
    }

    /// What was overtaken, if it may still be written after `now`.
    pub(super) fn overtaken(&self, key: Key, now: Stamp) -> Option<Written> {
        self.overtaken.get(key, now)
    }

    /// The kinds of change that may be written at `now`, though they were overtaken.
    pub(super) fn writable(&self, key: Key, now: Stamp) -> impl Iterator<Item = Change> + use<> {
        self.overtaken.writable(key, now)
    }

    /// Remembers that the slices showed `change` at once, though what it overtook may still be written.
    pub(super) fn remember(&mut self, key: Key, change: Change, seen: Seen, overtaken: Written) {
        if self.overtaken.remember(key, change, seen, overtaken) {
            self.holds.held.extend(key.pod);
        }
    }

    /// Takes out what is remembered that `which` says has come to nothing or to something.
    pub(super) fn take_remembered(&mut self, key: Key, which: impl FnMut(Change) -> bool) -> Vec<(Change, Seen)> {
        let (taken, is_forgotten) = self.overtaken.take(key, which);
        if is_forgotten {
            self.holds.released.extend(key.pod);
        }
        taken
    }

    /// What is remembered of `key` does not count any more.
    pub(super) fn forget(&mut self, key: Key) {
        if self.overtaken.forget(key) {
            self.holds.released.extend(key.pod);
        }
    }

    /// What is remembered of the pods of a Service does not count any more.
    pub(super) fn forget_pods(&mut self, service: ServiceId) {
        for key in self.overtaken.keys_of(service).into_iter().filter(|key| key.pod.is_some()) {
            self.forget(key);
        }
    }

    /// Nothing is expected of a Service and its `pods` any more.
    pub(super) fn withdraw(&mut self, service: ServiceId, pods: impl Iterator<Item = PodId>, seen: Seen) {
        for key in pods.map(|pod| Key::of_pod(service, pod)).chain([Key::of_service(service)]) {
            for change in self.ledger.pending(key) {
                self.end(key, change, seen, Ending::Withdrawn);
            }
        }
        for key in self.overtaken.keys_of(service) {
            self.forget(key);
        }
    }

    /// Notes what a list of pods is going to need: the Services that wait for a pod to leave, or remember that it did, and that may not
    /// select it any more.
    pub(super) fn begin_pod_list(&mut self, is_known: impl Fn(PodId) -> bool) {
        let mut left: HashMap<PodId, Vec<ServiceId>> = HashMap::new();
        let pending = self.ledger.iter().filter(|pending| pending.change == Change::Removed).map(|pending| pending.key);
        for key in pending.chain(self.overtaken.keys()) {
            if let Some(pod) = key.pod.filter(|pod| is_known(*pod)) {
                left.entry(pod).or_default().push(key.service);
            }
        }
        self.left = left;
    }

    /// The list of pods is complete.
    pub(super) fn end_pod_list(&mut self) {
        self.left = HashMap::new();
    }

    /// The pod went through states that nobody told of. `services` are those that selected it.
    pub(super) fn taint_pod(&mut self, pod: PodId, mut services: Vec<ServiceId>) {
        services.extend(self.left.get(&pod).into_iter().flatten());
        for service in services {
            self.taint(Key::of_pod(service, pod));
        }
    }

    /// It is not known any more when what is pending or remembered of `key` began.
    pub(super) fn taint(&mut self, key: Key) {
        self.ledger.taint(key);
        self.overtaken.taint(key);
    }

    /// Lets time pass. Returns the Services whose last edit is not waited for any more.
    pub(super) fn advance(&mut self, now: Stamp) -> Vec<ServiceId> {
        let mut edits = Vec::new();
        while let Some(due) = self.ledger.next_due(now) {
            match due {
                Due::Missed(key, change) => self.said.push(Said::Judged { service: key.service, change, missed: true }),
                Due::Expired(closed) => {
                    edits.extend(Some(closed.key.service).filter(|_| closed.key.pod.is_none()));
                    self.close(closed);
                }
            }
        }
        while let Some(Key { service, pod }) = self.overtaken.next_forgotten(now) {
            match pod {
                Some(pod) => self.holds.released.push(pod),
                None => edits.push(service),
            }
        }
        edits
    }

    /// These pods' indices have to stay theirs.
    pub(super) fn hold(&mut self, pods: impl Iterator<Item = PodId>) {
        self.holds.held.extend(pods);
    }

    /// These pods' indices need not stay theirs any more.
    pub(super) fn release(&mut self, pods: impl Iterator<Item = PodId>) {
        self.holds.released.extend(pods);
    }

    /// What is to be told since the last call.
    pub(super) fn take_said(&mut self) -> std::vec::Drain<'_, Said> {
        self.said.drain(..)
    }

    /// Which pods are to be held since the last call.
    pub(super) fn take_holds(&mut self) -> Holds {
        std::mem::take(&mut self.holds)
    }
}
