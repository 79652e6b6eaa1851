//! The last hour by the minute. No data are stored for this. A query sums up the intervals of the windows.

use super::windows::{INTERVAL, interval};
use crate::model::Stamp;
use std::{ops::Range, time::Duration};

/// A minute since counting started. It starts with an interval, not at a full minute of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute(u32);

/// Number of minutes for which intervals are kept: one hour.
const KEPT: u32 = 60;

const INTERVALS: u32 = (Minute::LENGTH.as_secs() / INTERVAL.as_secs()) as u32;

impl Minute {
    /// Length of a minute.
    pub const LENGTH: Duration = Duration::from_secs(60);

    /// The minutes of the last hour, the oldest first. The last one is not complete. There are fewer if counting started less
    /// than an hour ago.
    pub fn of_the_last_hour(now: Stamp) -> impl DoubleEndedIterator<Item = Self> {
        let last = interval(now) / INTERVALS;
        (last.saturating_sub(KEPT - 1)..=last).map(Self)
    }

    /// Its start.
    pub fn start(self) -> Stamp {
        Stamp::new(Self::LENGTH * self.0)
    }

    /// Its intervals.
    pub(super) fn intervals(self) -> Range<u32> {
        self.0 * INTERVALS..(self.0 + 1) * INTERVALS
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Bounds, Delays, Misses, Precision, Window},
        *,
    };
    use proptest::prelude::*;
    use std::sync::Arc;

    fn at(seconds: u64) -> Stamp {
        Stamp::new(Duration::from_secs(seconds))
    }

    fn starts(now: u64) -> Vec<u64> {
        Minute::of_the_last_hour(at(now)).map(|minute| minute.start().since_origin().as_secs()).collect()
    }

    #[test]
    fn an_hour_has_sixty_minutes_and_none_before_the_start() {
        assert_eq!(starts(0), [0]);
        assert_eq!(starts(119), [0, 60]);
        let late = starts(7_230);
        assert_eq!((late.len(), late[0], late[59]), (60, 3_660, 7_200));
    }

    proptest! {
        /// Intervals that the windows drop are older than the oldest minute.
        #[test]
        fn each_minute_holds_what_was_recorded_in_it(
            changes in prop::collection::vec((0..90u64, 1..600_000u64), 1..200), after in 0..4_000u64,
        ) {
            let bounds = Arc::new(Bounds::DEFAULT.parse().expect("valid"));
            let mut delays = Delays::new(bounds, Precision::Service, Stamp::default());
            let (mut misses, mut all, mut now) = (Misses::default(), Vec::new(), 0);
            for (pause, millis) in changes {
                now += pause;
                delays.record(Duration::from_millis(millis), at(now));
                misses.count(at(now));
                all.push((now, millis));
            }
            now += after;
            delays.forget(at(now));
            misses.forget(at(now));
            for minute in Minute::of_the_last_hour(at(now)) {
                let start = minute.start().since_origin().as_secs();
                let inside: Vec<_> = all.iter().filter(|(at, _)| (start..start + 60).contains(at)).collect();
                let view = delays.distribution().during(minute);
                prop_assert_eq!(view.histogram.total(), inside.len() as u64);
                prop_assert_eq!(misses.during(minute), inside.len() as u64);
                let longest = inside.iter().map(|(_, millis)| Duration::from_millis(*millis)).max();
                let precise = |shown: Duration| longest.is_some_and(|it| shown >= it && shown <= it.mul_f64(1.01));
                prop_assert!(view.max.is_none_or(precise) && view.max.is_some() == longest.is_some(), "{:?}", view.max);
                prop_assert!(view.max <= delays.distribution().view(Window::Start, at(now)).max);
            }
        }
    }
}
