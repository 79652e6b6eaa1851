//! When each event was handed over to its socket: the truth that the daemon's stamps are held against.

use super::object::Object;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::SystemTime,
};

/// An event that a watch handed over.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The object's resourceVersion. One counter serves all resources, so it says which object it was.
    pub version: u64,
    /// When its bytes were ready to be written.
    pub at: SystemTime,
}

/// Where the watches note what they hand over; clones share it. Nothing is noted unless somebody listens.
#[derive(Clone, Debug, Default)]
pub(super) struct SentLog(Arc<Mutex<Option<Sender<Sent>>>>);

// === impl SentLog ===

impl SentLog {
    /// Listens from now on, in place of whoever did. Nothing is dropped: what is not read stays in memory.
    pub(super) fn listen(&self) -> Receiver<Sent> {
        let (sender, receiver) = channel();
        *self.0.lock() = Some(sender);
        receiver
    }

    pub(super) fn note(&self, object: &impl Object) {
        let mut listener = self.0.lock();
        let Some(sender) = &*listener else { return };
        let version = object.resource_version().parse().unwrap_or_default();
        if sender.send(Sent { version, at: SystemTime::now() }).is_err() {
            *listener = None;
        }
    }
}
