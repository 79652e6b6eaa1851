//! What was counted in the last minutes and the last hour: intervals, each as sparse as what it holds.
//!
//! A cell that was hit in an interval takes 8 bytes. A Service with 100 changes an hour so keeps 800 bytes at most, 10,000 of them
//! 8 MB, where dense histograms of 13 KB each would take gigabytes. A busier one pays for the cells it hits and not for its
//! changes: 360 intervals that hit 70 cells each come to 200 KB. What is older than an hour is dropped.

use super::sparse_histogram::{Precision, SparseHistogram};
use crate::model::Stamp;
use std::{collections::VecDeque, ops::Range, time::Duration};

/// Length of an interval, and so by how much a window may be longer than its name says: it begins with an interval.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// A span of time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last five minutes.
    Minutes,
    /// The last hour.
    Hour,
    /// All since counting began.
    Start,
}

/// The intervals of one distribution.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals {
    /// By interval and cell.
    entries: VecDeque<Entry>,
    /// Longest delays: each is longer than all that come after it, so that the first of a window is that window's longest.
    longest: VecDeque<(u32, Duration)>,
}

/// How often a cell was hit in an interval. When the count is full, another entry of the same cell goes on.
#[derive(Clone, Copy, Debug)]
struct Entry {
    interval: u32,
    cell: u16,
    count: u16,
}

// === impl Window ===

impl Window {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Minutes, Self::Hour, Self::Start];

    /// As the API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minutes => "5m",
            Self::Hour => "1h",
            Self::Start => "start",
        }
    }

    /// How long it is, if it does not reach back to the start.
    fn length(self) -> Option<Duration> {
        match self {
            Self::Minutes => Some(Duration::from_secs(5 * 60)),
            Self::Hour => Some(Duration::from_secs(60 * 60)),
            Self::Start => None,
        }
    }

    /// The first interval of it.
    pub(super) fn first_interval(self, now: Stamp) -> u32 {
        self.length().map_or(0, |length| interval(Stamp::new(now.since_origin().saturating_sub(length))))
    }
}

// === impl Intervals ===

impl Intervals {
    /// Counts a delay. Watches bring their stamps in an order of their own; what comes a little late counts in the interval that
    /// is under way.
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

    /// Of one interval only the longest delay can ever be a window's longest.
    fn thin_longest(&mut self) {
        let mut newest = self.longest.iter().rev();
        if let (Some((last, _)), Some((before, _))) = (newest.next(), newest.next())
            && last == before
        {
            self.longest.pop_back();
        }
    }

    /// Drops what no window reaches any more.
    pub(super) fn forget(&mut self, now: Stamp) {
        let first = Window::Hour.first_interval(now);
        while self.entries.front().is_some_and(|entry| entry.interval < first) {
            self.entries.pop_front();
        }
        while self.longest.front().is_some_and(|(interval, _)| *interval < first) {
            self.longest.pop_front();
        }
        // A rush long ago is no reason to keep its room.
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// What was counted in a window that ends now.
    pub(super) fn histogram(&self, window: Window, now: Stamp, precision: Precision) -> SparseHistogram {
        self.between(window.first_interval(now)..u32::MAX, precision)
    }

    /// What was counted in these intervals.
    pub(super) fn between(&self, intervals: Range<u32>, precision: Precision) -> SparseHistogram {
        let place = |interval: u32| self.entries.partition_point(|entry| entry.interval < interval);
        let entries = self.entries.range(place(intervals.start)..place(intervals.end));
        SparseHistogram::collect(precision, entries.map(|entry| (entry.cell, u32::from(entry.count))).collect())
    }

    /// The longest delay of a window that ends now, exactly.
    pub(super) fn longest(&self, window: Window, now: Stamp) -> Option<Duration> {
        let first = window.first_interval(now);
        let at = self.longest.partition_point(|(interval, _)| *interval < first);
        self.longest.get(at).map(|(_, delay)| *delay)
    }
}

/// The interval of a moment. 2^32 of them are a thousand years.
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
