//! What happens in the demo's cluster: rolling updates, flaps, edits of Services, and a controller that is sometimes slow.

mod catalogue;
mod kubelet;
mod workload;

use self::catalogue::{APPLICATIONS, toggle_metrics_port};
use self::workload::{Cluster, Step, Workload};
use super::controller::{Controller, Delay};
use super::store::Store;
use crate::cluster::wire::Service;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    ops::RangeInclusive,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Milliseconds between two disturbances: a flap or the start of a rolling update.
const DISTURBANCE: RangeInclusive<u64> = 800..=2_400;
/// The share of disturbances that are flaps.
const FLAPS: f64 = 0.7;
/// Milliseconds for which a flapping pod is not Ready.
const FLAP: RangeInclusive<u64> = 300..=6_000;
/// Milliseconds of a flap that is so short that the controller often does not see it.
const SHORT_FLAP: RangeInclusive<u64> = 3..=30;
/// The share of flaps that are this short.
const SHORT_FLAPS: f64 = 0.15;
/// Maximum number of rolling updates at a time. More would hide everything else.
const MAX_UPDATES: usize = 2;
/// Milliseconds between edits of Services.
const EDIT: RangeInclusive<u64> = 30_000..=60_000;
/// Milliseconds for which the controller is slow.
const SLOW: RangeInclusive<u64> = 10_000..=20_000;

/// When the simulated controller becomes slow.
#[derive(Clone, Copy, Debug)]
pub struct LifeSettings {
    /// Time from the start to the first slow phase.
    pub first_slow_phase: Duration,
    /// Mean time between the starts of two slow phases. It varies by a sixth. At least 30 s.
    pub slow_phase_interval: Duration,
}

/// The phase of the simulated controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It works like a healthy real controller.
    Healthy,
    /// It takes seconds for each Service.
    Slow {
        /// The duration of this phase, from its start.
        lasting: Duration,
    },
}

/// A cluster in which things happen.
///
/// The seed alone determines what happens and when, as long as nothing else writes to the store.
pub(super) struct Life {
    settings: LifeSettings,
    cluster: Cluster,
    /// In the order of [`APPLICATIONS`].
    workloads: Vec<Workload>,
    /// Indices of workloads, in the order of their next update. Each is updated once before any is updated again.
    rotation: VecDeque<usize>,
    schedule: BinaryHeap<Reverse<Appointment>>,
    /// Number of events scheduled so far.
    appointments: u64,
    phase: watch::Sender<Phase>,
}

/// A scheduled event: its time since the start. Events at the same time are in the order in which they were scheduled.
type Appointment = (Duration, u64, Happening);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A pod flaps or a rolling update starts, somewhere.
    Disturbance,
    /// A Service's ports change, somewhere.
    Edit,
    /// The next step of a pod of the workload with this index.
    Pod(usize, String, Step),
    /// The controller becomes slow.
    Slow,
    /// The controller recovers.
    Recovery,
}

// === impl LifeSettings ===

impl Default for LifeSettings {
    fn default() -> Self {
        Self { first_slow_phase: Duration::from_secs(30), slow_phase_interval: Duration::from_secs(90) }
    }
}

// === impl Life ===

impl Life {
    /// Puts Services and their pods into the store, all pods Ready.
    pub(super) fn new(store: Store, settings: LifeSettings, seed: u64) -> Self {
        let mut cluster = Cluster { store, rng: StdRng::seed_from_u64(seed), addresses: 0 };
        let workloads = cluster.populate();
        let mut rotation: Vec<_> = (0..workloads.len()).collect();
        rotation.shuffle(&mut cluster.rng);
        let mut life = Self {
            settings,
            cluster,
            workloads,
            rotation: rotation.into(),
            schedule: BinaryHeap::new(),
            appointments: 0,
            phase: watch::Sender::new(Phase::Healthy),
        };
        life.after(Duration::ZERO, DISTURBANCE, Happening::Disturbance);
        life.after(Duration::ZERO, EDIT, Happening::Edit);
        life.at(settings.first_slow_phase, Happening::Slow);
        life
    }

