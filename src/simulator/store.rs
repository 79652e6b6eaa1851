//! The state of the simulated cluster. It corresponds to etcd and the watch cache of a real cluster.
//!
//! One counter gives every write its resourceVersion, for all resources, like etcd's revision. Each resource has a log of its
//! latest events. Watches read it at their own speed, and older states are reconstructed from it.

use super::frame::EventKind;
use super::object::Object;
use crate::{
    cluster::wire::Service,
    simulator::messages::{EndpointSlice, Pod},
};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use tokio::sync::watch;

/// A handle of the cluster's state. Clones share it.
///
/// No call waits for a reader. If a watch does not keep up, the log no longer has its position, and this affects only that watch.
#[derive(Clone, Debug)]
pub struct Store {
    tables: Arc<Mutex<Tables>>,
}

/// Maximum number of events that are read from a log at once, so that the lock is held only briefly.
const BATCH: usize = 1024;

/// The requested version is older than the kept history: a client gets `410 Gone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Expired {
    /// The requested version.
    pub asked: u64,
    /// The oldest version that is still available.
    pub oldest: u64,
}

/// A write, as watches see it.
#[derive(Clone, Debug)]
pub(super) struct Event<O> {
    pub(super) version: u64,
    pub(super) kind: EventKind,
    /// The state after the write. For a deletion: the last state, with the version of the deletion.
    pub(super) object: Arc<O>,
    /// The state before the write, if there was one.
    pub(super) previous: Option<Arc<O>>,
}

/// Events in order, and the version up to which they have been read.
#[derive(Debug)]
pub(super) struct Batch<O> {
    pub(super) events: Vec<Event<O>>,
    /// All events up to this version have been read. If nothing is left to read, this is the version of the whole store.
    pub(super) version: u64,
}

/// Objects in their state at one version, sorted by key.
#[derive(Debug)]
pub(super) struct Page<O> {
    pub(super) items: Vec<Arc<O>>,
    pub(super) version: u64,
    /// Whether there are more objects after the last one.
    pub(super) more: bool,
}

/// Namespace and name.
pub(in crate::simulator) type Key = (String, String);

/// The contents of the store.
#[derive(Debug)]
pub struct Tables {
    /// The version of the latest write of any resource.
    version: u64,
    pods: Table<Pod>,
    services: Table<Service>,
    slices: Table<EndpointSlice>,
}

/// The objects of one resource and their latest events.
#[derive(Debug)]
pub struct Table<O> {
    objects: BTreeMap<Key, Arc<O>>,
    /// Sorted by version; at most `history` of them.
    log: VecDeque<Event<O>>,
    /// The version of the last event that the log has dropped. A watch that has seen less cannot catch up.
    floor: u64,
    history: usize,
    /// Notified after every write.
    wake: watch::Sender<()>,
}

/// Finds the table of an object type.
pub trait Stored: Object {
    /// To read.
    fn table(tables: &Tables) -> &Table<Self>;
    /// To write.
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
}

// === impl Store ===

impl Store {
    /// An empty store that keeps the last `history` events of each resource.
    pub fn new(history: usize) -> Self {
        Self {
            tables: Arc::new(Mutex::new(Tables {
                version: 0,
                pods: Table::new(history),
                services: Table::new(history),
                slices: Table::new(history),
            })),
        }
    }

    /// Creates the object, or replaces the one with the same namespace and name. Sets its resourceVersion.
    ///
    /// Like a real update, a write that changes nothing creates no event.
    pub fn apply<O: Stored>(&self, object: O) -> Arc<O> {
        let mut tables = self.lock();
        let key = key_of(&object);
        tables.put(key, object)
    }

    /// Changes an object in place, atomically. `None` if the object does not exist.
    ///
    /// `change` runs under the store's lock and must not call the store.
    pub fn update<O: Stored>(&self, namespace: &str, name: &str, change: impl FnOnce(&mut O)) -> Option<Arc<O>> {
        let mut tables = self.lock();
        let key = (namespace.to_owned(), name.to_owned());
        let mut object = O::clone(O::table(&tables).objects.get(&key)?);
        change(&mut object);
        Some(tables.put(key, object))
    }

