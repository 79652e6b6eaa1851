//! How changes start, and how they end: the stamps decide, not the time at which the events were processed.

use super::{End, Pending, Reference, Verdict, edits::Edit, history::name_of};
use endpointlag::{
    ledger::{Change, Outcome},
    model::{Annotation, Resource, Seen, Stamp, Uid},
};
use std::time::Duration;

/// Why a pending change ends with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A slice event showed it.
    Reflected,
    /// Its opposite came before it was reflected.
    Superseded,
    /// The Service no longer expects it.
    Withdrawn,
}

/// How much earlier than their change slices may arrive: more than the usual difference between the watches of one cluster.
const HORIZON: Duration = Duration::from_millis(500);

impl Reference {
    /// Advances the time, unless a watch is lost: a change older than its objective has missed it, and a change older than the
    /// expiry expires. It expires with that age, so it never misses an objective that is longer than the expiry.
    pub fn advance(&mut self, now: Stamp) {
        if self.is_blind() {
            return;
        }
        let expiry = self.settings.expiry;
        for index in (0..self.pending.len()).rev() {
            let pending = &mut self.pending[index];
            let age = now.since(pending.since);
            let is_doubted = pending.doubted_until.is_some_and(|until| now <= until);
            if !pending.judged && !is_doubted && pending.objective < expiry && age > pending.objective {
                pending.judged = true;
                self.verdicts.push(verdict(pending, true));
            }
            if age > expiry {
                let given_up = pending.since.plus(expiry);
                let outcome = if pending.exact { Outcome::Expired { age: expiry } } else { Outcome::Censored };
                let pending = self.pending.remove(index);
                self.report(&pending, outcome, given_up, pending.exact.then_some(true));
            }
        }
        self.forget_overtaken_before(now);
    }

    pub(super) fn start(&mut self, service: &Uid, pod: Option<&Uid>, change: Change, seen: Seen, edit: Option<Edit>) {
        let pending = self.change(service, pod, change, seen, edit);
        self.started += 1;
        self.pending.push(pending);
    }

    /// Starts a change that came earlier and was shown then, and that the present slice event contradicts.
    pub(super) fn start_contradicted(
        &mut self,
        service: &Uid,
        pod: Option<&Uid>,
        change: Change,
        seen: Seen,
        edit: Option<Edit>,
        by_absence: bool,
    ) {
        let doubted_until = Some(self.seen().at.plus(HORIZON));
        self.started += 1;
        self.pending.push(Pending { doubted_until, by_absence, ..self.change(service, pod, change, seen, edit) });
    }

    /// Starts a change that began before now, at an unknown time.
    pub(super) fn start_unseen(&mut self, service: &Uid, pod: Option<&Uid>, change: Change, edit: Option<Edit>) {
        self.start(service, pod, change, Seen::late(self.seen().at), edit);
    }

    fn change(&self, service: &Uid, pod: Option<&Uid>, change: Change, seen: Seen, edit: Option<Edit>) -> Pending {
        Pending {
            service: name_of(&self.now().services[service]),
            pod: pod.cloned(),
            change,
            since: seen.at,
            exact: !seen.is_late(),
            owner: service.clone(),
            judged: false,
            doubted_until: None,
            by_absence: false,
            objective: self.objective(service),
            edit,
        }
    }

    /// The delay within which a change of the Service that starts now should be reflected.
    fn objective(&self, service: &Uid) -> Duration {
        match self.now().services.get(service).map(|service| &service.objective) {
            Some(Annotation::Set(objective)) => *objective,
            _ => self.settings.objective,
        }
    }

    /// Whether slices that came to show a change with `mark` may have done so because of it, although its event comes only
    /// now. If the change's own watch was lost, it may have happened at any time since then.
    pub(super) fn is_ahead(&self, mark: Seen, change: Change) -> bool {
        let watch = if change == Change::Service { Resource::Services } else { Resource::Pods };
        let seen = self.seen();
        let lost = self.lost.get(&watch).filter(|_| seen.is_late());
        let earliest = lost.copied().unwrap_or(seen.at);
        earliest <= mark.at.plus(HORIZON)
    }

