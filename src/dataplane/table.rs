//! One table of the kernel, as far as it decides where connections of Services go, and the effective sets that result from it.
//!
//! It is updated message by message. Between two commits it remembers the changed chains and sets. A commit looks at each
//! frontend once, and computes the endpoints anew only of those that lead to a change.

use super::{
    iptables,
    netlink::{
        attributes::Malformed,
        message::{Message, kind},
    },
    nftables,
    observation::{Backend, Frontend, Mode},
    rule::{Action, Data, Rule, read_data, values},
};
use crate::model::Family;
use std::{
    collections::{HashMap, HashSet},
    mem,
};

/// Maximum depth of chains that lead to chains. kube-proxy has two steps from a Service to an endpoint.
const DEPTH: usize = 4;

/// The longest key that is read: an IPv6 address, a protocol and a port.
const KEY: usize = 24;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type Set<K> = HashSet<K, foldhash::fast::RandomState>;

/// A table of one mode and family.
#[derive(Debug)]
pub(crate) struct Table {
    mode: Mode,
    family: Family,
    /// Its number. The newest table has the highest. `None` if the table does not exist.
    handle: Option<u64>,
    /// Rules by number. Rules without an effect here are not kept.
    chains: Map<Box<str>, Map<u64, Rule>>,
    /// Elements of maps. Sets without data are not kept.
    maps: Map<Box<str>, Map<Key, Element>>,
    /// Number of rules that send packets to endpoints that could not be read.
    unread: usize,
    touched: Touched,
    /// Whether packets enter it.
    entered: bool,
    /// The result of all that, as of the last commit.
    entries: Map<Frontend, Entry>,
}

/// Key of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    bytes: [u8; KEY],
    length: u8,
}

/// The value that a map has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// A chain to go to.
    Chain(Box<str>),
    /// An endpoint.
    Backend(Backend),
}

/// The jump that leads packets to the rules for Services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entrance {
    /// The chain that contains it.
    pub(crate) from: &'static str,
    /// The chain that it leads to.
    pub(crate) to: &'static str,
}

/// Where a frontend led.
#[derive(Debug)]
struct Entry {
    chain: Box<str>,
    endpoints: Box<[Backend]>,
}

/// Names of what changed since the last commit.
#[derive(Debug, Default)]
struct Touched {
    chains: Set<Box<str>>,
    maps: Set<Box<str>>,
    all: bool,
}

// === impl Table ===

impl Table {
    /// A table that does not exist.
    pub(crate) fn new(mode: Mode, family: Family) -> Self {
        Self {
            mode,
            family,
            handle: None,
            chains: Map::default(),
            maps: Map::default(),
            unread: 0,
            touched: Touched::default(),
            entered: false,
            entries: Map::default(),
        }
    }

    /// Its number, if packets enter it. A packet meets the newest of two such tables first.
    pub(crate) fn entered(&self) -> Option<u64> {
        self.handle.filter(|_| self.entered)
    }

    /// The endpoints of a frontend as of the last commit, ascending.
    pub(crate) fn endpoints(&self, frontend: &Frontend) -> &[Backend] {
        self.entries.get(frontend).map(|entry| &*entry.endpoints).unwrap_or_default()
    }

    /// All frontends as of the last commit.
    pub(crate) fn frontends(&self) -> impl Iterator<Item = Frontend> {
        self.entries.keys().copied()
    }

    /// Number of rules that send packets to endpoints that could not be read.
    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// Applies a message of this table.
    ///
    /// # Errors
    /// It is malformed; then nothing is known about the table.
    pub(crate) fn apply(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        match message.kind {
            kind::NEW_TABLE => {
                let [handle] = values(message.attributes(), [4])?;
                self.handle = Some(handle.ok_or(Malformed)?.u64()?);
                self.touched.all = true;
            }
            kind::DEL_TABLE => {
                let entries = mem::take(&mut self.entries);
                *self = Self { entries, ..Self::new(self.mode, self.family) };
                self.touched.all = true;
            }
            kind::DEL_CHAIN => {
                let [chain] = values(message.attributes(), [3])?;
                let chain = chain.ok_or(Malformed)?.text()?;
                if let Some(rules) = self.chains.remove(chain) {
                    self.unread -= rules.values().filter(|rule| rule.is_unread()).count();
                    self.touched.chain(chain);
                }
            }
            kind::NEW_RULE | kind::DEL_RULE => self.apply_rule(message)?,
            kind::DEL_SET => {
                let [set] = values(message.attributes(), [2])?;
                let set = set.ok_or(Malformed)?.text()?;
                if self.maps.remove(set).is_some() {
                    self.touched.map(set);
                }
            }
            kind::NEW_ELEMENTS | kind::DEL_ELEMENTS => self.apply_elements(message)?,
            _ => {}
        }
        Ok(())
    }

