//! Random histories of one Service and kube-proxies that lag and merge, compared with what these really did.

use super::{
    Scene, endpoint,
    scene::{Listed, at},
};
use crate::{ledger::Change, model::Stamp, programming::NodeOutcome};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};
use std::{collections::HashSet, time::Duration};

const NODES: [&str; 3] = ["a", "b", "c"];
const PODS: [(&str, u8); 3] = [("p", 1), ("q", 2), ("r", 3)];

/// Something that happens. Times are in milliseconds since the step before.
#[derive(Clone, Debug)]
enum Step {
    /// A pod becomes ready, or unready.
    Toggle { pod: usize, after: u64 },
    /// A node's kube-proxy writes what the slices say.
    Sync { node: usize, after: u64 },
    /// The agent of a node reports what it has seen.
    Tell { node: usize, after: u64 },
}

fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..PODS.len(), 0u64..400).prop_map(|(pod, after)| Step::Toggle { pod, after }),
        3 => (0..NODES.len(), 0u64..200).prop_map(|(node, after)| Step::Sync { node, after }),
        2 => (0..NODES.len(), 0u64..200).prop_map(|(node, after)| Step::Tell { node, after }),
    ]
}

/// What a kernel did, and when: a node, a pod, whether it was added.
type Fact = (usize, usize, bool, u64);

#[derive(Default)]
struct Node {
    uses: [bool; PODS.len()],
    unreported: Vec<Fact>,
}

struct World {
    scene: Scene,
    now: u64,
    ready: [bool; PODS.len()],
    nodes: [Node; NODES.len()],
    facts: Vec<Fact>,
    toggles: usize,
}

impl World {
    fn new() -> Self {
        let mut scene = Scene::with_nodes(&NODES);
        // This one stays, so that there is always a ready endpoint.
        scene.synced(&[endpoint("s", 9).ready()]);
        let nodes = Default::default();
        Self { scene, now: 10_000, ready: Default::default(), nodes, facts: Vec::new(), toggles: 0 }
    }

    fn listed(&self) -> Vec<Listed> {
        let pod = |(index, (pod, host)): (usize, &(&'static str, u8))| {
            if self.ready[index] { endpoint(pod, *host).ready() } else { endpoint(pod, *host) }
        };
        PODS.iter().enumerate().map(pod).chain([endpoint("s", 9).ready()]).collect()
    }

    /// All nodes follow, and tell. Then each does what the slices say.
    fn catch_up(&mut self) -> Result<(), TestCaseError> {
        for node in 0..NODES.len() {
            self.step(&Step::Sync { node, after: 10 });
            self.step(&Step::Tell { node, after: 10 });
        }
        let standing = self.scene.programming.standing(at(self.now + 60_000));
        prop_assert_eq!((standing.pending, standing.stale.len()), ([0; 5], 0));
        Ok(())
    }

    /// Until everything has expired.
    fn pass_long(&mut self) {
        (0..700).for_each(|second| self.scene.pass(self.now + second * 1_000));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Toggle { pod, after } => {
                self.now += after;
                self.toggles += 1;
                self.ready[pod] = !self.ready[pod];
                let listed = self.listed();
                self.scene.slice(self.now, &listed);
                let change = if self.ready[pod] { Change::Ready } else { Change::Unready };
                self.scene.carried(change, PODS[pod].0, self.now, self.now);
            }
            Step::Sync { node, after } => {
                self.now += after;
                for (pod, ready) in self.ready.into_iter().enumerate() {
                    if self.nodes[node].uses[pod] != ready {
                        self.nodes[node].uses[pod] = ready;
                        let fact = (node, pod, ready, self.now);
                        self.nodes[node].unreported.push(fact);
                        self.facts.push(fact);
                    }
                }
            }
            Step::Tell { node, after } => {
                self.now += after;
                for (_, pod, adds, at) in std::mem::take(&mut self.nodes[node].unreported) {
                    self.scene.shows(NODES[node], at, adds, PODS[pod].1);
                }
            }
        }
        self.scene.pass(self.now);
    }
}

proptest! {
    #[test]
    fn every_delay_is_of_something_that_a_kernel_did(steps in vec(some_step(), 1..60)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        world.catch_up()?;
        world.pass_long();
        prop_assert_eq!(world.scene.programming.size(), (0, 0));

        let counted: u64 = world.scene.outcomes().iter().map(|(_, count)| count).sum();
        prop_assert_eq!(counted, (world.toggles * NODES.len()) as u64, "each change ends once on each node");
        let allowed = [NodeOutcome::InEffect, NodeOutcome::Superseded];
        prop_assert!(world.scene.outcomes().iter().all(|(outcome, _)| allowed.contains(outcome)));
        // Each in effect is one thing that a kernel did, and the other way around.
        let in_effect = world.scene.delays().len();
        prop_assert_eq!(in_effect, world.facts.len());
        let facts: HashSet<_> = world.facts.iter().map(|(_, pod, adds, at)| (*pod, *adds, *at)).collect();
        for spread in world.scene.spreads() {
            let pod = PODS.iter().position(|(pod, _)| spread.subject.pod.as_ref().is_some_and(|it| *it.name == **pod));
            let adds = spread.change == Change::Ready;
            for delay in spread.shares.iter().flatten() {
                let at = spread.shown.plus(*delay).as_nanos() / 1_000_000;
                prop_assert!(facts.contains(&(pod.expect("a pod"), adds, at)), "{spread:?}");
            }
        }
    }

    /// A node that loses observations at random times never makes a delay that nothing happened at.
    #[test]
    fn what_is_lost_is_censored(steps in vec(some_step(), 1..60), lose in vec(0..60usize, 0..5)) {
        let mut world = World::new();
        for (number, step) in steps.iter().enumerate() {
            world.step(step);
            if lose.contains(&number) {
                let node = number % NODES.len();
                world.nodes[node].unreported.clear();
                world.scene.programming.lost(NODES[node], at(world.now));
                world.scene.drain();
            }
        }
        world.catch_up()?;
        world.pass_long();
        let outcomes = world.scene.outcomes();
        let counted: u64 = outcomes.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(counted, (world.toggles * NODES.len()) as u64);
        prop_assert!(outcomes.iter().all(|(outcome, _)| *outcome != NodeOutcome::Expired), "{outcomes:?}");
        for (change, shown, delay) in world.scene.in_effect() {
            let at = shown.plus(delay).as_nanos() / 1_000_000;
            let is_it = |(_, _, adds, when): &Fact| {
                // What a kernel already did when the slice came has no delay.
                *adds == (change == Change::Ready) && (*when == at || delay.is_zero() && *when < at)
            };
            prop_assert!(world.facts.iter().any(is_it), "{change} at {at}");
        }
        prop_assert_eq!(world.scene.programming.size(), (0, 0));
    }
}

impl Scene {
    /// The shares of each change, as kind of change, slice event and delay.
    fn in_effect(&self) -> impl Iterator<Item = (Change, Stamp, Duration)> {
        self.spreads()
            .flat_map(|spread| spread.shares.iter().flatten().map(|delay| (spread.change, spread.shown, *delay)))
    }
}
