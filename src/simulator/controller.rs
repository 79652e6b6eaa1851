//! The simulated EndpointSlice controller.
//!
//! Like the real controller, it learns of changes from events, puts the affected Services into a queue, and processes each
//! Service after a delay, in its state at that time. It writes through a client with a rate limit. So several changes of one
//! Service within the delay lead to one write, and a change that is undone within the delay leads to no write. The garbage
//! collector deletes the slices of deleted Services.

mod reconcile;
mod tempo;

pub use self::tempo::{Delay, WriteRate};

use self::reconcile::{MANAGED_BY, SERVICE_NAME, Write, is_managed, reconcile};
use self::tempo::{Bucket, Tempo};
use super::frame::EventKind;
use super::object::{is_ready, selects};
use super::queue::Queue;
use super::store::{Event, Key, Store};
use crate::{
    cluster::wire::Service,
    simulator::messages::{EndpointSlice, Pod},
};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The settings of the controller. Settings that can change while it runs are in [`Controller`].
#[derive(Clone, Copy, Debug)]
pub struct ControllerSettings {
    /// Time between a change and the processing of its Service.
    pub delay: Delay,
    /// Rate limit of writes.
    pub rate: WriteRate,
    /// Maximum number of endpoints in a slice; 0 counts as 1.
    pub max_endpoints_per_slice: usize,
}

/// A handle of the running controller. Clones share it.
#[derive(Clone, Debug)]
pub struct Controller {
    tempo: Arc<watch::Sender<Tempo>>,
}

/// The controller's only worker.
///
/// The real controller has five workers (`--concurrent-service-endpoint-syncs`). The number matters only if a write takes long,
/// and here no write does.
pub(super) struct Worker {
    store: Store,
    settings: ControllerSettings,
    /// All events up to this version have been handled.
    pods_seen: u64,
    services_seen: u64,
    slices_seen: u64,
    /// Services to process.
    queue: Queue,
    /// Writes of the last processed Service that wait for the rate limit.
    writes: VecDeque<Write>,
    bucket: Bucket,
    tempo: watch::Receiver<Tempo>,
    rng: StdRng,
}

// === impl ControllerSettings ===

impl Default for ControllerSettings {
    fn default() -> Self {
        Self {
            delay: Delay::default(),
            rate: WriteRate::default(),
            // The default of kube-controller-manager's --max-endpoints-per-slice.
            max_endpoints_per_slice: 100,
        }
    }
}

// === impl Controller ===

impl Controller {
    /// Creates the worker of a store, and its handle. Slices are brought up to date at once, before anything runs.
    pub(super) fn new(store: Store, settings: ControllerSettings, seed: u64) -> (Self, Worker) {
        let (sender, tempo) = watch::channel(Tempo { delay: settings.delay, paused: false });
        let mut worker = Worker {
            settings,
            pods_seen: 0,
            services_seen: 0,
            slices_seen: 0,
            queue: Queue::default(),
            writes: VecDeque::new(),
            bucket: Bucket::new(settings.rate, Instant::now()),
            tempo,
            rng: StdRng::seed_from_u64(seed),
            store,
        };
        worker.settle();
        let tempo = Arc::new(sender);
        (Self { tempo }, worker)
    }

    /// Changes the delay. Services that already wait do not wait longer than with the new delay.
    pub fn set_delay(&self, delay: Delay) {
        self.tempo.send_modify(|tempo| tempo.delay = delay);
    }

    /// The present delay, even if the controller is paused.
    pub fn delay(&self) -> Delay {
        self.tempo.borrow().delay
    }

    /// Stops all writes until [`resume`](Self::resume), like a controller without a leader.
    pub fn pause(&self) {
        self.tempo.send_modify(|tempo| tempo.paused = true);
    }

    /// Continues after [`pause`](Self::pause). Overdue writes follow at once, as fast as the rate limit allows.
    pub fn resume(&self) {
        self.tempo.send_modify(|tempo| tempo.paused = false);
    }
}

// === impl Worker ===

impl Worker {
    /// Works until `stop` becomes true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut pods = self.store.subscribe::<Pod>();
        let mut services = self.store.subscribe::<Service>();
        let mut slices = self.store.subscribe::<EndpointSlice>();
        let mut tempo = self.tempo.clone();
        loop {
            // Marked as seen before the state is read. A change in between causes one extra wake-up, but none is missed.
            pods.mark_unchanged();
            services.mark_unchanged();
            slices.mark_unchanged();
            let next = self.step(Instant::now());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = pods.changed() => {}
                _ = services.changed() => {}
                _ = slices.changed() => {}
                // If no handle is left, this never completes, and the tempo stays the same.
                Ok(()) = tempo.changed() => self.hasten(Instant::now()),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Processes what is due. Returns when the next work is due, as far as is known now.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        self.observe(now);
        if self.tempo.borrow().paused {
            return None;
        }
        loop {
            while let Some(write) = self.writes.pop_front() {
                if let Err(next) = self.bucket.take(now) {
                    self.writes.push_front(write);
                    return Some(next);
                }
                self.perform(write);
            }
            match self.queue.pop(now) {
                Some(key) => self.writes = self.look_at(&key).into(),
                None => return self.queue.next(),
            }
        }
    }

