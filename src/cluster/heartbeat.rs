//! Whether the thread that reads the sockets runs: a process that is stopped, throttled, swapped out or suspended does not know of it
//! but by its clock.
//!
//! What is read after such a time may have lain in the socket all along, and its stamp would be the time at which the process went on.

use crate::{cluster::clock::Clock, model::Stamp};
use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};
use tokio::time::MissedTickBehavior;

/// Between two beats. Each costs a wake-up, which is most of what the daemon costs where nothing happens.
const PERIOD: Duration = Duration::from_millis(20);

/// How late a beat may be. A busy machine makes a thread wait for tens of milliseconds, and a stamp that is wrong by no more than
/// that is still of use.
const TOLERANCE: Duration = Duration::from_millis(50);

/// How long after the thread runs again it may take to come to all that lay in the sockets.
const DRAIN: Duration = Duration::from_millis(100);

/// A time in which the thread did not run that is worth a line in the log, and how often there is one at most.
const LONG: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(60);

/// The beat of the thread that reads the sockets.
#[derive(Debug)]
pub struct Heartbeat {
    clock: Clock,
    /// The last beat.
    last: AtomicU64,
    /// The last beat before which nothing lay unread.
    read_through: AtomicU64,
    /// The end of the last stall; zero if there was none.
    stall_ended: AtomicU64,
    stalls: AtomicU64,
    stalled_nanos: AtomicU64,
    /// When a stall was logged last; zero for never.
    logged: AtomicU64,
}

// === impl Heartbeat ===

impl Heartbeat {
    /// Of a thread that runs now.
    pub fn new(clock: Clock) -> Self {
        let now = clock.now().as_nanos();
        Self {
            clock,
            last: AtomicU64::new(now),
            read_through: AtomicU64::new(now),
            stall_ended: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            stalled_nanos: AtomicU64::new(0),
            logged: AtomicU64::new(0),
        }
    }

    /// Beats for ever, on the thread in question.
    pub async fn run(&self) {
        let mut beats = tokio::time::interval(PERIOD);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            self.beat(self.clock.now());
        }
    }

    /// All that was read and stamped before this time has been handed over, unless its watch says otherwise: a beat has its turn when
    /// no reader is at work, and time stands still where the thread did not run.
    pub fn read_through(&self) -> Stamp {
        Stamp::from_nanos(self.read_through.load(Acquire))
    }

    /// If what is read at `at` may have lain unread because the thread did not run: since when.
    pub fn unread_since(&self, at: Stamp) -> Option<Stamp> {
        let silent = at.since(Stamp::from_nanos(self.last.load(Relaxed))) > PERIOD + TOLERANCE;
        (silent || self.is_draining(at)).then(|| self.read_through())
    }

    /// How often the thread did not run.
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    /// How long the thread did not run, all in all.
    pub fn stalled(&self) -> Duration {
        Duration::from_nanos(self.stalled_nanos.load(Relaxed))
    }

    fn is_draining(&self, at: Stamp) -> bool {
        let ended = self.stall_ended.load(Relaxed);
        ended != 0 && at.since(Stamp::from_nanos(ended)) < DRAIN
    }

    fn beat(&self, at: Stamp) {
        let late = at.since(Stamp::from_nanos(self.last.swap(at.as_nanos(), AcqRel))).saturating_sub(PERIOD);
        if late > TOLERANCE {
            self.stall_ended.store(at.as_nanos(), Relaxed);
            self.stalls.fetch_add(1, Relaxed);
            self.stalled_nanos.fetch_add(late.as_nanos() as u64, Relaxed);
            self.say(at, late);
        }
        if !self.is_draining(at) {
            self.read_through.store(at.as_nanos(), Release);
        }
    }

    fn say(&self, at: Stamp, late: Duration) {
        let logged = self.logged.load(Relaxed);
        if late < LONG || (logged != 0 && at.since(Stamp::from_nanos(logged)) < QUIET) {
            return;
        }
        self.logged.store(at.as_nanos(), Relaxed);
        let seconds = late.as_secs_f64();
        tracing::warn!(seconds, "this process did not run: changes in this time end censored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Stamp {
        Stamp::new(Duration::from_millis(millis))
    }

    /// A heart that has beaten up to 1 s.
    fn beating() -> Heartbeat {
        let heartbeat = Heartbeat::new(Clock::start());
        (0..=100).for_each(|beat| heartbeat.beat(at(beat * 10)));
        heartbeat
    }

    #[test]
    fn what_is_read_while_it_beats_is_read_as_it_comes() {
        let heartbeat = beating();
        assert_eq!((heartbeat.read_through(), heartbeat.unread_since(at(1005))), (at(1000), None));
        // A busy machine.
        assert_eq!(heartbeat.unread_since(at(1055)), None);
        heartbeat.beat(at(1055));
        assert_eq!((heartbeat.read_through(), heartbeat.unread_since(at(1056))), (at(1055), None));
        assert_eq!((heartbeat.stalls(), heartbeat.stalled()), (0, Duration::ZERO));
    }

    #[test]
    fn what_is_read_after_a_stall_may_have_lain_since_the_beat_before_it() {
        let heartbeat = beating();
        // Whichever comes to its turn first, a reader or the beat.
        assert_eq!(heartbeat.unread_since(at(9000)), Some(at(1000)));
        heartbeat.beat(at(9001));
        assert_eq!(heartbeat.unread_since(at(9002)), Some(at(1000)));
        assert_eq!(heartbeat.read_through(), at(1000), "time stands still until all is read");
        (0..10).for_each(|beat| heartbeat.beat(at(9010 + beat * 10)));
        assert_eq!((heartbeat.read_through(), heartbeat.unread_since(at(9101))), (at(1000), None));
        heartbeat.beat(at(9110));
        assert_eq!((heartbeat.read_through(), heartbeat.unread_since(at(9111))), (at(9110), None));
        assert_eq!((heartbeat.stalls(), heartbeat.stalled()), (1, Duration::from_millis(7981)));
    }

    #[test]
    fn a_process_that_is_stopped_again_and_again_is_never_believed() {
        let heartbeat = beating();
        for round in 0..20 {
            let runs = at(1090 + round * 100);
            assert_eq!(heartbeat.unread_since(runs), Some(at(1000)));
            heartbeat.beat(runs);
            assert_eq!(heartbeat.unread_since(runs.plus(PERIOD)), Some(at(1000)));
            heartbeat.beat(runs.plus(PERIOD));
        }
    }
}
