use super::*;
use crate::{
    cluster::{
        decode::{Decoder, ReplayBound},
        health::{LinkHealth, Protocol, WatchHealth},
        queue::{EventSender, Load, Message},
        shard::Shard,
    },
    model::Resource,
    propagation::TrackerSettings,
    simulator::{Fleet, FleetSize, Store},
    stats::{Bounds, SeriesLimits},
};
use std::time::SystemTime;

const OBJECTIVE: Duration = Duration::from_secs(1);

/// Two scopes with three watches each, and the state of their readers.
struct Scene {
    clock: Clock,
    heartbeat: Arc<Heartbeat>,
    links: [Arc<LinkHealth>; 2],
    healths: Vec<Arc<WatchHealth>>,
    senders: Vec<EventSender>,
    queue: EventReceiver,
    pipeline: Pipeline,
}

impl Scene {
    fn new() -> Self {
        let (clock, links) = (Clock::start(), [Arc::<LinkHealth>::default(), Arc::default()]);
        let heartbeat = Arc::new(Heartbeat::new(clock));
        let (senders, queue) = EventSender::for_watches(6);
        let (mut healths, mut sources) = (Vec::new(), Vec::new());
        for (tracker, link) in links.iter().enumerate() {
            for resource in Resource::ALL {
                let health = Arc::new(WatchHealth::new(resource, None, link.clone()));
                let decoder = Decoder::new(resource, Shard::WHOLE);
                sources.push(Source::new(tracker, decoder, health.clone(), Arc::default()));
                healths.push(health);
            }
        }
        let settings = TrackerSettings { objective: OBJECTIVE, expiry: 100 * OBJECTIVE };
        let trackers = vec![Tracker::new(settings), Tracker::new(settings)];
        let limits = SeriesLimits { services: 100, idle: Duration::from_secs(3600) };
        let stats = Stats::new(Bounds::new(&[0.1, 1.0]).expect("ascending"), limits, clock.now());
        let pipeline = Pipeline::new(clock, heartbeat.clone(), sources, trackers, stats, None, |_| {});
        Self { clock, heartbeat, links, healths, senders, queue, pipeline }
    }

    /// Changes of the first scope that missed their objective.
    fn missed(&mut self) -> u64 {
        let snapshot =
            self.pipeline.stats.snapshot(&self.pipeline.standing(), self.clock.now(), SystemTime::UNIX_EPOCH);
        snapshot.series.iter().map(|row| row.missed).sum()
    }
}

#[test]
fn time_is_heard_out_as_far_as_the_last_of_a_scopes_watches_is() {
    let scene = Scene::new();
    let heard = |tracker| scene.pipeline.heard_through(tracker);
    let beat = scene.heartbeat.read_through();
    assert_eq!([heard(0), heard(1)], [beat; 2]);
    // A reader that waits for room, or a watch that is lost.
    scene.healths[1].hold(Stamp::default());
    assert_eq!([heard(0), heard(1)], [Stamp::default(), beat], "of its own scope alone");
    scene.healths[1].release(beat);
    assert_eq!(heard(0), beat);
    // A connection without an answer yet.
    scene.links[1].connected(Protocol::Http2, Stamp::default());
    assert_eq!([heard(0), heard(1)], [beat, Stamp::default()]);
}

#[tokio::test]
async fn what_waits_for_room_is_not_judged_before_it_is_told() {
    let mut scene = Scene::new();
    let fleet = FleetSize { namespaces: 1, services: 1, pods: 3 };
    let mut fleet = Fleet::new(Store::new(100), fleet);
    let hand_over = |scene: &Scene, watch: usize, at: Stamp, frame: &bytes::Bytes| {
        let bytes = frame.slice(4..);
        let permit = scene.senders[watch].try_reserve(Load::Event, bytes.len()).expect("free bytes");
        scene.senders[watch]
            .send_reserved(permit, Message::Frame { at, replay: ReplayBound::UpTo(0), bytes })
            .expect("open");
    };
    let began = scene.clock.now();
    for (watch, resource) in Resource::ALL.into_iter().enumerate() {
        scene.senders[watch].send(Message::Init(began)).expect("open");
        fleet.initial_frames(resource).iter().for_each(|frame| hand_over(&scene, watch, began, frame));
    }
    scene.pipeline.take_waiting(&mut scene.queue);
    assert_eq!(scene.pipeline.trackers[0].pending_changes().collect::<Vec<_>>(), [], "all agrees");
    let [pod, slice] = fleet.flip_frames(0);
    hand_over(&scene, Resource::Pods as usize, began, &pod);
    // The reader has the slice, but waits for room longer than the objective.
    let (shown, slices) = (began.plus(OBJECTIVE / 10), Resource::EndpointSlices as usize);
    scene.healths[slices].hold(shown);
    tokio::time::sleep(OBJECTIVE + OBJECTIVE / 5).await;
    let beating = scene.heartbeat.clone();
    let beats = async {
        while scene.heartbeat.read_through() <= began.plus(OBJECTIVE) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = beating.run() => unreachable!("it beats forever"),
        beats = tokio::time::timeout(Duration::from_secs(10), beats) => beats.expect("the readers run"),
    }
    scene.pipeline.pass_time(&mut scene.queue);
    assert_eq!(scene.missed(), 0, "it came in time, and nobody has said so yet");

    hand_over(&scene, slices, shown, &slice);
    scene.healths[slices].release(shown);
    scene.pipeline.pass_time(&mut scene.queue);
    assert_eq!(scene.missed(), 0);
    let [pod, _] = fleet.flip_frames(1);
    hand_over(&scene, Resource::Pods as usize, began, &pod);
    scene.pipeline.pass_time(&mut scene.queue);
    assert_eq!(scene.missed(), 1, "and this one nobody shows");
}
