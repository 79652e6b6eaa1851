//! The subject of a change, as numbers.

/// Index of a Service.
pub(super) type ServiceId = usize;

/// Index of a pod. Small: every pod, endpoint and pair has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PodId(u32);

/// A pod in a Service, or the Service itself: the key of the slice hop's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    /// The Service whose endpoints must change.
    pub(super) service: ServiceId,
    /// The pod; `None` for a change of the Service itself.
    pub(super) pod: Option<PodId>,
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
    pub(super) fn get_mut(&mut self, service: ServiceId) -> &mut T {
        if self.0.len() <= service {
            self.0.resize_with(service + 1, T::default);
        }
        &mut self.0[service]
    }

    /// Removes and returns the value of a Service.
    pub(super) fn take(&mut self, service: ServiceId) -> T {
        self.0.get_mut(service).map(std::mem::take).unwrap_or_default()
    }
}
