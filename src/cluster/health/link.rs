//! The state of the connection that the watches of a scope share.
//!
//! A connection does not report that it is slow, or that it has stopped delivering. PINGs detect it. If a PING waits for its
//! answer longer than usual, everything that is read in that time or right after it may have been in transit for as long.

use super::round_trips::RoundTrips;
use crate::model::Stamp;
use parking_lot::Mutex;
use std::{
    sync::atomic::{
        AtomicU8, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// After a slow answer, delayed data may still arrive for this long.
const DRAIN: Duration = Duration::from_millis(100);

/// No real stamp of a process has this value.
const NEVER: u64 = u64::MAX;

/// Protocol of the watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: each watch has its own connection.
    Http1,
    /// HTTP/2: all watches share one connection.
    Http2,
}

/// The connection of one scope, as seen from outside.
#[derive(Debug)]
pub struct LinkHealth {
    /// 0 before the first connection, then the protocol's number plus one.
    protocol: AtomicU8,
    /// When the last PING with a normal round trip was sent. [`NEVER`] if there are no PINGs.
    proven: AtomicU64,
    /// When the PING that is not answered yet was sent; [`NEVER`] if there is none.
    waiting: AtomicU64,
    /// When the last slow answer arrived; zero for never.
    slow: AtomicU64,
    /// The usual round trip, from which the limit for a PING is computed.
    bound_nanos: AtomicU64,
    ping_nanos: AtomicU64,
    slow_pings: AtomicU64,
    round_trips: Mutex<RoundTrips>,
}

// === impl Protocol ===

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// The value of the label `protocol`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

// === impl LinkHealth ===

impl Default for LinkHealth {
    fn default() -> Self {
        Self {
            protocol: AtomicU8::new(0),
            proven: AtomicU64::new(NEVER),
            waiting: AtomicU64::new(NEVER),
            slow: AtomicU64::new(0),
            bound_nanos: AtomicU64::new(NEVER),
            ping_nanos: AtomicU64::new(0),
            slow_pings: AtomicU64::new(0),
            round_trips: Mutex::new(RoundTrips::since(Stamp::default())),
        }
    }
}

impl LinkHealth {
    /// A new connection was established at `at`.
    pub fn connected(&self, protocol: Protocol, at: Stamp) {
        self.protocol.store(1 + protocol as u8, Relaxed);
        self.waiting.store(NEVER, Relaxed);
        self.slow.store(0, Relaxed);
        self.bound_nanos.store(NEVER, Relaxed);
        *self.round_trips.lock() = RoundTrips::since(at);
        self.proven.store(if protocol == Protocol::Http2 { at.as_nanos() } else { NEVER }, Release);
    }

    /// The protocol of the last connection; `None` before the first.
    pub fn protocol(&self) -> Option<Protocol> {
        let protocol = self.protocol.load(Relaxed);
        Protocol::ALL.into_iter().find(|known| 1 + *known as u8 == protocol)
    }

    /// A PING is sent at `at`.
    pub fn ping_sent(&self, at: Stamp) {
        self.waiting.store(at.as_nanos(), Relaxed);
    }

    /// The PING that was sent at `sent` is answered at `at`.
    pub fn ping_answered(&self, sent: Stamp, at: Stamp) {
        let took = at.since(sent);
        self.waiting.store(NEVER, Relaxed);
        self.ping_nanos.store(took.as_nanos() as u64, Relaxed);
        if took > Duration::from_nanos(self.bound_nanos.load(Relaxed)) {
            self.slow.store(at.as_nanos(), Relaxed);
            self.slow_pings.fetch_add(1, Relaxed);
        } else {
            // Everything that the server sent before it saw the PING has arrived before the answer.
            self.proven.store(sent.as_nanos(), Release);
        }
        let bound = self.round_trips.lock().add(took, at);
        self.bound_nanos.store(bound.as_nanos() as u64, Relaxed);
    }

    /// The last round trip of a PING; zero if there was none.
    pub fn ping(&self) -> Duration {
        Duration::from_nanos(self.ping_nanos.load(Relaxed))
    }

    /// What a PING may take; `None` before the first answer on a connection.
    pub fn ping_bound(&self) -> Option<Duration> {
        let bound = self.bound_nanos.load(Relaxed);
        (bound != NEVER).then(|| Duration::from_nanos(bound))
    }

    /// PINGs that took much longer than usual.
    pub fn slow_pings(&self) -> u64 {
        self.slow_pings.load(Relaxed)
    }

    /// Everything that was sent on this connection up to this time is known to have arrived. Infinite if this cannot be known.
    pub fn complete_through(&self) -> Stamp {
        Stamp::from_nanos(self.proven.load(Acquire))
    }

    /// The same, or `None` if it cannot be known.
    pub fn proven(&self) -> Option<Stamp> {
        let proven = self.proven.load(Acquire);
        (proven != NEVER).then(|| Stamp::from_nanos(proven))
    }

    /// If data that are read at `at` may have been delayed in transit: the start of the delay.
    pub fn delayed_since(&self, at: Stamp) -> Option<Stamp> {
        let waiting = self.waiting.load(Relaxed);
        let bound = Duration::from_nanos(self.bound_nanos.load(Relaxed));
        let is_waiting = waiting != NEVER && at.since(Stamp::from_nanos(waiting)) > bound;
        let slow = self.slow.load(Relaxed);
        let was_slow = slow != 0 && at.since(Stamp::from_nanos(slow)) < DRAIN;
        (is_waiting || was_slow).then(|| self.complete_through())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Stamp {
        Stamp::from_nanos(millis * 1_000_000)
    }

    /// An HTTP/2 connection with answers to its first PINGs, one second apart.
    fn answered(round_trips: &[u64]) -> LinkHealth {
        let link = LinkHealth::default();
        link.connected(Protocol::Http2, at(0));
        for (second, took) in (1..).zip(round_trips) {
            link.ping_sent(at(second * 1000));
            link.ping_answered(at(second * 1000), at(second * 1000 + took));
        }
        link
    }

    #[test]
    fn an_answered_ping_proves_what_came_before_it_was_sent() {
        let link = answered(&[]);
        assert_eq!((link.complete_through(), link.delayed_since(at(900))), (at(0), None));
        let link = answered(&[4, 2]);
        assert_eq!((link.complete_through(), link.ping()), (at(2000), Duration::from_millis(2)));
        assert_eq!(link.delayed_since(at(2900)), None);
    }

    #[test]
    fn what_comes_while_an_answer_is_overdue_or_right_after_it_was_delayed() {
        let link = answered(&[2, 2]);
        link.ping_sent(at(3000));
        assert_eq!(link.delayed_since(at(3100)), None);
        assert_eq!(link.delayed_since(at(3105)), Some(at(2000)));
        link.ping_answered(at(3000), at(3500));
        assert_eq!((link.complete_through(), link.delayed_since(at(3501))), (at(2000), Some(at(2000))));
        assert_eq!((link.delayed_since(at(3600)), link.slow_pings()), (None, 1));
        link.ping_sent(at(4500));
        link.ping_answered(at(4500), at(4502));
        assert_eq!(link.complete_through(), at(4500));
    }

    #[test]
    fn a_way_that_is_long_is_not_slow() {
        let link = answered(&[200, 210]);
        link.ping_sent(at(3000));
        assert_eq!(link.delayed_since(at(3340)), None);
        // After some time a longer round trip becomes the usual one.
        let link = answered(&[[2; 4].as_slice(), &[300; 6]].concat());
        assert_eq!(link.complete_through(), at(4000));
        let link = answered(&[[2; 4].as_slice(), &[300; 16]].concat());
        assert_eq!(link.complete_through(), at(20_000));
    }

    #[test]
    fn over_http1_nothing_is_proven_and_nothing_doubted() {
        let link = answered(&[2]);
        link.connected(Protocol::Http1, at(2000));
        assert!(link.complete_through() > at(1 << 40));
        assert_eq!((link.delayed_since(at(9000)), link.protocol()), (None, Some(Protocol::Http1)));
    }
}
