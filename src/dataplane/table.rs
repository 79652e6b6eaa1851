//! One table of the kernel, as far as it decides where connections of Services go, and the endpoints that result from it.
//!
//! It is updated message by message. A commit finds the frontends from which something leads to what was changed, and only their
//! endpoints are computed anew: in mode iptables kube-proxy writes the rules of all Services again at each sync.

use super::{
    graph::{Graph, Id, Kind, Step, is_in},
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
use foldhash::quality::FixedState;
use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasher,
    mem,
};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A table of one mode and family.
#[derive(Debug)]
pub(crate) struct Table {
    mode: Mode,
    family: Family,
    /// Its number. The newest table has the highest. `None` if the table does not exist.
    handle: Option<u64>,
    /// Its chains and maps, without what has no effect here.
    graph: Graph,
    /// The rules of mode iptables that lead from a frontend to a chain, by number, ascending.
    rules: VecDeque<(u64, Frontend, Id)>,
    /// Whether `rules` has changed since the last commit.
    are_rules_changed: bool,
    /// The chain that each frontend leads to: in mode iptables, as of the last commit.
    entries: Map<Frontend, Entry>,
    /// Frontends that may have another chain since the last commit.
    rerouted: Vec<Frontend>,
    /// Any frontend may have changed since the last commit.
    is_all_changed: bool,
    /// Whether packets enter it, as of the last commit.
    entered: bool,
    commits: u32,
}

/// The jump that leads packets to the rules for Services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entrance {
    /// The chain that contains it.
    pub(crate) from: &'static str,
    /// The chain that it leads to.
    pub(crate) to: &'static str,
}

/// Where a frontend leads.
#[derive(Clone, Copy, Debug)]
struct Entry {
    chain: Id,
    /// The commit at which a rule of mode iptables was last found for it.
    found: u32,
}

/// Frontends whose endpoints may have changed with a commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Candidates {
    /// These, with repetitions.
    Some(Vec<Frontend>),
    /// All that the table has or had.
    All,
}

// === impl Table ===

impl Table {
    /// A table that does not exist.
    pub(crate) fn new(mode: Mode, family: Family) -> Self {
        Self {
            mode,
            family,
            handle: None,
            graph: Graph::default(),
            rules: VecDeque::new(),
            are_rules_changed: false,
            entries: Map::default(),
            rerouted: Vec::new(),
            is_all_changed: false,
            entered: false,
            commits: 0,
        }
    }

    /// Its number, if packets enter it. A packet meets the newest of two such tables first.
    pub(crate) fn entered(&self) -> Option<u64> {
        self.handle.filter(|_| self.entered)
    }

    /// The endpoints of a frontend as of the last commit, ascending.
    pub(crate) fn endpoints(&self, frontend: &Frontend) -> Vec<Backend> {
        match self.entries.get(frontend) {
            Some(entry) if self.entered => self.graph.endpoints(entry.chain),
            _ => Vec::new(),
        }
    }

    /// All frontends as of the last commit.
    pub(crate) fn frontends(&self) -> impl Iterator<Item = Frontend> {
        self.entries.keys().copied()
    }

