//! Missed objectives, in total and in recent windows.

use super::{
    minutes::Minute,
    windows::{Window, interval},
};
use crate::model::Stamp;
use std::collections::VecDeque;

/// Missed objectives of one kind of change, of one Service or of all Services.
#[derive(Clone, Debug, Default)]
pub struct Misses {
    total: u64,
    /// Number of misses in each interval of the last hour.
    intervals: VecDeque<(u32, u32)>,
}

// === impl Misses ===

impl Misses {
    /// Counts a miss at `now`.
    pub(super) fn count(&mut self, now: Stamp) {
        self.total += 1;
        self.forget(now);
        let interval = interval(now);
        match self.intervals.back_mut() {
            Some((last, count)) if *last >= interval => *count = count.saturating_add(1),
            _ => self.intervals.push_back((interval, 1)),
        }
    }

    /// Misses since the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Misses in a window that ends now.
    pub fn within(&self, window: Window, now: Stamp) -> u64 {
        if window == Window::Start {
            return self.total;
        }
        let first = window.first_interval(now);
        self.intervals.iter().filter(|(interval, _)| *interval >= first).map(|(_, count)| u64::from(*count)).sum()
    }

    /// Misses in one minute of the last hour.
    pub fn during(&self, minute: Minute) -> u64 {
        let intervals = minute.intervals();
        self.intervals
            .iter()
            .filter(|(interval, _)| intervals.contains(interval))
            .map(|(_, count)| u64::from(*count))
            .sum()
    }

    /// Drops data that are older than every window.
    pub(super) fn forget(&mut self, now: Stamp) {
        let first = Window::Hour.first_interval(now);
        while self.intervals.front().is_some_and(|(interval, _)| *interval < first) {
            self.intervals.pop_front();
        }
        if self.intervals.is_empty() {
            self.intervals = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Stamp {
        Stamp::new(Duration::from_secs(seconds))
    }

    #[test]
    fn each_window_counts_its_own_and_the_total_stays() {
        let mut misses = Misses::default();
        for seconds in [5, 8, 100, 3_000] {
            misses.count(at(seconds));
        }
        let shown = |now| Window::ALL.map(|window| misses.within(window, at(now)));
        assert_eq!(shown(3_050), [1, 4, 4]);
        assert_eq!(shown(3_400), [0, 4, 4]);
        assert_eq!(shown(3_620), [0, 2, 4]);
        misses.forget(at(9_000));
        assert!(misses.intervals.is_empty());
        assert_eq!((misses.total(), misses.within(Window::Hour, at(9_000))), (4, 0));
    }
}
