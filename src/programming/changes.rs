//! The changes of the slice hop that nodes have to follow.

use super::{
    mark::State,
    nodes::{NodeId, Nodes},
    report::{NodeOutcome, Report, Share, Spread},
    steps::{StepId, Steps},
    verdict::{Open, Verdict},
};
use crate::{
    ledger::Carried,
    model::{SliceVersion, Stamp},
    propagation::Subject,
};
use std::{sync::Arc, time::Duration};

/// Index of a change.
pub(super) type ChangeId = usize;

/// How long the time of a share may still become shorter: a node that is not silent has reported within that time.
const SETTLED: Duration = Duration::from_secs(35);

/// The changes that have not ended on each node.
#[derive(Debug)]
pub(super) struct Changes {
    changes: slab::Slab<Change>,
    /// Age at which a change expires.
    expiry: Duration,
}

/// One change.
#[derive(Debug)]
pub(super) struct Change {
    number: u64,
    carried: Carried<Subject, Arc<SliceVersion>>,
    pub(super) steps: Vec<StepId>,
    /// Number of nodes that must follow.
    nodes: usize,
    outcomes: [u32; NodeOutcome::ALL.len()],
    /// Nodes where it is in effect, each with the delay since `shown`.
    in_effect: Vec<(Duration, NodeId)>,
    error: Duration,
    /// The shares that were reported.
    shares: [Option<Duration>; Share::ALL.len()],
    verdict: Verdict,
}

// === impl Changes ===

impl Changes {
    /// No changes yet.
    pub(super) fn new(expiry: Duration) -> Self {
        Self { changes: slab::Slab::new(), expiry }
    }

    /// The index of the next change.
    pub(super) fn next_id(&self) -> ChangeId {
        self.changes.vacant_key()
    }

    pub(super) fn get(&self, id: ChangeId) -> &Change {
        &self.changes[id]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ChangeId, &Change)> {
        self.changes.iter()
    }

    /// Starts to follow a change, which has claimed these steps.
    pub(super) fn start(
        &mut self,
        (number, carried): (u64, Carried<Subject, Arc<SliceVersion>>),
        objective: Duration,
        claimed: Vec<StepId>,
        steps: &Steps,
        reports: &mut Vec<Report>,
    ) -> ChangeId {
        let length = claimed.iter().map(|id| steps.get(*id).marks.len()).max().unwrap_or(0);
        let must = |node: &NodeId| claimed.iter().any(|id| steps.get(*id).state(*node) != State::Absent);
        let members: Vec<_> = (0..length).filter(must).collect();
        // No node can make up for a late slice.
        let is_late = carried.shown.since(carried.began) > objective;
        let verdict = Verdict::new(objective, members.len(), is_late);
        let id = self.changes.insert(Change {
            number,
            carried,
            steps: claimed,
            nodes: members.len(),
            outcomes: Default::default(),
            in_effect: Vec::new(),
            error: Duration::ZERO,
            shares: Default::default(),
            verdict,
        });
        members.into_iter().for_each(|node| self.settle(id, node, steps, reports));
        id
    }

    /// A step of the change has ended on a node. If all have, so has the change.
    pub(super) fn settle(&mut self, id: ChangeId, node: NodeId, steps: &Steps, reports: &mut Vec<Report>) {
        let change = &mut self.changes[id];
        let Some((outcome, delay)) = change.state(node, steps) else { return };
        change.outcomes[outcome as usize] += 1;
        let error = change.steps.iter().map(|id| steps.get(*id).error).max().unwrap_or_default();
        change.error = change.error.max(error);
        change.in_effect.extend(delay.map(|delay| (delay, node)));
        let age = delay.map(|delay| change.carried.shown.plus(delay).since(change.carried.began));
        // An expiry is longer than an objective.
        change.verdict.count(age.or((outcome == NodeOutcome::Expired).then_some(Duration::MAX)));
        if change.verdict.is_met() {
            reports.push(change.judged(false));
        }
        let delay = delay.or((outcome == NodeOutcome::Expired).then_some(self.expiry));
        reports.push(Report::Nodes { change: change.carried.change, outcome, delay, nodes: 1 });
    }

    /// Reports that a change missed its objective, once that is certain. This is known of the nodes on which it has not ended.
    pub(super) fn miss(&mut self, id: ChangeId, open: Open, reports: &mut Vec<Report>) {
        let change = &mut self.changes[id];
        if change.verdict.is_missed(open) {
            reports.push(change.judged(true));
        }
    }

