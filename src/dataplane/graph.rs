//! Which chains and maps lead to which endpoints. A node with 10,000 Services of 15 endpoints has 160,000 chains in mode iptables, so
//! names are kept as fingerprints, and steps lead to numbers.

use super::observation::Backend;
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use slab::Slab;
use std::{collections::VecDeque, hash::BuildHasher, mem};

/// Maximum number of chains and maps on a way to an endpoint. kube-proxy has three. The kernel allows no circles, but a follower that has
/// read half of a commit may see one.
const DEPTH: usize = 6;

/// Stands for a Service among what leads to a place.
const SERVICE: Id = Id(u32::MAX);

/// The number of a chain or map. It is valid as long as something leads there, or it leads somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u32);

/// What a name belongs to. Chains and maps have names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A chain. Its items are rules, by number.
    Chain,
    /// A map. Its items are elements, by key.
    Map,
}

/// Where an item of a chain or map leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To another chain or map.
    To(Id),
    /// To an endpoint.
    Endpoint(Backend),
    /// To an endpoint that could not be read.
    Unread,
}

/// All chains and maps of a table.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    places: Slab<Place>,
    by_name: HashTable<Id>,
    /// Two of them: the chance that two of a million names have the same fingerprint is below 10^-26.
    hashers: [RandomState; 2],
    /// Places whose items have changed, with repetitions. Some may be gone.
    changed: Vec<Id>,
    /// Number of items of the kind [`Step::Unread`].
    unread: usize,
}

/// A chain or a map that leads somewhere, or that something leads to.
#[derive(Debug)]
struct Place {
    name: [u64; 2],
    items: Items,
    /// One for each item that leads here.
    sources: Sources,
}

/// Items by key, ascending. Most chains have one item, and most others are appended to, or emptied from the front.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most have one item, so the room for it is what counts")]
enum Items {
    #[default]
    None,
    One(u64, Step),
    Many(Box<VecDeque<(u64, Step)>>),
}

/// Places that lead somewhere, in any order.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most have one source, so the room for it is what counts")]
enum Sources {
    #[default]
    None,
    One(Id),
    Many(Box<Vec<Id>>),
}

// === impl Graph ===

impl Graph {
    /// Number of items that lead to endpoints that could not be read.
    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// The place of this name, if it is known.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<Id> {
        self.named(self.fingerprint(kind, name))
    }

    /// The place of this name. If it is new, an item must be added to it, or something must lead to it.
    pub(crate) fn place(&mut self, kind: Kind, name: &str) -> Id {
        let name = self.fingerprint(kind, name);
        if let Some(known) = self.named(name) {
            return known;
        }
        let id = Id(self.places.insert(Place { name, items: Items::None, sources: Sources::None }) as u32);
        let places = &self.places;
        self.by_name.insert_unique(name[0], id, |id| places[id.index()].name[0]);
        id
    }

    /// Adds an item, or replaces the one with this key.
    pub(crate) fn set(&mut self, at: Id, key: u64, step: Step) {
        self.lead(at, step);
        if let Some(before) = self.places[at.index()].items.insert(key, step) {
            self.lead_no_more(at, before);
        }
        self.changed.push(at);
    }

    /// Removes an item. Returns whether it was there.
    pub(crate) fn remove(&mut self, at: Id, key: u64) -> bool {
        let Some(before) = self.places[at.index()].items.remove(key) else { return false };
        self.changed.push(at);
        self.lead_no_more(at, before);
        self.settle(at);
        true
    }

    /// Removes all items of a place.
    pub(crate) fn clear(&mut self, at: Id) {
        let items = mem::take(&mut self.places[at.index()].items);
        items.steps().for_each(|step| self.lead_no_more(at, step));
        self.changed.push(at);
        self.settle(at);
    }

    /// A Service leads to this place.
    pub(crate) fn lead_service(&mut self, to: Id) {
        self.places[to.index()].sources.add(SERVICE);
    }

    /// A Service leads to this place no more.
    pub(crate) fn lead_service_no_more(&mut self, to: Id) {
        self.places[to.index()].sources.remove(SERVICE);
        self.settle(to);
    }

    /// Whether an item of one place leads to the other.
    pub(crate) fn leads(&self, from: Id, to: Id) -> bool {
        self.places[from.index()].items.steps().any(|step| step == Step::To(to))
    }

    /// All endpoints that a place leads to, ascending.
    pub(crate) fn endpoints(&self, from: Id) -> Vec<Backend> {
        let mut endpoints = Vec::new();
        self.collect(from, &mut endpoints, DEPTH);
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints
    }

    /// Takes the places to which Services lead and from which endpoints may have changed since the last call, ascending.
    pub(crate) fn take_changed(&mut self) -> Vec<Id> {
        let mut next = mem::take(&mut self.changed);
        let mut seen = Vec::new();
        let mut of_services = Vec::new();
        while !next.is_empty() {
            next.sort_unstable();
            next.dedup();
            next.retain(|id| !is_in(&seen, *id));
            let mut sources = Vec::new();
            for id in &next {
                let Some(place) = self.places.get(id.index()) else { continue };
                for source in place.sources.all() {
                    match *source {
                        SERVICE => of_services.push(*id),
                        source => sources.push(source),
                    }
                }
            }
            seen.append(&mut next);
            seen.sort_unstable();
            next = sources;
        }
        of_services.sort_unstable();
        of_services.dedup();
        of_services
    }

    fn collect(&self, from: Id, endpoints: &mut Vec<Backend>, depth: usize) {
        for step in self.places[from.index()].items.steps() {
            match step {
                Step::To(next) if depth > 1 => self.collect(next, endpoints, depth - 1),
                Step::Endpoint(endpoint) => endpoints.push(endpoint),
                Step::To(_) | Step::Unread => {}
            }
        }
    }

    fn lead(&mut self, from: Id, step: Step) {
        match step {
            Step::To(to) => self.places[to.index()].sources.add(from),
            Step::Unread => self.unread += 1,
            Step::Endpoint(_) => {}
        }
    }

    fn lead_no_more(&mut self, from: Id, step: Step) {
        match step {
            Step::To(to) => {
                self.places[to.index()].sources.remove(from);
                if to != from {
                    self.settle(to);
                }
            }
            Step::Unread => self.unread -= 1,
            Step::Endpoint(_) => {}
        }
    }

    /// Forgets a place that leads nowhere and that nothing leads to.
    fn settle(&mut self, id: Id) {
        let place = &self.places[id.index()];
        if matches!((&place.items, &place.sources), (Items::None, Sources::None)) {
            let hash = place.name[0];
            if let Ok(entry) = self.by_name.find_entry(hash, |it| *it == id) {
                entry.remove();
            }
            self.places.remove(id.index());
        }
    }

    fn fingerprint(&self, kind: Kind, name: &str) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one((kind, name)))
    }

    fn named(&self, name: [u64; 2]) -> Option<Id> {
        self.by_name.find(name[0], |id| self.places[id.index()].name == name).copied()
    }
}

