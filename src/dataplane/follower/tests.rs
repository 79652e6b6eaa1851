//! The fixtures are what a kernel 6.18 sent about kube-proxy 1.37.2, one datagram after the other. Each has its length before it,
//! as 32 bits in little-endian order. `events` begins with an answer that contains the generation, on a node without rules;
//! `dump` holds the answers to the agent's requests after the last of these events.

use super::*;
use crate::{
    dataplane::{
        effective::EffectiveSets,
        encode::{self, of_generation},
        observation::{FamilyPlane, Mode},
    },
    model::Family,
};
use flate2::read::GzDecoder;
use proptest::{prelude::*, sample::Index};
use std::io::Read;

const NFTABLES: [&[u8]; 2] =
    [include_bytes!("fixtures/nftables.events.gz"), include_bytes!("fixtures/nftables.dump.gz")];
const IPTABLES: [&[u8]; 2] =
    [include_bytes!("fixtures/iptables.events.gz"), include_bytes!("fixtures/iptables.dump.gz")];

/// What was done while the fixtures were recorded, and what a client sees of it.
const STORY: &str = "\
0 to 1 endpoint: 10.96.0.10:80 +10.244.0.1
1 to 3: 10.96.0.10:80 +10.244.0.2 +10.244.0.3
3 to 2: 10.96.0.10:80 -10.244.0.2
one is terminating beside a ready one: 10.96.0.10:80 -10.244.0.3
the last ready one is terminating, both go on serving: 10.96.0.10:80 +10.244.0.3
one of these is gone: 10.96.0.10:80 -10.244.0.1
the other too: 10.96.0.10:80 -10.244.0.3
0 to 2: 10.96.0.10:80 +10.244.0.1 +10.244.0.2
one is not ready any more: 10.96.0.10:80 -10.244.0.2
sessionAffinity, 2 to 3: 10.96.0.11:80 +10.244.0.23
sessionAffinity, 3 to 1: 10.96.0.11:80 -10.244.0.21 -10.244.0.23
internalTrafficPolicy Local, the one of this node leaves: 10.96.0.12:80 -10.244.0.31
internalTrafficPolicy Local, another comes: 10.96.0.12:80 +10.244.0.33
externalTrafficPolicy Local, the one of this node leaves: 10.96.0.13:80 -10.244.0.41
IPv6: fd00:10:96::14:80 -fd00:10:244::51
another port, the old one: 10.96.0.10:80 -10.244.0.1
another port, the new one: 10.96.0.10:81 +10.244.0.1
the Service with sessionAffinity is deleted: 10.96.0.11:80 -10.244.0.22";

/// What the first sync wrote.
const START: [&str; 5] = [
    "10.96.0.11:80 +10.244.0.21 +10.244.0.22",
    "10.96.0.12:80 +10.244.0.31",
    "10.96.0.13:80 +10.244.0.41 +10.244.1.42",
    "10.96.0.14:80 +10.244.0.51 +10.244.0.52",
    "fd00:10:96::14:80 +fd00:10:244::51 +fd00:10:244::52",
];

fn datagrams(fixture: &[u8]) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(fixture).read_to_end(&mut bytes).expect("a fixture");
    let mut rest = &*bytes;
    let mut datagrams = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (datagram, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        datagrams.push(datagram.to_vec());
        rest = after;
    }
    datagrams
}

fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    Parts::new(datagram).filter_map(|part| match part {
        Ok(Part::Message(message)) => Some(message),
        _ => None,
    })
}

/// A follower of a node without rules, with its first report taken, and the events after that.
fn beginning(fixture: &[u8]) -> (Follower, Vec<Vec<u8>>) {
    let mut events = datagrams(fixture);
    let first = events.remove(0);
    let generation = messages(&first).next().expect("an answer").new_generation().expect("a generation");
    let mut follower = Follower::new();
    follower.dumped(Dump { generation, rules: Ruleset::new(), at: Stamp::default() });
    assert_eq!(follower.report(), Some(Report::State { at: Stamp::default(), sets: EffectiveSets::default() }));
    (follower, events)
}

