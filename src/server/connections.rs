//! The connections of a port: their number is limited, and there is room for each new one.

use super::http_metrics::{Dropped, HttpMetrics};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// How long a connection has to send its request before it may have to make room for another one.
const CHANCE: Duration = Duration::from_millis(100);

/// The open connections of a port.
///
/// A new one is always accepted, so that a probe is always answered. If there is no room, the connection that has waited
/// longest for a request is closed. If all are being answered, the one with the oldest request is closed.
#[derive(Debug)]
pub(super) struct Connections {
    bound: usize,
    http_metrics: Arc<HttpMetrics>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Number of the next one.
    next: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
}

/// An open connection, and the state that its parts share.
#[derive(Debug)]
pub(super) struct Connection {
    progress: Mutex<Progress>,
    /// Notified when it must make room.
    leave: Notify,
}

#[derive(Debug)]
struct Progress {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// Bytes were read since the last answer.
    heard: bool,
    /// At least one request was answered.
    answered: bool,
    /// Its peer did not take the answer in time.
    slow_reader: bool,
}

/// The phase of a connection, in the order in which they make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Waits for the TLS handshake, or for a request.
    Waiting,
    /// A request is being answered.
    Answering,
    /// The answer is being sent.
    Sending,
}

/// Counts a connection among the open ones until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    connections: Arc<Connections>,
    number: u64,
    /// The connection.
    pub(super) connection: Arc<Connection>,
}

// === impl Connections ===

impl Connections {
    pub(super) fn new(bound: usize, http_metrics: Arc<HttpMetrics>) -> Arc<Self> {
        Arc::new(Self { bound, http_metrics, open: Mutex::default() })
    }

    /// Completes when a connection can be accepted without closing one that has only just come, whose request may not have been read yet.
    pub(super) async fn give_chance(&self) {
        while let Some(since) = self.next_to_leave() {
            let left = CHANCE.saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Since when the connection has waited for a request that would have to make room now. `None` if none would.
    fn next_to_leave(&self) -> Option<Instant> {
        let open = self.open.lock();
        let number = open.dispensable().filter(|_| open.connections.len() >= self.bound)?;
        let progress = open.connections.get(&number)?.progress.lock();
        (progress.phase == Phase::Waiting).then_some(progress.since)
    }

    /// Accepts a connection.
    pub(super) fn enter(self: &Arc<Self>) -> ConnectionGuard {
        let connection = Arc::new(Connection::new());
        let mut open = self.open.lock();
        if open.connections.len() >= self.bound
            && let Some(number) = open.dispensable()
            && let Some(dispensable) = open.connections.remove(&number)
        {
            dispensable.leave.notify_one();
            self.http_metrics.count_dropped(Dropped::MadeRoom);
        }
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, connection.clone());
        ConnectionGuard { connections: self.clone(), number, connection }
    }
}

// === impl Open ===

impl Open {
    /// The connection that must make room. Answers in progress and answers being sent rank the same: both may be stuck.
    fn dispensable(&self) -> Option<u64> {
        let rank = |(number, connection): (&u64, &Arc<Connection>)| {
            let progress = connection.progress.lock();
            (progress.phase != Phase::Waiting, progress.since, *number)
        };
        self.connections.iter().map(rank).min().map(|(_, _, number)| number)
    }
}

// === impl Connection ===

impl Connection {
    fn new() -> Self {
        let progress = Progress {
            phase: Phase::Waiting,
            since: Instant::now(),
            heard: false,
            answered: false,
            slow_reader: false,
        };
        Self { progress: Mutex::new(progress), leave: Notify::new() }
    }

    /// Completes when it must make room.
    pub(super) async fn must_leave(&self) {
        self.leave.notified().await;
    }

    /// A request came.
    pub(super) fn note_request(&self) {
        self.progress.lock().enter(Phase::Answering);
    }

    /// Its answer is ready.
    pub(super) fn note_answer(&self) {
        let mut progress = self.progress.lock();
        // `since` stays: the total time of the request counts.
        progress.phase = Phase::Sending;
        progress.answered = true;
    }

    /// Everything was sent.
    pub(super) fn note_flushed(&self) {
        let mut progress = self.progress.lock();
        if progress.phase == Phase::Sending {
            progress.enter(Phase::Waiting);
            progress.heard = false;
        }
    }

    /// Bytes were read.
    pub(super) fn note_heard(&self) {
        self.progress.lock().heard = true;
    }

    /// Its peer did not take the answer in time.
    pub(super) fn note_slow_reader(&self) {
        self.progress.lock().slow_reader = true;
    }

    /// Whether bytes were read since the last answer.
    pub(super) fn was_heard(&self) -> bool {
        self.progress.lock().heard
    }

    /// Why it ended with this error. `None` if the peer just left, or stayed idle between requests.
    pub(super) fn reason(&self, error: &hyper::Error) -> Option<Dropped> {
        let progress = self.progress.lock();
        if progress.slow_reader {
            Some(Dropped::SlowReader)
        } else if error.is_timeout() {
            (progress.heard || !progress.answered).then_some(Dropped::SlowRequest)
        } else if error.is_parse_too_large() {
            Some(Dropped::LargeRequest)
        } else {
            error.is_parse().then_some(Dropped::MalformedRequest)
        }
    }
}

// === impl Progress ===

impl Progress {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

// === impl ConnectionGuard ===

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.open.lock().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn leaves(guard: &ConnectionGuard) -> bool {
        guard.connection.must_leave().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_only_just_come_can_send_its_request_before_it_makes_room() {
        let connections = Connections::new(2, Arc::default());
        connections.give_chance().await;
        let began = Instant::now();
        let [_first, _second] = [(); 2].map(|()| connections.enter());
        tokio::time::sleep(CHANCE / 4).await;
        connections.give_chance().await;
        let waited = began.elapsed();
        assert!(waited >= CHANCE && waited < 2 * CHANCE, "{waited:?}");
        connections.give_chance().await;
        assert_eq!(began.elapsed(), waited, "it had its chance");
    }

    #[tokio::test]
    async fn whoever_waits_longest_for_a_request_makes_room() {
        let connections = Connections::new(3, Arc::default());
        let [first, second, third] = [(); 3].map(|()| connections.enter());
        first.connection.note_request();
        let fourth = connections.enter();
        assert_eq!([&first, &second, &third, &fourth].map(leaves), [false, true, false, false]);
        drop((third, second));
        let _room = connections.enter();
        assert!(!leaves(&first) && !leaves(&fourth), "there was room");
    }

    #[tokio::test]
    async fn if_all_are_answered_the_longest_makes_room() {
        let connections = Connections::new(2, Arc::default());
        let [first, second] = [(); 2].map(|()| connections.enter());
        second.connection.note_request();
        first.connection.note_request();
        second.connection.note_answer();
        let third = connections.enter();
        assert_eq!([&first, &second, &third].map(leaves), [false, true, false]);
    }

    #[tokio::test]
    async fn after_its_answer_a_connection_waits_again() {
        let connections = Connections::new(2, Arc::default());
        let [first, second] = [(); 2].map(|()| connections.enter());
        for guard in [&first, &second] {
            guard.connection.note_request();
            guard.connection.note_answer();
        }
        first.connection.note_flushed();
        let _third = connections.enter();
        assert_eq!([&first, &second].map(leaves), [true, false]);
    }
}
