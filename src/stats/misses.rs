//! Missed objectives, in all and in the windows before now.

use super::{
    minutes::Minute,
    windows::{Window, slice},
};
use crate::model::Stamp;
use std::collections::VecDeque;

/// Missed objectives of one kind of change, of one Service or of all.
#[derive(Clone, Debug, Default)]
pub struct Misses {
    total: u64,
    /// How many in which slice of the last hour.
    slices: VecDeque<(u32, u32)>,
}

// === impl Misses ===

impl Misses {
    /// Counts one that was seen at `now`.
    pub(super) fn count(&mut self, now: Stamp) {
        self.total += 1;
        self.forget(now);
        let slice = slice(now);
        match self.slices.back_mut() {
            Some((last, count)) if *last >= slice => *count = count.saturating_add(1),
            _ => self.slices.push_back((slice, 1)),
        }
    }

    /// Since counting began.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// In a window that ends now.
    pub fn within(&self, window: Window, now: Stamp) -> u64 {
        if window == Window::Start {
            return self.total;
        }
        let first = window.first_slice(now);
        self.slices.iter().filter(|(slice, _)| *slice >= first).map(|(_, count)| u64::from(*count)).sum()
    }

    /// In a minute of the last hour.
    pub fn during(&self, minute: Minute) -> u64 {
        let slices = minute.slices();
        self.slices.iter().filter(|(slice, _)| slices.contains(slice)).map(|(_, count)| u64::from(*count)).sum()
    }

    /// Drops what no window reaches any more.
    pub(super) fn forget(&mut self, now: Stamp) {
        let first = Window::Hour.first_slice(now);
        while self.slices.front().is_some_and(|(slice, _)| *slice < first) {
            self.slices.pop_front();
        }
        if self.slices.is_empty() {
            self.slices = VecDeque::new();
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
        assert!(misses.slices.is_empty());
        assert_eq!((misses.total(), misses.within(Window::Hour, at(9_000))), (4, 0));
    }
}