fn dump(fixture: &[u8]) -> Ruleset {
    let mut rules = Ruleset::new();
    for answer in datagrams(fixture) {
        messages(&answer).for_each(|message| rules.apply(&message).expect("a message"));
    }
    rules.commit();
    rules
}

fn at(nanos: u64) -> Arrival {
    Arrival { at: Stamp::from_nanos(nanos), unread_since: None }
}

fn changes(follower: &mut Follower) -> Vec<Observation> {
    let reports = std::iter::from_fn(|| follower.report());
    reports
        .map(|report| match report {
            Report::Changed(observation) => observation,
            report => panic!("{report:?}"),
        })
        .collect()
}

fn text(observation: &Observation) -> String {
    let change = &observation.change;
    let mut text = format!("{}:{}", change.frontend.address, change.frontend.port);
    change.removed.iter().for_each(|endpoint| text += &format!(" -{}", endpoint.address));
    change.added.iter().for_each(|endpoint| text += &format!(" +{}", endpoint.address));
    text
}

fn follow(fixture: &[u8]) -> (Follower, Vec<Observation>) {
    let (mut follower, events) = beginning(fixture);
    for (nanos, event) in (1..).zip(&events) {
        follower.datagram(at(nanos), event);
    }
    assert!(!follower.needs_dump());
    let changes = changes(&mut follower);
    (follower, changes)
}

fn assert_story([events, whole]: [&[u8]; 2], mode: Mode) {
    let (follower, changes) = follow(events);
    let told: Vec<_> = changes.iter().map(text).collect();
    let (start, rest) = told.split_at(START.len());
    let mut start = start.to_vec();
    start.sort_unstable();
    assert_eq!(start, START);
    let story: Vec<_> = STORY.lines().map(|line| line.rsplit_once(": ").expect("a line").1).collect();
    assert_eq!(rest, story);
    for observation in &changes {
        let When::Commit(commit) = observation.when else { panic!("{observation:?}") };
        assert!(commit.first < commit.end && commit.messages > 0, "{observation:?}");
    }
    let dump = dump(whole);
    assert_eq!(follower.rules().sets(), dump.sets());
    assert_eq!(follower.rules().planes(), [FamilyPlane { decides: Some(mode), behind: None }; 2]);
    assert_eq!((follower.rules().unread(), dump.unread()), (0, 0));
}

#[test]
fn what_kube_proxy_changes_in_mode_nftables_is_told_once() {
    assert_story(NFTABLES, Mode::Nftables);
}

#[test]
fn what_kube_proxy_changes_in_mode_iptables_is_told_once() {
    assert_story(IPTABLES, Mode::Iptables);
}

/// For any missing datagram: the loss is noticed at the next commit at the latest, and the missed changes come with the gap.
fn assert_gap([events, whole]: [&[u8]; 2], missing: Index) {
    let (mut follower, events) = beginning(events);
    let missing = missing.index(events.len());
    let mut told = EffectiveSets::default();
    let mut lost_at = None;
    for (number, event) in (0..).zip(&events) {
        if number != missing {
            follower.datagram(at(number as u64 + 1), event);
        }
        if follower.needs_dump() {
            lost_at = Some(number);
            break;
        }
        changes(&mut follower).iter().for_each(|observation| told.apply(&observation.change));
    }
    let ends_commit = messages(&events[missing]).any(|message| message.kind == kind::NEW_GENERATION);
    // A missing datagram that does not end a commit is not noticed here; the kernel reports it with ENOBUFS.
    let Some(lost_at) = lost_at else { return assert!(!ends_commit || missing == events.len() - 1) };
    assert_eq!(lost_at, missing + 1);
    changes(&mut follower).iter().for_each(|observation| told.apply(&observation.change));
    let generation = events.iter().flat_map(|event| messages(event)).filter_map(|it| it.new_generation().ok()).last();
    let dump = Dump { generation: generation.expect("a commit"), rules: dump(whole), at: Stamp::from_nanos(u64::MAX) };
    let sets = dump.rules.sets().clone();
    follower.dumped(dump);
    let Some(Report::Gap(gap)) = follower.report() else { panic!("no gap") };
    assert_eq!(gap.loss, Loss::MissedGeneration);
    assert!(gap.since <= Stamp::from_nanos(missing as u64));
    for observation in changes(&mut follower) {
        assert_eq!(observation.when, When::Gap(gap));
        told.apply(&observation.change);
    }
    assert_eq!(told, sets);
    // The dump contains everything that was sent before it.
    events[lost_at..].iter().for_each(|event| follower.datagram(at(u64::MAX), event));
    assert!(!follower.needs_dump() && follower.report().is_none());
    assert_eq!(follower.counts().losses, [0, 0, 1, 0, 0]);
}