    /// Brings the slices of all Services up to date, without delay or rate limit.
    fn settle(&mut self) {
        let version = self.store.version();
        (self.pods_seen, self.services_seen, self.slices_seen) = (version, version, version);
        for key in self.every_service() {
            for write in self.look_at(&key) {
                self.perform(write);
            }
        }
    }

    /// Reads new events, and queues the Services that they affect.
    fn observe(&mut self, now: Instant) {
        let services = self.store.read_on::<Service>(&mut self.services_seen);
        let pods = self.store.read_on::<Pod>(&mut self.pods_seen);
        let slices = self.store.read_on::<EndpointSlice>(&mut self.slices_seen);
        let mut touched = BTreeSet::new();
        match (services, pods, slices) {
            (Ok(services), Ok(pods), Ok(slices)) => {
                touched.extend(services.iter().map(|event| key_of(&event.object)));
                for event in pods.iter().filter(|event| matters(event)) {
                    touched.extend(self.services_of(event));
                }
                // A slice that someone else deleted must be written again. After the controller's own deletions this changes
                // nothing.
                let deleted = slices.iter().filter(|event| event.kind == EventKind::Deleted && is_own(&event.object));
                touched.extend(deleted.filter_map(|event| service_of(&event.object)));
            }
            // Too far behind, for instance after a long pause.
            _ => {
                let version = self.store.version();
                (self.services_seen, self.pods_seen) = (version, version);
                touched = self.every_service();
            }
        }
        let delay = self.tempo.borrow().delay;
        for key in touched {
            self.queue.add(key, now + delay.sample(&mut self.rng));
        }
    }

    /// The Services that select the pod now, or did before the event.
    fn services_of(&self, event: &Event<Pod>) -> Vec<Key> {
        let pod = &event.object.metadata;
        let before = event.previous.as_ref().map(|pod| &pod.metadata.labels);
        let selecting = self.store.select::<Service>(Some(&pod.namespace), |service| {
            let selector = service.spec.as_ref().map(|s| &s.selector);
            selector.is_some_and(|s| selects(s, &pod.labels) || before.is_some_and(|labels| selects(s, labels)))
        });
        selecting.iter().map(|s| key_of(s)).collect()
    }

    fn every_service(&self) -> BTreeSet<Key> {
        self.store.select::<Service>(None, |_| true).iter().map(|s| key_of(s)).collect()
    }

    /// Computes the writes for a Service.
    fn look_at(&mut self, (namespace, name): &Key) -> Vec<Write> {
        // The garbage collector handles the slices of a deleted Service. For a Service without selector, something else writes
        // them.
        let Some(service) = self.store.get::<Service>(namespace, name).filter(|service| is_managed(service)) else {
            return Vec::new();
        };
        let existing = self.store.select::<EndpointSlice>(Some(namespace), |slice| {
            is_own(slice) && slice.metadata.labels.get(SERVICE_NAME) == Some(name)
        });
        let selector = service.spec.as_ref().map(|s| &s.selector);
        let pods =
            self.store.select::<Pod>(Some(namespace), |pod| selector.is_some_and(|s| selects(s, &pod.metadata.labels)));
        let most = self.settings.max_endpoints_per_slice.max(1);
        reconcile(&service, &pods, &existing, most, &mut self.rng)
    }

    fn perform(&self, write: Write) {
        match write {
            Write::Put(slice) => {
                self.store.apply(*slice);
            }
            Write::Delete(namespace, name) => {
                self.store.delete::<EndpointSlice>(&namespace, &name);
            }
        }
    }

    /// Draws new delays for the waiting Services, because the new tempo may be faster.
    fn hasten(&mut self, now: Instant) {
        let delay = self.tempo.borrow().delay;
        for (key, due) in self.queue.take() {
            let drawn = now + delay.sample(&mut self.rng);
            self.queue.add(key, due.min(drawn));
        }
    }
}

/// Whether the event can change an endpoint, as in `podEndpointsChanged`: a change of the phase alone does not count.
fn matters(event: &Event<Pod>) -> bool {
    let Some(before) = &event.previous else {
        return true;
    };
    let shown = |pod: &Pod| (is_ready(pod), pod.metadata.deletion_timestamp.is_some());
    let ips = |pod: &Pod| pod.status.as_ref().map(|s| s.pod_ips.clone());
    event.kind == EventKind::Deleted
        || shown(before) != shown(&event.object)
        || before.metadata.labels != event.object.metadata.labels
        || before.metadata.uid != event.object.metadata.uid
        || ips(before) != ips(&event.object)
}

/// Whether this controller writes the slice.
fn is_own(slice: &EndpointSlice) -> bool {
    let manager = slice.metadata.labels.get(MANAGED_BY);
    manager.is_some_and(|m| m == reconcile::CONTROLLER)
}

/// The Service that the slice's label names.
fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let service = slice.metadata.labels.get(SERVICE_NAME)?;
    Some((slice.metadata.namespace.clone(), service.clone()))
}

fn key_of(service: &Service) -> Key {
    let metadata = &service.metadata;
    (metadata.namespace.clone(), metadata.name.clone())
}

#[cfg(test)]
mod tests;
