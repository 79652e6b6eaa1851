use super::*;
use crate::{
    ledger::{Cause, Hop},
    propagation::{Ended, Subject},
};
use proptest::prelude::*;

fn bounds() -> Bounds {
    Bounds::DEFAULT.parse().expect("the default is valid")
}

fn stats() -> Stats {
    let limits = SeriesLimits { services: 100, idle: Duration::from_secs(3600) };
    Stats::new(bounds(), limits, Stamp::default())
}

fn snapshot(stats: &Stats) -> Snapshot {
    stats.snapshot(&[], Stamp::default(), SystemTime::UNIX_EPOCH)
}

fn name(name: &str) -> Arc<ServiceName> {
    Arc::new(ServiceName { namespace: "shop".into(), name: name.into() })
}

fn ended(service: &str, change: Change, outcome: Outcome) -> Report {
    let (key, at) = (Subject { service: name(service), pod: None }, Stamp::default());
    Report::Ended(Ended {
        hop: Hop::Slice,
        key,
        change,
        cause: Cause::Pod,
        began: at,
        outcome,
        at,
        shown: None,
        by: None,
    })
}

fn propagated(millis: u64) -> Outcome {
    Outcome::Propagated { delay: Duration::from_millis(millis), reordered: None }
}

#[test]
fn bounds_are_checked_and_say_what_is_wrong() {
    let error = |text: &str| text.parse::<Bounds>().expect_err("bad").to_string();
    assert_eq!(error("1,x"), "\"x\" is not a number of seconds");
    assert_eq!(error("1,1"), "1 s is not above 1 s: bucket bounds must ascend");
    assert_eq!(error("0,1"), "0 s is not a valid bucket bound: it must be between a microsecond and an hour");
    assert_eq!(error("1,inf"), "inf s is not a valid bucket bound: it must be between a microsecond and an hour");
    assert!(matches!(Bounds::new(&[]), Err(BoundsError::None)));
    assert!(bounds().seconds().contains(&5.0), "the default objective is a bound");
}

#[test]
fn a_bound_is_part_of_its_bucket() {
    let bounds = bounds();
    assert_eq!(bounds.bucket(Duration::ZERO), 0);
    assert_eq!(bounds.bucket(Duration::from_millis(5)), 0);
    assert_eq!(bounds.bucket(Duration::from_nanos(5_000_001)), 1);
    assert_eq!(bounds.bucket(Duration::from_secs(61)), bounds.buckets() - 1);
}

#[test]
fn an_expired_change_exceeds_every_bound_whatever_its_age() {
    let mut stats = stats();
    let age = Duration::from_secs(30);
    stats.record(&ended("cart", Change::Ready, Outcome::Expired { age }), Stamp::default());
    let snapshot = snapshot(&stats);
    let delays = snapshot.series[0].delays.as_ref().expect("counted");
    assert_eq!(delays.counts.last(), Some(&1));
    assert_eq!(delays.sum, 30.0);
}

#[test]
fn only_what_has_a_delay_enters_the_distribution() {
    let mut stats = stats();
    for outcome in [propagated(3), Outcome::Superseded, Outcome::Censored, Outcome::Withdrawn] {
        stats.record(&ended("cart", Change::Unready, outcome), Stamp::default());
    }
    let snapshot = snapshot(&stats);
    let series = &snapshot.series[0];
    assert_eq!(series.outcomes, [1, 1, 0, 1, 1]);
    assert_eq!(series.delays.as_ref().expect("one").counts.iter().sum::<u64>(), 1);
}

#[test]
fn services_that_are_gone_are_forgotten_after_a_while() {
    let mut stats = stats();
    stats.record(&ended("cart", Change::Ready, propagated(3)), Stamp::default());
    stats.sweep(|_| false, Stamp::default().plus(RETENTION / 2));
    assert_eq!(snapshot(&stats).series.len(), 1);
    stats.sweep(|_| false, Stamp::default().plus(RETENTION));
    assert_eq!(snapshot(&stats).series.len(), 0);
}

#[test]
fn services_without_a_change_for_long_lose_their_numbers() {
    let mut stats = stats();
    stats.limits.idle = RETENTION / 2;
    stats.record(&ended("cart", Change::Ready, propagated(3)), Stamp::default());
    stats.sweep(|_| false, Stamp::default().plus(RETENTION / 2));
    assert_eq!(snapshot(&stats).series.len(), 0);
}

#[test]
fn services_beyond_the_limit_are_counted_together() {
    let mut stats = stats();
    stats.limits.services = 2;
    for service in ["a", "b", "c", "d", "c", "a"] {
        stats.record(&ended(service, Change::Ready, propagated(3)), Stamp::default());
    }
    let snapshot = snapshot(&stats);
    let counts: Vec<_> = snapshot.series.iter().map(|row| (&*row.service.name, row.outcomes[0])).collect();
    assert_eq!(counts, [("_other", 3), ("a", 2), ("b", 1)]);
    assert_eq!(snapshot.overflowed, 2);
    assert_eq!(snapshot.cluster[0].counts.iter().sum::<u64>(), 6, "the cluster counts all");
}

#[test]
fn an_overview_merges_the_kinds_of_change() {
    let mut stats = stats();
    for (change, millis) in [(Change::Ready, 10), (Change::Unready, 20), (Change::Removed, 400)] {
        stats.record(&ended("cart", change, propagated(millis)), Stamp::default());
    }
    let overview = stats.overview(&[], Stamp::default());
    let cart = &overview.services[&name("cart")];
    assert_eq!((cart.changes, cart.max), (3, Some(Duration::from_millis(400))));
    let p50 = cart.p50.expect("measured").as_secs_f64();
    assert!((p50 - 0.02).abs() <= 0.02 * 0.01, "{p50}");
    assert_eq!(overview.cluster.changes, 3);
}

proptest! {
    #[test]
    fn quantiles_are_within_one_percent_and_never_below(nanos in prop::collection::vec(0..600_000_000_000u64, 1..200)) {
        let mut delays = Delays::new(Arc::new(bounds()), Precision::Service, Stamp::default());
        for nanos in &nanos {
            delays.record(Duration::from_nanos(*nanos), Stamp::default());
        }
        let all = delays.distribution().view(Window::Start, Stamp::default());
        let mut sorted = nanos.clone();
        sorted.sort_unstable();
        for q in [0.5, 0.9, 0.99, 1.0] {
            let rank = ((q * sorted.len() as f64).ceil() as usize).max(1) - 1;
            let (truth, shown) = (sorted[rank] as f64, all.quantile(q).expect("not empty").as_nanos() as f64);
            // One cell of rounding on top of the two digits, for delays of a few microseconds.
            prop_assert!(shown >= truth - 1.0 && shown <= truth * 1.01 + 1_000.0, "q {q}: {shown} for {truth}");
        }
        prop_assert_eq!(all.max, sorted.last().map(|nanos| Duration::from_nanos(*nanos)));
        prop_assert_eq!(delays.buckets().counts.iter().sum::<u64>(), nanos.len() as u64);
    }
}
