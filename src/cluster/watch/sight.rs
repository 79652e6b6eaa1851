//! Whether what a watch reads is told as it happens.

use crate::{cluster::decode::ReplayBound, model::Stamp};
use std::time::Duration;

/// How long after all was read something may still come that lay at the server: the server knows a version some time before each of its
/// watches has told of it, and has to be told first that there is room again. Both take milliseconds; a busy server takes more.
pub(super) const SETTLE: Duration = Duration::from_millis(300);

/// What is known about the stamps of a stream.
#[derive(Debug)]
pub(super) struct Sight {
    phase: Phase,
    /// The version that was current once the watch was established: nothing up to it is timed.
    bound: Option<u64>,
    /// When all was told as it happened for the first time.
    clear: Option<Stamp>,
    /// How long that has to last before the watch is said to be synced.
    proof: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Which version was current is not known yet: anything may be a replay.
    Replaying {
        /// What is read has lain unread besides.
        behind: bool,
    },
    /// What is read has lain unread, until there is nothing more to read.
    Behind,
    /// All was read at `since`.
    Settling {
        since: Stamp,
        /// What comes may have lain at the server.
        late: bool,
    },
    /// Whatever comes is read as it happens.
    Clear,
}

// === impl Sight ===

impl Sight {
    /// Of a connection that has just been made, and has to hold for so long before it is believed to.
    pub(super) fn connected(proof: Duration) -> Self {
        Self { phase: Phase::Replaying { behind: false }, bound: None, clear: None, proof }
    }

    /// Which version was current is known at `at`.
    pub(super) fn establish(&mut self, version: u64, at: Stamp) {
        self.bound = Some(version);
        self.phase = match self.phase {
            Phase::Replaying { behind: false } => Phase::Settling { since: at, late: false },
            _ => Phase::Behind,
        };
    }

    /// Whether that version is still to be known.
    pub(super) fn is_replaying(&self) -> bool {
        self.bound.is_none()
    }

    /// What is read from now on has lain unread.
    pub(super) fn fall_behind(&mut self) {
        self.phase = match self.phase {
            Phase::Replaying { .. } => Phase::Replaying { behind: true },
            Phase::Behind | Phase::Settling { .. } | Phase::Clear => Phase::Behind,
        };
    }

    /// Whether it matters when there is nothing more to read.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self.phase, Phase::Behind | Phase::Replaying { behind: true })
    }

    /// There is nothing more to read at `at`.
    pub(super) fn drain(&mut self, at: Stamp) {
        self.phase = match self.phase {
            Phase::Replaying { .. } => Phase::Replaying { behind: false },
            Phase::Behind => Phase::Settling { since: at, late: true },
            other => other,
        };
    }

    /// Which events of those that are read now are a replay.
    pub(super) fn replay_bound(&self) -> ReplayBound {
        match (self.phase, self.bound) {
            (Phase::Settling { late: false, .. } | Phase::Clear, Some(version)) => ReplayBound::UpTo(version),
            _ => ReplayBound::All,
        }
    }

    /// How long until it is clear, if nothing comes between.
    fn settles_in(&self, at: Stamp) -> Option<Duration> {
        match self.phase {
            Phase::Settling { since, .. } => Some(SETTLE.saturating_sub(at.since(since))),
            Phase::Replaying { .. } | Phase::Behind | Phase::Clear => None,
        }
    }

    /// How long until time alone makes a difference.
    pub(super) fn changes_in(&self, at: Stamp) -> Option<Duration> {
        let proven = self.clear_for(at).and_then(|clear| self.proof.checked_sub(clear)).filter(|left| !left.is_zero());
        self.settles_in(at).into_iter().chain(proven).min()
    }

    /// Whether it has held for long enough to be believed.
    pub(super) fn is_proven(&self, at: Stamp) -> bool {
        self.clear_for(at).is_some_and(|clear| clear >= self.proof)
    }

    /// Time passes. Returns whether that made it clear.
    pub(super) fn settle(&mut self, at: Stamp) -> bool {
        let settled = self.settles_in(at).is_some_and(|left| left.is_zero());
        if settled {
            self.phase = Phase::Clear;
            self.clear = self.clear.or(Some(at));
        }
        settled
    }

    /// For how long it had been clear at `at`, or at least been so before; `None` if it never was.
    pub(super) fn clear_for(&self, at: Stamp) -> Option<Duration> {
        self.clear.map(|since| at.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Stamp {
        Stamp::new(Duration::from_millis(millis))
    }

    #[test]
    fn a_connection_is_clear_some_time_after_its_version_is_known() {
        let mut sight = Sight::connected(Duration::ZERO);
        assert_eq!((sight.replay_bound(), sight.settle(at(10_000))), (ReplayBound::All, false));
        sight.establish(7, at(100));
        assert_eq!((sight.replay_bound(), sight.settle(at(399))), (ReplayBound::UpTo(7), false));
        assert_eq!(sight.clear_for(at(399)), None);
        assert!(sight.settle(at(400)));
        assert_eq!((sight.replay_bound(), sight.settle(at(401))), (ReplayBound::UpTo(7), false));
        sight.fall_behind();
        assert_eq!(sight.clear_for(at(500)), Some(Duration::from_millis(100)), "it had been, at least");
    }

    #[test]
    fn what_has_lain_is_late_until_all_is_read_and_the_rest_has_come() {
        let mut sight = Sight::connected(Duration::ZERO);
        sight.establish(7, at(0));
        assert!(sight.settle(at(1000)));
        sight.fall_behind();
        assert_eq!((sight.replay_bound(), sight.is_behind(), sight.settle(at(9000))), (ReplayBound::All, true, false));
        sight.drain(at(9000));
        assert_eq!((sight.replay_bound(), sight.is_behind()), (ReplayBound::All, false));
        assert_eq!(sight.changes_in(at(9100)), Some(SETTLE - Duration::from_millis(100)));
        assert!(sight.settle(at(9300)));
        assert_eq!(sight.replay_bound(), ReplayBound::UpTo(7));
    }

    #[test]
    fn a_connection_that_is_doubted_is_believed_once_it_has_held() {
        let mut sight = Sight::connected(Duration::from_secs(5));
        sight.establish(7, at(0));
        assert!(sight.settle(at(300)));
        assert_eq!((sight.is_proven(at(5299)), sight.is_proven(at(5300))), (false, true));
        assert_eq!(sight.changes_in(at(300)), Some(Duration::from_secs(5)));
        assert_eq!(sight.changes_in(at(5300)), None);
        let mut sight = Sight::connected(Duration::ZERO);
        assert!(!sight.is_proven(at(9000)));
        sight.establish(7, at(9000));
        assert!(sight.settle(at(9300)) && sight.is_proven(at(9300)));
    }

    #[test]
    fn a_replay_that_has_lain_is_both() {
        let mut sight = Sight::connected(Duration::ZERO);
        sight.fall_behind();
        sight.establish(7, at(0));
        assert_eq!((sight.replay_bound(), sight.settle(at(9000))), (ReplayBound::All, false));
        sight.drain(at(9000));
        assert!(sight.settle(at(9300)));
        // A list that was read to its end before anybody knew the version.
        let mut sight = Sight::connected(Duration::ZERO);
        sight.fall_behind();
        sight.drain(at(0));
        sight.establish(7, at(10));
        assert_eq!((sight.replay_bound(), sight.settle(at(310))), (ReplayBound::UpTo(7), true));
    }
}
