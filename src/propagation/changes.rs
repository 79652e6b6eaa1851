//! The changes of the slice hop: those that are pending or were overtaken, what is out of sync, and how the changes ended.

use super::{
    key::{Key, PairKey, PodId, ServiceId},
    overtaken::{Answers, Overtaken, Written},
    pair::Shown,
};
use crate::{
    ledger::{self, Change, ChangeSet, Closed, Doubt, Due, Ending, Hop, Ledger, OutOfSync, Start},
    model::{Resource, Seen, SliceVersion, Stamp},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// All changes.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) ledger: Ledger<Key>,
    pub(super) overtaken: Overtaken,
    pub(super) out_of_sync: OutOfSync<PairKey>,
    /// Whether every watch has listed once. Until then nothing is a change.
    is_measuring: bool,
    /// Since when each watch may miss events, by resource.
    lost: [Option<Stamp>; 3],
    /// While a list of pods is incomplete: Services that may no longer select the pod, but have something of it that is pending or
    /// remembered.
    left: HashMap<PodId, Vec<ServiceId>>,
    said: Vec<Said>,
    holds: Holds,
}

/// What must be reported, in the order in which it happened.
#[derive(Debug)]
pub(super) enum Said {
    Ended(ledger::Ended<Key, Arc<SliceVersion>>),
    Judged { service: ServiceId, change: Change, missed: bool },
}

/// Pods whose indices must not be reused from now on, and pods for which this has ended.
#[derive(Debug, Default)]
pub(super) struct Holds {
    pub(super) held: Vec<PodId>,
    pub(super) released: Vec<PodId>,
}

/// Slices and pods arrive by two watches. If the slices show something more than this before the pod event, they show an older
/// state and not the same change. Watches of one API server differ by milliseconds, and by a few hundred of them while it is
/// busy. A longer lead has other causes, such as a deleted node: its pods leave the slices long before they themselves are
/// deleted.
const REORDER_HORIZON: Duration = Duration::from_millis(500);

// === impl Changes ===

impl Changes {
    /// No changes. They expire at the age of `expiry`.
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

    /// From now on there may be changes.
    pub(super) fn begin(&mut self) {
        self.is_measuring = true;
    }

    /// A watch may miss events from `since` on; `None` if it is complete again.
    pub(super) fn set_lost(&mut self, resource: Resource, since: Option<Stamp>) {
        let lost = &mut self.lost[resource as usize];
        *lost = since.map(|since| lost.unwrap_or(since));
        self.ledger.set_blind(self.is_blind());
    }

    /// Whether a watch may miss events.
    pub(super) fn is_lost(&self, resource: Resource) -> bool {
        self.lost[resource as usize].is_some()
    }

    /// Whether any watch may miss events.
    pub(super) fn is_blind(&self) -> bool {
        self.lost.iter().any(Option::is_some)
    }

    /// The kinds of change that are pending for `key`.
    pub(super) fn pending(&self, key: Key) -> ChangeSet {
        self.ledger.pending(key)
    }

    /// Starts to wait for a change to be reflected.
    pub(super) fn start(&mut self, key: Key, start: Start) {
        self.ledger.start(key, start);
    }

    /// Starts to wait for a change that came and was shown, but that a slice contradicts at `now`. Either a change that it overtook was
    /// written late, or the slice is ahead of what ends the change, or endpoints are `absent` while they move to another slice. This
    /// is known soon.
    pub(super) fn start_answer(&mut self, key: Key, start: Start, now: Stamp, absent: bool) {
        let doubt = Doubt { until: now.plus(REORDER_HORIZON), even_if_reflected: absent };
        self.ledger.start_in_doubt(key, start, doubt);
    }

    /// Ends a change, if it is pending, and returns when it would have expired.
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

    /// Ends a pending change because the slices now show it.
    pub(super) fn reflect(&mut self, key: Key, change: Change, shown: &Shown) {
        self.end(key, change, shown.seen, Ending::Reflected { by: shown.by.clone() });
    }

    /// Takes a change that the slices showed before it arrived. Says whether it is a change at all: if they showed it long
    /// before, there was another cause.
    pub(super) fn take_shown(&mut self, key: Key, start: Start, shown: &Shown) -> bool {
        let told_by = if key.pod.is_some() { Resource::Pods } else { Resource::Services };
        let is_change = self.is_ahead(told_by, start.seen, shown);
        if is_change {
            let closed = self.ledger.reflected_before(key, start, shown.seen, shown.by.clone());
            self.close(closed);
        }
        is_change
    }

    /// Whether what the slices show may be the effect of the pod or Service event at `seen`.
    pub(super) fn is_ahead(&self, told_by: Resource, seen: Seen, shown: &Shown) -> bool {
        // A late event may have happened any time since its watch was lost.
        let lost = self.lost[told_by as usize].filter(|_| seen.is_late());
        lost.unwrap_or(seen.at) <= shown.seen.at.plus(REORDER_HORIZON)
    }

