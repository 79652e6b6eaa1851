//! The daemon's raw clock, which nodes' clocks are compared to, beside the clock of its stamps. Pure.
//!
//! What the daemon reads is stamped on CLOCK_BOOTTIME. NTP slews that clock, and it continues while the machine is suspended. Clocks
//! of nodes are compared on CLOCK_MONOTONIC_RAW, because only that one drifts evenly. Both clocks are read so often that little can
//! happen between two readings. The bounds include what can happen.

use crate::model::{Interval, Stamp};
use std::{collections::VecDeque, time::Duration};

/// Time between two readings. In the middle, NTP can cause an error of up to 25 us.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// Number of readings that are kept: those of ten minutes.
const KEPT: usize = 6_000;

/// The maximum rate at which NTP slews a clock, in parts per million: `MAXFREQ` in the kernel's `timex.h`.
const SLEW: u32 = 500;

/// The maximum rate error if the tick length is changed, as chrony does for large corrections: a tenth, plus `SLEW`.
const TICK: u32 = 100_500;

/// Both clocks, read one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The raw clock before the other one was read.
    pub(super) before: Stamp,
    /// The clock of the stamps.
    pub(super) stamp: Stamp,
    /// The raw clock after that.
    pub(super) after: Stamp,
}

/// The readings of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Ascending.
    readings: VecDeque<Reading>,
}

/// What may have happened between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The rates of the clocks differed by at most this many parts per million.
    Within(u32),
    /// The machine was suspended during a part of the time.
    Suspended,
}

// === impl Timeline ===

impl Timeline {
    /// Adds a reading.
    pub(super) fn read(&mut self, reading: Reading) {
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
    }

    /// What the clock of the stamps showed when the raw clock showed `raw`, which must be before `now`.
    ///
    /// `None` if that was before the first reading.
    pub(super) fn convert(&self, raw: Interval, now: Reading) -> Option<Interval> {
        let earliest = self.at(raw.earliest, now)?.earliest;
        let latest = self.at(raw.latest, now)?.latest;
        Some(Interval { earliest, latest })
    }

    fn at(&self, raw: Stamp, now: Reading) -> Option<Interval> {
        let next = self.readings.partition_point(|reading| reading.after <= raw);
        let left = self.readings.get(next.checked_sub(1)?)?;
        // A reading that was in progress at that time is less exact than the next one.
        let mut right = self.readings.range(next..);
        let right = right.find(|reading| reading.before >= raw).copied().unwrap_or(now);
        let (passed, to_come) = (raw.since(left.before), right.after.since(raw));
        let (surely_passed, surely_to_come) = (raw.since(left.after), right.before.since(raw));
        let (earliest, latest) = match pace(left, &right) {
            Pace::Within(parts) => (
                left.stamp.plus(slow(surely_passed, parts)).max(back(right.stamp, fast(to_come, parts))),
                back(right.stamp, slow(surely_to_come, parts)).min(left.stamp.plus(fast(passed, parts))),
            ),
            Pace::Suspended => {
                (left.stamp.plus(slow(surely_passed, TICK)), back(right.stamp, slow(surely_to_come, TICK)))
            }
        };
        Some(Interval { earliest, latest: latest.max(earliest) })
    }
}

/// What may have happened from one reading to a later one.
fn pace(left: &Reading, right: &Reading) -> Pace {
    let passed = right.stamp.since(left.stamp);
    let (least, most) = (right.before.since(left.after), right.after.since(left.before));
    if passed > fast(most, TICK) {
        Pace::Suspended
    } else if passed > fast(most, SLEW) || passed < slow(least, SLEW) {
        Pace::Within(TICK)
    } else {
        Pace::Within(SLEW)
    }
}

fn back(stamp: Stamp, by: Duration) -> Stamp {
    Stamp::new(stamp.since_origin().saturating_sub(by))
}

/// What a clock shows for this time if it is slow by this many parts per million.
fn slow(time: Duration, parts: u32) -> Duration {
    time.saturating_sub(part(time, parts))
}

/// What a clock shows if it is fast.
fn fast(time: Duration, parts: u32) -> Duration {
    time + part(time, parts)
}

