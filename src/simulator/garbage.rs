//! The simulated garbage collector. It deletes the slices of deleted Services.
//!
//! The real one handles all kinds of objects. Here only Services own objects, and only slices are owned. Like the real one it
//! learns from events, and checks again before it deletes. An owner counts as deleted if no object of its name has its UID.

use super::{
    controller::Delay,
    frame::EventKind,
    queue::Queue,
    store::{Event, Key, Store},
};
use crate::{cluster::wire::Service, simulator::messages::EndpointSlice};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The collector.
pub(super) struct GarbageCollector {
    store: Store,
    /// Time from the deletion of a Service to the deletion of each of its slices.
    delay: Delay,
    /// All events up to this version have been handled.
    services_seen: u64,
    slices_seen: u64,
    /// Slices to check.
    queue: Queue,
    rng: StdRng,
}

// === impl GarbageCollector ===

impl GarbageCollector {
    /// The collector of a store, which may already contain garbage.
    pub(super) fn new(store: Store, delay: Delay, seed: u64) -> Self {
        let version = store.version();
        let rng = StdRng::seed_from_u64(seed);
        let mut collector =
            Self { store, delay, services_seen: version, slices_seen: version, queue: Queue::default(), rng };
        collector.look_for_all(Instant::now());
        collector
    }

    /// Collects until `stop` becomes true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut services = self.store.subscribe::<Service>();
        let mut slices = self.store.subscribe::<EndpointSlice>();
        loop {
            // Marked as seen before the state is read. A change in between causes one extra wake-up, but none is missed.
            services.mark_unchanged();
            slices.mark_unchanged();
            let next = self.step(Instant::now());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = services.changed() => {}
                _ = slices.changed() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Processes what is due. Returns when the next work is due, as far as is known now.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        self.observe(now);
        while let Some((namespace, name)) = self.queue.pop(now) {
            let slice = self.store.get::<EndpointSlice>(&namespace, &name);
            if slice.is_some_and(|slice| self.is_garbage(&slice)) {
                self.store.delete::<EndpointSlice>(&namespace, &name);
            }
        }
        self.queue.next()
    }

    /// Reads new events, and queues the slices that may have lost their Service.
    fn observe(&mut self, now: Instant) {
        let services = self.store.read_on::<Service>(&mut self.services_seen);
        let slices = self.store.read_on::<EndpointSlice>(&mut self.slices_seen);
        let (Ok(services), Ok(slices)) = (services, slices) else {
            // Too far behind.
            let version = self.store.version();
            (self.services_seen, self.slices_seen) = (version, version);
            self.look_for_all(now);
            return;
        };
        for event in &services {
            if let Some(service) = ended(event) {
                let uid = &service.metadata.uid;
                let owned = |slice: &EndpointSlice| slice.metadata.owner_references.iter().any(|it| it.uid == *uid);
                for slice in self.store.select(Some(&service.metadata.namespace), owned) {
                    self.add(&slice, now);
                }
            }
        }
        // A controller that has not seen the deletion of its Service may create another slice.
        for event in slices.iter().filter(|event| event.kind == EventKind::Added) {
            if self.is_garbage(&event.object) {
                self.add(&event.object, now);
            }
        }
    }

    fn look_for_all(&mut self, now: Instant) {
        let owned = self.store.select::<EndpointSlice>(None, |slice| !slice.metadata.owner_references.is_empty());
        for slice in owned.iter().filter(|slice| self.is_garbage(slice)).cloned().collect::<Vec<_>>() {
            self.add(&slice, now);
        }
    }

    fn add(&mut self, slice: &EndpointSlice, now: Instant) {
        let key: Key = (slice.metadata.namespace.clone(), slice.metadata.name.clone());
        let due = now + self.delay.sample(&mut self.rng);
        self.queue.add(key, due);
    }

    /// Whether the object had owners and has none left.
    fn is_garbage(&self, slice: &EndpointSlice) -> bool {
        let meta = &slice.metadata;
        let mut owners = meta.owner_references.iter().peekable();
        let lives = |name: &str, uid: &str| {
            self.store.get::<Service>(&meta.namespace, name).is_some_and(|service| service.metadata.uid == uid)
        };
        owners.peek().is_some() && !owners.any(|owner| lives(&owner.name, &owner.uid))
    }
}

/// The Service that the event deletes.
fn ended(event: &Event<Service>) -> Option<&Service> {
    match (&event.previous, event.kind) {
        (_, EventKind::Deleted) => Some(&event.object),
        // This store can replace a Service in one write. An API server cannot.
        (Some(previous), _) if previous.metadata.uid != event.object.metadata.uid => Some(previous),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
