//! The tracker and the reference report the same for any history.

use crate::{
    reference::{End, Pending, Reference, Verdict},
    retold::Retold,
    world::{Script, Step, scripts, tell},
};
use endpointlag::{
    ledger::{Carried, Change, Faults, Outcome},
    model::{Event, Seen, SliceVersion, Stamp, Uid},
    propagation::{OutOfSyncEndpoint, PendingChange, Report, ServiceName, Size, Subject, Tracker},
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};
use std::{collections::BTreeMap, sync::Arc};

/// Number of cases.
const CASES: u32 = 1_000;

/// Pending changes: their start, and whether it is known exactly.
type PendingSet = BTreeMap<(ServiceName, Option<Uid>, Change), (Stamp, bool)>;

/// Endpoints that are out of sync: since when, and whether traffic goes wrong.
type OutOfSync = BTreeMap<(ServiceName, Uid), (Stamp, bool)>;

/// The same for each Service: the number, the start of the oldest, and of the oldest for which traffic goes wrong.
type OutOfSyncServices = BTreeMap<ServiceName, (u64, Stamp, Option<Stamp>)>;

/// With this number of cases, unless `PROPTEST_CASES` sets another.
pub fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    // The seeds of failures are in a file beside this one, and are tried first.
    let failure_persistence = Some(Box::new(FileFailurePersistence::WithSource("seeds")) as _);
    ProptestConfig { cases, failure_persistence, max_shrink_iters: 20_000, ..default }
}

/// What a tracker reported for one step.
#[derive(Debug, Default)]
struct Said {
    ends: Vec<End>,
    /// Of the ends, those with which the next hop would start.
    carried: Vec<Carried<Subject, Arc<SliceVersion>>>,
    verdicts: Vec<Verdict>,
}

fn said(tracker: &mut Tracker) -> Said {
    let mut said = Said::default();
    for report in tracker.reports() {
        match report {
            Report::Ended(end) => {
                said.ends.push(End {
                    service: (*end.key.service).clone(),
                    pod: end.key.pod.as_ref().map(|pod| pod.uid.clone()),
                    change: end.change,
                    outcome: end.outcome,
                    at: end.at,
                });
                said.carried.extend(end.carried());
            }
            Report::Judged { service, change, missed } => {
                said.verdicts.push(Verdict { service: (*service).clone(), change, missed });
            }
        }
    }
    said
}

fn in_order(mut ends: Vec<End>) -> Vec<End> {
    // When a Service is created again, two changes with its name may end at once.
    ends.sort_by_cached_key(|end| (end.service.clone(), end.pod.clone(), end.change, format!("{:?}", end.outcome)));
    ends
}

fn sorted(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    verdicts.sort();
    verdicts
}

fn pending_of_tracker(tracker: &Tracker) -> PendingSet {
    let keyed = |it: PendingChange| {
        let pod = it.key.pod.map(|pod| pod.uid);
        (((*it.key.service).clone(), pod, it.change), (it.since, it.exact))
    };
    tracker.pending_changes().map(keyed).collect()
}

fn pending_of_reference(reference: &Reference) -> PendingSet {
    let keyed = |it: &Pending| ((it.service.clone(), it.pod.clone(), it.change), (it.since, it.exact));
    reference.pending.iter().map(keyed).collect()
}

fn out_of_sync_of_tracker(tracker: &Tracker) -> OutOfSync {
    let keyed = |it: OutOfSyncEndpoint| (((*it.service).clone(), it.pod.uid), (it.fault.since, it.fault.traffic));
    tracker.out_of_sync_endpoints().map(keyed).collect()
}

fn services_of_tracker(tracker: &Tracker) -> OutOfSyncServices {
    let keyed = |(service, faults): (Arc<ServiceName>, Faults)| {
        ((*service).clone(), (faults.count, faults.oldest, faults.oldest_traffic))
    };
    tracker.standing().out_of_sync.into_iter().map(keyed).collect()
}

