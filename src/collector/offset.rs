//! The difference between a node's clock and the daemon's, and how exactly it is known. Pure.
//!
//! ```text
//! daemon ──asked─────────────────heard──►
//!            \                   /
//! node ─────received──────replied───────►
//! ```
//!
//! The node's clock showed `received` and `replied` at times between `asked` and `heard`, however long the message took in each
//! direction. So the difference is known to half of the round trip. Both clocks are CLOCK_MONOTONIC_RAW: they are neither set nor
//! slewed, and drift apart evenly. The clock stops if a machine is suspended or a virtual machine is paused; then comparisons from
//! before and after contradict each other. So a stamp is converted only if it lies between comparisons that agree. A stop that is
//! shorter than their error is not noticed. Before it one difference holds, after it another, and a stamp from between two comparisons
//! may be of either time. So what is told includes what both of them say.

use crate::model::{Interval, Stamp};
use std::{collections::VecDeque, time::Duration};

/// Number of comparisons that are kept.
const KEPT: usize = 8;

/// How far two such clocks drift apart, in nanoseconds per millisecond. The quartz of a server is usually off by less than half of
/// that.
const DRIFT: u64 = 30;
const MILLISECOND: u64 = 1_000_000;

/// The four stamps of a probe and its reply, on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// When the probe was sent, on the daemon's clock.
    pub(super) asked: Stamp,
    /// When the probe arrived, on the node's clock.
    pub(super) received: Stamp,
    /// When the reply was sent, on the node's clock.
    pub(super) replied: Stamp,
    /// When the reply arrived, on the daemon's clock.
    pub(super) heard: Stamp,
}

/// What an exchange shows about the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It agrees with the earlier ones, or is the first.
    Agrees,
    /// It contradicts an earlier one: a clock stopped, or jumped. The earlier ones are dropped.
    Stepped,
    /// It contradicts itself: the node took longer for the reply than the whole round trip.
    Impossible,
}

/// How a node's clock compares to the daemon's.
#[derive(Debug, Default)]
pub(super) struct Offset {
    /// The last ones, oldest first. All of them agree.
    comparisons: VecDeque<Comparison>,
    /// The first comparison since which all have agreed, on the node's clock.
    since: Stamp,
}

/// The result of one exchange.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    /// Its start and end, on the node's clock.
    received: Stamp,
    replied: Stamp,
    /// The daemon's clock minus the node's, in nanoseconds: the minimum and the maximum.
    least: i128,
    most: i128,
}

// === impl Offset ===

impl Offset {
    /// Adds an exchange.
    pub(super) fn compare(&mut self, exchange: Exchange) -> Verdict {
        let Some(comparison) = Comparison::of(exchange) else { return Verdict::Impossible };
        let agrees = self.comparisons.iter().all(|earlier| earlier.agrees(&comparison));
        if !agrees {
            self.comparisons.clear();
        }
        if self.comparisons.is_empty() {
            self.since = comparison.received;
        }
        if self.comparisons.len() == KEPT {
            self.comparisons.pop_front();
        }
        self.comparisons.push_back(comparison);
        if agrees { Verdict::Agrees } else { Verdict::Stepped }
    }

    /// When the node's clock showed `stamp`, on the daemon's clock. Of the last comparisons before it, and of those after it, the one
    /// with the smallest error at that time decides: the one with the shortest round trip, unless it is too old.
    ///
    /// `None` if the stamp does not lie between comparisons that agree.
    pub(super) fn convert(&self, stamp: Stamp) -> Option<Interval> {
        if stamp < self.since {
            return None;
        }
        let best = |of: &dyn Fn(&&Comparison) -> bool| {
            self.comparisons.iter().filter(of).map(|it| it.at(stamp)).min_by_key(|(least, most)| most - least)
        };
        let after = best(&|it| it.replied >= stamp)?;
        // After a long time without acknowledgement all that were before it may be dropped.
        let before = best(&|it| it.received <= stamp).unwrap_or(after);
        let (least, most) = (before.0.min(after.0), before.1.max(after.1));
        let shifted = |by: i128| {
            let nanos = (i128::from(stamp.as_nanos()) + by).clamp(0, i128::from(u64::MAX));
            // Clamped to these bounds.
            Stamp::from_nanos(nanos as u64)
        };
        Some(Interval { earliest: shifted(least), latest: shifted(most) })
    }

