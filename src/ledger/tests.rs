use super::*;

const OBJECTIVE: Duration = Duration::from_secs(5);

fn at(seconds: f64) -> Stamp {
    Stamp::new(Duration::from_secs_f64(seconds))
}

fn live(seconds: f64) -> Seen {
    Seen::live(at(seconds))
}

fn ledger() -> Ledger<u8> {
    Ledger::new(Hop::Slice, Duration::from_secs(60))
}

/// What shows a change.
type Version = &'static str;

fn ready(seen: Seen) -> Start {
    Start { change: Change::Ready, cause: Cause::Pod, seen, objective: OBJECTIVE }
}

fn reflected() -> Ending<Version> {
    Ending::Reflected { by: Some("v7") }
}

/// Ends the pending change.
fn end(ledger: &mut Ledger<u8>, seen: Seen, ending: Ending<Version>) -> Closed<u8, Version> {
    ledger.end(1, Change::Ready, seen, ending).expect("pending")
}

fn next_due(ledger: &mut Ledger<u8>, now: Stamp) -> Option<Due<u8, Version>> {
    ledger.next_due(now)
}

/// The outcome, and whether the change is judged now and missed its objective.
fn ending(closed: Closed<u8, Version>) -> (Outcome, Option<bool>) {
    (closed.ended.expect("a change").outcome, closed.missed)
}

#[test]
fn a_change_passes_its_objective_and_then_expires() {
    let mut ledger = ledger();
    ledger.start(1, ready(live(10.0)));
    assert_eq!(next_due(&mut ledger, at(15.0)), None, "as old as the objective is not older");
    assert_eq!(next_due(&mut ledger, at(15.001)), Some(Due::Missed(1, Change::Ready)));
    assert_eq!(next_due(&mut ledger, at(70.0)), None);
    let Some(Due::Expired(closed)) = next_due(&mut ledger, at(70.001)) else { panic!("not expired") };
    assert_eq!(closed.ended.as_ref().map(|ended| ended.at), Some(at(70.0)));
    assert_eq!(ending(closed), (Outcome::Expired { age: Duration::from_secs(60) }, None));
    assert_eq!(next_due(&mut ledger, at(1000.0)), None);
    assert!(ledger.is_empty() && ledger.pending(1).iter().next().is_none());
}

#[test]
fn a_deadline_never_hits_the_next_change_in_the_same_place() {
    let mut ledger = ledger();
    ledger.start(1, ready(live(0.0)));
    let first = ledger.pendings.find(1, Change::Ready);
    end(&mut ledger, live(1.0), reflected());
    ledger.start(1, ready(live(4.0)));
    assert_eq!(ledger.pendings.find(1, Change::Ready), first, "the place is used again");
    assert_eq!(next_due(&mut ledger, at(6.0)), None);
    assert_eq!(next_due(&mut ledger, at(9.5)), Some(Due::Missed(1, Change::Ready)));
}

#[test]
fn a_change_is_judged_by_its_stamps_and_not_by_when_time_passed() {
    let mut ledger = ledger();
    let mut ends = |seconds: f64, why: Ending<Version>| {
        ledger.start(1, ready(live(0.0)));
        end(&mut ledger, live(seconds), why)
    };
    assert_eq!(ending(ends(5.0, reflected())), (Outcome::propagated(at(0.0), at(5.0)), Some(false)));
    assert_eq!(ends(5.1, reflected()).missed, Some(true));
    assert_eq!(ending(ends(6.0, Ending::Superseded)), (Outcome::Superseded, Some(true)));
    let outlived = ends(61.0, reflected());
    assert_eq!(outlived.ended.as_ref().map(|ended| (ended.at, ended.by)), Some((at(60.0), None)));
    assert_eq!(ending(outlived), (Outcome::Expired { age: Duration::from_secs(60) }, Some(true)));
}

#[test]
fn nothing_is_judged_while_blind_nor_timed_by_it() {
    let mut ledger = ledger();
    ledger.start(1, ready(live(0.0)));
    ledger.start(2, ready(live(0.0)));
    ledger.set_blind(true);
    assert_eq!(next_due(&mut ledger, at(100.0)), None);
    let ended = ledger.end(2, Change::Ready, live(10.0), reflected()).expect("pending");
    assert_eq!(ending(ended), (Outcome::Censored, None));
    ledger.set_blind(false);
    // The ledger sees again, and the change is still pending: a miss.
    assert_eq!(next_due(&mut ledger, at(20.0)), Some(Due::Missed(1, Change::Ready)));
    assert_eq!(ending(end(&mut ledger, live(21.0), reflected())), (Outcome::propagated(at(0.0), at(21.0)), None));
}