proptest! {
    #[test]
    fn a_missed_commit_is_a_gap_and_no_guess(missing: Index, nftables: bool) {
        assert_gap(if nftables { NFTABLES } else { IPTABLES }, missing);
    }

    /// Wrong bytes cause a loss at most.
    #[test]
    fn garbage_is_counted(event: Index, byte: Index, with: u8, rest in prop::option::of(any::<Vec<u8>>())) {
        let (mut follower, mut events) = beginning(NFTABLES[0]);
        let event = event.get_mut(&mut events);
        let byte = byte.index(event.len());
        event[byte] = with;
        if let Some(rest) = rest {
            event.truncate(byte);
            event.extend(rest);
        }
        for event in &events {
            follower.datagram(at(0), event);
        }
        prop_assert!(!follower.needs_dump() || follower.counts().losses.iter().sum::<u64>() == 1);
    }
}

#[test]
fn a_datagram_that_is_no_message_is_a_loss() {
    let (mut follower, _) = beginning(NFTABLES[0]);
    follower.datagram(at(0), &[1, 2, 3]);
    assert!(follower.needs_dump());
    assert_eq!(follower.counts().losses[Loss::Malformed as usize], 1);
}

/// The thread did not run between 5 and 90. What it found then took effect at some time between them.
#[test]
fn what_lay_unread_has_no_time() {
    let (mut follower, events) = beginning(NFTABLES[0]);
    let mut told = EffectiveSets::default();
    for event in &events {
        follower.datagram(Arrival { at: Stamp::from_nanos(90), unread_since: Some(Stamp::from_nanos(5)) }, event);
    }
    let gap = Gap { since: Stamp::from_nanos(5), until: Stamp::from_nanos(90), loss: Loss::NotRunning };
    let mut gaps = 0;
    while let Some(report) = follower.report() {
        match report {
            Report::Changed(observation) => {
                assert_eq!(observation.when, When::Gap(gap));
                told.apply(&observation.change);
            }
            report => {
                assert_eq!(report, Report::Gap(gap));
                gaps += 1;
            }
        }
    }
    assert_eq!(follower.counts().losses, [0, 0, 0, 0, gaps]);
    assert_eq!(&told, follower.rules().sets());
    assert!(!follower.needs_dump() && gaps > 0);
}

#[test]
fn generations_go_round() {
    let mut follower = Follower::new();
    follower.dumped(Dump { generation: u32::MAX - 1, rules: Ruleset::new(), at: Stamp::default() });
    let table = |generation| of_generation(encode::table(kind::NEW_TABLE, "nat", 1), generation);
    for generation in [u32::MAX - 2, u32::MAX - 1, u32::MAX, 0, 1] {
        follower.datagram(at(0), &table(generation));
        follower.datagram(at(0), &encode::new_generation(generation));
    }
    assert_eq!((follower.generation(), follower.counts().commits), (Some(1), 3));
    follower.datagram(at(0), &encode::new_generation(3));
    assert!(follower.needs_dump());
}

#[test]
fn another_program_s_commit_is_no_change() {
    let (mut follower, changes) = follow(NFTABLES[0]);
    assert!(!changes.is_empty());
    let next = follower.generation().expect("a generation") + 1;
    let other = of_generation(encode::table(kind::NEW_TABLE, "firewalld", 99), next);
    follower.datagram(at(0), &other);
    follower.datagram(at(0), &encode::new_generation(next));
    assert!(follower.report().is_none());
    assert_eq!(follower.generation(), Some(next));
    assert_eq!(follower.rules().sets().iter().filter(|(frontend, _)| frontend.family() == Family::V6).count(), 1);
}
