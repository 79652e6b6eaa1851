use super::*;

const OBJECTIVE: Duration = Duration::from_secs(5);

fn at(seconds: f64) -> Stamp {
    Stamp::new(Duration::from_secs_f64(seconds))
}

fn live(seconds: f64) -> Seen {
    Seen::live(at(seconds))
}

fn ledger() -> Ledger<u8> {
    Ledger::new(Duration::from_secs(60))
}

fn started(ledger: &mut Ledger<u8>, since: Seen) -> PendingId {
    ledger.start(1, Change::Ready, since, OBJECTIVE)
}

/// How it ended, and whether it is said to have missed its objective now.
fn ending(closed: Closed<u8>) -> (Outcome, Option<bool>) {
    (closed.outcome.expect("a change"), closed.missed)
}

#[test]
fn a_change_passes_its_objective_and_then_expires() {
    let mut ledger = ledger();
    started(&mut ledger, live(10.0));
    assert_eq!(ledger.next_due(at(15.0)), None, "as old as the objective is not older");
    assert_eq!(ledger.next_due(at(15.001)), Some(Due::Missed(1, Change::Ready)));
    assert_eq!(ledger.next_due(at(70.0)), None);
    let Some(Due::Expired(closed)) = ledger.next_due(at(70.001)) else { panic!("not expired") };
    assert_eq!(ending(closed), (Outcome::Expired { age: Duration::from_secs(60) }, None));
    assert_eq!(closed.at, at(70.0));
    assert_eq!(ledger.next_due(at(1000.0)), None);
}

#[test]
fn a_deadline_never_hits_the_next_change_in_the_same_place() {
    let mut ledger = ledger();
    let first = started(&mut ledger, live(0.0));
    ledger.end(first, live(1.0), Cause::Reflected);
    let second = started(&mut ledger, live(4.0));
    assert_eq!(first, second, "the place is used again");
    assert_eq!(ledger.next_due(at(6.0)), None);
    assert_eq!(ledger.next_due(at(9.5)), Some(Due::Missed(1, Change::Ready)));
}

#[test]
fn a_change_is_judged_by_its_stamps_and_not_by_when_time_passed() {
    let mut ledger = ledger();
    let id = started(&mut ledger, live(0.0));
    let in_time = ledger.end(id, live(5.0), Cause::Reflected);
    assert_eq!(ending(in_time), (Outcome::propagated(at(0.0), at(5.0)), Some(false)));
    let id = started(&mut ledger, live(0.0));
    let too_late = ledger.end(id, live(5.1), Cause::Reflected);
    assert_eq!(too_late.missed, Some(true));
    let id = started(&mut ledger, live(0.0));
    assert_eq!(ending(ledger.end(id, live(6.0), Cause::Superseded)), (Outcome::Superseded, Some(true)));
    let id = started(&mut ledger, live(0.0));
    let outlived = ledger.end(id, live(61.0), Cause::Reflected);
    assert_eq!(ending(outlived), (Outcome::Expired { age: Duration::from_secs(60) }, Some(true)));
    assert_eq!(outlived.at, at(60.0));
}

#[test]
fn nothing_is_judged_while_blind_nor_timed_by_it() {
    let mut ledger = ledger();
    let kept = started(&mut ledger, live(0.0));
    let ended = started(&mut ledger, live(0.0));
    ledger.set_blind(true);
    assert_eq!(ledger.next_due(at(100.0)), None);
    assert_eq!(ending(ledger.end(ended, live(10.0), Cause::Reflected)), (Outcome::Censored, None));
    ledger.set_blind(false);
    // It is seen again, and still not reflected: that is a miss.
    assert_eq!(ledger.next_due(at(20.0)), Some(Due::Missed(1, Change::Ready)));
    assert_eq!(ending(ledger.end(kept, live(21.0), Cause::Reflected)), (Outcome::propagated(at(0.0), at(21.0)), None));
}

#[test]
fn what_came_late_has_no_delay() {
    let mut ledger = ledger();
    let unseen = started(&mut ledger, Seen::late(at(0.0)));
    assert_eq!(ending(ledger.end(unseen, live(1.0), Cause::Reflected)), (Outcome::Censored, None));
    for cause in [Cause::Reflected, Cause::Superseded] {
        let id = started(&mut ledger, live(0.0));
        assert_eq!(ending(ledger.end(id, Seen::late(at(9.0)), cause)), (Outcome::Censored, None));
    }
    let id = started(&mut ledger, live(0.0));
    assert_eq!(ending(ledger.end(id, Seen::late(at(9.0)), Cause::Withdrawn)), (Outcome::Withdrawn, None));
}

#[test]
fn what_is_in_doubt_is_a_change_once_it_is_reflected_or_the_doubt_is_over() {
    let doubt = |even_if_reflected| Some(Doubt { until: at(10.5), even_if_reflected });
    let doubted = |ledger: &mut Ledger<u8>| ledger.start_in_doubt(1, Change::Ready, live(0.0), OBJECTIVE, doubt(false));
    let mut ledger = ledger();
    let id = doubted(&mut ledger);
    assert_eq!(ledger.next_due(at(10.5)), None, "it may be none");
    let closed = ledger.end(id, live(10.5), Cause::Superseded);
    assert_eq!((closed.outcome, closed.missed), (None, None));
    let id = doubted(&mut ledger);
    let reflected = ledger.end(id, live(10.2), Cause::Reflected);
    assert_eq!(ending(reflected), (Outcome::propagated(at(0.0), at(10.2)), Some(true)));
    let id = doubted(&mut ledger);
    assert_eq!(ledger.next_due(at(10.6)), Some(Due::Missed(1, Change::Ready)));
    assert_eq!(ending(ledger.end(id, live(10.6), Cause::Superseded)), (Outcome::Superseded, None));
    let id = ledger.start_in_doubt(1, Change::Ready, live(0.0), OBJECTIVE, doubt(true));
    assert_eq!(ledger.end(id, live(10.2), Cause::Reflected).outcome, None);
}
