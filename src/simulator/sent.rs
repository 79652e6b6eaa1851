//! When each event was passed to its socket. Benches compare the daemon's stamps with these times.

use super::object::Object;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::SystemTime,
};

/// An event that a watch sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The object's resourceVersion. All resources share one counter, so it identifies the write.
    pub version: u64,
    /// When its bytes were ready to be written.
    pub at: SystemTime,
}

/// Where the watches record what they send. Clones share it. Nothing is recorded without a listener.
#[derive(Clone, Debug, Default)]
pub(super) struct SentLog(Arc<Mutex<Option<Sender<Sent>>>>);

// === impl SentLog ===

impl SentLog {
    /// Starts to listen, and replaces the previous listener. Nothing is dropped: unread records stay in memory.
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