fn summed_up(endpoints: &OutOfSync) -> OutOfSyncServices {
    let mut services = OutOfSyncServices::new();
    for ((service, _), (since, traffic)) in endpoints {
        let (count, oldest, oldest_traffic) = services.entry(service.clone()).or_insert((0, *since, None));
        *count += 1;
        *oldest = (*oldest).min(*since);
        if *traffic {
            *oldest_traffic = Some(oldest_traffic.map_or(*since, |oldest| oldest.min(*since)));
        }
    }
    services
}

fn feed(tracker: &mut Tracker, retold: &mut Retold, step: &Step) {
    match step {
        Step::Event(seen, event) => tracker.apply(*seen, retold.tell(event)),
        Step::Advance(now) => tracker.advance(*now),
    }
}

/// Every delay is the time between two events that were both read when they arrived.
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

/// Every propagated change names the slice event that showed it, and the time of that event.
fn names_what_showed_it(carried: &Carried<Subject, Arc<SliceVersion>>, heard: &[Step]) -> bool {
    let SliceVersion { uid, resource_version, .. } = &*carried.by;
    heard.iter().any(|step| match step {
        Step::Event(seen, Event::EndpointSlice(slice) | Event::EndpointSliceDeleted(slice)) => {
            *seen == Seen::live(carried.shown) && slice.uid == *uid && slice.resource_version == *resource_version
        }
        _ => false,
    })
}

fn agree(script: &Script) -> Result<(), TestCaseError> {
    let heard = script.play().steps;
    let mut tracker = Tracker::new(script.settings);
    let mut reference = Reference::new(script.settings);
    let (mut retold, mut ended) = (Retold::default(), 0);
    for (index, step) in heard.iter().enumerate() {
        feed(&mut tracker, &mut retold, step);
        reference.feed(step);
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
        let out_of_sync = reference.out_of_sync();
        prop_assert_eq!(services_of_tracker(&tracker), summed_up(&out_of_sync), "out of sync {}", context());
        prop_assert_eq!(out_of_sync_of_tracker(&tracker), out_of_sync, "out of sync {}", context());
        ended += said.ends.len();
        prop_assert_eq!(ended + tracker.size().pending, reference.started as usize, "sum {}", context());
        for end in &said.ends {
            prop_assert!(is_timed_by_live_events(end.outcome, &heard[..=index]), "{:?} {}", end, context());
        }
        let propagated = said.ends.iter().filter(|end| matches!(end.outcome, Outcome::Propagated { .. })).count();
        prop_assert_eq!(propagated, said.carried.len(), "{:?} {}", said.ends, context());
        for carried in &said.carried {
            prop_assert!(names_what_showed_it(carried, &heard[..=index]), "{:?} {}", carried, context());
        }
    }
    // Everything was deleted, every watch was read to its end, and all expiries have passed.
    prop_assert_eq!(tracker.size(), Size::default(), "left of\n{}", tell(&heard));
    prop_assert_eq!(tracker.standing().measured.len(), 0);
    Ok(())
}

/// What is wrong now does not depend on earlier events: a daemon that starts reports the same.
fn agrees_with_a_fresh_one(script: &Script) -> Result<(), TestCaseError> {
    let play = script.play();
    let Some((count, lists)) = play.settled else { return Ok(()) };
    let mut retold = Retold::default();
    let (mut tracker, mut fresh) = (Tracker::new(script.settings), Tracker::new(script.settings));
    play.steps[..count].iter().for_each(|step| feed(&mut tracker, &mut retold, step));
    for event in lists {
        fresh.apply(Seen::late(Stamp::default()), event);
    }
    let named = |tracker: &Tracker| -> BTreeMap<_, _> {
        out_of_sync_of_tracker(tracker).into_iter().map(|(endpoint, (_, traffic))| (endpoint, traffic)).collect()
    };
    prop_assert_eq!(named(&tracker), named(&fresh), "after\n{}", tell(&play.steps[..count]));
    Ok(())
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn the_tracker_agrees_with_the_reference(script in scripts()) {
        agree(&script)?;
    }

    #[test]
    fn a_fresh_tracker_says_the_same_of_what_is_out_of_sync(script in scripts()) {
        agrees_with_a_fresh_one(&script)?;
    }
}