    /// Deletes an object at once, without a grace period. `None` if the object does not exist.
    pub fn delete<O: Stored>(&self, namespace: &str, name: &str) -> Option<Arc<O>> {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()))
    }

    /// The object with this namespace and name.
    pub fn get<O: Stored>(&self, namespace: &str, name: &str) -> Option<Arc<O>> {
        let key = (namespace.to_owned(), name.to_owned());
        O::table(&self.lock()).objects.get(&key).cloned()
    }

    /// The objects of a namespace, or of all namespaces, for which `wanted` is true, sorted by namespace and name.
    ///
    /// `wanted` runs under the store's lock and must not call the store.
    pub fn select<O: Stored>(&self, namespace: Option<&str>, wanted: impl Fn(&O) -> bool) -> Vec<Arc<O>> {
        let tables = self.lock();
        let objects = &O::table(&tables).objects;
        keys_from(objects, namespace, None).map(|(_, object)| object).filter(|o| wanted(o)).cloned().collect()
    }

    /// The resourceVersion of the latest write of any resource.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Drops all events, like a compaction. A watch that resumes from an older version then finds it expired.
    pub fn compact(&self) {
        let mut tables = self.lock();
        let version = tables.version;
        tables.pods.compact(version);
        tables.services.compact(version);
        tables.slices.compact(version);
    }

    /// Notifies of every write of the resource, without saying which object.
    pub(super) fn subscribe<O: Stored>(&self) -> watch::Receiver<()> {
        O::table(&self.lock()).wake.subscribe()
    }

    /// The events after `version`, at most `limit`.
    pub(super) fn since<O: Stored>(&self, version: u64, limit: usize) -> Result<Batch<O>, Expired> {
        let tables = self.lock();
        let table = O::table(&tables);
        table.check(version)?;
        let first = table.log.partition_point(|e| e.version <= version);
        let events: Vec<_> = table.log.range(first..).take(limit).cloned().collect();
        let whole = first + events.len() == table.log.len();
        let version = match events.last() {
            Some(last) if !whole => last.version,
            // Versions of other resources count as read too, so a bookmark may be newer than any event.
            _ => tables.version.max(version),
        };
        Ok(Batch { events, version })
    }

    /// All events after `seen`, which is then set to the version that was read. If the history does not go back so far, `seen`
    /// stays.
    pub(super) fn read_on<O: Stored>(&self, seen: &mut u64) -> Result<Vec<Event<O>>, Expired> {
        let (mut events, mut version) = (Vec::new(), *seen);
        loop {
            let batch = self.since::<O>(version, BATCH)?;
            version = batch.version;
            if batch.events.is_empty() {
                *seen = version;
                return Ok(events);
            }
            events.extend(batch.events);
        }
    }

    /// At most `limit` objects after the key `after`, in their state at `version`, or in the present state.
    pub(super) fn page<O: Stored>(
        &self,
        namespace: Option<&str>,
        version: Option<u64>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page<O>, Expired> {
        let tables = self.lock();
        let version = version.unwrap_or(tables.version);
        let table = O::table(&tables);
        table.check(version)?;
        let undone = table.undone_to(version);
        let mut present =
            keys_from(&table.objects, namespace, after).filter(|(key, _)| !undone.contains_key(*key)).peekable();
        let mut past =
            keys_from(&undone, namespace, after).filter_map(|(key, object)| Some((key, object.as_ref()?))).peekable();
        let mut merged = std::iter::from_fn(|| match (present.peek(), past.peek()) {
            (Some((newer, _)), Some((older, _))) if older < newer => past.next(),
            (Some(_), _) => present.next(),
            (None, _) => past.next(),
        });
        let items = merged.by_ref().take(limit).map(|(_, o)| o.clone()).collect();
        let more = merged.next().is_some();
        Ok(Page { items, version, more })
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // Only a closure of `update` or `select` can panic while the lock is held, and both run before anything is written.
        self.tables.lock()
    }
}

