//! The state of each watch, for `/readyz`, metrics and the log.

mod failure;
mod link;
mod round_trips;

use self::failure::{Failures, Told, Worth};
pub use self::{
    failure::Failure,
    link::{LinkHealth, Protocol},
};

use crate::model::{Resource, Stamp};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::Duration,
};

/// Why a watch had to be established again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The server ended it normally, as it does about every half hour.
    Closed,
    /// The connection broke.
    Broken,
    /// Nothing arrived for too long.
    Idle,
    /// The version to resume from is gone (410). A new list is needed.
    Expired,
    /// The server's version is below the one to resume from, for instance after a restore of etcd from a backup. A new list is
    /// needed.
    Rewound,
    /// The data were malformed. A new list is needed.
    Malformed,
    /// The server answered with an error, such as 403.
    Refused,
    /// The server did not answer.
    Unreachable,
}

/// One watch, as seen from outside. All counters count from the start of the process.
#[derive(Debug)]
pub struct WatchHealth {
    /// The watched resource.
    pub resource: Resource,
    /// The namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
    /// The connection that the watch shares.
    pub link: Arc<LinkHealth>,
    synced: AtomicBool,
    /// Start of the time for which not all events have been delivered; [`NEVER`] if all have.
    held: AtomicU64,
    last_byte: AtomicU64,
    bytes: AtomicU64,
    events: AtomicU64,
    malformed: AtomicU64,
    backpressure: AtomicU64,
    gap_nanos: AtomicU64,
    blind_nanos: AtomicU64,
    connect_nanos: AtomicU64,
    restarts: [AtomicU64; Restart::ALL.len()],
    /// Start of the present attempt; [`NEVER`] during the pause between two attempts.
    trying: AtomicU64,
    /// Number of bytes read at that time.
    bytes_before: AtomicU64,
    failures: Mutex<Failures>,
    /// Failures of single objects.
    objects: Mutex<Told>,
}

/// No real stamp of a process has this value.
const NEVER: u64 = u64::MAX;

// === impl Restart ===

impl Restart {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Closed,
        Self::Broken,
        Self::Idle,
        Self::Expired,
        Self::Rewound,
        Self::Malformed,
        Self::Refused,
        Self::Unreachable,
    ];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Expired => "expired",
            Self::Rewound => "rewound",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

// === impl WatchHealth ===

impl WatchHealth {
    /// For a watch that has not started.
    pub fn new(resource: Resource, namespace: Option<String>, link: Arc<LinkHealth>) -> Self {
        Self {
            resource,
            namespace,
            link,
            synced: AtomicBool::new(false),
            held: AtomicU64::new(NEVER),
            last_byte: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            events: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            backpressure: AtomicU64::new(0),
            gap_nanos: AtomicU64::new(0),
            blind_nanos: AtomicU64::new(0),
            connect_nanos: AtomicU64::new(0),
            restarts: Default::default(),
            trying: AtomicU64::new(NEVER),
            bytes_before: AtomicU64::new(0),
            failures: Mutex::default(),
            objects: Mutex::default(),
        }
    }

