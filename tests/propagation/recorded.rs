//! A replay reports what the recorded session reported, for any history.

use crate::{
    agreement::config,
    retold::Retold,
    world::{Script, Step, scripts, tell},
};
use endpointlag::{
    model::{Event, Stamp, Uid},
    pipeline::{self, Replay},
    propagation::{Ended, Report, Tracker},
    recording::{End, Header, Names, Reader, Recorder, Target},
    stats::{Bounds, SeriesLimits, Stats},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    time::{Duration, SystemTime},
};

/// Each writes a file.
const CASES: u32 = 200;

/// What a measurement said in the end.
#[derive(Debug, PartialEq)]
struct Said {
    /// In their order.
    ended: Vec<Ended>,
    /// As text, sorted: they have no order.
    pending: Vec<String>,
    out_of_sync: Vec<String>,
}

fn in_order<T: std::fmt::Debug>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut items: Vec<_> = items.into_iter().map(|item| format!("{item:?}")).collect();
    items.sort_unstable();
    items
}

/// Measures a history, as a session does, and records it. Returns what it said, and what the replay of the file said.
fn both(script: &Script, anonymized: bool) -> (Said, Said) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target { path: folder.path().join("recording"), force: false };
    let header = Header {
        version: String::new(),
        revision: String::new(),
        started: SystemTime::UNIX_EPOCH,
        namespaces: Vec::new(),
        tracker: script.settings,
        anonymized,
    };
    let names = Names::new(anonymized).expect("random numbers");
    let (mut recorder, mut writing) = Recorder::create(&target, u64::MAX / 2, &header, names).expect("a file");
    let (mut tracker, mut retold, mut ended) =
        (Tracker::new(script.settings).in_order(), Retold::default(), Vec::new());
    for step in script.play().steps {
        let step = match step {
            Step::Event(seen, event) => pipeline::Step::Event { scope: 0, seen, event: retold.tell(&event) },
            Step::Advance(at) => pipeline::Step::Through { scope: 0, at },
        };
        match step {
            pipeline::Step::Event { scope, seen, event } => {
                recorder.take(pipeline::Step::Event { scope, seen, event: &event });
                tracker.apply(seen, event);
            }
            pipeline::Step::Through { scope, at } => {
                recorder.take(pipeline::Step::<&Event>::Through { scope, at });
                tracker.advance(at);
            }
        }
        ended.extend(tracker.reports().filter_map(|report| match report {
            Report::Ended(ended) => Some(ended),
            Report::Judged { .. } => None,
        }));
    }
    let said = Said {
        ended,
        pending: in_order(tracker.pending_changes()),
        out_of_sync: in_order(tracker.out_of_sync_endpoints()),
    };
    drop(recorder);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(writing.ended()).expect("written");
    (said, replay(&target))
}

fn replay(target: &Target) -> Said {
    let mut reader = Reader::open(&target.path).expect("a recording");
    let header = reader.header().clone();
    let limits = SeriesLimits { services: usize::MAX, idle: Duration::MAX };
    let stats = Stats::new(Bounds::default(), limits, Stamp::default()).keeping_all();
    let mut replay = Replay::new(header.scopes(), header.tracker, stats);
    let mut ended = Vec::new();
    let end = loop {
        match reader.next_step().expect("whole") {
            ControlFlow::Continue(step) => replay.take(step, |it| ended.push(it.clone())).expect("its scope"),
            ControlFlow::Break(end) => break end,
        }
    };
    assert_eq!(end, End::Complete(replay.at()));
    Said { ended, pending: in_order(replay.pending()), out_of_sync: in_order(replay.out_of_sync()) }
}

/// Everything but names.
fn nameless(said: &Said) -> Vec<String> {
    in_order(said.ended.iter().map(|it| {
        let version = it.by.as_ref().map(|by| by.resource_version);
        (it.hop, it.change, it.cause, it.began, it.outcome, it.at, it.shown, version, it.key.pod.is_some())
    }))
}

/// How many changes of each Service and of each pod ended.
fn sizes(said: &Said) -> [Vec<usize>; 2] {
    let (mut services, mut pods) = (BTreeMap::<_, usize>::new(), BTreeMap::<Option<Uid>, usize>::new());
    for ended in &said.ended {
        *services.entry(ended.key.service.clone()).or_default() += 1;
        *pods.entry(ended.key.pod.as_ref().map(|pod| pod.uid.clone())).or_default() += 1;
    }
    let sorted = |mut sizes: Vec<usize>| {
        sizes.sort_unstable();
        sizes
    };
    [sorted(services.into_values().collect()), sorted(pods.into_values().collect())]
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn a_replay_says_the_same(script in scripts()) {
        let (said, again) = both(&script, false);
        prop_assert_eq!(said, again, "after\n{}", tell(&script.play().steps));
    }

    #[test]
    fn an_anonymized_replay_says_the_same_of_others(script in scripts()) {
        let (said, again) = both(&script, true);
        prop_assert_eq!(nameless(&said), nameless(&again), "after\n{}", tell(&script.play().steps));
        prop_assert_eq!(sizes(&said), sizes(&again));
        prop_assert_eq!((said.pending.len(), said.out_of_sync.len()), (again.pending.len(), again.out_of_sync.len()));
    }
}
