//! What a recording costs: bytes of the file and CPU time, for the list of a cluster and for each change.
//!
//! Pods have a real size, fifteen to a Service. They become ready and unready one after the other, at a steady pace.

use anyhow::{Context, Result};
use bytes::Bytes;
use endpointlag::{
    cluster::{
        decode::{Decoder, ReplayBound, Sink},
        object::ObjectError,
        shard::Shard,
    },
    model::{Event, Resource, Seen, Stamp},
    pipeline::Step,
    propagation::TrackerSettings,
    recording::{Header, Names, Recorder, Target},
    simulator::{Fleet, FleetSize, Store},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    fs,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant, SystemTime},
};

const FLEET: FleetSize = FleetSize { namespaces: 50, services: 1_000, pods: 15_000 };

/// Number of changes, and time between two.
const CHANGES: usize = 20_000;
const PACE: Duration = Duration::from_millis(1);

/// How often a tracker is told that time has passed.
const TICK: u64 = 100_000_000;

const SETTINGS: TrackerSettings =
    TrackerSettings { objective: Duration::from_secs(5), expiry: Duration::from_secs(300) };

/// The decoded events of a watch.
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

/// CPU time of this thread, and of all threads.
struct Used {
    thread: Duration,
    process: Duration,
}

impl Used {
    fn now() -> Self {
        let read = |clock| {
            let time = clock_gettime(clock);
            Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
        };
        Self { thread: read(ClockId::ThreadCPUTime), process: read(ClockId::ProcessCPUTime) }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self { thread: self.thread - earlier.thread, process: self.process - earlier.process }
    }
}

/// Records events, with the ticks between them.
fn take(recorder: &mut Recorder, events: &[(Seen, Event)], ticked: &mut u64) {
    for (seen, event) in events {
        while seen.at.as_nanos() >= *ticked + TICK {
            *ticked += TICK;
            recorder.take(Step::Through { scope: 0, at: Stamp::from_nanos(*ticked) });
        }
        recorder.take(Step::Event { scope: 0, seen: *seen, event });
    }
}

/// Waits until everything is in the file.
fn settled(recorder: &Recorder) -> u64 {
    let bytes = recorder.counts();
    loop {
        let before = bytes.bytes.load(Relaxed);
        std::thread::sleep(Duration::from_millis(500));
        if bytes.bytes.load(Relaxed) == before {
            return before;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    for anonymized in [false, true] {
        measure(anonymized).await?;
    }
    Ok(())
}

async fn measure(anonymized: bool) -> Result<()> {
    let mut fleet = Fleet::new(Store::new(1_000), FLEET);
    let mut decoders = Resource::ALL.map(|resource| Decoder::new(resource, Shard::WHOLE));
    let mut decode = |resource: Resource, at: Stamp, frame: &Bytes, events: &mut Events| {
        decoders[resource as usize].frame(at, &frame.slice(4..), ReplayBound::UpTo(0), events).context("a frame")
    };
    let (mut list, mut changes) = (Events::default(), Events::default());
    for resource in Resource::ALL {
        for frame in fleet.initial_frames(resource) {
            decode(resource, Stamp::default(), &frame, &mut list)?;
        }
    }
    for number in 0..CHANGES {
        let at = Stamp::new(PACE * u32::try_from(number)?);
        let [pod, slice] = fleet.flip_frames(number * 7 % FLEET.pods);
        decode(Resource::Pods, at, &pod, &mut changes)?;
        decode(Resource::EndpointSlices, at, &slice, &mut changes)?;
    }
    let folder = tempfile::tempdir()?;
    let target = Target { path: folder.path().join("recording"), force: false };
    let header = Header {
        version: String::new(),
        revision: String::new(),
        started: SystemTime::now(),
        namespaces: Vec::new(),
        tracker: SETTINGS,
        anonymized,
    };
    let (mut recorder, mut writing) = Recorder::create(&target, u64::MAX / 2, &header, Names::new(anonymized)?)?;
    let (mut ticked, began, used) = (0, Instant::now(), Used::now());
    take(&mut recorder, &list.0, &mut ticked);
    let listed = settled(&recorder);
    let of_list = Used::now().since(&used);
    println!("anonymized: {anonymized}");
    let pods = FLEET.pods as u64;
    println!(
        "  list: {} bytes a pod, {:?} of CPU, of it {:?} of the measuring thread",
        listed / pods,
        of_list.process,
        of_list.thread
    );
    let used = Used::now();
    take(&mut recorder, &changes.0, &mut ticked);
    drop(recorder);
    writing.ended().await?;
    let (used, all) = (Used::now().since(&used), fs::metadata(&target.path)?.len());
    let each = |time: Duration| time / CHANGES as u32;
    let bytes = (all - listed) as f64 / CHANGES as f64;
    println!(
        "  change: {bytes:.1} bytes, {:?} of CPU, of it {:?} of the measuring thread",
        each(used.process),
        each(used.thread)
    );
    println!("  in {:?}", began.elapsed());
    Ok(())
}