/// This many parts per million of a time, plus a nanosecond for rounding.
fn part(time: Duration, parts: u32) -> Duration {
    Duration::from_nanos(u64::try_from(time.as_nanos() * u128::from(parts) / 1_000_000).unwrap_or(u64::MAX))
        + Duration::from_nanos(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    const MILLISECOND: u64 = 1_000_000;

    fn stamp(nanos: u64) -> Stamp {
        Stamp::from_nanos(nanos)
    }

    /// An instant reading, at a time when the clocks show these values.
    fn reading(raw: u64, shown: u64) -> Reading {
        Reading { before: stamp(raw), stamp: stamp(shown), after: stamp(raw) }
    }

    fn at(raw: u64) -> Interval {
        Interval { earliest: stamp(raw), latest: stamp(raw) }
    }

    /// For each tenth of a second: the rate of the other clock, in parts per million, and the suspend time at its end.
    fn some_paces() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let suspended = prop_oneof![9 => Just(0), 1 => 50 * MILLISECOND..1 << 40];
        vec((-500i64..=500, suspended), 2..30)
    }

    proptest! {
        #[test]
        fn the_truth_is_within_the_bounds(paces in some_paces(), delay in 0u64..MILLISECOND, share in 0.0f64..1.0) {
            let mut timeline = Timeline::default();
            let length = 100 * MILLISECOND;
            let shown_at = |raw: u64| {
                let mut shown = 1_000_000;
                let mut left = raw;
                for (faster, suspended) in &paces {
                    let span = left.min(length);
                    shown += (span as i64 + span as i64 * faster / 1_000_000) as u64;
                    left -= span;
                    if left == 0 {
                        break;
                    }
                    shown += suspended;
                }
                shown
            };
            let end = paces.len() as u64 * length - delay;
            let mut raw = 0;
            while raw + length / 2 < end {
                let taken = Reading { before: stamp(raw), stamp: stamp(shown_at(raw + delay / 2)), after: stamp(raw + delay) };
                timeline.read(taken);
                raw += length - 7 * MILLISECOND;
            }
            let when = delay + ((end - delay) as f64 * share) as u64;
            let told = timeline.convert(at(when), reading(end, shown_at(end))).expect("after the first reading");
            let truth = stamp(shown_at(when));
            prop_assert!(told.earliest <= truth.plus(Duration::from_nanos(30)), "{told:?} {truth:?}");
            prop_assert!(truth <= told.latest.plus(Duration::from_nanos(30)), "{told:?} {truth:?}");
        }
    }

    #[test]
    fn a_time_between_readings_is_known_to_what_ntp_may_do() {
        let mut timeline = Timeline::default();
        timeline.read(reading(0, 7_000 * MILLISECOND));
        timeline.read(reading(100 * MILLISECOND, 7_100 * MILLISECOND));
        let told = timeline.convert(at(50 * MILLISECOND), reading(1 << 40, 1 << 50)).expect("after the first");
        assert_eq!(told.middle(), stamp(7_050 * MILLISECOND));
        assert_eq!(told.error().as_micros(), 25);
    }

    #[test]
    fn a_time_before_the_first_reading_is_unknown() {
        let mut timeline = Timeline::default();
        let now = reading(10, 10);
        assert_eq!(timeline.convert(at(5), now), None);
        timeline.read(now);
        assert_eq!(timeline.convert(at(9), reading(20, 20)), None);
        assert!(timeline.convert(at(10), reading(20, 20)).is_some());
    }

    /// The raw clock does not show when the machine was suspended between two readings.
    #[test]
    fn what_was_stamped_before_or_after_a_suspension_is_told_as_either() {
        let mut timeline = Timeline::default();
        timeline.read(reading(0, 0));
        timeline.read(reading(100 * MILLISECOND, 10_100 * MILLISECOND));
        let told = timeline.convert(at(50 * MILLISECOND), reading(1 << 40, 1 << 50)).expect("after the first");
        assert!(told.earliest <= stamp(50 * MILLISECOND) && told.latest >= stamp(10_050 * MILLISECOND), "{told:?}");
    }
}
