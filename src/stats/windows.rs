//! What was counted in the last minutes and the last hour: slices of time, each as sparse as what it holds.
//!
//! A cell that was hit in a slice takes 8 bytes. A Service with 100 changes an hour so keeps 800 bytes at most, 10,000 of them
//! 8 MB, where dense histograms of 13 KB each would take gigabytes. A busier one pays for the cells it hits and not for its
//! changes: 360 slices that hit 70 cells each come to 200 KB. What is older than an hour is dropped.

use super::cells::{Cells, Precision};
use crate::model::Stamp;
use std::{collections::VecDeque, ops::Range, time::Duration};

/// Length of a slice, and so by how much a window may be longer than its name says: it begins with a slice.
pub(super) const SLICE: Duration = Duration::from_secs(10);

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

/// Slices of time, of one distribution.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    /// By slice and cell.
    entries: VecDeque<Entry>,
    /// Longest delays: each is longer than all that come after it, so that the first of a window is that window's longest.
    longest: VecDeque<(u32, Duration)>,
}

/// How often a cell was hit in a slice. When the count is full, another entry of the same cell goes on.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slice: u32,
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

    /// The first slice of it.
    pub(super) fn first_slice(self, now: Stamp) -> u32 {
        self.length().map_or(0, |length| slice(Stamp::new(now.since_origin().saturating_sub(length))))
    }
}

// === impl Slices ===

impl Slices {
    /// Counts a delay. Watches bring their stamps in an order of their own; what comes a little late counts in the slice that
    /// is under way.
    pub(super) fn record(&mut self, at: Stamp, cell: u16, delay: Duration) {
        self.forget(at);
        let last = self.entries.back().map_or(0, |entry| entry.slice);
        let slice = slice(at).max(last);
        let place = self.entries.partition_point(|entry| (entry.slice, entry.cell) < (slice, cell));
        match self.entries.get_mut(place) {
            Some(entry) if (entry.slice, entry.cell) == (slice, cell) && entry.count < u16::MAX => entry.count += 1,
            _ => self.entries.insert(place, Entry { slice, cell, count: 1 }),
        }
        while self.longest.back().is_some_and(|(_, longest)| *longest <= delay) {
            self.longest.pop_back();
        }
        self.longest.push_back((slice, delay));
        self.thin_longest();
    }

    /// Of one slice only the longest delay can ever be a window's longest.
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
        let first = Window::Hour.first_slice(now);
        while self.entries.front().is_some_and(|entry| entry.slice < first) {
            self.entries.pop_front();
        }
        while self.longest.front().is_some_and(|(slice, _)| *slice < first) {
            self.longest.pop_front();
        }
        // A rush long ago is no reason to keep its room.
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// What was counted in a window that ends now.
    pub(super) fn cells(&self, window: Window, now: Stamp, precision: Precision) -> Cells {
        self.between(window.first_slice(now)..u32::MAX, precision)
    }

    /// What was counted in these slices.
    pub(super) fn between(&self, slices: Range<u32>, precision: Precision) -> Cells {
        let place = |slice: u32| self.entries.partition_point(|entry| entry.slice < slice);
        let entries = self.entries.range(place(slices.start)..place(slices.end));
        Cells::collect(precision, entries.map(|entry| (entry.cell, u32::from(entry.count))).collect())
    }

    /// The longest delay of a window that ends now, exactly.
    pub(super) fn longest(&self, window: Window, now: Stamp) -> Option<Duration> {
        let first = window.first_slice(now);
        let at = self.longest.partition_point(|(slice, _)| *slice < first);
        self.longest.get(at).map(|(_, delay)| *delay)
    }
}

/// The slice of a moment. 2^32 of them are a thousand years.
pub(super) fn slice(at: Stamp) -> u32 {
    u32::try_from(at.since_origin().as_secs() / SLICE.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::cells::units, *};
    use proptest::prelude::*;

    const PRECISION: Precision = Precision::Service;

    fn at(seconds: u64) -> Stamp {
        Stamp::new(Duration::from_secs(seconds))
    }

    fn record(slices: &mut Slices, seconds: u64, millis: u64) {
        let delay = Duration::from_millis(millis);
        slices.record(at(seconds), PRECISION.cell(units(delay)), delay);
    }

    fn total(slices: &Slices, window: Window, now: u64) -> u64 {
        slices.cells(window, at(now), PRECISION).total()
    }

    #[test]
    fn a_cell_takes_eight_bytes() {
        assert_eq!(size_of::<Entry>(), 8);
    }

    #[test]
    fn windows_end_and_what_is_older_than_an_hour_is_dropped() {
        let mut slices = Slices::default();
        for (seconds, millis) in [(5, 900), (5, 10), (100, 20)] {
            record(&mut slices, seconds, millis);
        }
        assert_eq!((total(&slices, Window::Minutes, 100), total(&slices, Window::Hour, 100)), (3, 3));
        assert_eq!((total(&slices, Window::Minutes, 309), total(&slices, Window::Minutes, 310)), (3, 1));
        record(&mut slices, 3_000, 30);
        assert_eq!((total(&slices, Window::Minutes, 3_100), total(&slices, Window::Hour, 3_600)), (1, 4));
        assert_eq!(slices.longest(Window::Hour, at(3_600)), Some(Duration::from_millis(900)));
        assert_eq!(slices.longest(Window::Hour, at(3_620)), Some(Duration::from_millis(30)));
        slices.forget(at(3_620));
        assert_eq!(slices.entries.len(), 2);
        slices.forget(at(10_000));
        assert!(slices.entries.is_empty() && slices.longest.is_empty());
        assert_eq!(slices.longest(Window::Minutes, at(10_000)), None);
    }

    #[test]
    fn a_full_count_goes_on_in_another_entry() {
        let mut slices = Slices::default();
        for _ in 0..200_000 {
            record(&mut slices, 7, 10);
        }
        assert_eq!(total(&slices, Window::Minutes, 7), 200_000);
        assert!(slices.entries.len() <= 4, "{} entries", slices.entries.len());
    }

    #[test]
    fn stamps_that_are_a_little_late_are_not_lost() {
        let mut slices = Slices::default();
        record(&mut slices, 20, 10);
        record(&mut slices, 19, 10);
        assert_eq!(total(&slices, Window::Minutes, 20), 2);
        assert_eq!(slices.entries.len(), 1);
    }

    proptest! {
        #[test]
        fn a_window_holds_what_was_recorded_since_its_first_slice(
            changes in prop::collection::vec((0..40u64, 1..60_000u64), 1..300), after in 0..4_000u64,
        ) {
            let (mut slices, mut now, mut all) = (Slices::default(), 0, Vec::new());
            for (pause, millis) in changes {
                now += pause;
                record(&mut slices, now, millis);
                all.push((now, millis));
            }
            let now = now + after;
            for (window, length) in [(Window::Minutes, 300), (Window::Hour, 3_600)] {
                let first = now.saturating_sub(length) / 10 * 10;
                let inside: Vec<_> = all.iter().filter(|(at, _)| *at >= first).map(|(_, millis)| *millis).collect();
                prop_assert_eq!(total(&slices, window, now), inside.len() as u64);
                prop_assert_eq!(slices.longest(window, at(now)), inside.iter().max().map(|m| Duration::from_millis(*m)));
            }
        }
    }
}