    fn close(&mut self, closed: Closed<Key, Arc<SliceVersion>>) {
        say(&mut self.said, closed);
    }

    /// Ends the pending changes that `opposes` selects. Returns the kinds that were pending, and what was overtaken, now or before, if it
    /// may still be written.
    pub(super) fn overtake(
        &mut self,
        key: Key,
        opposes: impl Fn(Change) -> bool,
        seen: Seen,
    ) -> (ChangeSet, Option<Written>) {
        let (mut overtaken, is_forgotten) = self.overtaken.oppose(key, &opposes);
        if is_forgotten {
            self.holds.released.extend(key.pod);
        }
        overtaken = overtaken.filter(|overtaken| overtaken.until > seen.at);
        let Self { ledger, said, .. } = self;
        let pending = ledger.supersede(key, opposes, seen, |closed| {
            let written = Written::new(closed.change, closed.expires);
            overtaken = Some(overtaken.map_or(written, |others| others.or(written)));
            say(said, closed);
        });
        (pending, overtaken.filter(|overtaken| overtaken.until > seen.at))
    }

    /// What was overtaken, if it may still be written after `now`.
    pub(super) fn overtaken(&self, key: Key, now: Stamp) -> Option<Written> {
        self.overtaken.get(key, now)
    }

    /// The kinds of overtaken change that may still be written at `now`.
    pub(super) fn writable(&self, key: Key, now: Stamp) -> impl Iterator<Item = Change> + use<> {
        self.overtaken.writable(key, now)
    }

    /// Remembers that the slices showed `change` at once, but that a change it overtook may still be written.
    pub(super) fn remember(&mut self, key: Key, change: Change, seen: Seen, overtaken: Written) {
        if self.overtaken.remember(key, change, seen, overtaken) {
            self.holds.held.extend(key.pod);
        }
    }

    /// Removes and returns the remembered changes that `which` selects.
    pub(super) fn take_remembered(&mut self, key: Key, which: impl FnMut(Change) -> bool) -> Answers {
        let (taken, is_forgotten) = self.overtaken.take(key, which);
        if is_forgotten {
            self.holds.released.extend(key.pod);
        }
        taken
    }

    /// Forgets what is remembered of `key`.
    pub(super) fn forget(&mut self, key: Key) {
        if self.overtaken.forget(key) {
            self.holds.released.extend(key.pod);
        }
    }

    /// Forgets what is remembered of the pods of a Service.
    pub(super) fn forget_pods(&mut self, service: ServiceId) {
        for key in self.overtaken.keys_of(service).into_iter().filter(|key| key.pod.is_some()) {
            self.forget(key);
        }
    }

    /// Nothing is expected of a Service and its `pods` from now on.
    pub(super) fn withdraw(&mut self, service: ServiceId, pods: impl Iterator<Item = PodId>, seen: Seen) {
        for key in pods.map(|pod| Key::of_pod(service, pod)).chain([Key::of_service(service)]) {
            for change in self.ledger.pending(key).iter() {
                self.end(key, change, seen, Ending::Withdrawn);
            }
        }
        for key in self.overtaken.keys_of(service) {
            self.forget(key);
        }
    }

    /// Prepares for a list of pods: records the Services that wait for a pod to leave, or remember this, and that may no longer
    /// select it.
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

    /// The pod had states that were not delivered. `services` are those that selected it.
    pub(super) fn taint_pod(&mut self, pod: PodId, mut services: Vec<ServiceId>) {
        services.extend(self.left.get(&pod).into_iter().flatten());
        for service in services {
            self.taint(Key::of_pod(service, pod));
        }
    }

    /// The start of what is pending or remembered of `key` is no longer known.
    pub(super) fn taint(&mut self, key: Key) {
        self.ledger.taint(key);
        self.overtaken.taint(key);
    }

    /// Lets time pass. Returns the Services whose last edit is no longer waited for.
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

    /// The indices of these pods must not be reused.
    pub(super) fn hold(&mut self, pods: impl Iterator<Item = PodId>) {
        self.holds.held.extend(pods);
    }

    /// The indices of these pods may be reused.
    pub(super) fn release(&mut self, pods: impl Iterator<Item = PodId>) {
        self.holds.released.extend(pods);
    }

    /// What must be reported since the last call.
    pub(super) fn take_said(&mut self) -> std::vec::Drain<'_, Said> {
        self.said.drain(..)
    }

    /// Which pods must be held or released since the last call.
    pub(super) fn take_holds(&mut self) -> Holds {
        std::mem::take(&mut self.holds)
    }
}

/// Records the end of a change.
fn say(said: &mut Vec<Said>, closed: Closed<Key, Arc<SliceVersion>>) {
    let Closed { key, change, ended, missed, .. } = closed;
    if let Some(missed) = missed {
        said.push(Said::Judged { service: key.service, change, missed });
    }
    said.extend(ended.map(Said::Ended));
}
