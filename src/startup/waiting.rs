//! The pods that are followed until they become Ready.

use super::classify::Before;
use crate::model::Uid;
use std::collections::HashMap;

/// How many pods are followed at most, about a hundred bytes each. A cluster has fewer pods that are not Ready, unless most of it is
/// broken.
pub(super) const MOST: usize = 50_000;

/// The pods that are not Ready and that were seen all the time since they were new, or since they were Ready.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pods: HashMap<Uid, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Whose list would show it again.
    scope: usize,
    before: Option<Before>,
}

// === impl Waiting ===

impl Waiting {
    /// Follows a pod: a new one, or one that was Ready `before`. Says whether there was room for it.
    pub(super) fn insert(&mut self, scope: usize, uid: &Uid, before: Option<Before>) -> bool {
        let has_room = self.pods.len() < MOST;
        if has_room {
            self.pods.insert(uid.clone(), Entry { scope, before });
        }
        has_room
    }

    /// Whether a pod is followed, and if so, whether it was never Ready.
    pub(super) fn is_new(&self, uid: &Uid) -> Option<bool> {
        self.pods.get(uid).map(|entry| entry.before.is_none())
    }

    /// Stops to follow a pod. Returns what it was before; `None` inside if it is new.
    pub(super) fn remove(&mut self, uid: &Uid) -> Option<Option<Before>> {
        if self.pods.is_empty() {
            return None;
        }
        self.pods.remove(uid).map(|entry| entry.before)
    }

    /// Stops to follow the pods of a scope.
    pub(super) fn forget(&mut self, scope: usize) {
        self.pods.retain(|_, entry| entry.scope != scope);
    }

    /// Number of pods.
    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }
}