    fn apply_rule(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let [chain, handle, expressions] = values(message.attributes(), [2, 3, 4])?;
        let (chain, handle) = (chain.ok_or(Malformed)?.text()?, handle.ok_or(Malformed)?.u64()?);
        let is_kept = match self.mode {
            Mode::Nftables => true,
            Mode::Iptables => iptables::is_kept(chain),
        };
        if !is_kept {
            return Ok(());
        }
        let rule = match expressions {
            Some(expressions) if message.kind == kind::NEW_RULE => Rule::read(self.family, expressions.nested())?,
            _ => None,
        };
        let is_unread = rule.as_ref().is_some_and(Rule::is_unread);
        let before = match (self.chains.get_mut(chain), rule) {
            (Some(rules), Some(rule)) => rules.insert(handle, rule),
            (Some(rules), None) => match rules.remove(&handle) {
                // It had no effect here before, and has none now.
                None => return Ok(()),
                before => before,
            },
            (None, Some(rule)) => {
                self.chains.insert(chain.into(), Map::from_iter([(handle, rule)]));
                None
            }
            (None, None) => return Ok(()),
        };
        self.unread += usize::from(is_unread);
        self.unread -= usize::from(before.is_some_and(|rule| rule.is_unread()));
        self.touched.chain(chain);
        Ok(())
    }

    fn apply_elements(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let [map, elements] = values(message.attributes(), [2, 3])?;
        let map = map.ok_or(Malformed)?.text()?;
        let Some(elements) = elements else { return Ok(()) };
        let mut touched = false;
        for element in elements.nested() {
            let [key, data] = values(element?.nested(), [1, 2])?;
            let Some(key) = key.map(read_data).transpose()?.and_then(Key::of) else { continue };
            if message.kind == kind::DEL_ELEMENTS {
                touched |= self.maps.get_mut(map).is_some_and(|map| map.remove(&key).is_some());
                continue;
            }
            let Some(data) = data else { continue };
            if let Some(element) = Element::of(self.family, read_data(data)?) {
                match self.maps.get_mut(map) {
                    Some(elements) => drop(elements.insert(key, element)),
                    None => drop(self.maps.insert(map.into(), Map::from_iter([(key, element)]))),
                }
                touched = true;
            }
        }
        if touched {
            self.touched.map(map);
        }
        Ok(())
    }

    /// Computes the result of the messages since the last commit. Returns the frontends whose endpoints may have changed.
    pub(crate) fn commit(&mut self) -> Vec<Frontend> {
        let touched = mem::take(&mut self.touched);
        if touched.is_nothing() {
            return Vec::new();
        }
        let entrance = match self.mode {
            Mode::Nftables => nftables::ENTRY,
            Mode::Iptables => iptables::ENTRY,
        };
        self.entered = self.chains.get(entrance.from).is_some_and(|rules| {
            rules.values().any(|rule| matches!(&rule.action, Action::Chain(chain) if **chain == *entrance.to))
        });
        let mut before = mem::take(&mut self.entries);
        let mut entries = Map::with_capacity_and_hasher(before.len(), Default::default());
        let mut changed = Vec::new();
        let found = if self.entered { self.services() } else { Map::default() };
        for (frontend, chain) in found {
            let old = before.remove(&frontend);
            let entry = match old {
                Some(old) if *old.chain == *chain && !self.leads_to(chain, &touched, DEPTH) => old,
                old => {
                    let endpoints = self.reached(chain);
                    if old.is_none_or(|old| *old.endpoints != *endpoints) {
                        changed.push(frontend);
                    }
                    Entry { chain: chain.into(), endpoints }
                }
            };
            entries.insert(frontend, entry);
        }
        changed.extend(before.into_keys());
        self.entries = entries;
        changed
    }