/// Whether ascending numbers contain one.
pub(crate) fn is_in(ids: &[Id], id: Id) -> bool {
    ids.binary_search(&id).is_ok()
}

// === impl Id ===

impl Id {
    fn index(self) -> usize {
        self.0 as usize
    }
}

// === impl Items ===

impl Items {
    /// Where the items lead.
    fn steps(&self) -> impl Iterator<Item = Step> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(_, step) => (Some(*step), None),
            Self::Many(items) => (None, Some(items)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|items| items.iter().map(|(_, step)| *step)))
    }

    /// Adds an item. Returns the one that it replaces.
    fn insert(&mut self, key: u64, step: Step) -> Option<Step> {
        match self {
            Self::None => {
                *self = Self::One(key, step);
                None
            }
            Self::One(known, before) if *known == key => Some(mem::replace(before, step)),
            Self::One(known, before) => {
                let mut items = VecDeque::from([(*known, *before)]);
                insert(&mut items, key, step);
                *self = Self::Many(Box::new(items));
                None
            }
            Self::Many(items) => insert(items, key, step),
        }
    }

    /// Removes an item, and returns it.
    fn remove(&mut self, key: u64) -> Option<Step> {
        match self {
            Self::One(known, step) if *known == key => {
                let step = *step;
                *self = Self::None;
                Some(step)
            }
            Self::None | Self::One(..) => None,
            Self::Many(items) => {
                let at = items.binary_search_by_key(&key, |(key, _)| *key).ok()?;
                let (_, step) = items.remove(at)?;
                match items.len() {
                    0 => *self = Self::None,
                    length if length * 4 <= items.capacity() => items.shrink_to(length * 2),
                    _ => {}
                }
                Some(step)
            }
        }
    }
}

fn insert(items: &mut VecDeque<(u64, Step)>, key: u64, step: Step) -> Option<Step> {
    match items.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(at) => Some(mem::replace(&mut items[at].1, step)),
        Err(at) => {
            items.insert(at, (key, step));
            None
        }
    }
}

// === impl Sources ===

impl Sources {
    fn all(&self) -> &[Id] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    fn add(&mut self, id: Id) {
        match self {
            Self::None => *self = Self::One(id),
            Self::One(known) => *self = Self::Many(Box::new(vec![*known, id])),
            Self::Many(ids) => ids.push(id),
        }
    }

    fn remove(&mut self, id: Id) {
        match self {
            Self::One(known) if *known == id => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(ids) => {
                // What was added last is often removed first.
                if let Some(at) = ids.iter().rposition(|known| *known == id) {
                    ids.swap_remove(at);
                }
                match ***ids {
                    [] => *self = Self::None,
                    [last] => *self = Self::One(last),
                    _ => {}
                }
            }
        }
    }
}
