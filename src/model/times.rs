//! When the steps of a pod's start happened, as the pod itself says.

use std::time::Duration;

/// A time that another machine wrote in whole seconds since 1970. It is cut off, not rounded, and as good as that machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WholeSecond(i64);

/// The times in a pod's metadata and status, and the probes in its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTimes {
    /// creationTimestamp, by the clock of the API server.
    pub created: Option<WholeSecond>,
    /// Since when `PodScheduled` is True, by the clock of the scheduler; `None` while it is not. The clock of all others is the node's.
    pub scheduled: Option<WholeSecond>,
    /// Since when `Initialized` is True.
    pub initialized: Option<WholeSecond>,
    /// Since when `ContainersReady` is True.
    pub containers_ready: Option<WholeSecond>,
    /// When `Ready` last changed, in either direction.
    pub ready_changed: Option<WholeSecond>,
    /// When `PodReadyToStartContainers` last changed: the pod got a sandbox, or lost it.
    pub sandbox_changed: Option<WholeSecond>,
    /// When `AllContainersRestarting` last changed: a container asked for a restart of all of them.
    pub all_restarting_changed: Option<WholeSecond>,
    /// The ordinary containers.
    pub containers: ContainerTimes,
    /// Restarts of all init containers, sidecars among them.
    pub init_restarts: u64,
    /// Whether there are readiness gates. Only if the spec was read.
    pub has_gates: bool,
    /// The probes of each container and sidecar that has some. Only if the spec was read.
    pub probes: Vec<Probes>,
}

/// The statuses of the ordinary containers of a pod, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerTimes {
    /// Number of containers.
    pub number: usize,
    /// Those that run, with a start time.
    pub running: usize,
    /// When the one of them started that was first.
    pub first_started: Option<WholeSecond>,
    /// When the one of them started that was last.
    pub last_started: Option<WholeSecond>,
    /// Restarts of all of them.
    pub restarts: u64,
}

/// The probes that decide when a container is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// The readiness probe does not run before this one has succeeded.
    pub startup: Option<Probe>,
    /// The readiness probe.
    pub readiness: Option<Probe>,
}

/// How often a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// It does not run before the container has run for this long.
    pub initial_delay: Duration,
    /// The time from one probe to the next.
    pub period: Duration,
    /// How many must succeed in a row.
    pub successes: u32,
}

// === impl WholeSecond ===

impl WholeSecond {
    /// This number of seconds since 1970.
    pub fn new(since_1970: i64) -> Self {
        Self(since_1970)
    }

    /// Seconds since 1970.
    pub fn since_1970(self) -> i64 {
        self.0
    }

    /// The time from this to `later`; `None` if that is earlier.
    pub fn until(self, later: Self) -> Option<Duration> {
        u64::try_from(later.0.checked_sub(self.0)?).ok().map(Duration::from_secs)
    }

    /// The time from this to a moment of another clock, given as the time since 1970.
    ///
    /// # Errors
    /// With the size of the difference, if that moment is earlier.
    pub fn until_moment(self, since_1970: Duration) -> Result<Duration, Duration> {
        match u64::try_from(self.0) {
            Ok(seconds) => {
                let begin = Duration::from_secs(seconds);
                since_1970.checked_sub(begin).ok_or_else(|| begin.saturating_sub(since_1970))
            }
            // Before 1970.
            Err(_) => Ok(since_1970.saturating_add(Duration::from_secs(self.0.unsigned_abs()))),
        }
    }
}

// === impl ContainerTimes ===

impl ContainerTimes {
    /// Adds a container: when it started, if it runs, and how often it was restarted.
    pub fn add(&mut self, started: Option<WholeSecond>, restarts: u64) {
        self.number += 1;
        self.restarts = self.restarts.saturating_add(restarts);
        if let Some(started) = started {
            self.running += 1;
            self.first_started = Some(self.first_started.map_or(started, |first| first.min(started)));
            self.last_started = Some(self.last_started.map_or(started, |last| last.max(started)));
        }
    }

    /// When all of them were started; `None` if one does not run.
    pub fn all_started(&self) -> Option<WholeSecond> {
        self.last_started.filter(|_| self.running == self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_a_direction() {
        let (one, two) = (WholeSecond::new(10), WholeSecond::new(12));
        assert_eq!((one.until(two), two.until(one)), (Some(Duration::from_secs(2)), None));
        assert_eq!(WholeSecond::new(i64::MIN).until(WholeSecond::new(i64::MAX)), None, "no overflow");
        let moment = Duration::from_millis(11_250);
        assert_eq!(one.until_moment(moment), Ok(Duration::from_millis(1_250)));
        assert_eq!(two.until_moment(moment), Err(Duration::from_millis(750)));
        assert_eq!(WholeSecond::new(-1).until_moment(moment), Ok(Duration::from_millis(12_250)));
    }

    #[test]
    fn containers_have_all_started_when_the_last_has() {
        let mut containers = ContainerTimes::default();
        assert_eq!(containers.all_started(), None);
        containers.add(Some(WholeSecond::new(7)), 0);
        containers.add(Some(WholeSecond::new(5)), 2);
        assert_eq!(containers.all_started(), Some(WholeSecond::new(7)));
        assert_eq!((containers.first_started, containers.restarts), (Some(WholeSecond::new(5)), 2));
        containers.add(None, 1);
        assert_eq!(containers.all_started(), None, "one waits");
    }
}