// === impl Tables ===

impl Tables {
    fn put<O: Stored>(&mut self, key: Key, mut object: O) -> Arc<O> {
        let previous = O::table(self).objects.get(&key).cloned();
        if let Some(previous) = &previous {
            // The caller may have kept the old version or left it empty. It makes no difference.
            object.set_resource_version(previous.resource_version().to_owned());
            if object == **previous {
                return previous.clone();
            }
        }
        let kind = match previous {
            Some(_) => EventKind::Modified,
            None => EventKind::Added,
        };
        let object = self.record(kind, object, previous);
        let objects = &mut O::table_mut(self).objects;
        objects.insert(key, object.clone());
        object
    }

    fn remove<O: Stored>(&mut self, key: &Key) -> Option<Arc<O>> {
        let last = O::table_mut(self).objects.remove(key)?;
        Some(self.record(EventKind::Deleted, O::clone(&last), Some(last)))
    }

    /// Sets the version of the write, and appends it to the log.
    fn record<O: Stored>(&mut self, kind: EventKind, mut object: O, previous: Option<Arc<O>>) -> Arc<O> {
        self.version += 1;
        let version = self.version;
        object.set_resource_version(version.to_string());
        let event = Event { version, kind, object: Arc::new(object), previous };
        let object = event.object.clone();
        O::table_mut(self).push(event);
        object
    }
}

// === impl Table ===

impl<O: Object> Table<O> {
    fn new(history: usize) -> Self {
        Self { objects: BTreeMap::new(), log: VecDeque::new(), floor: 0, history, wake: watch::Sender::new(()) }
    }

    fn push(&mut self, event: Event<O>) {
        self.log.push_back(event);
        while self.log.len() > self.history {
            if let Some(dropped) = self.log.pop_front() {
                self.floor = dropped.version;
            }
        }
        self.wake.send_replace(());
    }

    fn compact(&mut self, version: u64) {
        self.log.clear();
        self.floor = version;
    }

    fn check(&self, version: u64) -> Result<(), Expired> {
        if version < self.floor {
            return Err(Expired { asked: version, oldest: self.floor });
        }
        Ok(())
    }

    /// The differences between `version` and now: each key with its object at that version, if there was one.
    fn undone_to(&self, version: u64) -> BTreeMap<Key, Option<Arc<O>>> {
        let later = self.log.iter().rev().take_while(|e| e.version > version);
        // Newest first, so that the oldest change of an object remains.
        later.map(|e| (key_of(&*e.object), e.previous.clone())).collect()
    }
}

// === impl Stored ===

macro_rules! stored {
    ($type:ty, $table:ident) => {
        impl Stored for $type {
            fn table(tables: &Tables) -> &Table<Self> {
                &tables.$table
            }
            fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
                &mut tables.$table
            }
        }
    };
}

stored!(Pod, pods);
stored!(Service, services);
stored!(EndpointSlice, slices);

fn key_of<O: Object>(object: &O) -> Key {
    (object.namespace().to_owned(), object.name().to_owned())
}

/// The entries of a namespace, or of all namespaces, after the key `after`.
fn keys_from<'a, V>(
    map: &'a BTreeMap<Key, V>,
    namespace: Option<&'a str>,
    after: Option<&Key>,
) -> impl Iterator<Item = (&'a Key, &'a V)> {
    let start = match (after, namespace) {
        (Some(key), _) => Bound::Excluded(key.clone()),
        (None, Some(namespace)) => Bound::Included((namespace.to_owned(), String::new())),
        (None, None) => Bound::Unbounded,
    };
    map.range((start, Bound::Unbounded)).take_while(move |(key, _)| namespace.is_none_or(|n| key.0 == n))
}

#[cfg(test)]
mod tests;
