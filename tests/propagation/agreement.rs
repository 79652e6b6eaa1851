//! The tracker and the reference say the same of any history.

use crate::{
    apply,
    reference::{End, Pending, Reference, Verdict},
    world::{Script, Step, scripts, tell},
};
use endpointlag::{
    cluster::{
        event::{Event, Seen, Stamp},
        object::Uid,
    },
    propagation::{Change, Outcome, PendingChange, Report, ServiceName, Size, Tracker},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{FileFailurePersistence, TestRunner},
};
use std::collections::BTreeMap;

/// Cases run unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 1_000;

/// Pending changes: since when, and whether they started then.
type PendingSet = BTreeMap<(ServiceName, Option<Uid>, Change), (Stamp, bool)>;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    // Seeds of failures are kept beside this file, and are tried first.
    let failure_persistence = Some(Box::new(FileFailurePersistence::WithSource("seeds")) as _);
    ProptestConfig { cases, failure_persistence, max_shrink_iters: 20_000, ..default }
}

/// What a tracker said of one step.
#[derive(Debug, Default)]
struct Said {
    ends: Vec<End>,
    verdicts: Vec<Verdict>,
}

fn said(tracker: &mut Tracker) -> Said {
    let mut said = Said::default();
    for report in tracker.reports() {
        match report {
            Report::Ended(end) => said.ends.push(End {
                service: (*end.service).clone(),
                pod: end.pod.map(|pod| pod.uid),
                change: end.change,
                outcome: end.outcome,
                at: end.at,
            }),
            Report::Judged { service, change, missed } => {
                said.verdicts.push(Verdict { service: (*service).clone(), change, missed });
            }
        }
    }
    said
}

fn in_order(mut ends: Vec<End>) -> Vec<End> {
    ends.sort_by(|a, b| (&a.service, &a.pod, a.change).cmp(&(&b.service, &b.pod, b.change)));
    ends
}

fn sorted(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    verdicts.sort();
    verdicts
}

fn pending_of_tracker(tracker: &Tracker) -> PendingSet {
    let keyed = |it: PendingChange| {
        let pod = it.pod.map(|pod| pod.uid);
        (((*it.service).clone(), pod, it.change), (it.since, it.exact))
    };
    tracker.pending_changes().map(keyed).collect()
}

fn pending_of_reference(reference: &Reference) -> PendingSet {
    let keyed = |it: &Pending| ((it.service.clone(), it.pod.clone(), it.change), (it.since, it.exact));
    reference.pending.iter().map(keyed).collect()
}

fn feed(tracker: &mut Tracker, step: &Step) {
    match step {
        Step::Event(seen, event) => apply(tracker, *seen, event.clone()),
        Step::Advance(now) => tracker.advance(*now),
    }
}

/// Every delay is the time between two events that were read as they came.
fn is_timed_by_live_events(outcome: Outcome, heard: &[Step]) -> bool {
    let Outcome::Propagated { delay, reordered } = outcome else { return true };
    let live = |wanted: fn(&Event) -> bool| {
        heard.iter().filter_map(move |step| match step {
            Step::Event(seen, event) if !seen.is_late() && wanted(event) => Some(*seen),
            _ => None,
        })
    };
    let is_slice = |event: &Event| matches!(event, Event::EndpointSlice(_) | Event::EndpointSliceDeleted(_));
    let is_cause = |event: &Event| !matches!(event, Event::EndpointSlice(_) | Event::EndpointSliceDeleted(_));
    let fits = |cause: Seen, slice: Seen| match reordered {
        None => slice.at >= cause.at && slice.at.since(cause.at) == delay,
        Some(by) => slice.at < cause.at && cause.at.since(slice.at) == by && delay.is_zero(),
    };
    live(is_cause).any(|cause| live(is_slice).any(|slice| fits(cause, slice)))
}

fn agree(script: &Script) -> Result<(), TestCaseError> {
    let heard = script.play();
    let mut tracker = Tracker::new(script.settings);
    let mut reference = Reference::new(script.settings);
    let mut ended = 0;
    for (index, step) in heard.iter().enumerate() {
        feed(&mut tracker, step);
        match step {
            Step::Event(seen, event) => reference.apply(*seen, event),
            Step::Advance(now) => reference.advance(*now),
        }
        let said = said(&mut tracker);
        let context = || format!("after the last of\n{}", tell(&heard[..=index]));
        prop_assert_eq!(
            in_order(said.ends.clone()),
            in_order(std::mem::take(&mut reference.ends)),
            "outcomes {}",
            context()
        );
        prop_assert_eq!(
            sorted(said.verdicts),
            sorted(std::mem::take(&mut reference.verdicts)),
            "verdicts {}",
            context()
        );
        prop_assert_eq!(pending_of_tracker(&tracker), pending_of_reference(&reference), "pending {}", context());
        ended += said.ends.len();
        prop_assert_eq!(ended + tracker.pending_count(), reference.started as usize, "sum {}", context());
        for end in &said.ends {
            prop_assert!(is_timed_by_live_events(end.outcome, &heard[..=index]), "{:?} {}", end, context());
        }
    }
    // Everything was deleted, every watch was heard out, and the time for all is over.
    prop_assert_eq!(tracker.size(), Size::default(), "left of\n{}", tell(&heard));
    prop_assert_eq!(tracker.measured_services().count(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_tracker_agrees_with_the_reference(script in scripts()) {
        agree(&script)?;
    }
}

/// What never happens need not agree. A pod does not come back from its deletion, so nothing supersedes that.
#[test]
fn the_scripts_come_to_every_outcome_of_every_kind() {
    let mut met: BTreeMap<(Change, &str), u32> = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_000 {
        let script = scripts().new_tree(&mut runner).expect("scripts are never rejected").current();
        let mut tracker = Tracker::new(script.settings);
        for step in script.play() {
            feed(&mut tracker, &step);
        }
        for end in said(&mut tracker).ends {
            let outcome = match end.outcome {
                Outcome::Propagated { reordered: Some(_), .. } => "reordered",
                outcome => outcome.as_str(),
            };
            *met.entry((end.change, outcome)).or_default() += 1;
        }
    }
    let all = Change::ALL
        .into_iter()
        .flat_map(|change| Outcome::NAMES.into_iter().chain(["reordered"]).map(move |outcome| (change, outcome)));
    let rare: Vec<_> = all
        .filter(|of| *of != (Change::Terminating, "superseded"))
        .filter(|of| met.get(of).copied().unwrap_or_default() < 5)
        .collect();
    assert!(rare.is_empty(), "{rare:?} are rare among {met:#?}");
}
