//! The phases of one start, from a pod's times.

use super::phase::Phase;
use crate::model::{PodTimes, Probe, Probes};
use std::time::Duration;

/// How long each phase took, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases([Option<Duration>; Phase::ALL.len()]);

/// The phases between the pod's own times, in the order of these times.
const OF_TIMES: [Phase; 5] =
    [Phase::Scheduled, Phase::Initialized, Phase::Started, Phase::ContainersReady, Phase::ReadinessGates];

// === impl Phases ===

impl Phases {
    /// The phases up to Ready of a pod that has just become Ready for the first time. `implausible` gets each phase that would end before
    /// it began, because the clocks that wrote its times disagree. A phase between two times of which one is missing is not known.
    pub(super) fn of(times: &PodTimes, mut implausible: impl FnMut(Phase)) -> Self {
        let moments = [
            times.created,
            times.scheduled,
            times.initialized,
            times.containers.all_started(),
            times.containers_ready,
            times.ready_changed,
        ];
        let mut phases = Self::default();
        for (phase, ends) in OF_TIMES.into_iter().zip(moments.windows(2)) {
            let &[Some(begin), Some(end)] = ends else { continue };
            match begin.until(end) {
                // Without gates the kubelet sets both conditions at once.
                Some(_) if phase == Phase::ReadinessGates && !times.has_gates => {}
                Some(took) => phases.set(phase, took),
                None => implausible(phase),
            }
        }
        phases
    }

    /// How long a phase took.
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        self.0[phase.index()]
    }

    /// All that are known.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> {
        Phase::ALL.into_iter().filter_map(|phase| Some((phase, self.get(phase)?)))
    }

    pub(super) fn set(&mut self, phase: Phase, took: Duration) {
        self.0[phase.index()] = Some(took);
    }
}

/// How much of the time from the start of the containers until they were ready may be the granularity of their probes: the application
/// may have been ready for this long. `None` if no container has a probe that decides.
pub(super) fn granularity(probes: &[Probes], cold_start: Duration) -> Option<Duration> {
    let of_container = |probes: &Probes| {
        let of_probe = |probe: Probe| {
            let of_successes = probe.period.saturating_mul(probe.successes.max(1));
            let first_result = probe.initial_delay.saturating_add(of_successes);
            // If it took longer, a probe has failed, and the period since then is all that is not known. Whole seconds may add one.
            if cold_start > first_result.saturating_add(Duration::from_secs(1)) { of_successes } else { first_result }
        };
        let deciding = [probes.startup, probes.readiness].into_iter().flatten().map(of_probe);
        deciding.reduce(Duration::saturating_add)
    };
    // Which container was last is not known.
    probes.iter().filter_map(of_container).max().map(|bound| bound.min(cold_start))
}
