//! The state of one step on one node, in four bytes: there is one for each node and step.

use super::report::NodeOutcome;
use std::time::Duration;

/// The state of one step on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u32);

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The node need not follow.
    Absent,
    /// The node has not shown the step.
    Open,
    /// In effect, this long after the step's start.
    InEffect(Duration),
    /// It ended otherwise.
    Ended(NodeOutcome),
}

/// Values above this are not a delay.
const LONGEST: u32 = u32::MAX - 16;

// === impl Mark ===

impl Mark {
    pub(super) const ABSENT: Self = Self(u32::MAX);
    pub(super) const OPEN: Self = Self(u32::MAX - 1);
    const ENDED: u32 = LONGEST + 1;

    /// In effect after this delay, in microseconds. A delay of more than an hour is shown as 71 minutes.
    pub(super) fn in_effect(delay: Duration) -> Self {
        Self(u32::try_from(delay.as_micros()).unwrap_or(LONGEST).min(LONGEST))
    }

    /// Ended without a delay.
    pub(super) fn ended(outcome: NodeOutcome) -> Self {
        Self(Self::ENDED + outcome as u32)
    }

    pub(super) fn state(self) -> State {
        match self {
            Self::ABSENT => State::Absent,
            Self::OPEN => State::Open,
            Self(delay @ 0..=LONGEST) => State::InEffect(Duration::from_micros(delay.into())),
            Self(ended) => State::Ended(NodeOutcome::ALL[(ended - Self::ENDED) as usize]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_told_from_the_others() {
        let delay = Duration::from_micros(1_234_567);
        assert_eq!(Mark::in_effect(delay).state(), State::InEffect(delay));
        assert_eq!(Mark::in_effect(Duration::from_secs(7200)).state(), Mark(LONGEST).state());
        assert_eq!((Mark::ABSENT.state(), Mark::OPEN.state()), (State::Absent, State::Open));
        for outcome in NodeOutcome::ALL {
            assert_eq!(Mark::ended(outcome).state(), State::Ended(outcome));
        }
    }
}
