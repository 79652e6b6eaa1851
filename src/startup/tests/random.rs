//! What holds for any history.

use super::*;
use proptest::prelude::*;

/// Something that happens to one of a few pods.
#[derive(Clone, Debug)]
enum Happening {
    /// An event of a pod: whether it is ready, terminating, and late; and its times.
    Event { pod: u8, ready: bool, terminating: bool, late: bool, steps: [i64; 6], restarts: u64, gates: bool },
    /// Its change has ended, perhaps after a delay.
    Ended { pod: u8, delay: Option<u64> },
    /// A list of all pods.
    List,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let event = (
        0..4_u8,
        any::<bool>(),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.2),
        prop::array::uniform6(0..8_i64),
        prop_oneof![4 => Just(0), 1 => 1..3_u64],
        any::<bool>(),
    );
    let event = event.prop_map(|(pod, ready, terminating, late, steps, restarts, gates)| {
        // Mostly in order, and some by clocks that disagree.
        let mut at = 2_000;
        let steps = steps.map(|step| {
            at += step - 1;
            at
        });
        Happening::Event { pod, ready, terminating, late, steps, restarts, gates }
    });
    let ended = (0..4_u8, prop::option::of(0..5_000_u64)).prop_map(|(pod, delay)| Happening::Ended { pod, delay });
    prop::collection::vec(prop_oneof![6 => event, 3 => ended, 1 => Just(Happening::List)], 0..60)
}

proptest! {
    #[test]
    fn phases_add_up_and_only_first_starts_that_were_seen_have_any(history in happenings()) {
        let mut scene = Scene::new();
        // The pods that were in a list or were Ready, and when each pod became Ready last.
        let (mut listed, mut was_ready) = (std::collections::BTreeSet::new(), BTreeMap::new());
        let mut wall = 2_010.0;
        for happening in history {
            wall += 0.75;
            match happening {
                Happening::Event { pod: number, ready, terminating, late, steps, restarts, gates } => {
                    let uid = format!("pod-{number}");
                    let mut times = times(steps);
                    times.containers = ContainerTimes::default();
                    times.containers.add(second(steps[3]), restarts);
                    times.has_gates = gates;
                    let becomes_ready = ready && !terminating && scene.known.get(&uid) != Some(&true);
                    let before = scene.startup.standing();
                    scene.seen(wall, late, &Pod { terminating, ..pod(&uid, ready) }, &times);
                    let after = scene.startup.standing();
                    if after.settling > before.settling {
                        prop_assert!(becomes_ready && restarts == 0, "only a first start is waited for");
                        prop_assert!(!listed.contains(&uid), "{uid} was in a list");
                        prop_assert!(!was_ready.contains_key(&uid), "{uid} was Ready before");
                    }
                    if becomes_ready {
                        was_ready.insert(uid, wall);
                        let counted = |it: &Standing| it.kinds.iter().sum::<u64>();
                        prop_assert_eq!(counted(&after), counted(&before) + 1, "each Ready is of one kind");
                    } else {
                        prop_assert_eq!(after.kinds, before.kinds);
                    }
                }
                Happening::Ended { pod, delay } => {
                    let uid = format!("pod-{pod}");
                    if let Some(since) = was_ready.get(&uid) {
                        match delay {
                            Some(millis) => scene.listed(*since, &uid, "web", millis),
                            None => scene.ended(*since, &uid, "web", Outcome::Censored),
                        }
                    }
                }
                Happening::List => {
                    scene.startup.list_began(SCOPE, Resource::Pods);
                    listed.extend(scene.known.keys().cloned());
                    scene.startup.list_ended(SCOPE, Resource::Pods);
                    prop_assert_eq!(scene.startup.standing().waiting, 0);
                }
            }
            prop_assert!(scene.startup.standing().waiting <= 4);
        }
        for timeline in scene.startup.finished().newest() {
            let parts = timeline.phases.iter().filter(|(phase, _)| *phase != Phase::Total);
            let sum: Duration = parts.map(|(_, took)| took).sum();
            if let Some(total) = timeline.total() {
                prop_assert!(sum <= total, "{sum:?} is more than {total:?}");
            }
            let cold_start = timeline.phases.get(Phase::ContainersReady);
            prop_assert!(timeline.granularity <= cold_start);
        }
    }

    #[test]
    fn the_granularity_is_at_most_the_cold_start(
        probes in prop::collection::vec((0..60_u64, 0..60_u64, 0..4_u32), 0..4),
        cold in 0..400_u64,
    ) {
        let probe = |(delay, period, successes)| Probe {
            initial_delay: seconds(delay),
            period: seconds(period),
            successes,
        };
        let probes: Vec<_> =
            probes.into_iter().map(|it| Probes { startup: None, readiness: Some(probe(it)) }).collect();
        let bound = granularity(&probes, seconds(cold));
        prop_assert_eq!(bound.is_some(), !probes.is_empty());
        prop_assert!(bound.unwrap_or_default() <= seconds(cold));
    }
}
