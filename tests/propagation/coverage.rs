//! Whether the generated histories contain each case, counted with the reference: agreement on absent cases proves nothing.

use crate::{
    reference::Reference,
    world::{Play, Step, scripts, tell},
};
use endpointlag::{
    ledger::{Change, Outcome},
    model::{Event, Families, Seen, Stamp, Uid},
    propagation::{ServiceName, TrackerSettings},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use std::collections::{BTreeMap, BTreeSet};

const SCRIPTS: u32 = 1_000;

/// How often each case must happen in that many scripts.
const OFTEN: u32 = 5;

/// What happened, and how often.
#[derive(Debug, Default)]
struct Met {
    ends: BTreeMap<(Change, &'static str), u32>,
    /// Changes that came back with a slice that was written late.
    late_writes: BTreeMap<Change, u32>,
    /// Changes that ended while a watch was lost.
    blind_ends: BTreeMap<Change, u32>,
    /// Services that were deleted and created again under their name, with a pending change.
    recreated: u32,
    /// Edits that dropped a family, with a pending change.
    dropped_family: u32,
    /// Endpoints that were still out of sync when their change expired.
    outlived_expiry: u32,
    /// Changes whose start was not seen and that were not in the first lists.
    unseen_starts: u32,
    /// Pods whose state differed from before, of Services that came in a gap.
    found: u32,
}

/// What is remembered of a script while it runs.
#[derive(Debug, Default)]
struct Memory {
    names: BTreeMap<ServiceName, (Uid, Families)>,
    pending: BTreeSet<(ServiceName, Option<Uid>, Change)>,
    measured: bool,
}

impl Met {
    fn take(&mut self, memory: &mut Memory, step: &Step, reference: &mut Reference) {
        for end in std::mem::take(&mut reference.ends) {
            let outcome = match end.outcome {
                Outcome::Propagated { reordered: Some(_), .. } => "reordered",
                outcome => outcome.as_str(),
            };
            *self.ends.entry((end.change, outcome)).or_default() += 1;
            if reference.is_blind() {
                *self.blind_ends.entry(end.change).or_default() += 1;
            }
            let endpoint = end.pod.map(|pod| (end.service, pod));
            let is_still = |endpoint| reference.out_of_sync().contains_key(&endpoint);
            if matches!(end.outcome, Outcome::Expired { .. }) && endpoint.is_some_and(is_still) {
                self.outlived_expiry += 1;
            }
        }
        let pending: BTreeSet<_> =
            reference.pending.iter().map(|it| (it.service.clone(), it.pod.clone(), it.change)).collect();
        let started: Vec<_> = pending.difference(&memory.pending).collect();
        if memory.measured {
            match step {
                Step::Event(_, Event::EndpointSlice(_) | Event::EndpointSliceDeleted(_)) => {
                    for (_, _, change) in started {
                        *self.late_writes.entry(*change).or_default() += 1;
                    }
                }
                Step::Event(seen, Event::Service(service)) => {
                    let name = ServiceName {
                        namespace: service.namespace.as_str().into(),
                        name: service.name.as_str().into(),
                    };
                    let is_awaited = started.contains(&&(name.clone(), None, Change::Service));
                    if let Some((uid, families)) = memory.names.get(&name) {
                        self.recreated += u32::from(is_awaited && *uid != service.uid);
                        let dropped = !service.families.contains_all(*families);
                        self.dropped_family += u32::from(is_awaited && dropped && *uid == service.uid);
                    }
                    let is_unseen = started.iter().any(|(_, pod, _)| pod.is_some()) && !seen.is_late();
                    self.unseen_starts += u32::from(is_unseen);
                }
                _ => {}
            }
        }
        if let Step::Event(_, Event::Service(service)) = step {
            let name = ServiceName { namespace: service.namespace.as_str().into(), name: service.name.as_str().into() };
            memory.names.insert(name, (service.uid.clone(), service.families));
        }
        memory.pending = pending;
        memory.measured = reference.is_measuring();
    }

    /// What is rare. A deleted pod does not come back, so no change supersedes `terminating`.
    fn rare(&self) -> Vec<String> {
        let mut counts = Vec::new();
        for change in Change::ALL {
            for outcome in Outcome::NAMES.into_iter().chain(["reordered"]) {
                if (change, outcome) != (Change::Terminating, "superseded") {
                    let count = self.ends.get(&(change, outcome)).copied().unwrap_or_default();
                    counts.push((format!("{change} {outcome}"), count));
                }
            }
            counts.push((format!("{change} written late"), self.late_writes.get(&change).copied().unwrap_or_default()));
            counts.push((format!("{change} ended blind"), self.blind_ends.get(&change).copied().unwrap_or_default()));
        }
        counts.push(("Services made anew".into(), self.recreated));
        counts.push(("families dropped".into(), self.dropped_family));
        counts.push(("out of sync beyond expiry".into(), self.outlived_expiry));
        counts.push(("starts that were not seen".into(), self.unseen_starts));
        counts.push(("pods found of newcomers".into(), self.found));
        counts.into_iter().filter(|(_, count)| *count < OFTEN).map(|(what, _)| what).collect()
    }
}

/// A reference that has received only these lists.
fn fresh<'a>(settings: TrackerSettings, lists: impl Iterator<Item = &'a Event>) -> Reference {
    let mut reference = Reference::new(settings);
    lists.for_each(|event| reference.apply(Seen::late(Stamp::default()), event));
    reference
}

/// What is out of sync, and whether traffic goes wrong.
fn named(reference: &Reference) -> Vec<((ServiceName, Uid), bool)> {
    reference.out_of_sync().into_iter().map(|(endpoint, (_, traffic))| (endpoint, traffic)).collect()
}

#[test]
fn the_scripts_come_to_every_outcome_of_every_kind() {
    let mut met = Met::default();
    let mut runner = TestRunner::deterministic();
    for _ in 0..SCRIPTS {
        let script = scripts().new_tree(&mut runner).expect("scripts are never rejected").current();
        let (mut reference, mut memory) = (Reference::new(script.settings), Memory::default());
        let Play { steps, settled } = script.play();
        let settled_at = settled.as_ref().map(|(count, _)| *count);
        for (index, step) in steps.iter().enumerate() {
            if settled_at == Some(index) {
                assert!(!reference.is_blind(), "every watch is whole where a script settles");
                let lists = settled.iter().flat_map(|(_, lists)| lists);
                assert_eq!(named(&reference), named(&fresh(script.settings, lists)), "of\n{}", tell(&steps[..index]));
            }
            reference.feed(step);
            met.take(&mut memory, step, &mut reference);
        }
        met.found += reference.found;
        let left = (reference.pending.len(), reference.remembered(), reference.out_of_sync().len());
        assert_eq!(left, (0, 0, 0), "everything was deleted, and the time for all is over");
    }
    let rare = met.rare();
    assert!(rare.is_empty(), "{rare:?} are rare among {met:#?}");
}
