//! Instructions on the way from a watch's bytes to its counts, as callgrind counts them: the same on every machine and in
//! every run, so a regression shows even on a noisy machine.
//!
//! Needs valgrind and `cargo install gungraun-runner`, in the version of gungraun in Cargo.lock.

#![allow(missing_docs, reason = "gungraun's macros make public modules")]

use bytes::Bytes;
use endpointlag::{
    cluster::{
        clock::Clock,
        decode::{Decoder, ReplayBound, Sink},
        health::WatchHealth,
        heartbeat::Heartbeat,
        object::ObjectError,
        queue::{EventReceiver, EventSender, Load, Message},
        shard::Shard,
        watch::Signals,
    },
    model::{Event, Resource, Seen, Stamp},
    pipeline::{Pipeline, Source, Starts},
    propagation::{Tracker, TrackerSettings},
    simulator::{Fleet, FleetSize, Store},
    startup::StartupSettings,
    stats::{Bounds, SeriesLimits, Stats},
};
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use std::{hint::black_box, sync::Arc, time::Duration};

/// Fifteen pods a Service, as in the other benches.
const SMALL: FleetSize = FleetSize { namespaces: 5, services: 100, pods: 1_500 };
const LARGE: FleetSize = FleetSize { namespaces: 50, services: 1_000, pods: 15_000 };
/// A slice is full: 100 endpoints.
const FULL: FleetSize = FleetSize { namespaces: 1, services: 10, pods: 1_000 };
/// One Service of a hundred full slices.
const GIANT: FleetSize = FleetSize { namespaces: 1, services: 1, pods: 10_000 };

/// Rounds before counting begins, so that nothing happens for the first time.
const WARM: usize = 4;

const SETTINGS: TrackerSettings =
    TrackerSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(300) };

/// The whole pipeline of a cluster, and the next change that it will get.
struct Whole {
    pipeline: Pipeline,
    queue: EventReceiver,
}

/// A tracker that knows a cluster, and the next events for it.
struct Known {
    tracker: Tracker,
    events: Vec<(Seen, Event)>,
}

/// Keeps the events.
#[derive(Default)]
struct Events(Vec<(Seen, Event)>);

impl Sink for Events {
    fn event(&mut self, seen: Seen, event: Event) {
        self.0.push((seen, event));
    }

    fn malformed(&mut self, error: ObjectError) {
        panic!("{error}");
    }
}

/// A cluster that is never freed: the allocator would search the memory of a freed one while we count.
fn fleet(size: FleetSize) -> &'static mut Fleet {
    Box::leak(Box::new(Fleet::new(Store::new(1_000), size)))
}

/// A frame without its length.
fn event(frame: &Bytes) -> Bytes {
    frame.slice(4..)
}

// === The whole way: decode, match, count ===

fn whole(size: FleetSize) -> Whole {
    whole_with(size, |_| None)
}

/// With `--pod-startup`.
fn whole_with_starts(size: FleetSize) -> Whole {
    whole_with(size, |clock| Some(Starts::new(StartupSettings { expiry: SETTINGS.expiry }, clock)))
}

fn whole_with(size: FleetSize, starts: impl Fn(Clock) -> Option<Starts>) -> Whole {
    let (fleet, clock) = (fleet(size), Clock::start());
    let (senders, mut queue) = EventSender::for_watches(3);
    let sources = Resource::ALL.map(|resource| {
        let health = Arc::new(WatchHealth::new(resource, None, Arc::default()));
        Source::new(0, Decoder::new(resource, Shard::WHOLE), health, Arc::new(Signals::default()))
    });
    let bounds = Bounds::new(&[0.01, 0.1, 1.0]).expect("ascending");
    let limits = SeriesLimits { services: 10_000, idle: Duration::from_secs(3600) };
    let stats = Stats::new(bounds, limits, clock.now());
    let heartbeat = Arc::new(Heartbeat::new(clock));
    let mut pipeline =
        Pipeline::new(clock, heartbeat, sources.into(), vec![Tracker::new(SETTINGS)], stats, None, |_| {})
            .with_startup(starts(clock));
    let mut take = |queue: &mut EventReceiver| queue.waiting().for_each(|envelope| pipeline.take(envelope));
    for (sender, resource) in senders.iter().zip(Resource::ALL) {
        sender.send(Message::Init(clock.now())).expect("open");
        for frame in fleet.initial_frames(resource).leak() {
            hand_over(sender, clock.now(), frame.clone());
            take(&mut queue);
        }
    }
    let [pods, slices] = [Resource::Pods, Resource::EndpointSlices].map(|resource| resource as usize);
    let mut flip = || {
        let [pod, slice] = fleet.flip_frames(0);
        hand_over(&senders[pods], clock.now(), pod);
        hand_over(&senders[slices], clock.now(), slice);
    };
    for _ in 0..WARM {
        flip();
        take(&mut queue);
    }
    flip();
    Whole { pipeline, queue }
}

