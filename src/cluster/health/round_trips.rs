//! How long the answer to a PING may take on one connection.

use crate::model::Stamp;
use std::{ops::RangeInclusive, time::Duration};

/// The quickest PING of the last one to two times this long says what is usual.
const USUAL: Duration = Duration::from_secs(8);

/// How much longer than usual a PING may take, and a quarter of the usual besides: 25 ms where all are equally quick, so that a
/// freeze is noticed early. On a busy machine more: beside three builds on two cores one PING in twenty takes 60 ms, and each
/// that counts as slow ends the changes of half a second censored.
const SLACK: RangeInclusive<Duration> = Duration::from_millis(25)..=Duration::from_millis(100);

/// The slack is this many times the mean lateness. Where round trips are spread like waiting times, one in 3,000 takes longer.
const SPREAD: u32 = 8;

/// Each round trip counts for one part in this many of the mean: some seconds of PINGs decide.
const WEIGHT: u32 = 128;

/// The round trips of one connection.
#[derive(Debug)]
pub(super) struct RoundTrips {
    /// Since when `quickest` counts.
    since: Stamp,
    quickest: Duration,
    quickest_before: Duration,
    /// Mean of how much longer than usual a round trip takes. A single one adds no more than the largest slack, so that a long
    /// freeze does not hide the next one.
    lateness: Duration,
}

// === impl RoundTrips ===

impl RoundTrips {
    /// None yet, on a connection that exists since then. Until some seconds have shown how quick it is, the slack is large.
    pub(super) fn since(since: Stamp) -> Self {
        let lateness = *SLACK.end() / SPREAD;
        Self { since, quickest: Duration::MAX, quickest_before: Duration::MAX, lateness }
    }

    /// Adds one that ended at `at`, and says what the next may take.
    pub(super) fn add(&mut self, round_trip: Duration, at: Stamp) -> Duration {
        if at.since(self.since) >= USUAL {
            (self.since, self.quickest_before, self.quickest) = (at, self.quickest, Duration::MAX);
        }
        self.quickest = self.quickest.min(round_trip);
        let usual = self.quickest.min(self.quickest_before);
        let late = (round_trip - usual).min(*SLACK.end());
        self.lateness = self.lateness - self.lateness / WEIGHT + late / WEIGHT;
        usual + usual / 4 + (self.lateness * SPREAD).clamp(*SLACK.start(), *SLACK.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many round trips of these lengths in turn, in milliseconds, one each 25 ms.
    fn bound(count: usize, millis: &[u64]) -> (RoundTrips, Duration) {
        let mut trips = RoundTrips::since(Stamp::from_nanos(0));
        let mut bound = Duration::ZERO;
        for (number, took) in (1..=count as u64).zip(millis.iter().cycle()) {
            bound = trips.add(Duration::from_millis(*took), Stamp::from_nanos(number * 25_000_000));
        }
        (trips, bound)
    }

    #[test]
    fn the_bound_is_close_where_all_are_quick() {
        assert!(bound(1, &[1]).1 > Duration::from_millis(95), "nothing is known yet");
        assert_eq!(bound(400, &[4]).1, Duration::from_millis(4 + 1 + 25));
    }

    #[test]
    fn the_bound_is_far_where_one_in_twenty_is_slow() {
        let mut millis = [8; 20];
        (millis[0], millis[10]) = (1, 60);
        let (_, bound) = bound(800, &millis);
        assert!(bound > Duration::from_millis(60) && bound < Duration::from_millis(110), "{bound:?}");
    }

    #[test]
    fn a_long_freeze_does_not_hide_the_next() {
        let (mut trips, _) = bound(800, &[1]);
        let after = trips.add(Duration::from_secs(10), Stamp::from_nanos(30_000_000_000));
        assert!(after < Duration::from_millis(30), "{after:?}");
    }

    #[test]
    fn a_longer_way_becomes_usual() {
        let (mut trips, _) = bound(400, &[2]);
        let (mut at, mut bound) = (10_000_000_000, Duration::ZERO);
        for _ in 0..60 {
            at += 300_000_000;
            bound = trips.add(Duration::from_millis(300), Stamp::from_nanos(at));
        }
        assert!(bound > Duration::from_millis(375), "{bound:?}");
    }
}
