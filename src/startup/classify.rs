//! What came before a pod's Ready: its first start, or something else.

use crate::model::{PodTimes, WholeSecond};

/// What a pod's Ready ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Its first start. Only this one has phases.
    FirstStart,
    /// Its first start, in which a container failed and was started again. The time of its first attempt is not known any more.
    FirstStartWithRestarts,
    /// A container was started again.
    ContainerRestart,
    /// All containers were started again in place, in the same sandbox.
    AllContainersRestart,
    /// The pod got a new sandbox, as after a reboot of its node.
    NewSandbox,
    /// Nothing was started: a probe failed for a while, a readiness gate was closed, or the node was not heard.
    Readiness,
    /// What came before was not seen: the pod was in a list, or there was no room to follow it.
    Unseen,
}

/// A ready pod at the moment when it turned unready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// When it did.
    since: Option<WholeSecond>,
    /// Restarts of its containers up to then.
    restarts: u64,
    /// Restarts of its init containers up to then.
    init_restarts: u64,
}

// === impl Kind ===

impl Kind {
    /// All, in the order of [`Kind::index`].
    pub const ALL: [Self; 7] = [
        Self::FirstStart,
        Self::FirstStartWithRestarts,
        Self::ContainerRestart,
        Self::AllContainersRestart,
        Self::NewSandbox,
        Self::Readiness,
        Self::Unseen,
    ];

    /// The value of the label `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstStart => "first_start",
            Self::FirstStartWithRestarts => "first_start_with_restarts",
            Self::ContainerRestart => "container_restart",
            Self::AllContainersRestart => "all_containers_restart",
            Self::NewSandbox => "new_sandbox",
            Self::Readiness => "readiness",
            Self::Unseen => "unseen",
        }
    }

    /// Position in [`Kind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Of a pod that becomes Ready for the first time.
    pub(super) fn of_first(times: &PodTimes) -> Self {
        if times.containers.restarts == 0 { Self::FirstStart } else { Self::FirstStartWithRestarts }
    }
}

// === impl Before ===

impl Before {
    /// Of a pod that turns unready now.
    pub(super) fn of(times: &PodTimes) -> Self {
        Self { since: times.ready_changed, restarts: times.containers.restarts, init_restarts: times.init_restarts }
    }

    /// What has ended, now that the pod is Ready again.
    pub(super) fn kind(&self, times: &PodTimes) -> Kind {
        let containers = &times.containers;
        if times.ready_changed.is_none() || self.since.is_none() {
            return Kind::Unseen;
        }
        // A container may have stopped in the second before the pod turned unready, and started in the same.
        let is_since = |time: Option<WholeSecond>| time >= self.since;
        let restarted = containers.restarts > self.restarts
            || times.init_restarts > self.init_restarts
            || containers.last_started > self.since;
        if !restarted {
            return Kind::Readiness;
        }
        if is_since(times.sandbox_changed) {
            return Kind::NewSandbox;
        }
        let all_are_new = containers.running == containers.number && is_since(containers.first_started);
        let more_than_one = containers.number > 1 || times.init_restarts > self.init_restarts;
        if is_since(times.all_restarting_changed) || (all_are_new && more_than_one) {
            return Kind::AllContainersRestart;
        }
        Kind::ContainerRestart
    }
}
