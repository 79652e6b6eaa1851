//! The starts of pods: reads the times of the few pods whose readiness changes, if starts are followed.

use crate::{
    cluster::{
        clock::Clock,
        object::{ObjectError, decode_times},
    },
    model::{Event, Pod, Seen},
    propagation::{ServiceName, Tracker},
    startup::{Finished, Phase, Standing, Startup, StartupSettings, Transition},
    stats::WindowView,
};
use clap::ArgAction;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Whether the starts of pods are followed.
#[derive(clap::Args, Clone, Copy, Debug)]
#[group(skip)]
pub struct StartupArgs {
    /// Measure the start of each pod in phases, and how long its readiness takes to arrive: endpointlag_pod_startup_seconds and endpointlag_report_seconds
    #[arg(
        long,
        value_name = "BOOL",
        env = "ENDPOINTLAG_POD_STARTUP",
        action = ArgAction::Set,
        default_value = "false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub pod_startup: bool,
}

/// The starts of pods, and the clock that compares their times with arrivals.
#[derive(Debug)]
pub struct Starts {
    pub(super) startup: Startup,
    clock: Clock,
    /// The pod whose event comes next is Ready for the first time.
    is_first: bool,
}

/// What is known of starts, for queries.
#[derive(Clone, Debug)]
pub struct StartsView {
    /// The current state and the counts.
    pub standing: Standing,
    /// Each selected Service with starts, sorted, and how long each phase took.
    pub services: Vec<(Arc<ServiceName>, [WindowView; Phase::ALL.len()])>,
    /// The last starts.
    pub finished: Finished,
}

// === impl Starts ===

impl Starts {
    /// Follows no pod yet.
    pub fn new(settings: StartupSettings, clock: Clock) -> Self {
        Self { startup: Startup::new(settings), clock, is_first: false }
    }

    /// A pod whose event comes next, and its encoded object.
    ///
    /// # Errors
    /// If its times are malformed. The pod can be used for all else.
    pub(super) fn pod(
        &mut self,
        scope: usize,
        tracker: &Tracker,
        seen: Seen,
        pod: &Pod,
        object: &[u8],
    ) -> Result<(), ObjectError> {
        let Some(step) = self.startup.step(scope, pod, tracker.is_ready(&pod.uid)) else { return Ok(()) };
        let times = decode_times(object, step.needs_spec())?;
        // Before 1970 nothing is plausible.
        let wall = self.clock.wall(seen.at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.startup.moved(scope, seen, wall, pod, step, &times);
        self.is_first = step == Transition::FirstReady;
        Ok(())
    }

    /// Passes an event to the tracker, and follows what it means for starts.
    pub(super) fn follow(&mut self, scope: usize, tracker: &mut Tracker, seen: Seen, event: Event) {
        match &event {
            Event::Init(resource) => self.startup.list_began(scope, *resource),
            Event::InitDone(resource) => self.startup.list_ended(scope, *resource),
            Event::PodDeleted(pod) => self.startup.deleted(&pod.uid),
            _ => {}
        }
        let first = match &event {
            Event::Pod(pod) if std::mem::take(&mut self.is_first) => Some(pod.uid.clone()),
            _ => None,
        };
        tracker.apply(seen, event);
        if let Some(uid) = first {
            self.startup.expected_by(&uid, tracker.services_of(&uid));
        }
    }
}
