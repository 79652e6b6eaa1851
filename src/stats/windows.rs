//! Counts of the last minutes and the last hour, in sparse intervals.
//!
//! A cell with a count takes 8 bytes for each interval. So a Service with 100 changes an hour takes at most 800 bytes, and 10,000
//! such Services 8 MB, while dense histograms of 13 KB each would take gigabytes. The size depends on the number of cells in use,
//! not on the number of changes: 360 intervals with 70 cells each take 200 KB. Data older than an hour are dropped.

use super::sparse_histogram::{Precision, SparseHistogram};
use crate::model::Stamp;
use std::{collections::VecDeque, ops::Range, time::Duration};

/// Length of an interval. A window starts with an interval, so it may be longer than its name says by up to this length.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// A span of time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last five minutes.
    Minutes,
    /// The last hour.
    Hour,
    /// The whole time since counting started.
    Start,
}

/// The intervals of one distribution.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals {
    /// Sorted by interval and cell.
    entries: VecDeque<Entry>,
    /// Longest delays. Each is longer than all later ones, so the first one in a window is the longest of that window.
    longest: VecDeque<(u32, Duration)>,
}

/// The count of a cell in an interval. When it reaches its maximum, another entry of the same cell continues it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    interval: u32,
    cell: u16,
    count: u16,
}

// === impl Window ===

impl Window {
    /// All windows.
    pub const ALL: [Self; 3] = [Self::Minutes, Self::Hour, Self::Start];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minutes => "5m",
            Self::Hour => "1h",
            Self::Start => "start",
        }
    }

    /// Its length; `None` if it reaches back to the start.
    fn length(self) -> Option<Duration> {
        match self {
            Self::Minutes => Some(Duration::from_secs(5 * 60)),
            Self::Hour => Some(Duration::from_secs(60 * 60)),
            Self::Start => None,
        }
    }

    /// Its first interval.
    pub(super) fn first_interval(self, now: Stamp) -> u32 {
        self.length().map_or(0, |length| interval(Stamp::new(now.since_origin().saturating_sub(length))))
    }
}

// === impl Intervals ===

impl Intervals {
    /// Counts a delay. Stamps of different watches are not in order. A delay that is a little late is counted in the present
    /// interval.
    pub(super) fn record(&mut self, at: Stamp, cell: u16, delay: Duration) {
        self.forget(at);
        let last = self.entries.back().map_or(0, |entry| entry.interval);
        let interval = interval(at).max(last);
        let place = self.entries.partition_point(|entry| (entry.interval, entry.cell) < (interval, cell));
        match self.entries.get_mut(place) {
            Some(entry) if (entry.interval, entry.cell) == (interval, cell) && entry.count < u16::MAX => {
                entry.count += 1
            }
            _ => self.entries.insert(place, Entry { interval, cell, count: 1 }),
        }
        while self.longest.back().is_some_and(|(_, longest)| *longest <= delay) {
            self.longest.pop_back();
        }
        self.longest.push_back((interval, delay));
        self.thin_longest();
    }

    /// Only the longest delay of an interval can be the longest of a window.
    fn thin_longest(&mut self) {
        let mut newest = self.longest.iter().rev();
        if let (Some((last, _)), Some((before, _))) = (newest.next(), newest.next())
            && last == before
        {
            self.longest.pop_back();
        }
    }

