//! Changes that were overtaken before the slices showed them. The controller may still write them, from what it had seen.
//! Then the move that overtook them is a change after all, since its own arrival.

use super::{
    Reference,
    edits::Edit,
    history::{Pair, View},
};
use endpointlag::{
    ledger::Change,
    model::{Seen, Stamp, Uid},
};
use std::collections::BTreeSet;

/// Moves of a pod that the slices already showed, because an earlier change had not been written yet.
#[derive(Clone, Debug)]
pub struct Memory {
    /// When the overtaken change would have expired. Later writes have nothing to do with it.
    until: Stamp,
    /// The changes that were overtaken.
    overtaken: BTreeSet<Change>,
    /// The changes that would become pending, with their stamps.
    answers: Vec<(Change, Seen)>,
}

/// An edit that took back an earlier edit before the slices showed the earlier one.
#[derive(Clone, Debug)]
pub struct Dormant {
    edit: Edit,
    seen: Seen,
    until: Stamp,
}

impl Reference {
    /// After a pod moved in a Service. `overtaken_until` is when the last of the changes that it superseded would have expired;
    /// `counted` is whether the move was reported as a change.
    pub(super) fn remember_overtaken(
        &mut self,
        service: &Uid,
        pod: &Uid,
        overtaken_until: Option<Stamp>,
        mut overtaken: BTreeSet<Change>,
        counted: bool,
    ) {
        let (seen, pair) = (self.seen(), (service.clone(), pod.clone()));
        let state = self.now().state(service, pod);
        let mut memory = self.overtaken.remove(&pair);
        let remembered_until = memory.as_ref().map(|memory| memory.until).filter(|until| *until > seen.at);
        if let Some(memory) = &mut memory {
            memory.answers.retain(|(change, _)| state.upholds(*change));
        }
        let until = overtaken_until.max(remembered_until).filter(|until| *until > seen.at);
        if let Some(until) = until.filter(|_| !counted && self.now().shows_state(service, pod)) {
            let memory =
                memory.get_or_insert_with(|| Memory { until, overtaken: BTreeSet::new(), answers: Vec::new() });
            if remembered_until.is_some() {
                overtaken.append(&mut memory.overtaken);
            }
            (memory.until, memory.overtaken) = (until, overtaken);
            memory.answers.push((state.change(), seen));
        }
        self.overtaken.extend(memory.filter(|memory| !memory.answers.is_empty()).map(|memory| (pair, memory)));
    }

    /// After an edit that the slices already showed, and that superseded another.
    pub(super) fn remember_edit(&mut self, service: &Uid, edit: Edit, until: Stamp) {
        self.dormant.insert(service.clone(), Dormant { edit, seen: self.seen(), until });
    }

    /// Removes the remembered edit of a Service, and returns until when it was remembered.
    pub(super) fn forget_edit(&mut self, service: &Uid) -> Option<Stamp> {
        self.dormant.remove(service).map(|dormant| dormant.until)
    }

    /// After a slice event: if the slices changed and now contradict a pod or a Service, an overtaken change was written late.
    pub(super) fn answer_late_writes(&mut self) {
        let at = self.seen().at;
        let changed = |(service, pod): &Pair| self.before().facts(service, pod) != self.now().facts(service, pod);
        let pairs: Vec<_> = self.overtaken.keys().filter(|pair| changed(pair)).cloned().collect();
        for pair in pairs {
            let (service, pod) = &pair;
            let Some(mut memory) = self.overtaken.remove(&pair) else { continue };
            let written: Vec<_> =
                memory.overtaken.iter().filter(|change| self.now().is_written(service, pod, **change)).collect();
            if at <= memory.until && !written.is_empty() {
                let by_absence = written == [&Change::Removed];
                let question = self.now().question(service, pod);
                for (change, seen) in std::mem::take(&mut memory.answers) {
                    if self.now().shows(&question, change) {
                        memory.answers.push((change, seen));
                    } else if !self.is_pending(service, pod, change) {
                        self.start_contradicted(service, Some(pod), change, seen, None, by_absence);
                    }
                }
            }
            if !memory.answers.is_empty() {
                self.overtaken.insert(pair, memory);
            }
        }
        let services: Vec<_> = self.dormant.keys().cloned().collect();
        for service in &services {
            let Dormant { edit, seen, until } = self.dormant[service].clone();
            let written = self.before().content(service) != self.now().content(service);
            if written && at <= until && !edit.is_shown(self.now(), service) {
                self.dormant.remove(service);
                let by_absence = !edit.is_contradicted(self.now(), service);
                self.start_contradicted(service, None, Change::Service, seen, Some(edit), by_absence);
            }
        }
    }

    /// After an event of the Service watch: forgets pods for which the edit changed what is expected.
    pub(super) fn forget_reconsidered(&mut self, service: &Uid) {
        let (before, now) = (self.before().clone(), self.now().clone());
        let publishes = |view: &View| view.services.get(service).map(|it| it.publish_not_ready_addresses);
        let is_measured = now.measured(service).is_some();
        let asked_otherwise = publishes(&before) != publishes(&now);
        let is_expected = |view: &View, pod: &Uid| !view.expected_families(service, pod).is_empty();
        self.overtaken.retain(|(of, pod), _| {
            of != service || is_measured && !asked_otherwise && is_expected(&before, pod) == is_expected(&now, pod)
        });
        if !is_measured {
            self.dormant.remove(service);
        }
    }

    /// After time has passed: no event will be stamped before `now`.
    pub(super) fn forget_overtaken_before(&mut self, now: Stamp) {
        self.overtaken.retain(|_, memory| memory.until >= now);
        self.dormant.retain(|_, dormant| dormant.until >= now);
    }

    pub(super) fn forget_unexpected_in_dormant(&mut self) {
        let view = self.now().clone();
        for (service, dormant) in &mut self.dormant {
            dormant.edit.forget_unexpected(&view, service);
        }
    }

    /// The pod or the Service had states for which no event came: the times of its moves are no longer known.
    pub(super) fn forget_starts_of_overtaken(&mut self, uid: &Uid) {
        let memories = self.overtaken.iter_mut().filter(|((_, pod), _)| pod == uid);
        for (_, seen) in memories.flat_map(|(_, memory)| &mut memory.answers) {
            *seen = Seen::late(seen.at);
        }
        if let Some(dormant) = self.dormant.get_mut(uid) {
            dormant.seen = Seen::late(dormant.seen.at);
        }
    }
}