    /// The phases of the controller, for observers.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Runs until `stop` becomes true.
    pub(super) async fn run(mut self, controller: Controller, mut stop: watch::Receiver<bool>) {
        let start = Instant::now();
        let healthy = controller.delay();
        while let Some(Reverse((at, _, happening))) = self.schedule.pop() {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep_until(start + at) => {}
            }
            // Missed events are not made up for. After an hour of suspend the cluster continues where it was.
            match happening {
                Happening::Slow => {
                    let lasting = self.slow_phase(at);
                    controller.set_delay(Delay::SLOW);
                    tracing::info!(seconds = lasting.as_secs(), "the simulated EndpointSlice controller turns slow");
                    self.phase.send_replace(Phase::Slow { lasting });
                }
                Happening::Recovery => {
                    controller.set_delay(healthy);
                    tracing::info!("the simulated EndpointSlice controller is fast again");
                    self.phase.send_replace(Phase::Healthy);
                }
                Happening::Disturbance => self.disturb(at),
                Happening::Edit => self.edit(at),
                Happening::Pod(index, name, step) => {
                    let next = self.workloads[index].take(step, &name, &mut self.cluster);
                    self.plan(at, index, next);
                }
            }
        }
    }

    /// Schedules the end of this slow phase and the start of the next one. Returns the duration of this one.
    fn slow_phase(&mut self, now: Duration) -> Duration {
        let lasting = self.draw(SLOW);
        let interval = self.settings.slow_phase_interval.max(Duration::from_secs(30));
        let factor = self.cluster.rng.random_range(5.0 / 6.0..7.0 / 6.0);
        self.at(now + lasting, Happening::Recovery);
        self.at(now + interval.mul_f64(factor), Happening::Slow);
        lasting
    }

    fn disturb(&mut self, now: Duration) {
        self.after(now, DISTURBANCE, Happening::Disturbance);
        if self.cluster.rng.random_bool(FLAPS) {
            let index = self.cluster.rng.random_range(0..self.workloads.len());
            let short = self.cluster.rng.random_bool(SHORT_FLAPS);
            if let Some(name) = self.workloads[index].flap(&mut self.cluster) {
                let length = if short { SHORT_FLAP } else { FLAP };
                self.after(now, length, Happening::Pod(index, name, Step::BecomeReady));
            }
            return;
        }
        let updates = self.workloads.iter().filter(|w| w.is_updating()).count();
        let idle = |index: &usize| !self.workloads[*index].is_updating();
        if updates < MAX_UPDATES
            && let Some(place) = self.rotation.iter().position(idle)
            && let Some(index) = self.rotation.remove(place)
        {
            self.rotation.push_back(index);
            let next = self.workloads[index].update(&mut self.cluster);
            self.plan(now, index, next);
        }
    }

    fn edit(&mut self, now: Duration) {
        self.after(now, EDIT, Happening::Edit);
        let index = self.cluster.rng.random_range(0..APPLICATIONS.len());
        let application = &APPLICATIONS[index];
        let store = &self.cluster.store;
        store.update::<Service>(application.namespace, application.name, toggle_metrics_port);
    }

    fn plan(&mut self, now: Duration, index: usize, next: Vec<workload::Next>) {
        for (step, name, delay) in next {
            self.at(now + delay, Happening::Pod(index, name, step));
        }
    }

    fn after(&mut self, now: Duration, range: RangeInclusive<u64>, happening: Happening) {
        let delay = self.draw(range);
        self.at(now + delay, happening);
    }

    fn at(&mut self, time: Duration, happening: Happening) {
        self.appointments += 1;
        let appointment = (time, self.appointments, happening);
        self.schedule.push(Reverse(appointment));
    }

    fn draw(&mut self, millis: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.cluster.rng.random_range(millis))
    }
}

#[cfg(test)]
mod tests;