    /// Number of rules that send packets to endpoints that could not be read.
    pub(crate) fn unread(&self) -> usize {
        self.graph.unread()
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
                self.is_all_changed = true;
            }
            kind::DEL_TABLE => *self = Self { is_all_changed: true, ..Self::new(self.mode, self.family) },
            kind::DEL_CHAIN => {
                let [chain] = values(message.attributes(), [3])?;
                let chain = chain.ok_or(Malformed)?.text()?;
                if self.mode == Mode::Iptables && chain == iptables::SERVICES {
                    self.are_rules_changed = true;
                    mem::take(&mut self.rules).iter().for_each(|(_, _, to)| self.graph.lead_service_no_more(*to));
                }
                self.clear(Kind::Chain, chain);
            }
            kind::NEW_RULE | kind::DEL_RULE => self.apply_rule(message)?,
            kind::DEL_SET => {
                let [map] = values(message.attributes(), [2])?;
                let map = map.ok_or(Malformed)?.text()?;
                if self.is_services(map) {
                    self.is_all_changed = true;
                    mem::take(&mut self.entries).values().for_each(|it| self.graph.lead_service_no_more(it.chain));
                }
                self.clear(Kind::Map, map);
            }
            kind::NEW_ELEMENTS | kind::DEL_ELEMENTS => self.apply_elements(message)?,
            _ => {}
        }
        Ok(())
    }

    fn apply_rule(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let [chain, handle, expressions] = values(message.attributes(), [2, 3, 4])?;
        let (chain, handle) = (chain.ok_or(Malformed)?.text()?, handle.ok_or(Malformed)?.u64()?);
        if self.mode == Mode::Iptables && !iptables::is_kept(chain) {
            return Ok(());
        }
        self.drop_rule(chain, handle);
        let rule = match expressions {
            Some(expressions) if message.kind == kind::NEW_RULE => Rule::read(self.family, expressions.nested())?,
            _ => None,
        };
        let Some(rule) = rule else { return Ok(()) };
        let step = match rule.action {
            Action::Chain(next) if self.leads_nowhere(next) => return Ok(()),
            Action::Chain(next) => Step::To(self.graph.place(Kind::Chain, next)),
            Action::Map(map) => Step::To(self.graph.place(Kind::Map, map)),
            Action::Backend(endpoint) => Step::Endpoint(endpoint),
            Action::Unread => Step::Unread,
        };
        let is_service = match rule.action {
            Action::Chain(next) => {
                self.mode == Mode::Iptables && chain == iptables::SERVICES && iptables::is_of_cluster_ip(next)
            }
            _ => false,
        };
        match (step, rule.frontend) {
            (Step::To(to), Some(frontend)) if is_service => {
                self.graph.lead_service(to);
                let at = self.rules.partition_point(|(known, ..)| *known < handle);
                self.rules.insert(at, (handle, frontend, to));
                self.are_rules_changed = true;
            }
            _ => {
                let at = self.graph.place(Kind::Chain, chain);
                self.graph.set(at, handle, step);
            }
        }
        Ok(())
    }

    /// The rule of this number is gone, or replaced.
    fn drop_rule(&mut self, chain: &str, handle: u64) {
        if self.mode == Mode::Iptables
            && chain == iptables::SERVICES
            && let Ok(at) = self.rules.binary_search_by_key(&handle, |(known, ..)| *known)
            && let Some((_, _, to)) = self.rules.remove(at)
        {
            self.graph.lead_service_no_more(to);
            self.are_rules_changed = true;
        } else if let Some(at) = self.graph.find(Kind::Chain, chain) {
            self.graph.remove(at, handle);
        }
    }

    fn apply_elements(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let [map, elements] = values(message.attributes(), [2, 3])?;
        let map = map.ok_or(Malformed)?.text()?;
        let Some(elements) = elements else { return Ok(()) };
        for element in elements.nested() {
            let [key, data] = values(element?.nested(), [1, 2])?;
            let Some(Data::Value(key)) = key.map(read_data).transpose()? else { continue };
            let data = data.filter(|_| message.kind == kind::NEW_ELEMENTS).map(read_data).transpose()?;
            if self.is_services(map) {
                if let Some(frontend) = nftables::frontend(self.family, key) {
                    self.apply_service(frontend, data);
                }
                continue;
            }
            let step = match data {
                Some(Data::Chain(chain)) => Some(Step::To(self.graph.place(Kind::Chain, chain))),
                Some(Data::Value(value)) => nftables::endpoint(self.family, value).map(Step::Endpoint),
                Some(Data::Verdict) | None => None,
            };
            if let Some(step) = step {
                let at = self.graph.place(Kind::Map, map);
                self.graph.set(at, number(key), step);
            } else if message.kind == kind::DEL_ELEMENTS
                && let Some(at) = self.graph.find(Kind::Map, map)
            {
                self.graph.remove(at, number(key));
            }
        }
        Ok(())
    }

    /// Applies an element of the map of all Services. Without a chain, the frontend leads nowhere.
    fn apply_service(&mut self, frontend: Frontend, data: Option<Data<'_>>) {
        let to = match data {
            Some(Data::Chain(chain)) if nftables::is_of_cluster_ip(chain) => {
                let to = self.graph.place(Kind::Chain, chain);
                self.graph.lead_service(to);
                Some(to)
            }
            _ => None,
        };
        let before = match to {
            Some(chain) => self.entries.insert(frontend, Entry { chain, found: 0 }),
            None => self.entries.remove(&frontend),
        };
        if let Some(before) = before {
            self.graph.lead_service_no_more(before.chain);
        }
        self.rerouted.push(frontend);
    }

    /// Computes the result of the messages since the last commit. Returns the frontends whose endpoints may have changed.
    pub(crate) fn commit(&mut self) -> Candidates {
        let entrance = match self.mode {
            Mode::Nftables => nftables::ENTRY,
            Mode::Iptables => iptables::ENTRY,
        };
        let [from, to] = [entrance.from, entrance.to].map(|chain| self.graph.find(Kind::Chain, chain));
        let entered = from.zip(to).is_some_and(|(from, to)| self.graph.leads(from, to));
        let was_entered = mem::replace(&mut self.entered, entered);
        let is_all_changed = mem::take(&mut self.is_all_changed) || was_entered != entered;
        if mem::take(&mut self.are_rules_changed) {
            self.route();
        }
        let changed = self.graph.take_changed();
        let mut frontends = mem::take(&mut self.rerouted);
        if is_all_changed {
            return Candidates::All;
        }
        if !changed.is_empty() {
            let leads_there = self.entries.iter().filter(|(_, entry)| is_in(&changed, entry.chain));
            frontends.extend(leads_there.map(|(frontend, _)| *frontend));
        }
        Candidates::Some(frontends)
    }

    /// Finds the chain of each frontend in the rules of mode iptables. If two rules match the same packets, the first decides.
    fn route(&mut self) {
        self.commits = self.commits.wrapping_add(1);
        let found = self.commits;
        let mut count = 0;
        for (_, frontend, chain) in &self.rules {
            let entry = self.entries.get_mut(frontend);
            match entry {
                Some(entry) if entry.found == found => continue,
                Some(entry) if entry.chain == *chain => entry.found = found,
                _ => {
                    self.entries.insert(*frontend, Entry { chain: *chain, found });
                    self.rerouted.push(*frontend);
                }
            }
            count += 1;
        }
        if count < self.entries.len() {
            let gone = self.entries.extract_if(|_, entry| entry.found != found);
            self.rerouted.extend(gone.map(|(frontend, _)| frontend));
        }
    }

    fn clear(&mut self, kind: Kind, name: &str) {
        if let Some(at) = self.graph.find(kind, name) {
            self.graph.clear(at);
        }
    }

    fn is_services(&self, map: &str) -> bool {
        self.mode == Mode::Nftables && map == nftables::SERVICES
    }

    /// Whether a chain only marks packets.
    fn leads_nowhere(&self, chain: &str) -> bool {
        match self.mode {
            Mode::Nftables => chain == nftables::MASQUERADE,
            Mode::Iptables => chain == iptables::MASQUERADE,
        }
    }
}

/// The key of an element as a number. Up to seven bytes, as in all maps that pick an endpoint, it is the key itself; above, a fingerprint.
fn number(key: &[u8]) -> u64 {
    const FINGERPRINT: u64 = 1 << 63;
    let mut bytes = [0; 8];
    match bytes[1..].get_mut(..key.len()) {
        Some(place) => {
            place.copy_from_slice(key);
            bytes[0] = key.len() as u8;
            u64::from_be_bytes(bytes)
        }
        None => FixedState::default().hash_one(key) | FINGERPRINT,
    }
}
