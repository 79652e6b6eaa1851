//! By how much a node's clock and the daemon's differ, and how well that is known. Pure.
//!
//! ```text
//! daemon ──asked─────────────────heard──►
//!            \                   /
//! node ─────received──────replied───────►
//! ```
//!
//! The node's clock said `received` and `replied` at times between `asked` and `heard`, however long the two ways took. So the
//! difference is known to half of the round trip. Both clocks are CLOCK_MONOTONIC_RAW: they are neither set nor slewed, and drift
//! apart evenly. A machine that is suspended, or a virtual one that is paused, stops its clock; comparisons from before and after
//! that contradict each other. So a stamp is converted only if it lies between comparisons that agree. A stop that is shorter than
//! what they leave open cannot be seen.

use crate::model::Stamp;
use std::{collections::VecDeque, time::Duration};

/// Comparisons that are kept.
const KEPT: usize = 8;

/// How far two such clocks drift apart, in nanoseconds a millisecond. The quartz of a server is off by less than half of that, as a
/// rule.
const DRIFT: u64 = 30;
const MILLISECOND: u64 = 1_000_000;

/// The four stamps of a probe and its reply, on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// When the probe was sent, on the daemon's clock.
    pub(super) asked: Stamp,
    /// When it came, on the node's clock.
    pub(super) received: Stamp,
    /// When the reply was sent, on the node's clock.
    pub(super) replied: Stamp,
    /// When that came, on the daemon's clock.
    pub(super) heard: Stamp,
}

/// What an exchange says of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It agrees with those before, or is the first.
    Agrees,
    /// It contradicts one before: a clock stood still, or jumped. Those before count no more.
    Stepped,
    /// It contradicts itself: the reply took longer than the round trip of which it was a part.
    Impossible,
}

/// How a node's clock compares to the daemon's.
#[derive(Debug, Default)]
pub(super) struct Offset {
    /// The last ones, all of which agree; the oldest first.
    comparisons: VecDeque<Comparison>,
    /// The first one of those that agreed without a break, on the node's clock.
    since: Stamp,
}

/// What one exchange says.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    /// When, on the node's clock: at its beginning and its end.
    received: Stamp,
    replied: Stamp,
    /// The daemon's clock less the node's, in nanoseconds, at the least and at the most.
    least: i128,
    most: i128,
}

/// A time on a clock, as well as it is known. The truth is neither before nor after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Not before this.
    pub earliest: Stamp,
    /// Not after this.
    pub latest: Stamp,
}

// === impl Offset ===

impl Offset {
    /// Takes an exchange into account.
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

    /// When the node's clock said `stamp`, on the daemon's. Of the last comparisons, the one that leaves least open at that time
    /// decides: the one with the shortest round trip, unless it has become too old.
    ///
    /// `None` if the stamp does not lie between comparisons that agree.
    pub(super) fn convert(&self, stamp: Stamp) -> Option<Interval> {
        let last = self.comparisons.back()?;
        if stamp < self.since || stamp > last.replied {
            return None;
        }
        let at = |comparison: &Comparison| comparison.at(stamp);
        let (least, most) = self.comparisons.iter().map(at).min_by_key(|(least, most)| most - least)?;
        let shifted = |by: i128| {
            let nanos = (i128::from(stamp.as_nanos()) + by).clamp(0, i128::from(u64::MAX));
            // Within these bounds.
            Stamp::from_nanos(nanos as u64)
        };
        Some(Interval { earliest: shifted(least), latest: shifted(most) })
    }

    /// How well the difference is known at the last comparison: it is no more than this off. `None` if there was none.
    pub(super) fn error(&self) -> Option<Duration> {
        self.convert(self.comparisons.back()?.received).map(Interval::error)
    }
}

// === impl Comparison ===

impl Comparison {
    /// `None` if it cannot be true.
    fn of(Exchange { asked, received, replied, heard }: Exchange) -> Option<Self> {
        let nanos = |stamp: Stamp| i128::from(stamp.as_nanos());
        // The node took so long by its own clock, which may be fast.
        let spread = drift(replied.since(received));
        let (least, most) = (nanos(asked) - nanos(received) - spread, nanos(heard) - nanos(replied) + spread);
        (received <= replied && asked <= heard && least <= most).then_some(Self { received, replied, least, most })
    }

    /// What it says of another time.
    fn at(&self, stamp: Stamp) -> (i128, i128) {
        let away = self.received.since(stamp).max(stamp.since(self.replied));
        (self.least - drift(away), self.most + drift(away))
    }

    /// Whether a later one can be true as well.
    fn agrees(&self, later: &Self) -> bool {
        let (least, most) = self.at(later.received);
        later.received >= self.replied && least <= later.most && later.least <= most
    }
}

// === impl Interval ===

impl Interval {
    /// The time in its middle is no more than this off.
    pub fn error(self) -> Duration {
        self.latest.since(self.earliest) / 2
    }

    /// The time in its middle.
    pub fn middle(self) -> Stamp {
        self.earliest.plus(self.error())
    }
}

/// How far the clocks drift apart in a time, in nanoseconds.
fn drift(time: Duration) -> i128 {
    // A stamp has 64 bits, and so has the time between two.
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

    /// A pair of clocks that run at slightly different rates, seen from outside.
    #[derive(Clone, Copy, Debug)]
    struct Clocks {
        /// What the node's clock shows at the beginning.
        node: u64,
        /// What the daemon's does.
        daemon: u64,
        /// How much faster the node's runs, of a million.
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

        /// A probe that is sent at this time, and takes so long there, at the node, and back.
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

    /// Time since the one before, ways and reply.
    fn some_probes() -> impl Strategy<Value = Vec<(u64, (u64, u64, u64))>> {
        let way = || 10_000u64..50_000_000;
        vec((1_000_000u64..30 * SECOND, (way(), 0u64..10_000_000, way())), 2..20)
    }

    proptest! {
        /// Whatever the difference, the delays and the drift: comparisons agree, and the truth lies within what is said.
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

        /// Clocks that stood still for longer than the comparisons leave open are found out, whichever it was.
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
                time += pause + ways.0 + ways.1 + ways.2;
                prop_assert_eq!(offset.compare(clocks.exchange(time, *ways)), Verdict::Agrees);
            }
            let known = offset.convert(offset.comparisons.back().expect("compared").received);
            prop_assert!(known.is_some());
            // It shows less than it would, from now on.
            time += 2 * stop;
            let stopped = match of_node {
                true => Clocks { node: clocks.node - stop, ..clocks },
                false => Clocks { daemon: clocks.daemon - stop, ..clocks },
            };
            let (_, ways) = after[0];
            prop_assert_eq!(offset.compare(stopped.exchange(time, ways)), Verdict::Stepped);
            // What lies between is not told.
            prop_assert_eq!(offset.convert(clocks.node(time - stop - stop / 2)), None);
        }

        /// Nothing that an agent says does harm.
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
        // 30 us for a second, and a little for the way.
        assert_eq!(offset.error().map(|error| error.as_micros()), Some(130));
        for seconds in 2..40 {
            offset.compare(CLOCKS.exchange(seconds * SECOND, (900_000, 0, 100_000)));
        }
        assert_eq!(offset.error(), Some(Duration::from_micros(500)));
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
