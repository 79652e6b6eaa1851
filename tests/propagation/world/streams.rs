//! The three watches: which events of the cluster's log have been delivered, when, and in what condition.

use super::cluster::Cluster;
use endpointlag::model::{Arrival, Event, Resource, Seen, Stamp};
use std::{collections::VecDeque, time::Duration};

/// What the core receives, in order.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a history has some hundred steps, and nearly all of them are events")]
pub enum Step {
    Event(Seen, Event),
    Advance(Stamp),
}

/// One watch.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// Sent, and not read yet.
    queue: VecDeque<(Arrival, Event)>,
    /// What happened while the watch was cut.
    missed: Vec<Event>,
    listed: bool,
    cut: bool,
    /// Whether the core knows that the watch is lost, and not yet that it is restored.
    lost: bool,
    /// The stamp of the last event that was read. No later event of the stream has an earlier stamp.
    last: Stamp,
    last_arrival: Option<Arrival>,
}

/// All three, and the clock by which they are read.
#[derive(Clone, Debug)]
pub struct Streams {
    streams: [Stream; 3],
    pub now: Stamp,
    /// The time that the core has received: later events have no earlier stamp.
    told: Stamp,
    pub steps: Vec<Step>,
}

/// How a watch breaks, for the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It fails, and the core does not notice.
    Unnoticed,
    /// It fails, and counts as lost from now on.
    Noticed,
    /// It fails, and counts as lost since the last event that was read, because it had been silent.
    Silent,
    /// It counts as lost, but still works.
    Suspected,
}

/// How events are read from a watch.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// How many, at most.
    pub count: usize,
    /// How long before now they were stamped. Each watch has its own reader, and one may be behind another.
    pub behind: Duration,
    pub delayed: Delayed,
}

/// Whether the reader was delayed, so that the stamps of its events cannot be used for a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delayed {
    No,
    Unnoticed,
    /// The watch counts as lost in this time.
    Noticed,
}

impl Streams {
    pub fn new() -> Self {
        // Far enough from the clock's origin for earlier stamps.
        let now = Stamp::new(Duration::from_secs(1_000));
        Self { streams: Default::default(), now, told: Stamp::default(), steps: Vec::new() }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    /// Tells the core that everything up to some time before now has been read.
    pub fn tick(&mut self, behind: Duration) {
        self.told = self.told.max(self.ago(behind));
        self.steps.push(Step::Advance(self.told));
    }

    fn ago(&self, time: Duration) -> Stamp {
        Stamp::new(self.now.since_origin() - time)
    }

    /// Takes what happened in the cluster.
    pub fn take_log(&mut self, cluster: &mut Cluster) {
        for (resource, event) in cluster.take_log() {
            let stream = &mut self.streams[resource as usize];
            if stream.cut {
                stream.missed.push(event);
            } else if stream.listed {
                stream.queue.push_back((Arrival::Live, event));
            }
        }
    }

    /// The connection breaks. Events that were on their way come later, together with what happens until then. A watch that has
    /// not completed a list can only be known to be lost.
    pub fn cut(&mut self, resource: Resource, how: Break) {
        let stream = &mut self.streams[resource as usize];
        let is_list = |(_, event): &(Arrival, Event)| matches!(event, Event::Init(_) | Event::InitDone(_));
        let can_fail = stream.listed && !stream.cut && !stream.queue.iter().any(is_list);
        if can_fail && how != Break::Suspected {
            stream.cut = true;
            let queue = std::mem::take(&mut stream.queue).into_iter().map(|(_, event)| event);
            stream.missed = queue.filter(|event| !matches!(event, Event::WatchRestored(_))).collect();
        }
        let since = match how {
            Break::Unnoticed => return,
            Break::Silent if stream.last != Stamp::default() => stream.last,
            _ => stream.last.max(self.now),
        };
        if can_fail || stream.cut || !stream.listed {
            // The core may be told twice that it is lost.
            stream.lost = true;
            stream.last = stream.last.max(since);
            self.steps.push(Step::Event(Seen::late(since), Event::WatchLost(resource)));
        }
    }

    /// The watch continues where it was cut: the missed events come in one burst, and then it is whole.
    pub fn resume(&mut self, resource: Resource) {
        let stream = &mut self.streams[resource as usize];
        stream.cut = false;
        stream.queue.extend(stream.missed.drain(..).map(|event| (Arrival::Late, event)));
        if stream.listed {
            stream.restore(resource);
        }
    }

    /// The watch cannot continue, and lists: the missed events are lost. `broken_off` is the number of objects that an earlier,
    /// failed attempt got.
    pub fn list(&mut self, resource: Resource, cluster: &Cluster, broken_off: Option<usize>) {
        let objects = cluster.list(resource);
        let attempt = broken_off.map(|got| objects.iter().take(got).cloned().collect());
        let stream = &mut self.streams[resource as usize];
        *stream = Stream { listed: true, lost: stream.lost, last: stream.last, ..Stream::default() };
        for attempt in attempt.into_iter().chain([objects]) {
            stream.queue.push_back((Arrival::Late, Event::Init(resource)));
            stream.queue.extend(attempt.into_iter().map(|event| (Arrival::Late, event)));
        }
        stream.queue.push_back((Arrival::Late, Event::InitDone(resource)));
        stream.restore(resource);
    }

    pub fn read(&mut self, resource: Resource, reading: Reading) {
        let behind = self.ago(reading.behind).max(self.told);
        let stream = &mut self.streams[resource as usize];
        let noticed = reading.delayed == Delayed::Noticed && !stream.lost && !stream.queue.is_empty();
        if noticed {
            stream.last = stream.last.max(behind);
            self.steps.push(Step::Event(Seen::late(stream.last), Event::WatchLost(resource)));
        }
        for _ in 0..reading.count {
            let Some((arrival, event)) = stream.queue.pop_front() else { break };
            let arrival = if reading.delayed == Delayed::No { arrival } else { Arrival::Late };
            stream.last = stream.last.max(behind);
            if stream.last_arrival.replace(arrival) != Some(arrival) {
                // A list or a replay and what follows it are never read at the same instant.
                stream.last = stream.last.plus(Duration::from_nanos(1));
            }
            stream.lost &= !matches!(event, Event::WatchRestored(_));
            self.steps.push(Step::Event(Seen { at: stream.last, arrival }, event));
        }
        if noticed {
            self.steps.push(Step::Event(Seen::late(stream.last), Event::WatchRestored(resource)));
        }
    }

    /// Reads all three until they are empty, in this order.
    pub fn read_all(&mut self, order: [Resource; 3]) {
        for resource in order {
            self.read(resource, Reading { count: usize::MAX, behind: Duration::ZERO, delayed: Delayed::No });
        }
    }
}

impl Stream {
    /// After the events that are on their way now, the watch is whole again. The core is told so after these events.
    fn restore(&mut self, resource: Resource) {
        let is_restored = |(_, event): &(Arrival, Event)| matches!(event, Event::WatchRestored(_));
        if self.lost && !self.queue.iter().any(is_restored) {
            self.queue.push_back((Arrival::Late, Event::WatchRestored(resource)));
        }
    }
}