    /// Reports the shares that are certain at `now`.
    pub(super) fn tell_shares(&mut self, id: ChangeId, now: Stamp, reports: &mut Vec<Report>) {
        let change = &mut self.changes[id];
        let is_over = change.is_over();
        if !is_over && now.since(change.carried.shown) < SETTLED {
            return;
        }
        change.in_effect.sort_unstable();
        for share in Share::ALL {
            let needed = share.of(change.nodes);
            let at = needed.checked_sub(1).and_then(|last| change.in_effect.get(last));
            let Some((delay, _)) = at.filter(|_| change.shares[share as usize].is_none()) else { continue };
            let since = change.carried.shown.plus(*delay);
            if !is_over && now.since(since) < SETTLED {
                continue;
            }
            change.shares[share as usize] = Some(*delay);
            let service = change.carried.key.service.clone();
            let delay = since.since(change.carried.began);
            reports.push(Report::Visible { service, change: change.carried.change, share, delay, is_expired: false });
        }
    }

    /// Reports the shares of a change that has ended on each node which cannot have had it in effect before it expired, whatever is not
    /// known of single nodes.
    fn tell_expired_shares(&mut self, id: ChangeId, reports: &mut Vec<Report>) {
        let Change { carried, nodes, outcomes, .. } = &self.changes[id];
        let others = nodes - outcomes[NodeOutcome::Expired as usize] as usize;
        let delay = carried.shown.plus(self.expiry).since(carried.began);
        reports.extend(Share::ALL.into_iter().filter(|share| share.of(*nodes) > others).map(|share| {
            let service = carried.key.service.clone();
            Report::Visible { service, change: carried.change, share, delay, is_expired: true }
        }));
    }

    /// Ends a change that has ended on each node. Returns its steps.
    pub(super) fn finish(&mut self, id: ChangeId, now: Stamp, nodes: &Nodes, reports: &mut Vec<Report>) -> Vec<StepId> {
        self.tell_shares(id, now, reports);
        self.tell_expired_shares(id, reports);
        self.miss(id, Open::default(), reports);
        let Change { number, carried, steps, outcomes, in_effect, error, shares, .. } = self.changes.remove(id);
        let last = in_effect.last().and_then(|(_, node)| nodes.name_of(*node)).cloned();
        let Carried { key: subject, change, cause, began, shown, by } = carried;
        reports.push(Report::Spread(Spread {
            number,
            subject,
            change,
            cause,
            began,
            shown,
            by,
            outcomes,
            shares,
            last,
            error,
            at: now,
        }));
        steps
    }
}

// === impl Change ===

impl Change {
    /// The slice hop's end.
    pub(super) fn carried(&self) -> &Carried<Subject, Arc<SliceVersion>> {
        &self.carried
    }

    /// Whether a node was late for its objective, or all are.
    pub(super) fn has_late(&self) -> bool {
        self.verdict.is_open() && self.verdict.has_late()
    }

    /// Whether nodes on which it is still open are late for its objective: a node that is not silent has reported what it did until then.
    pub(super) fn is_overdue(&self, now: Stamp) -> bool {
        self.verdict.is_open() && now.since(self.carried.began) > self.verdict.objective.saturating_add(SETTLED)
    }

    /// The report that it met its objective, or missed it.
    fn judged(&self, missed: bool) -> Report {
        let Carried { key, change, .. } = &self.carried;
        Report::Judged { service: key.service.clone(), change: *change, missed }
    }

    /// Whether it has ended on each node.
    pub(super) fn is_over(&self) -> bool {
        self.outcomes.iter().sum::<u32>() as usize == self.nodes
    }

    /// How it ended on a node, and the delay if it is in effect; `None` if it has not ended there.
    fn state(&self, node: NodeId, steps: &Steps) -> Option<(NodeOutcome, Option<Duration>)> {
        /// The steps of one change rarely end differently. What says the least wins.
        const PRECEDENCE: [NodeOutcome; 4] =
            [NodeOutcome::Expired, NodeOutcome::Withdrawn, NodeOutcome::Censored, NodeOutcome::Superseded];
        let mut in_effect = self.carried.shown;
        let mut ended = Vec::new();
        for step in self.steps.iter().map(|id| steps.get(*id)) {
            match step.state(node) {
                State::Absent => {}
                State::Open => return None,
                State::InEffect(delay) => in_effect = in_effect.max(step.since.plus(delay)),
                State::Ended(outcome) => ended.push(outcome),
            }
        }
        let worst = PRECEDENCE.into_iter().find(|outcome| ended.contains(outcome)).or_else(|| ended.first().copied());
        Some((worst.unwrap_or(NodeOutcome::InEffect), worst.is_none().then(|| in_effect.since(self.carried.shown))))
    }
}
