use super::*;
use crate::dataplane::{
    encode,
    netlink::message::{Part, Parts},
    observation::{Backend, Frontend, Protocol},
};
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeMap;

/// What a test writes into the kernel.
#[derive(Clone, Debug)]
enum Write {
    /// Rule number, chain, and what the rule does.
    Rule(u64, &'static str, Does),
    NoRule(u64),
    /// Map, key, value.
    Element(&'static str, Vec<u8>, Value),
    NoElement(&'static str, Vec<u8>),
    NoSet(&'static str),
    NoChain(&'static str),
    Table(&'static str, u64),
    NoTable(&'static str),
    Commit,
}

#[derive(Clone, Debug, PartialEq)]
enum Does {
    Jump(&'static str),
    Service(u8, &'static str),
    Backend(u8),
    Map(&'static str),
    Vmap(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Backend(u8),
    Chain(&'static str),
}

/// A kernel that remembers what was written, and can dump all of it.
#[derive(Default)]
struct Kernel {
    tables: BTreeMap<&'static str, u64>,
    rules: BTreeMap<u64, (&'static str, Does)>,
    elements: BTreeMap<(&'static str, Vec<u8>), Value>,
}

const NFTABLES: [&str; 5] = ["nat-prerouting", "services", "service-a", "local-b", "endpoint-c"];
const IPTABLES: [&str; 5] = ["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-A", "KUBE-SVL-B", "KUBE-SEP-C"];
const MAPS: [&str; 3] = ["service-ips", "__map0", "__map1"];

fn table_of(chain: &str) -> &'static str {
    if IPTABLES.contains(&chain) { iptables::TABLE } else { nftables::TABLE }
}

fn apply(rules: &mut Ruleset, bytes: &[u8]) {
    for part in Parts::new(bytes) {
        let Ok(Part::Message(message)) = part else { panic!("{part:?}") };
        rules.apply(&message).expect("a message");
    }
}

fn expressions(does: &Does) -> Vec<Vec<u8>> {
    match does {
        Does::Jump(chain) => encode::jump(chain),
        Does::Service(host, chain) => encode::service([10, 96, 0, *host], 6, 80, chain),
        Does::Backend(host) => encode::dnat(&[10, 244, 0, *host], 8080),
        Does::Map(map) => encode::dnat_map(map),
        Does::Vmap(map) => encode::vmap(map),
    }
}

fn data(value: &Value) -> Vec<u8> {
    match value {
        Value::Backend(host) => encode::constant(2, &[10, 244, 0, *host, 0x1f, 0x90, 0, 0]),
        Value::Chain(chain) => encode::goto(2, chain),
    }
}

fn frontend_key(host: u8) -> Vec<u8> {
    vec![10, 96, 0, host, 6, 0, 0, 0, 0, 80, 0, 0]
}

impl Kernel {
    /// Performs the write, and returns the notification.
    fn write(&mut self, write: &Write) -> Vec<u8> {
        match write {
            Write::Rule(handle, chain, does) => {
                if self.rules.contains_key(handle) || !self.tables.contains_key(table_of(chain)) {
                    return Vec::new();
                }
                self.rules.insert(*handle, (chain, does.clone()));
                encode::rule(kind::NEW_RULE, table_of(chain), chain, *handle, &expressions(does))
            }
            Write::NoRule(handle) => match self.rules.remove(handle) {
                Some((chain, does)) => {
                    encode::rule(kind::DEL_RULE, table_of(chain), chain, *handle, &expressions(&does))
                }
                None => Vec::new(),
            },
            Write::Element(map, key, value) if self.tables.contains_key(nftables::TABLE) => {
                self.elements.insert((map, key.clone()), value.clone());
                let element = [encode::constant(1, key), data(value)];
                encode::elements(kind::NEW_ELEMENTS, nftables::TABLE, map, &[element])
            }
            Write::NoElement(map, key) => match self.elements.remove(&(*map, key.clone())) {
                Some(value) => {
                    let element = [encode::constant(1, key), data(&value)];
                    encode::elements(kind::DEL_ELEMENTS, nftables::TABLE, map, &[element])
                }
                None => Vec::new(),
            },
            Write::NoSet(map) => {
                self.elements.retain(|(it, _), _| it != map);
                encode::message(kind::DEL_SET, 2, 0, &[encode::text(1, nftables::TABLE), encode::text(2, map)])
            }
            Write::NoChain(chain) => {
                self.rules.retain(|_, (it, _)| it != chain);
                let name = [encode::text(1, table_of(chain)), encode::text(3, chain)];
                encode::message(kind::DEL_CHAIN, 2, 0, &name)
            }
            Write::Table(table, handle) if !self.tables.contains_key(table) => {
                self.tables.insert(table, *handle);
                encode::table(kind::NEW_TABLE, table, *handle)
            }
            Write::NoTable(table) => match self.tables.remove(table) {
                Some(handle) => {
                    self.rules.retain(|_, (chain, _)| table_of(chain) != *table);
                    if *table == nftables::TABLE {
                        self.elements.clear();
                    }
                    encode::table(kind::DEL_TABLE, table, handle)
                }
                None => Vec::new(),
            },
            Write::Element(..) | Write::Table(..) | Write::Commit => Vec::new(),
        }
    }

    /// What packets find, computed without any code of the rules.
    fn sets(&self) -> EffectiveSets {
        let entrances =
            [("nat-prerouting", "services", nftables::TABLE), ("PREROUTING", "KUBE-SERVICES", iptables::TABLE)];
        let is_entered = |(from, to, _): &(&str, &'static str, &str)| {
            self.rules.values().any(|(chain, does)| chain == from && *does == Does::Jump(to))
        };
        let entered = entrances.into_iter().filter(is_entered);
        let mut tables: Vec<_> = entered.map(|(.., table)| (self.tables[table], table)).collect();
        // With the same number, which the kernel does not assign twice, iptables is first.
        tables.sort_by_key(|(handle, table)| (std::cmp::Reverse(*handle), *table == nftables::TABLE));
        let sets = (1..4).map(|host| {
            let reached =
                tables.iter().map(|(_, table)| self.chain_of(table, host).map_or(vec![], |it| self.reached(it)));
            (frontend(host), reached.into_iter().find(|found| !found.is_empty()).unwrap_or_default())
        });
        sets.collect()
    }

    /// The chain of a frontend's packets.
    fn chain_of(&self, table: &str, host: u8) -> Option<&'static str> {
        if table == nftables::TABLE {
            return match self.elements.get(&("service-ips", frontend_key(host)))? {
                Value::Chain(chain) => nftables::is_of_cluster_ip(chain).then_some(*chain),
                Value::Backend(_) => None,
            };
        }
        self.rules.values().find_map(|(chain, does)| match does {
            Does::Service(it, to) if *chain == "KUBE-SERVICES" && *it == host && iptables::is_of_cluster_ip(to) => {
                Some(*to)
            }
            _ => None,
        })
    }

    fn reached(&self, from: &'static str) -> Vec<Backend> {
        let (mut next, mut seen, mut found) = (vec![from], Vec::new(), Vec::new());
        while let Some(place) = next.pop() {
            if seen.contains(&place) {
                continue;
            }
            seen.push(place);
            for (_, does) in self.rules.values().filter(|(chain, _)| *chain == place) {
                match does {
                    // Not from the chain of all Services: a packet leaves it for its own Service only.
                    Does::Service(_, to) if place == "KUBE-SERVICES" && iptables::is_of_cluster_ip(to) => {}
                    Does::Jump(to) | Does::Service(_, to) | Does::Map(to) | Does::Vmap(to) => next.push(to),
                    Does::Backend(host) => found.push(endpoint(*host)),
                }
            }
            for (_, value) in self.elements.iter().filter(|((map, _), _)| *map == place) {
                match value {
                    Value::Backend(host) => found.push(endpoint(*host)),
                    Value::Chain(to) => next.push(to),
                }
            }
        }
        found
    }

    /// A dump of everything.
    fn dump(&self) -> Ruleset {
        let mut rules = Ruleset::new();
        for (table, handle) in &self.tables {
            apply(&mut rules, &encode::table(kind::NEW_TABLE, table, *handle));
        }
        for (handle, (chain, does)) in &self.rules {
            apply(&mut rules, &encode::rule(kind::NEW_RULE, table_of(chain), chain, *handle, &expressions(does)));
        }
        for ((map, key), value) in &self.elements {
            let element = [encode::constant(1, key), data(value)];
            apply(&mut rules, &encode::elements(kind::NEW_ELEMENTS, nftables::TABLE, map, &[element]));
        }
        rules.commit();
        rules
    }
}

fn a_write() -> impl Strategy<Value = Write> {
    let host = || 1u8..4;
    let nftables_rule = prop_oneof![
        select(&NFTABLES[1..]).prop_map(Does::Jump),
        host().prop_map(Does::Backend),
        select(&MAPS[1..]).prop_map(Does::Map),
        select(&MAPS[1..]).prop_map(Does::Vmap),
    ];
    let iptables_rule = prop_oneof![
        select(&IPTABLES[1..]).prop_map(Does::Jump),
        (host(), select(&IPTABLES[2..])).prop_map(|(host, chain)| Does::Service(host, chain)),
        host().prop_map(Does::Backend),
    ];
    let key = || prop_oneof![host().prop_map(frontend_key), (0u8..3).prop_map(|index| vec![index, 0, 0, 0])];
    let value = prop_oneof![host().prop_map(Value::Backend), select(&NFTABLES[2..]).prop_map(Value::Chain)];
    let tables = || select(&[nftables::TABLE, iptables::TABLE][..]);
    prop_oneof![
        6 => (1u64..40, select(&NFTABLES[..]), nftables_rule).prop_map(|(it, chain, does)| Write::Rule(it, chain, does)),
        6 => (1u64..40, select(&IPTABLES[..]), iptables_rule).prop_map(|(it, chain, does)| Write::Rule(it, chain, does)),
        4 => (1u64..40).prop_map(Write::NoRule),
        8 => (select(&MAPS[..]), key(), value).prop_map(|(map, key, value)| Write::Element(map, key, value)),
        3 => (select(&MAPS[..]), key()).prop_map(|(map, key)| Write::NoElement(map, key)),
        1 => select(&MAPS[..]).prop_map(Write::NoSet),
        1 => select(&NFTABLES[..]).prop_map(Write::NoChain),
        1 => select(&IPTABLES[..]).prop_map(Write::NoChain),
        1 => (tables(), 1u64..9).prop_map(|(table, handle)| Write::Table(table, handle)),
        1 => tables().prop_map(Write::NoTable),
        6 => Just(Write::Commit),
    ]
}

/// Rules that start like kube-proxy's.
fn beginning() -> Vec<Write> {
    vec![
        Write::Table(nftables::TABLE, 4),
        Write::Table(iptables::TABLE, 5),
        Write::Rule(101, "nat-prerouting", Does::Jump("services")),
        Write::Rule(102, "PREROUTING", Does::Jump("KUBE-SERVICES")),
        Write::Rule(103, "KUBE-SERVICES", Does::Service(1, "KUBE-SVC-A")),
        Write::Rule(104, "KUBE-SVC-A", Does::Jump("KUBE-SEP-C")),
        Write::Element("service-ips", frontend_key(1), Value::Chain("service-a")),
        Write::Rule(105, "service-a", Does::Map("__map0")),
        Write::Rule(106, "local-b", Does::Vmap("__map1")),
    ]
}

proptest! {
    /// Rules that were followed commit by commit give the same result as a dump of the same rules, and the reported changes add
    /// up to it.
    #[test]
    fn followed_rules_are_those_that_a_dump_shows(begin: bool, writes in vec(a_write(), 1..60)) {
        let (mut kernel, mut rules, mut told) = (Kernel::default(), Ruleset::new(), EffectiveSets::default());
        let beginning = if begin { beginning() } else { Vec::new() };
        for write in beginning.iter().chain(&writes).chain([&Write::Commit]) {
            apply(&mut rules, &kernel.write(write));
            if matches!(write, Write::Commit) {
                let dump = kernel.dump();
                prop_assert_eq!(dump.sets(), &kernel.sets());
                let changes = rules.commit();
                changes.iter().for_each(|change| told.apply(change));
                prop_assert_eq!(rules.sets(), dump.sets());
                prop_assert_eq!(rules.planes(), dump.planes());
                prop_assert_eq!(&told, dump.sets());
                prop_assert!(rules.commit().is_empty());
            }
        }
    }
}

fn frontend(host: u8) -> Frontend {
    Frontend { address: [10, 96, 0, host].into(), protocol: Protocol::Tcp, port: 80 }
}

fn endpoint(host: u8) -> Backend {
    Backend { address: [10, 244, 0, host].into(), port: 8080 }
}

/// A node on which kube-proxy wrote rules in one mode, and then in the other.
fn changed_mode(nftables_handle: u64, iptables_handle: u64) -> (Kernel, Ruleset) {
    let (mut kernel, mut rules) = (Kernel::default(), Ruleset::new());
    let writes = [
        Write::Table(nftables::TABLE, nftables_handle),
        Write::Table(iptables::TABLE, iptables_handle),
        Write::Rule(1, "nat-prerouting", Does::Jump("services")),
        Write::Element("service-ips", frontend_key(1), Value::Chain("service-a")),
        Write::Rule(2, "service-a", Does::Backend(1)),
        Write::Rule(3, "PREROUTING", Does::Jump("KUBE-SERVICES")),
        Write::Rule(4, "KUBE-SERVICES", Does::Service(1, "KUBE-SVC-A")),
        Write::Rule(5, "KUBE-SERVICES", Does::Service(2, "KUBE-SVC-A")),
        Write::Rule(6, "KUBE-SVC-A", Does::Backend(2)),
    ];
    writes.iter().for_each(|write| apply(&mut rules, &kernel.write(write)));
    rules.commit();
    (kernel, rules)
}

#[test]
fn of_two_modes_the_table_that_was_made_last_decides() {
    let (mut kernel, mut rules) = changed_mode(2, 1);
    let plane = FamilyPlane { decides: Some(Mode::Nftables), behind: Some(Mode::Iptables) };
    assert_eq!(rules.planes()[0], plane);
    assert_eq!(rules.sets().get(&frontend(1)), [endpoint(1)]);
    // A frontend that the first table does not know goes to the other.
    assert_eq!(rules.sets().get(&frontend(2)), [endpoint(2)]);
    apply(&mut rules, &kernel.write(&Write::NoTable(iptables::TABLE)));
    let changes = rules.commit();
    assert_eq!(changes, [SetChange { frontend: frontend(2), added: vec![], removed: vec![endpoint(2)] }]);
    assert_eq!(rules.planes()[0], FamilyPlane { decides: Some(Mode::Nftables), behind: None });

    let (_, rules) = changed_mode(1, 2);
    assert_eq!(rules.planes()[0].decides, Some(Mode::Iptables));
    assert_eq!(rules.sets().get(&frontend(1)), [endpoint(2)]);
}

#[test]
fn rules_that_no_packet_comes_to_do_nothing() {
    let (mut kernel, mut rules) = changed_mode(2, 1);
    apply(&mut rules, &kernel.write(&Write::NoRule(1)));
    let changes = rules.commit();
    assert_eq!(changes, [SetChange { frontend: frontend(1), added: vec![endpoint(2)], removed: vec![endpoint(1)] }]);
    assert_eq!(rules.planes()[0], FamilyPlane { decides: Some(Mode::Iptables), behind: None });
}

#[test]
fn a_change_of_mode_that_keeps_the_endpoints_is_no_change() {
    let (mut kernel, mut rules) = changed_mode(2, 1);
    apply(&mut rules, &kernel.write(&Write::NoRule(5)));
    apply(&mut rules, &kernel.write(&Write::NoRule(6)));
    apply(&mut rules, &kernel.write(&Write::Rule(7, "KUBE-SVC-A", Does::Backend(1))));
    rules.commit();
    apply(&mut rules, &kernel.write(&Write::NoTable(nftables::TABLE)));
    assert_eq!(rules.commit(), []);
    assert_eq!(rules.planes()[0], FamilyPlane { decides: Some(Mode::Iptables), behind: None });
}
