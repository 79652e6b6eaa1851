//! Checks whether the thread that reads the sockets runs. A process that is stopped, throttled, swapped out or suspended can
//! detect this only by its clock.
//!
//! After such a time, data may have waited in the socket, and their stamp would be the time at which the process continued.

use crate::{cluster::clock::Clock, model::Stamp};
use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::MissedTickBehavior};

/// Time between two beats. Each beat costs a wake-up, which is most of the daemon's cost when nothing happens.
pub const PERIOD: Duration = Duration::from_millis(20);

/// How late a beat may be. On a busy machine a thread may wait for tens of milliseconds. A stamp with an error of this size is
/// still useful.
const TOLERANCE: Duration = Duration::from_millis(50);

/// How long the thread may take, after it runs again, to read everything that waited in the sockets.
const DRAIN: Duration = Duration::from_millis(100);

/// Minimum length of a stall for a line in the log, and minimum time between two such lines.
const LONG: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(60);

/// The heartbeat of the thread that reads the sockets.
#[derive(Debug)]
pub struct Heartbeat {
    clock: Clock,
    /// Tells those who wait for a beat.
    beaten: Notify,
    /// The last beat.
    last: AtomicU64,
    /// The last beat before which no data waited unread.
    read_through: AtomicU64,
    /// The end of the last stall; zero if there was none.
    stall_ended: AtomicU64,
    stalls: AtomicU64,
    stalled_nanos: AtomicU64,
    /// When a stall was last logged; zero for never.
    logged: AtomicU64,
}

// === impl Heartbeat ===

impl Heartbeat {
    /// For a thread that runs now.
    pub fn new(clock: Clock) -> Self {
        let now = clock.now().as_nanos();
        Self {
            clock,
            beaten: Notify::new(),
            last: AtomicU64::new(now),
            read_through: AtomicU64::new(now),
            stall_ended: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            stalled_nanos: AtomicU64::new(0),
            logged: AtomicU64::new(0),
        }
    }

    /// Beats forever, on the thread that it checks.
    pub async fn run(&self) {
        let mut beats = tokio::time::interval(PERIOD);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            self.beat(self.clock.now());
            self.beaten.notify_waiters();
        }
    }

    /// Completes with the next beat. What is done then needs no wake-up of its own.
    pub async fn next(&self) {
        self.beaten.notified().await;
    }

    /// The clock of the beats.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Everything that was read and stamped before this time has been delivered, unless its watch says otherwise. A beat runs
    /// only when no reader runs, and the time does not advance while the thread does not run.
    pub fn read_through(&self) -> Stamp {
        Stamp::from_nanos(self.read_through.load(Acquire))
    }

    /// If data that are read at `at` may have waited because the thread did not run: the start of that time.
    pub fn unread_since(&self, at: Stamp) -> Option<Stamp> {
        let silent = at.since(Stamp::from_nanos(self.last.load(Relaxed))) > PERIOD + TOLERANCE;
        (silent || self.is_draining(at)).then(|| self.read_through())
    }

    /// How often the thread did not run.
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Relaxed)
    }

    /// Total time in which the thread did not run.
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

    /// A heartbeat that has beaten up to 1 s.
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
        // Whether the reader or the beat runs first.
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