    /// The chain that each clusterIP's connections go to.
    fn services(&self) -> Map<Frontend, &str> {
        match self.mode {
            Mode::Nftables => {
                let elements = self.maps.get(nftables::SERVICES).into_iter().flatten();
                let services = elements.filter_map(|(key, element)| match element {
                    Element::Chain(chain) if nftables::is_of_cluster_ip(chain) => {
                        Some((nftables::frontend(self.family, key.bytes())?, &**chain))
                    }
                    _ => None,
                });
                services.collect()
            }
            Mode::Iptables => {
                let rules = self.chains.get(iptables::SERVICES).into_iter().flatten();
                let mut services: Vec<_> = rules
                    .filter_map(|(handle, rule)| match &rule.action {
                        Action::Chain(chain) if iptables::is_of_cluster_ip(chain) => {
                            Some((rule.frontend?, *handle, &**chain))
                        }
                        _ => None,
                    })
                    .collect();
                // If two rules match the same packets, the first decides. Numbers ascend, and the last one collected stays.
                services.sort_unstable_by_key(|(frontend, handle, _)| (*frontend, std::cmp::Reverse(*handle)));
                services.into_iter().map(|(frontend, _, chain)| (frontend, chain)).collect()
            }
        }
    }

    /// Whether a chain, or a chain or map that it leads to, was changed.
    fn leads_to(&self, chain: &str, touched: &Touched, depth: usize) -> bool {
        if touched.chains.contains(chain) || touched.all || depth == 0 {
            return true;
        }
        self.chains.get(chain).into_iter().flat_map(Map::values).any(|rule| match &rule.action {
            Action::Chain(next) => self.leads_to(next, touched, depth - 1),
            Action::Endpoints(map) => touched.maps.contains(map),
            Action::Chains(map) => {
                touched.maps.contains(map)
                    || self.maps.get(map).into_iter().flat_map(Map::values).any(
                        |element| matches!(element, Element::Chain(next) if self.leads_to(next, touched, depth - 1)),
                    )
            }
            Action::Backend(_) | Action::Unread => false,
        })
    }

    /// All endpoints that a chain leads to, ascending.
    fn reached(&self, chain: &str) -> Box<[Backend]> {
        let mut endpoints = Vec::new();
        self.collect(chain, &mut endpoints, DEPTH);
        endpoints.sort_unstable();
        endpoints.dedup();
        endpoints.into_boxed_slice()
    }

    fn collect(&self, chain: &str, endpoints: &mut Vec<Backend>, depth: usize) {
        if depth == 0 {
            return;
        }
        for rule in self.chains.get(chain).into_iter().flat_map(Map::values) {
            match &rule.action {
                Action::Chain(next) => self.collect(next, endpoints, depth - 1),
                Action::Backend(endpoint) => endpoints.push(*endpoint),
                Action::Chains(map) => {
                    for element in self.maps.get(map).into_iter().flat_map(Map::values) {
                        if let Element::Chain(next) = element {
                            self.collect(next, endpoints, depth - 1);
                        }
                    }
                }
                Action::Endpoints(map) => {
                    let elements = self.maps.get(map).into_iter().flat_map(Map::values);
                    endpoints.extend(elements.filter_map(|element| match element {
                        Element::Backend(endpoint) => Some(*endpoint),
                        Element::Chain(_) => None,
                    }));
                }
                Action::Unread => {}
            }
        }
    }
}

// === impl Key ===

impl Key {
    fn of(data: Data<'_>) -> Option<Self> {
        let Data::Value(value) = data else { return None };
        let mut bytes = [0; KEY];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self { bytes, length: value.len() as u8 })
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

// === impl Element ===

impl Element {
    fn of(family: Family, data: Data<'_>) -> Option<Self> {
        match data {
            Data::Chain(chain) => Some(Self::Chain(chain.into())),
            Data::Value(value) => nftables::endpoint(family, value).map(Self::Backend),
            Data::Verdict => None,
        }
    }
}

// === impl Touched ===

impl Touched {
    fn is_nothing(&self) -> bool {
        self.chains.is_empty() && self.maps.is_empty() && !self.all
    }

    fn chain(&mut self, name: &str) {
        if !self.chains.contains(name) {
            self.chains.insert(name.into());
        }
    }

    fn map(&mut self, name: &str) {
        if !self.maps.contains(name) {
            self.maps.insert(name.into());
        }
    }
}