fn hand_over(sender: &EventSender, at: Stamp, bytes: Bytes) {
    let bytes = event(&bytes);
    let permit = sender.try_reserve(Load::Event, bytes.len()).expect("free bytes");
    sender.send_reserved(permit, Message::Frame { at, replay: ReplayBound::UpTo(0), bytes }).expect("open");
}

#[library_benchmark]
#[bench::of_1500_pods(args = (SMALL), setup = whole)]
#[bench::of_15000_pods(args = (LARGE), setup = whole)]
#[bench::in_a_full_slice(args = (FULL), setup = whole)]
#[bench::in_one_of_a_hundred_full_slices(args = (GIANT), setup = whole)]
#[bench::with_starts(args = (SMALL), setup = whole_with_starts)]
fn flip(mut whole: Whole) -> Whole {
    whole.queue.waiting().for_each(|envelope| whole.pipeline.take(envelope));
    whole
}

library_benchmark_group!(name = whole_way, benchmarks = flip);

// === Decoding alone ===

fn frame_of_pod(size: FleetSize) -> (Decoder, Bytes) {
    (Decoder::new(Resource::Pods, Shard::WHOLE), event(&fleet(size).flip_frames(0)[0]))
}

/// Of a known slice. One of its endpoints changes.
fn frame_of_slice(size: FleetSize) -> (Decoder, Bytes) {
    let (fleet, mut decoder) = (fleet(size), Decoder::new(Resource::EndpointSlices, Shard::WHOLE));
    list(&mut decoder, fleet.initial_frames(Resource::EndpointSlices));
    (decoder, event(&fleet.flip_frames(0)[1]))
}

fn frame_of_another(size: FleetSize) -> (Decoder, Bytes) {
    // Of the first namespace, which belongs to one of the two shards.
    let (_, frame) = frame_of_pod(size);
    let shards: [Shard; 2] = ["0/2", "1/2"].map(|shard| shard.parse().expect("a shard"));
    let other = shards.into_iter().find(|shard| !shard.holds("team-0")).expect("one of two");
    (Decoder::new(Resource::Pods, other), frame)
}

#[library_benchmark]
#[bench::a_pod(args = (SMALL), setup = frame_of_pod)]
#[bench::a_slice_of_15(args = (SMALL), setup = frame_of_slice)]
#[bench::a_slice_of_100(args = (FULL), setup = frame_of_slice)]
#[bench::a_pod_of_another_shard(args = (SMALL), setup = frame_of_another)]
fn decode((mut decoder, frame): (Decoder, Bytes)) -> (Decoder, Events) {
    let mut events = Events::default();
    let decoded = decoder.frame(Stamp::default(), &frame, ReplayBound::UpTo(0), &mut events);
    black_box(decoded).expect("a frame");
    (decoder, events)
}

library_benchmark_group!(name = decoding, benchmarks = decode);

// === Matching alone, where it is worst ===

/// The events of a watch that lists these frames.
fn list(decoder: &mut Decoder, frames: Vec<Bytes>) -> Vec<(Seen, Event)> {
    let mut began = Events::default();
    decoder.begin_list(Stamp::default(), &mut began);
    [began.0, events(decoder, frames)].concat()
}

/// The events of a watch that delivers these frames.
fn events(decoder: &mut Decoder, frames: Vec<Bytes>) -> Vec<(Seen, Event)> {
    let mut events = Events::default();
    for frame in frames.leak() {
        decoder.frame(Stamp::default(), &event(frame), ReplayBound::UpTo(0), &mut events).expect("a frame");
    }
    events.0
}

/// A tracker that knows the cluster, and the events of one more flip.
fn known(size: FleetSize) -> Known {
    known_with(size, |_| {})
}