    /// Whether all objects are known, and every change from now on is seen as it happens.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Relaxed)
    }

    /// Up to this time the watch has delivered all its events. This is the time up to which its connection is known to deliver,
    /// or the time since when it is lost or waits for room in the queue. Read it before you take the delivered events from the
    /// queue.
    pub fn complete_through(&self) -> Stamp {
        Stamp::from_nanos(self.held.load(Acquire)).min(self.link.complete_through())
    }

    /// Events after `at` may be delivered late or not at all, until [`Self::release`]. If there is an earlier hold, it stays.
    /// Returns whether there was none.
    pub fn hold(&self, at: Stamp) -> bool {
        self.held.fetch_min(at.as_nanos(), AcqRel) == NEVER
    }

    /// At `at` everything has been delivered.
    pub fn release(&self, at: Stamp) {
        let held = self.held.swap(NEVER, AcqRel);
        self.blind_nanos.fetch_add(at.as_nanos().saturating_sub(held), Relaxed);
    }

    /// Total time in which not all events were delivered as they happened.
    pub fn blind(&self) -> Duration {
        Duration::from_nanos(self.blind_nanos.load(Relaxed))
    }

    /// Bytes arrived at `at`.
    pub fn read(&self, at: Stamp, bytes: usize) {
        self.touch(at);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// The watch is alive at `at`.
    pub fn touch(&self, at: Stamp) {
        self.last_byte.store(at.as_nanos(), Relaxed);
    }

    /// When the last byte arrived; before the first byte, the clock's origin.
    pub fn last_byte(&self) -> Stamp {
        Stamp::from_nanos(self.last_byte.load(Relaxed))
    }

    /// Bytes read.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// An event arrived.
    pub fn count_event(&self) {
        self.events.fetch_add(1, Relaxed);
    }

    /// Events read, bookmarks included.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// An object or a stream was malformed.
    pub fn count_malformed(&self) {
        self.malformed.fetch_add(1, Relaxed);
    }

    /// Malformed objects and streams.
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Relaxed)
    }

    /// The reader had to wait for the pipeline to keep up.
    pub fn count_backpressure(&self) {
        self.backpressure.fetch_add(1, Relaxed);
    }

    /// How often the reader had to wait.
    pub fn backpressure(&self) -> u64 {
        self.backpressure.load(Relaxed)
    }

    /// Nothing could be seen for this duration.
    pub fn count_gap(&self, gap: Duration) {
        self.gap_nanos.fetch_add(gap.as_nanos() as u64, Relaxed);
    }

    /// Total time in which nothing could be seen.
    pub fn gap(&self) -> Duration {
        Duration::from_nanos(self.gap_nanos.load(Relaxed))
    }

    /// The server took this long to start its answer.
    pub fn set_connect(&self, took: Duration) {
        self.connect_nanos.store(took.as_nanos() as u64, Relaxed);
    }

    /// Time from the request for the watch to the start of the answer, for the last connection. The events of the watch take the
    /// same path.
    pub fn connect(&self) -> Duration {
        Duration::from_nanos(self.connect_nanos.load(Relaxed))
    }

    /// The watch ended, or could not be established.
    pub fn count_restart(&self, reason: Restart) {
        self.restarts[reason as usize].fetch_add(1, Relaxed);
    }

    /// Restarts for this reason.
    pub fn restarts(&self, reason: Restart) -> u64 {
        self.restarts[reason as usize].load(Relaxed)
    }

    /// All objects are known, and changes are seen as they happen. Logs a line if there was a failure before.
    pub fn set_synced(&self) {
        self.synced.store(true, Relaxed);
        if self.failures.lock().end() {
            tracing::info!(watch = %self, "recovered");
        }
    }

    /// A list is in progress, or the watch is lost.
    pub fn set_unsynced(&self) {
        self.synced.store(false, Relaxed);
    }

    /// Start of the present attempt, or a pause.
    pub fn set_trying(&self, since: Option<Stamp>) {
        self.bytes_before.store(self.bytes(), Relaxed);
        self.trying.store(since.map_or(NEVER, Stamp::as_nanos), Relaxed);
    }

    /// If the attempt has lasted for `patience` without sync and without another failure, reports at `at` that the watch is slow.
    pub fn check_slow(&self, at: Stamp, patience: Duration) {
        let trying = self.trying.load(Relaxed);
        let since = Stamp::from_nanos(trying);
        if self.is_synced() || trying == NEVER || at.since(since) < patience {
            return;
        }
        let bytes = self.bytes() - self.bytes_before.load(Relaxed);
        let seconds = at.since(since).as_secs();
        let slow = Failure::of("slow", format!("not synced {seconds} s after it was asked for; {bytes} bytes came"));
        if !self.failures.lock().came_after(since, &slow) {
            self.set_failure(at, slow);
        }
    }

    /// Records a failure. It is logged once for each cause, not at every attempt, and again while it lasts.
    pub fn set_failure(&self, at: Stamp, failure: Failure) {
        self.set_unsynced();
        let worth = self.failures.lock().set(at, failure.clone());
        match worth {
            Worth::Nothing => tracing::debug!(watch = %self, "{failure}; will retry"),
            Worth::Line(lasting) if lasting < Duration::from_secs(60) => {
                tracing::warn!(watch = %self, "{failure}; will retry");
            }
            Worth::Line(lasting) => {
                let minutes = lasting.as_secs() / 60;
                tracing::warn!(watch = %self, minutes, "{failure}; will retry, as it has for {minutes} min");
            }
        }
    }

    /// The watch was healthy for a long time. From now on failures are logged again, even if they were logged before.
    pub fn forget_failures(&self) {
        self.failures.lock().forget();
    }

    /// The present failure, if any.
    pub fn failure(&self) -> Option<String> {
        self.failures.lock().current().map(Failure::to_string)
    }

    /// Whether the present failure is that the API server denies access. Unlike other failures, it does not pass by itself.
    pub fn is_denied(&self) -> bool {
        self.failures.lock().current().is_some_and(Failure::is_denial)
    }

    /// Number of times that the watch had to be established again.
    pub fn attempts_failed(&self) -> u64 {
        Restart::ALL.into_iter().map(|reason| self.restarts(reason)).sum()
    }

    /// Whether to log a failure of an object at `at`. After this call it counts as logged.
    pub fn is_due(&self, error: &str, at: Stamp) -> bool {
        self.objects.lock().is_due(error, at)
    }
}

impl fmt::Display for WatchHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in {namespace}", self.resource),
            None => write!(f, "{}", self.resource),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_takes_long_says_so_unless_something_else_is_wrong() {
        let health = WatchHealth::new(Resource::Pods, None, Arc::default());
        let at = |seconds| Stamp::new(Duration::from_secs(seconds));
        let check = |seconds| health.check_slow(at(seconds), Duration::from_secs(15));
        check(100);
        assert_eq!(health.failure(), None, "nothing is tried");
        health.set_failure(at(100), Failure::new("an old error"));
        health.set_trying(Some(at(110)));
        health.read(at(111), 7);
        check(124);
        assert_eq!(health.failure().as_deref(), Some("an old error"));
        check(125);
        assert_eq!(health.failure().as_deref(), Some("not synced 15 s after it was asked for; 7 bytes came"));
        check(130);
        assert_eq!(health.failure().as_deref(), Some("not synced 20 s after it was asked for; 7 bytes came"));
        health.set_failure(at(131), Failure::new("a new error"));
        check(140);
        assert_eq!(health.failure().as_deref(), Some("a new error"));
        health.set_synced();
        check(150);
        assert_eq!((health.failure(), health.is_synced()), (None, true));
    }

    #[test]
    fn a_hold_lasts_from_its_first_moment_until_it_is_released() {
        let health = WatchHealth::new(Resource::Pods, None, Arc::default());
        let at = |seconds| Stamp::new(Duration::from_secs(seconds));
        assert!(health.complete_through() > at(1 << 30));
        assert!(health.hold(at(5)));
        assert!(!health.hold(at(9)));
        assert_eq!(health.complete_through(), at(5));
        health.release(at(12));
        assert_eq!(health.blind(), Duration::from_secs(7));
        assert!(health.complete_through() > at(1 << 30));
    }
}