    /// Drops data that are older than every window.
    pub(super) fn forget(&mut self, now: Stamp) {
        let first = Window::Hour.first_interval(now);
        while self.entries.front().is_some_and(|entry| entry.interval < first) {
            self.entries.pop_front();
        }
        while self.longest.front().is_some_and(|(interval, _)| *interval < first) {
            self.longest.pop_front();
        }
        // After a burst, frees the memory that is no longer needed.
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// The counts in a window that ends now.
    pub(super) fn histogram(&self, window: Window, now: Stamp, precision: Precision) -> SparseHistogram {
        self.between(window.first_interval(now)..u32::MAX, precision)
    }

    /// The counts in these intervals.
    pub(super) fn between(&self, intervals: Range<u32>, precision: Precision) -> SparseHistogram {
        let place = |interval: u32| self.entries.partition_point(|entry| entry.interval < interval);
        let entries = self.entries.range(place(intervals.start)..place(intervals.end));
        SparseHistogram::collect(precision, entries.map(|entry| (entry.cell, u32::from(entry.count))).collect())
    }

    /// The longest delay in a window that ends now, exactly.
    pub(super) fn longest(&self, window: Window, now: Stamp) -> Option<Duration> {
        let first = window.first_interval(now);
        let at = self.longest.partition_point(|(interval, _)| *interval < first);
        self.longest.get(at).map(|(_, delay)| *delay)
    }
}

/// The interval of a stamp. 2^32 intervals are more than a thousand years.
pub(super) fn interval(at: Stamp) -> u32 {
    u32::try_from(at.since_origin().as_secs() / INTERVAL.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::sparse_histogram::units, *};
    use proptest::prelude::*;

    const PRECISION: Precision = Precision::Service;

    fn at(seconds: u64) -> Stamp {
        Stamp::new(Duration::from_secs(seconds))
    }

    fn record(intervals: &mut Intervals, seconds: u64, millis: u64) {
        let delay = Duration::from_millis(millis);
        intervals.record(at(seconds), PRECISION.cell(units(delay)), delay);
    }

    fn total(intervals: &Intervals, window: Window, now: u64) -> u64 {
        intervals.histogram(window, at(now), PRECISION).total()
    }

    #[test]
    fn a_cell_takes_eight_bytes() {
        assert_eq!(size_of::<Entry>(), 8);
    }

    #[test]
    fn windows_end_and_what_is_older_than_an_hour_is_dropped() {
        let mut intervals = Intervals::default();
        for (seconds, millis) in [(5, 900), (5, 10), (100, 20)] {
            record(&mut intervals, seconds, millis);
        }
        assert_eq!((total(&intervals, Window::Minutes, 100), total(&intervals, Window::Hour, 100)), (3, 3));
        assert_eq!((total(&intervals, Window::Minutes, 309), total(&intervals, Window::Minutes, 310)), (3, 1));
        record(&mut intervals, 3_000, 30);
        assert_eq!((total(&intervals, Window::Minutes, 3_100), total(&intervals, Window::Hour, 3_600)), (1, 4));
        assert_eq!(intervals.longest(Window::Hour, at(3_600)), Some(Duration::from_millis(900)));
        assert_eq!(intervals.longest(Window::Hour, at(3_620)), Some(Duration::from_millis(30)));
        intervals.forget(at(3_620));
        assert_eq!(intervals.entries.len(), 2);
        intervals.forget(at(10_000));
        assert!(intervals.entries.is_empty() && intervals.longest.is_empty());
        assert_eq!(intervals.longest(Window::Minutes, at(10_000)), None);
    }

    #[test]
    fn a_full_count_goes_on_in_another_entry() {
        let mut intervals = Intervals::default();
        for _ in 0..200_000 {
            record(&mut intervals, 7, 10);
        }
        assert_eq!(total(&intervals, Window::Minutes, 7), 200_000);
        assert!(intervals.entries.len() <= 4, "{} entries", intervals.entries.len());
    }

    #[test]
    fn stamps_that_are_a_little_late_are_not_lost() {
        let mut intervals = Intervals::default();
        record(&mut intervals, 20, 10);
        record(&mut intervals, 19, 10);
        assert_eq!(total(&intervals, Window::Minutes, 20), 2);
        assert_eq!(intervals.entries.len(), 1);
    }

    proptest! {
        #[test]
        fn a_window_holds_what_was_recorded_since_its_first_interval(
            changes in prop::collection::vec((0..40u64, 1..60_000u64), 1..300), after in 0..4_000u64,
        ) {
            let (mut intervals, mut now, mut all) = (Intervals::default(), 0, Vec::new());
            for (pause, millis) in changes {
                now += pause;
                record(&mut intervals, now, millis);
                all.push((now, millis));
            }
            let now = now + after;
            for (window, length) in [(Window::Minutes, 300), (Window::Hour, 3_600)] {
                let first = now.saturating_sub(length) / 10 * 10;
                let inside: Vec<_> = all.iter().filter(|(at, _)| *at >= first).map(|(_, millis)| *millis).collect();
                prop_assert_eq!(total(&intervals, window, now), inside.len() as u64);
                prop_assert_eq!(intervals.longest(window, at(now)), inside.iter().max().map(|m| Duration::from_millis(*m)));
            }
        }
    }
}
