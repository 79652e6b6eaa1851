//! Random rollouts: what is reported is what a walk over each millisecond finds, in whatever order the two watches were processed.

use super::{
    ms,
    scene::{Scene, at, slice},
};
use crate::{
    model::{Event, Family, Pod, Seen},
    rollout::Serving,
};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeSet;

const END: u64 = 400;

/// One pod. Each time is in milliseconds; a time after the end never comes.
#[derive(Clone, Copy, Debug)]
struct Script {
    ready: u64,
    leaves: u64,
    gone: u64,
    listed: u64,
    unlisted: u64,
}

fn script() -> impl Strategy<Value = Script> {
    (0..300_u64, 1..300_u64, 1..100_u64, 0..80_u64, 0..200_u64).prop_map(|(ready, lives, stops, lists, unlists)| {
        let leaves = ready + lives;
        // Now and then the slices show the end before they showed the start: then it was never listed.
        Script { ready, leaves, gone: leaves + stops, listed: ready + lists, unlisted: leaves + unlists }
    })
}

impl Script {
    fn is_servable(&self, millis: u64) -> bool {
        (self.ready..self.leaves).contains(&millis)
    }

    fn is_listed(&self, millis: u64) -> bool {
        (self.listed..self.unlisted).contains(&millis)
    }
}

fn pod_events(scene: &Scene, scripts: &[Script]) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    for (number, script) in (0..).zip(scripts) {
        let pod = |ready, terminating| -> Pod { scene.pod(number, ready, terminating) };
        events.push((script.ready, Event::Pod(pod(true, false))));
        events.push((script.leaves, Event::Pod(pod(true, true))));
        events.push((script.gone, Event::PodDeleted(pod(false, true))));
    }
    events.sort_by_key(|(millis, _)| *millis);
    events
}

fn slice_events(scripts: &[Script]) -> Vec<(u64, Event)> {
    let all: BTreeSet<u8> = (0..).take(scripts.len()).collect();
    let times: BTreeSet<u64> = scripts.iter().flat_map(|script| [script.listed, script.unlisted]).collect();
    let state = |millis: u64| {
        let listed = (0..).zip(scripts).filter(|(_, script)| script.is_listed(millis));
        Event::EndpointSlice(slice(Family::V4, &all, &listed.map(|(number, _)| number).collect()))
    };
    times.into_iter().map(|millis| (millis, state(millis))).collect()
}

/// A walk over each millisecond.
fn walked(scripts: &[Script], wanted: u32, begin: u64) -> Serving {
    let count = |millis: u64, is: fn(&Script, u64) -> bool| -> u32 {
        u32::try_from(scripts.iter().filter(|script| is(script, millis)).count()).expect("few")
    };
    let serving = |millis| count(millis, |script, millis| script.is_servable(millis) && script.is_listed(millis));
    let waiting = |millis| count(millis, |script, millis| script.is_servable(millis) && !script.is_listed(millis));
    let lingering = |millis| count(millis, |script, millis| millis >= script.leaves && script.is_listed(millis));
    let mut walked = Serving { wanted, at_begin: serving(begin), least: serving(begin), ..Serving::default() };
    for millis in begin..=END {
        walked.least = walked.least.min(serving(millis));
        if millis == END {
            break;
        }
        let missing = wanted.saturating_sub(serving(millis));
        walked.below += ms(u64::from(missing > 0));
        walked.missing += ms(missing.into());
        walked.waiting += ms(missing.min(waiting(millis)).into());
        walked.lingering += ms(lingering(millis).into());
    }
    let leaves = scripts.iter().map(|script| script.leaves).filter(|leaves| (begin + 1..=END).contains(leaves));
    walked.hurried = u32::try_from(leaves.filter(|leaves| waiting(*leaves) > 0).count()).expect("few");
    walked
}

proptest! {
    #[test]
    fn what_served_is_what_each_millisecond_shows(
        scripts in vec(script(), 1..6),
        wanted in 0..6_u32,
        begin in 0..200_u64,
        order in vec(any::<bool>(), 0..64),
    ) {
        let mut scene = Scene::new(wanted);
        let mut watches = [pod_events(&scene, &scripts), slice_events(&scripts)].map(Vec::into_iter);
        // They exist long before any slice lists them.
        for number in (0..).take(scripts.len()) {
            scene.pod_exists(0, number);
        }
        scene.follower.begin(at(begin), std::time::Duration::ZERO);
        for slices_first in order {
            if let Some((millis, event)) = watches[usize::from(slices_first)].next() {
                scene.event(Seen::live(at(millis)), event);
            }
        }
        for (millis, event) in watches.into_iter().flatten() {
            scene.event(Seen::live(at(millis)), event);
        }
        let report = scene.follower.report(at(END), &[]);
        prop_assert_eq!(&report.services[0].serving, &walked(&scripts, wanted, begin));
        for (pod, endpoint) in report.pods.iter().zip(&report.services[0].endpoints) {
            let number: usize = pod.pod.name.trim_start_matches("web-").parse().expect("a number");
            let script = scripts[number];
            prop_assert_eq!(pod.ready.map(|it| it.at), Some(at(script.ready)));
            prop_assert_eq!(pod.gone.map(|it| it.at), Some(at(script.gone)));
            let listed = (script.listed < script.unlisted).then(|| at(script.listed));
            prop_assert_eq!(endpoint.listed.map(|it| it.at), listed);
            prop_assert_eq!(endpoint.unlisted.map(|it| it.at), listed.map(|_| at(script.unlisted)));
        }
    }
}
