//! How long pods took to start, as far as their status tells.
//!
//! A condition has only its last transition. So a pod that was unready in between seems to have started until then.

use crate::model::spec::StartTimes;
use std::collections::BTreeMap;

/// A start that seems to have taken longer, in seconds, is more likely a pod that was unready in between.
const LONGEST: i64 = 900;

/// Pods that turn ready within this many seconds of each other may have a common cause: what they all need has come back.
const TOGETHER: i64 = 5;

/// If they also started this much further apart, in seconds, they have one.
const APART: i64 = 30;

/// The start of a pod that has not restarted. Times are whole seconds since 1970, as the kubelet writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// When its last container started.
    pub(super) began: i64,
    /// When all its containers were ready, if they are now.
    pub(super) containers_ready: Option<i64>,
    /// When it was Ready, if it is now: after its readiness gates.
    pub(super) ready: Option<i64>,
}

/// The starts of the pods of one owner.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts(Vec<Start>);

// === impl Starts ===

impl Starts {
    pub(super) fn add(&mut self, start: Option<Start>) {
        self.0.extend(start);
    }

    /// Until all containers were ready.
    pub(super) fn containers_ready(&self) -> Option<StartTimes> {
        self.times(|start| start.containers_ready)
    }

    /// Until the pods were Ready.
    pub(super) fn ready(&self) -> Option<StartTimes> {
        self.times(|start| start.ready)
    }

    fn times(&self, end: fn(&Start) -> Option<i64>) -> Option<StartTimes> {
        let ends = || self.0.iter().filter_map(|start| Some((start.began, end(start)?)));
        // By the second of the end: when the first and the last of these pods began.
        let mut began_of: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for (began, end) in ends() {
            let (first, last) = began_of.entry(end).or_insert((began, began));
            (*first, *last) = (began.min(*first), began.max(*last));
        }
        let has_common_cause = |began: i64, end: i64| {
            began_of.range(end - TOGETHER..=end + TOGETHER).any(|(other, (first, last))| {
                let least = APART + (other - end).abs();
                began - first >= least || last - began >= least
            })
        };
        let starts = ends().filter(|(began, end)| !has_common_cause(*began, *end)).map(|(began, end)| end - began);
        let starts = starts.filter(|took| (0..=LONGEST).contains(took));
        StartTimes::of(starts.filter_map(|took| u32::try_from(took).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of pods, the median and the longest of pods that began and ended then.
    fn times(pods: &[(i64, i64)]) -> Option<(u32, u32, u32)> {
        let mut starts = Starts::default();
        for &(began, end) in pods {
            starts.add(Some(Start { began, containers_ready: None, ready: Some(end) }));
        }
        starts.add(None);
        assert_eq!(starts.containers_ready(), None);
        starts.ready().map(|times| (times.pods, times.median, times.longest))
    }

    #[test]
    fn pods_that_turn_ready_together_and_started_apart_have_no_start() {
        // One after the other, as in a rollout, and all at once.
        assert_eq!(times(&[(0, 20), (25, 45), (50, 70)]), Some((3, 20, 20)));
        assert_eq!(times(&[(0, 70), (0, 71), (29, 71)]), Some((3, 70, 71)));
        // A database was away until second 400.
        assert_eq!(times(&[(0, 400), (60, 402), (120, 405)]), None);
        assert_eq!(times(&[(0, 400), (60, 402), (120, 405), (500, 510)]), Some((1, 10, 10)));
        // The limits.
        assert_eq!(times(&[(0, 100), (30, 100)]), None);
        assert_eq!(times(&[(0, 100), (29, 100)]), Some((2, 71, 100)));
        assert_eq!(times(&[(0, 100), (35, 105)]), None);
        assert_eq!(times(&[(0, 100), (34, 105)]), Some((2, 71, 100)));
        assert_eq!(times(&[(0, 100), (60, 106)]), Some((2, 46, 100)));
        // One that is too old to be a start tells of the others.
        assert_eq!(times(&[(0, 10_000), (9_800, 10_001), (20_000, 20_007)]), Some((1, 7, 7)));
    }

    #[test]
    fn what_takes_longer_than_fifteen_minutes_is_no_start() {
        assert_eq!(times(&[(0, 900), (2_000, 2_901), (4_000, 3_999)]), Some((1, 900, 900)));
    }
}