    /// A change whose event comes now, and that the slices came to show earlier, with `mark`. Returns whether it counts as one.
    pub(super) fn count_shown(&mut self, service: &Uid, pod: Option<&Uid>, change: Change, mark: Seen) -> bool {
        if !self.is_ahead(mark, change) {
            return false;
        }
        let seen = self.seen();
        let counted = self.change(service, pod, change, seen, None);
        self.started += 1;
        if seen.is_late() || mark.is_late() || self.is_blind() {
            self.report(&counted, Outcome::Censored, seen.at, None);
        } else {
            let outcome = propagated(seen.at, mark.at);
            let missed = outcome.delay().map(|delay| delay > counted.objective);
            self.report(&counted, outcome, seen.at, missed);
        }
        true
    }

    /// Ends every pending change that the present view shows.
    pub(super) fn end_shown(&mut self, cause: Cause) {
        let view = self.now().clone();
        for pending in &mut self.pending {
            if let Some(edit) = &mut pending.edit {
                edit.forget_unexpected(&view, &pending.owner);
            }
        }
        self.forget_unexpected_in_dormant();
        self.end_where(cause, |pending| match (&pending.pod, &pending.edit) {
            (Some(pod), _) => view.shows(&view.question(&pending.owner, pod), pending.change),
            (None, Some(edit)) => edit.is_shown(&view, &pending.owner),
            (None, None) => false,
        });
    }

    /// Ends pending changes with the last event. Returns the latest stamp at which one of them would have expired.
    pub(super) fn end_where(&mut self, cause: Cause, which: impl Fn(&Pending) -> bool) -> Option<Stamp> {
        let mut last = None;
        for index in (0..self.pending.len()).rev() {
            if which(&self.pending[index]) {
                let pending = self.pending.remove(index);
                last = last.max(Some(pending.since.plus(self.settings.expiry)));
                self.end(&pending, cause);
            }
        }
        last
    }

    fn end(&mut self, pending: &Pending, cause: Cause) {
        let (by, expiry) = (self.seen(), self.settings.expiry);
        let is_settled = cause == Cause::Reflected && !pending.by_absence;
        if !is_settled && pending.doubted_until.is_some_and(|until| by.at <= until) {
            // The slices were ahead of this event, or endpoints moved: the controller had nothing to write again.
            self.started -= 1;
            return;
        }
        let age = by.at.since(pending.since);
        // Whether the event's stamp can be used for a delay, and no earlier event is missing.
        let is_timed = !by.is_late() && !self.is_blind();
        let outcome = if !pending.exact {
            Outcome::Censored
        } else if is_timed && age > expiry {
            Outcome::Expired { age: expiry }
        } else if cause == Cause::Withdrawn {
            Outcome::Withdrawn
        } else if !is_timed {
            Outcome::Censored
        } else if cause == Cause::Superseded {
            Outcome::Superseded
        } else {
            propagated(pending.since, by.at)
        };
        let missed = match outcome {
            Outcome::Propagated { delay, .. } => Some(delay > pending.objective),
            Outcome::Expired { .. } => Some(true),
            // It was too old already: an `advance` just before would have reported the miss.
            _ => (is_timed && pending.objective < expiry && age > pending.objective).then_some(true),
        };
        let at = if let Outcome::Expired { .. } = outcome { pending.since.plus(expiry) } else { by.at };
        self.report(pending, outcome, at, missed);
    }

    /// Reports an end, and whether the objective was missed, unless a miss was reported before.
    fn report(&mut self, pending: &Pending, outcome: Outcome, at: Stamp, missed: Option<bool>) {
        let missed = missed.filter(|_| !pending.judged);
        self.verdicts.extend(missed.map(|missed| verdict(pending, missed)));
        let Pending { service, pod, change, .. } = pending.clone();
        self.ends.push(End { service, pod, change, outcome, at });
    }
}

fn verdict(pending: &Pending, missed: bool) -> Verdict {
    Verdict { service: pending.service.clone(), change: pending.change, missed }
}

/// From the arrival of the change to the arrival of the slice, which may be the earlier of the two.
fn propagated(since: Stamp, shown: Stamp) -> Outcome {
    let reordered = (shown < since).then(|| since.since(shown));
    Outcome::Propagated { delay: shown.since(since), reordered }
}
