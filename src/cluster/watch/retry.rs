//! When to retry a watch, and whether it is healthy.

use crate::cluster::health::{Failure, Restart};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// A watch that delivered events as they happened for this long was healthy. It is retried at once.
pub(super) const SOUND: Duration = Duration::from_secs(5);

/// Maximum pause between two attempts.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// This number of consecutive watches that ended before they were healthy is not a coincidence. A server that sends away one
/// client in fifty, which Kubernetes allows, sends away the same client three times in a row once in a hundred thousand times.
const DOUBTED: u32 = 3;

/// The attempts of one watch. The pauses between them grow until a watch is healthy again. The duration of an attempt does not
/// matter, because a server may take long to answer with an error.
#[derive(Debug)]
pub(super) struct Retry {
    pauses: ExponentialBackoff,
    /// Number of consecutive watches that were established, and ended before they were healthy.
    lost: u32,
}

// === impl Retry ===

impl Default for Retry {
    fn default() -> Self {
        Self { pauses: pauses().build(), lost: 0 }
    }
}

impl Retry {
    /// A watch has ended. It delivered events as they happened for this long; `None` if never.
    pub(super) fn ended(&mut self, held: Option<Duration>) -> bool {
        let was_sound = held.is_some_and(|held| held >= SOUND);
        if was_sound {
            *self = Self::default();
        } else {
            self.lost += 1;
        }
        was_sound
    }

    /// How long the next watch must deliver events as they happen before it counts as synced.
    pub(super) fn proof(&self) -> Duration {
        if self.lost >= DOUBTED { SOUND } else { Duration::ZERO }
    }

    /// The failure of a watch that ended, and was `clear` before or not. If several watches in a row have ended early, the
    /// failure says so.
    pub(super) fn doubt(&self, clear: bool, restart: Restart, failure: Option<Failure>) -> Option<Failure> {
        if self.lost < DOUBTED || !clear && failure.is_some() {
            return failure;
        }
        let why = failure.map_or_else(|| restart.as_str().to_owned(), |failure| failure.to_string());
        let (times, sound) = (self.lost, SOUND.as_secs());
        Some(Failure::new(format!("the watch keeps ending: the last {times} ended within {sound} s ({why})")))
    }

    /// The pause before the next attempt, if the server asks the client to wait for `asked`.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        asked.unwrap_or_default().min(LONGEST_DELAY) + self.pauses.next().unwrap_or(LONGEST_DELAY)
    }
}

/// Growing pauses with jitter, so that daemons that lost their server at the same time do not return at the same time.
pub(super) fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(LONGEST_DELAY)
        .without_max_times()
        .with_jitter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next pauses.
    fn next(retry: &mut Retry, pauses: usize) -> Vec<Duration> {
        (0..pauses).map(|_| retry.pause(None)).collect()
    }

    #[test]
    fn pauses_grow_until_a_watch_is_in_order() {
        let mut retry = Retry::default();
        let pauses = next(&mut retry, 20);
        assert!(pauses[0] < Duration::from_millis(500) && pauses[6] >= Duration::from_secs(16), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= 2 * LONGEST_DELAY), "{pauses:?}");
        for held in [None, Some(SOUND / 2)] {
            assert!(!retry.ended(held));
            assert!(retry.pause(None) >= LONGEST_DELAY);
        }
        assert!(retry.ended(Some(SOUND)));
        assert!(retry.pause(None) < Duration::from_millis(500));
    }

    #[test]
    fn a_watch_that_is_lost_again_and_again_has_to_prove_itself() {
        let mut retry = Retry::default();
        let doubt = |retry: &Retry| retry.doubt(true, Restart::Closed, None).map(|failure| failure.to_string());
        for held in [Some(Duration::ZERO), None] {
            retry.ended(held);
            assert_eq!((retry.proof(), doubt(&retry)), (Duration::ZERO, None));
        }
        retry.ended(Some(SOUND / 2));
        assert_eq!(retry.proof(), SOUND);
        assert_eq!(doubt(&retry).as_deref(), Some("the watch keeps ending: the last 3 ended within 5 s (closed)"));
        let malformed = Some(Failure::new("no sense"));
        assert_eq!(retry.doubt(false, Restart::Malformed, malformed.clone()), malformed, "it says enough");
        assert_ne!(retry.doubt(true, Restart::Malformed, malformed.clone()), malformed);
        retry.ended(Some(SOUND));
        assert_eq!((retry.proof(), doubt(&retry)), (Duration::ZERO, None));
    }

    #[test]
    fn a_server_that_asks_to_be_left_alone_is_within_reason() {
        let seven = Duration::from_secs(7);
        let pause = Retry::default().pause(Some(seven));
        assert!(pause > seven && pause < seven + Duration::from_millis(500), "{pause:?}");
        assert!(Retry::default().pause(Some(Duration::MAX)) < LONGEST_DELAY + Duration::from_millis(500));
    }
}
