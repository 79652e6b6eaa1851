//! Whether a watch delivers events as they happen.

use crate::{cluster::decode::ReplayBound, model::Stamp};
use std::time::Duration;

/// How long after everything was read the server may still send delayed events. The server knows a version before each of its
/// watches has delivered it, and it must first learn that the window has room again. Both take milliseconds; on a busy server
/// they take longer.
pub(super) const SETTLE: Duration = Duration::from_millis(300);

/// What is known about the stamps of a stream.
#[derive(Debug)]
pub(super) struct Sight {
    phase: Phase,
    /// The version that was current when the watch was established. No delay is computed from events up to it.
    bound: Option<u64>,
    /// When the stream first delivered events as they happened.
    clear: Option<Stamp>,
    /// How long this must last before the watch counts as synced.
    proof: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The current version is not known yet, so any event may be a replay.
    Replaying {
        /// The data that are read have also waited unread.
        behind: bool,
    },
    /// The data that are read have waited unread, until there is nothing more to read.
    Behind,
    /// Everything was read at `since`.
    Settling {
        since: Stamp,
        /// Events that arrive may have waited at the server.
        late: bool,
    },
    /// Events are read as they happen.
    Clear,
}

// === impl Sight ===

impl Sight {
    /// For a new connection, which must be healthy for this long before it counts as synced.
    pub(super) fn connected(proof: Duration) -> Self {
        Self { phase: Phase::Replaying { behind: false }, bound: None, clear: None, proof }
    }

    /// The current version became known at `at`.
    pub(super) fn establish(&mut self, version: u64, at: Stamp) {
        self.bound = Some(version);
        self.phase = match self.phase {
            Phase::Replaying { behind: false } => Phase::Settling { since: at, late: false },
            _ => Phase::Behind,
        };
    }

    /// Whether the current version is not known yet.
    pub(super) fn is_replaying(&self) -> bool {
        self.bound.is_none()
    }

    /// The data that are read from now on have waited unread.
    pub(super) fn fall_behind(&mut self) {
        self.phase = match self.phase {
            Phase::Replaying { .. } => Phase::Replaying { behind: true },
            Phase::Behind | Phase::Settling { .. } | Phase::Clear => Phase::Behind,
        };
    }

    /// Whether the caller should report when there is nothing more to read.
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

    /// Which of the events that are read now are a replay.
    pub(super) fn replay_bound(&self) -> ReplayBound {
        match (self.phase, self.bound) {
            (Phase::Settling { late: false, .. } | Phase::Clear, Some(version)) => ReplayBound::UpTo(version),
            _ => ReplayBound::All,
        }
    }

    /// Time until the state becomes clear, if nothing else happens.
    fn settles_in(&self, at: Stamp) -> Option<Duration> {
        match self.phase {
            Phase::Settling { since, .. } => Some(SETTLE.saturating_sub(at.since(since))),
            Phase::Replaying { .. } | Phase::Behind | Phase::Clear => None,
        }
    }

    /// Time until the state changes by time alone.
    pub(super) fn changes_in(&self, at: Stamp) -> Option<Duration> {
        let proven = self.clear_for(at).and_then(|clear| self.proof.checked_sub(clear)).filter(|left| !left.is_zero());
        self.settles_in(at).into_iter().chain(proven).min()
    }

    /// Whether it has been healthy for long enough to count as synced.
    pub(super) fn is_proven(&self, at: Stamp) -> bool {
        self.clear_for(at).is_some_and(|clear| clear >= self.proof)
    }

    /// Lets time pass. Returns whether the state became clear.
    pub(super) fn settle(&mut self, at: Stamp) -> bool {
        let settled = self.settles_in(at).is_some_and(|left| left.is_zero());
        if settled {
            self.phase = Phase::Clear;
            self.clear = self.clear.or(Some(at));
        }
        settled
    }

    /// How long before `at` the stream first became clear; `None` if it never did.
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
        // A list that was read to its end before the version was known.
        let mut sight = Sight::connected(Duration::ZERO);
        sight.fall_behind();
        sight.drain(at(0));
        sight.establish(7, at(10));
        assert_eq!((sight.replay_bound(), sight.settle(at(310))), (ReplayBound::UpTo(7), true));
    }
}