#[test]
fn what_came_late_has_no_delay() {
    let mut ledger = ledger();
    let mut ends = |since: Seen, seen: Seen, why: Ending<Version>| {
        ledger.start(1, ready(since));
        ending(end(&mut ledger, seen, why))
    };
    assert_eq!(ends(Seen::late(at(0.0)), live(1.0), reflected()), (Outcome::Censored, None));
    for why in [reflected(), Ending::Superseded] {
        assert_eq!(ends(live(0.0), Seen::late(at(9.0)), why), (Outcome::Censored, None));
    }
    assert_eq!(ends(live(0.0), Seen::late(at(9.0)), Ending::Withdrawn), (Outcome::Withdrawn, None));
}

#[test]
fn what_is_in_doubt_is_a_change_once_it_is_reflected_or_the_doubt_is_over() {
    let doubt = |even_if_reflected| Doubt { until: at(10.5), even_if_reflected };
    let doubted = |ledger: &mut Ledger<u8>, even| ledger.start_in_doubt(1, ready(live(0.0)), doubt(even));
    let mut ledger = ledger();
    doubted(&mut ledger, false);
    assert_eq!(next_due(&mut ledger, at(10.5)), None, "it may be none");
    let closed = end(&mut ledger, live(10.5), Ending::Superseded);
    assert_eq!((closed.ended, closed.missed), (None, None));
    doubted(&mut ledger, false);
    let closed = end(&mut ledger, live(10.2), reflected());
    assert_eq!(ending(closed), (Outcome::propagated(at(0.0), at(10.2)), Some(true)));
    doubted(&mut ledger, false);
    assert_eq!(next_due(&mut ledger, at(10.6)), Some(Due::Missed(1, Change::Ready)));
    assert_eq!(ending(end(&mut ledger, live(10.6), Ending::Superseded)), (Outcome::Superseded, None));
    doubted(&mut ledger, true);
    assert_eq!(end(&mut ledger, live(10.2), reflected()).ended, None);
}

#[test]
fn one_change_of_a_kind_is_pending_at_most_and_each_is_known_by_its_kind() {
    let mut ledger = ledger();
    ledger.start(1, ready(live(1.0)));
    ledger.start(1, ready(live(3.0)));
    ledger.start(1, Start { change: Change::Removed, ..ready(live(4.0)) });
    ledger.start(2, ready(live(2.0)));
    assert_eq!(ledger.pending(1).iter().collect::<Vec<_>>(), [Change::Ready, Change::Removed]);
    assert_eq!(ledger.len(), 3);
    let backlog = ledger.backlog(|_| ());
    assert_eq!(backlog[&((), Change::Ready)], Backlog { count: 2, oldest: at(1.0) });
    assert_eq!(ending(end(&mut ledger, live(5.0), reflected())).0, Outcome::propagated(at(1.0), at(5.0)));
    assert_eq!(ledger.end(1, Change::Ready, live(5.0), reflected()), None, "it has ended");
    ledger.taint(1);
    assert_eq!(ledger.end(1, Change::Removed, live(5.0), reflected()).map(ending), Some((Outcome::Censored, None)));
}

#[test]
fn what_has_propagated_is_the_start_of_the_next_hop() {
    let mut slices = ledger();
    slices.start(1, ready(live(1.0)));
    let carried = end(&mut slices, live(1.5), reflected()).ended.and_then(Ended::carried).expect("propagated");
    let expected =
        Carried { key: 1, change: Change::Ready, cause: Cause::Pod, began: at(1.0), shown: at(1.5), by: "v7" };
    assert_eq!(carried, expected);
}

#[test]
fn only_what_has_propagated_goes_on_and_from_when_it_was_shown() {
    let mut ledger = ledger();
    ledger.start(1, ready(live(1.0)));
    let superseded = end(&mut ledger, live(2.0), Ending::Superseded).ended.expect("a change");
    assert_eq!(superseded.carried(), None);
    let early = ledger.reflected_before(1, ready(live(2.0)), live(1.9), Some("v8"));
    let ended = early.ended.expect("a change");
    assert_eq!((ended.at, early.missed), (at(2.0), Some(false)));
    let carried = ended.carried().expect("propagated");
    assert_eq!((carried.began, carried.shown, carried.by), (at(2.0), at(1.9), "v8"));
    let late = ledger.reflected_before(1, ready(live(2.0)), Seen::late(at(1.9)), Some("v8"));
    assert_eq!((late.missed, late.ended.and_then(Ended::carried)), (None, None));
}
