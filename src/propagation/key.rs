//! The subject of a change, as numbers.

use std::hash::{Hash, Hasher};

/// Index of a Service.
pub(super) type ServiceId = usize;

/// Index of a pod. Small: every pod, endpoint and pair has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PodId(u32);

/// A pod in a Service, or the Service itself: the key of the slice hop's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The Service whose endpoints must change.
    pub(super) service: ServiceId,
    /// The pod; `None` for a change of the Service itself.
    pub(super) pod: Option<PodId>,
}

/// A pod in a Service: the key of what is out of sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PairKey {
    /// The Service.
    pub(super) service: ServiceId,
    /// The pod.
    pub(super) pod: PodId,
}

/// A value for each Service.
#[derive(Debug)]
pub(super) struct ByService<T>(Vec<T>);

// === impl PodId ===

impl PodId {
    /// The index for this slot.
    pub(super) fn new(slot: usize) -> Self {
        Self(u32::try_from(slot).expect("each holds tens of bytes: memory ends before 2^32 of them"))
    }

    /// Its slot.
    pub(super) fn slot(self) -> usize {
        self.0 as usize
    }
}

// === impl Key ===

impl Key {
    /// A pod in a Service.
    pub(super) fn of_pod(service: ServiceId, pod: PodId) -> Self {
        Self { service, pod: Some(pod) }
    }

    /// The Service itself.
    pub(super) fn of_service(service: ServiceId) -> Self {
        Self { service, pod: None }
    }
}

// Both hash as one number: a pod that many Services select is looked up in several maps for each of them.

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(joined(self.service, self.pod.map_or(u32::MAX, |pod| pod.0)));
    }
}

impl Hash for PairKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(joined(self.service, self.pod.0));
    }
}

fn joined(service: ServiceId, pod: u32) -> u64 {
    (service as u64) << 32 ^ u64::from(pod)
}

// === impl ByService ===

impl<T> Default for ByService<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> ByService<T> {
    /// The value of a Service.
    pub(super) fn get(&self, service: ServiceId) -> Option<&T> {
        self.0.get(service)
    }

    /// The value of a Service; a new one if there is none.
    #[inline]
    pub(super) fn get_mut(&mut self, service: ServiceId) -> &mut T {
        if self.0.len() <= service {
            self.grow(service);
        }
        &mut self.0[service]
    }

    #[cold]
    fn grow(&mut self, service: ServiceId) {
        self.0.resize_with(service + 1, T::default);
    }

    /// The value of a Service, if it ever had one.
    pub(super) fn known_mut(&mut self, service: ServiceId) -> Option<&mut T> {
        self.0.get_mut(service)
    }

    /// Removes and returns the value of a Service.
    pub(super) fn take(&mut self, service: ServiceId) -> T {
        self.0.get_mut(service).map(std::mem::take).unwrap_or_default()
    }
}