    /// Whether the last comparison is much less exact than an earlier one, so that another one is worth its round trip.
    pub(super) fn is_rough(&self) -> bool {
        let Some(last) = self.comparisons.back() else { return false };
        let now = last.received;
        self.comparisons.iter().any(|earlier| last.width(now) > 2 * earlier.width(now))
    }

    /// The maximum error of the difference, as of the last comparison. `None` if there was none.
    pub(super) fn error(&self) -> Option<Duration> {
        let now = self.comparisons.back()?.received;
        let error = self.comparisons.iter().map(|it| it.width(now)).min()? / 2;
        Some(Duration::from_nanos(u64::try_from(error).unwrap_or(u64::MAX)))
    }
}

// === impl Comparison ===

impl Comparison {
    /// `None` if it is impossible.
    fn of(Exchange { asked, received, replied, heard }: Exchange) -> Option<Self> {
        let nanos = |stamp: Stamp| i128::from(stamp.as_nanos());
        // The node measured this time with its own clock, which may be fast.
        let spread = drift(replied.since(received));
        let (least, most) = (nanos(asked) - nanos(received) - spread, nanos(heard) - nanos(replied) + spread);
        (received <= replied && asked <= heard && least <= most).then_some(Self { received, replied, least, most })
    }

    /// The difference at another time, according to this comparison.
    fn at(&self, stamp: Stamp) -> (i128, i128) {
        let away = self.received.since(stamp).max(stamp.since(self.replied));
        (self.least - drift(away), self.most + drift(away))
    }

    /// How far the minimum and the maximum are apart at another time.
    fn width(&self, stamp: Stamp) -> i128 {
        let (least, most) = self.at(stamp);
        most - least
    }

    /// Whether a later one is compatible with this one.
    fn agrees(&self, later: &Self) -> bool {
        let (least, most) = self.at(later.received);
        later.received >= self.replied && least <= later.most && later.least <= most
    }
}