/// The same, with `edit` applied to every Service, pod and slice.
fn known_with(size: FleetSize, edit: impl Fn(&mut Event)) -> Known {
    let fleet = fleet(size);
    let mut tracker = Tracker::new(SETTINGS);
    let mut decoders = Resource::ALL.map(|resource| Decoder::new(resource, Shard::WHOLE));
    for (resource, decoder) in Resource::ALL.into_iter().zip(&mut decoders) {
        for (seen, mut event) in list(decoder, fleet.initial_frames(resource)) {
            edit(&mut event);
            tracker.apply(seen, event);
        }
    }
    let mut flip = || {
        let [pod, slice] = fleet.flip_frames(0);
        let pod = events(&mut decoders[Resource::Pods as usize], vec![pod]);
        let slice = events(&mut decoders[Resource::EndpointSlices as usize], vec![slice]);
        let mut both: Vec<_> = pod.into_iter().chain(slice).collect();
        both.iter_mut().for_each(|(seen, event)| {
            *seen = Seen::live(seen.at);
            edit(event);
        });
        both
    };
    for _ in 0..WARM {
        for (seen, event) in flip() {
            tracker.apply(seen, event);
        }
        tracker.reports().for_each(drop);
    }
    let events = flip();
    Known { tracker, events }
}

/// All Services select the same single pod by an additional label.
fn shared_by_all(size: FleetSize) -> Known {
    known_with(size, |event| match event {
        Event::Service(service) => service.selector = [("shared".to_owned(), "yes".to_owned())].into(),
        Event::Pod(pod) if pod.name.ends_with("-00000") => {
            pod.labels.insert("shared".to_owned(), "yes".to_owned());
        }
        _ => {}
    })
}

/// A new pod, in a namespace where the selectors of all Services have the same label key.
fn new_pod(size: FleetSize) -> Known {
    let mut known = known(size);
    known.events.truncate(1);
    if let (_, Event::Pod(pod)) = &mut known.events[0] {
        pod.uid = "new".into();
        pod.labels.insert("version".to_owned(), "2".to_owned());
    }
    known
}

/// A new pod that no Service selects.
fn stray_pod(size: FleetSize) -> Known {
    let mut known = new_pod(size);
    if let (_, Event::Pod(pod)) = &mut known.events[0] {
        pod.labels.insert("app.kubernetes.io/name".to_owned(), "stray".to_owned());
    }
    known
}

/// A Service whose selector changes, in a namespace with as many label sets as pods.
fn edited_selector(size: FleetSize) -> Known {
    let mut known = known(size);
    let fleet = Fleet::new(Store::new(1), FleetSize { pods: 1, services: 1, ..size });
    let mut decoder = Decoder::new(Resource::Services, Shard::WHOLE);
    let services = list(&mut decoder, fleet.initial_frames(Resource::Services));
    let service = services.into_iter().find(|(_, event)| matches!(event, Event::Service(_)));
    known.events = service.into_iter().collect();
    if let (seen, Event::Service(service)) = &mut known.events[0] {
        *seen = Seen::live(seen.at);
        service.selector = [("app.kubernetes.io/name".to_owned(), "service-1".to_owned())].into();
    }
    known
}

#[library_benchmark]
#[bench::one_service_of_15_pods(args = (SMALL), setup = known)]
#[bench::one_service_of_10000_pods(args = (GIANT), setup = known)]
#[bench::shared_by_500_services(args = (FleetSize { namespaces: 1, services: 500, pods: 500 }), setup = shared_by_all)]
#[bench::new_among_100_services(args = (FleetSize { namespaces: 1, ..SMALL }), setup = new_pod)]
#[bench::new_among_5000_services_of_one_key(args = (FleetSize { namespaces: 1, services: 5_000, pods: 5_000 }), setup = new_pod)]
#[bench::stray_among_5000_services(args = (FleetSize { namespaces: 1, services: 5_000, pods: 5_000 }), setup = stray_pod)]
#[bench::edited_selector_among_5000_label_sets(args = (FleetSize { namespaces: 1, services: 5_000, pods: 5_000 }), setup = edited_selector)]
fn apply(Known { mut tracker, events }: Known) -> Tracker {
    for (seen, event) in events {
        tracker.apply(seen, black_box(event));
    }
    tracker.reports().for_each(drop);
    tracker
}

library_benchmark_group!(name = matching, benchmarks = apply);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [whole_way, decoding, matching]
);