/// How far the clocks drift apart in this time, in nanoseconds.
fn drift(time: Duration) -> i128 {
    // A stamp has 64 bits, and so does the time between two stamps.
    (time.as_nanos() * u128::from(DRIFT)).div_ceil(u128::from(MILLISECOND)) as i128
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    const SECOND: u64 = 1_000_000_000;

    fn stamp(nanos: u64) -> Stamp {
        Stamp::from_nanos(nanos)
    }

    /// Two clocks that run at slightly different rates, seen from outside.
    #[derive(Clone, Copy, Debug)]
    struct Clocks {
        /// What the node's clock shows at the beginning.
        node: u64,
        /// What the daemon's clock shows at the beginning.
        daemon: u64,
        /// How much faster the node's clock runs, in parts per million.
        faster: i64,
    }

    impl Clocks {
        fn node(&self, time: u64) -> Stamp {
            let gained = i128::from(time) * i128::from(self.faster) / 1_000_000;
            stamp((i128::from(self.node) + i128::from(time) + gained) as u64)
        }

        fn daemon(&self, time: u64) -> Stamp {
            stamp(self.daemon + time)
        }

        /// A probe that is sent at this time, with the times for the way there, the reply, and the way back.
        fn exchange(&self, time: u64, (there, reply, back): (u64, u64, u64)) -> Exchange {
            Exchange {
                asked: self.daemon(time),
                received: self.node(time + there),
                replied: self.node(time + there + reply),
                heard: self.daemon(time + there + reply + back),
            }
        }
    }

    fn some_clocks() -> impl Strategy<Value = Clocks> {
        (1u64 << 41..1 << 60, 1u64 << 41..1 << 60, -29i64..=29).prop_map(|(node, daemon, faster)| Clocks {
            node,
            daemon,
            faster,
        })
    }

    /// For each probe, the time since the one before, and the times of both ways and the reply.
    fn some_probes() -> impl Strategy<Value = Vec<(u64, (u64, u64, u64))>> {
        let way = || 10_000u64..50_000_000;
        vec((1_000_000u64..30 * SECOND, (way(), 0u64..10_000_000, way())), 2..20)
    }

    proptest! {
        /// For any difference, delays and drift: comparisons agree, and the true time lies within the bounds.
        #[test]
        fn the_truth_is_within_the_bounds(clocks in some_clocks(), probes in some_probes(), share in 0.0f64..1.0) {
            let mut offset = Offset::default();
            let (mut time, mut first) = (0, None);
            for (pause, ways) in probes {
                time += pause;
                prop_assert_eq!(offset.compare(clocks.exchange(time, ways)), Verdict::Agrees);
                time += ways.0;
                first.get_or_insert(time);
                let last = time + ways.1;
                let when = first.map_or(0, |first| first + ((last - first) as f64 * share) as u64);
                let told = offset.convert(clocks.node(when)).expect("between comparisons");
                let truth = clocks.daemon(when);
                prop_assert!(told.earliest <= truth.plus(Duration::from_nanos(1)) && truth <= told.latest.plus(Duration::from_nanos(1)));
                time += ways.1 + ways.2;
            }
        }

        /// A stop of either clock is noticed if it is longer than the error of the comparisons.
        #[test]
        fn a_clock_that_stood_still_is_noticed(
            clocks in some_clocks(),
            probes in some_probes(),
            after in some_probes(),
            stop in SECOND..1000 * SECOND,
            of_node in any::<bool>(),
        ) {
            let mut offset = Offset::default();
            let mut time = 0;
            for (pause, ways) in &probes {
                time += pause;
                prop_assert_eq!(offset.compare(clocks.exchange(time, *ways)), Verdict::Agrees);
                // The next probe is sent after this reply.
                time += ways.0 + ways.1 + ways.2;
            }
            let known = offset.convert(offset.comparisons.back().expect("compared").received);
            prop_assert!(known.is_some());
            // From now on, the clock that stopped shows an earlier time.
            time += 2 * stop;
            let stopped = match of_node {
                true => Clocks { node: clocks.node - stop, ..clocks },
                false => Clocks { daemon: clocks.daemon - stop, ..clocks },
            };
            let (_, ways) = after[0];
            prop_assert_eq!(offset.compare(stopped.exchange(time, ways)), Verdict::Stepped);
            // A time in between is not converted.
            prop_assert_eq!(offset.convert(clocks.node(time - stop - stop / 2)), None);
        }

        /// Either clock stands still, for any time, between two comparisons: that is noticed, or within the error that is stated.
        #[test]
        fn a_stop_is_noticed_or_within_the_bounds(
            clocks in some_clocks(),
            probes in vec((1_000_000u64..30 * SECOND, (10_000u64..50_000_000, 0u64..10_000_000, 10_000u64..50_000_000)), 2..=KEPT),
            stop in 0u64..200_000_000,
            (index, into, share) in (any::<prop::sample::Index>(), 0.0f64..1.0, 0.0f64..1.0),
            of_node in any::<bool>(),
        ) {
            let stopped = match of_node {
                true => Clocks { node: clocks.node - stop, ..clocks },
                false => Clocks { daemon: clocks.daemon - stop, ..clocks },
            };
            let at_stop = 1 + index.index(probes.len() - 1);
            let mut offset = Offset::default();
            let (mut time, mut event) = (0, None);
            for (number, (pause, ways)) in probes.iter().enumerate() {
                let now = if number < at_stop { &clocks } else { &stopped };
                if number == at_stop {
                    // Somewhere in the pause: the clock stands still from then on, and then it goes on.
                    let begins = time + (*pause as f64 * into) as u64;
                    let when = time + (*pause as f64 * share) as u64;
                    event = Some(match when <= begins {
                        true => (clocks.node(when), clocks.daemon(when)),
                        false => (stopped.node(when + stop), stopped.daemon(when + stop)),
                    });
                    time += stop;
                }
                time += pause;
                offset.compare(now.exchange(time, *ways));
                time += ways.0 + ways.1 + ways.2;
            }
            let (stamp, truth) = event.expect("one of the pauses");
            if let Some(told) = offset.convert(stamp) {
                let rounding = Duration::from_nanos(2);
                prop_assert!(told.earliest <= truth.plus(rounding) && truth <= told.latest.plus(rounding), "{told:?} {truth:?}");
            }
        }

        /// No values from an agent do any damage.
        #[test]
        fn nonsense_does_no_harm(stamps in vec(any::<[u64; 4]>(), 1..20), asked in any::<u64>()) {
            let mut offset = Offset::default();
            for [asked, received, replied, heard] in stamps {
                let [asked, received, replied, heard] = [asked, received, replied, heard].map(stamp);
                offset.compare(Exchange { asked, received, replied, heard });
            }
            if let Some(told) = offset.convert(stamp(asked)) {
                prop_assert!(told.earliest <= told.latest);
            }
            offset.error();
        }
    }

    const CLOCKS: Clocks = Clocks { node: 5 * SECOND, daemon: 9_000 * SECOND, faster: 0 };

    #[test]
    fn the_shortest_round_trip_decides_until_it_is_too_old() {
        let mut offset = Offset::default();
        offset.compare(CLOCKS.exchange(0, (100_000, 0, 100_000)));
        assert_eq!(offset.error(), Some(Duration::from_micros(100)));
        offset.compare(CLOCKS.exchange(SECOND, (900_000, 0, 100_000)));
        // 30 us for a second, and a little for the round trip.
        assert_eq!(offset.error().map(|error| error.as_micros()), Some(130));
        for seconds in 2..40 {
            offset.compare(CLOCKS.exchange(seconds * SECOND, (900_000, 0, 100_000)));
        }
        assert_eq!(offset.error(), Some(Duration::from_micros(500)));
    }

    #[test]
    fn a_comparison_that_took_long_is_worth_another_one() {
        let mut offset = Offset::default();
        assert!(!offset.is_rough());
        offset.compare(CLOCKS.exchange(0, (100_000, 0, 100_000)));
        assert!(!offset.is_rough());
        offset.compare(CLOCKS.exchange(SECOND, (150_000, 0, 150_000)));
        assert!(!offset.is_rough());
        offset.compare(CLOCKS.exchange(2 * SECOND, (900_000, 0, 100_000)));
        assert!(offset.is_rough());
        offset.compare(CLOCKS.exchange(3 * SECOND, (100_000, 0, 100_000)));
        assert!(!offset.is_rough());
    }

    #[test]
    fn only_what_lies_between_comparisons_is_told() {
        let mut offset = Offset::default();
        assert_eq!(offset.convert(CLOCKS.node(SECOND)), None);
        offset.compare(CLOCKS.exchange(SECOND, (100, 50, 100)));
        offset.compare(CLOCKS.exchange(2 * SECOND, (100, 50, 100)));
        assert_eq!(offset.convert(CLOCKS.node(SECOND + 99)), None);
        assert!(offset.convert(CLOCKS.node(SECOND + 100)).is_some());
        assert!(offset.convert(CLOCKS.node(2 * SECOND + 150)).is_some());
        assert_eq!(offset.convert(CLOCKS.node(2 * SECOND + 151)), None);
    }

    #[test]
    fn a_reply_that_took_longer_than_its_round_trip_counts_for_nothing() {
        let mut offset = Offset::default();
        let exchange = CLOCKS.exchange(SECOND, (100, 50, 100));
        let late = Exchange { replied: exchange.replied.plus(Duration::from_millis(1)), ..exchange };
        assert_eq!(offset.compare(late), Verdict::Impossible);
        assert_eq!(offset.error(), None);
    }
}
