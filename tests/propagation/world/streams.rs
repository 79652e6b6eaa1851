//! The three watches: what of the cluster's log has come through, when, and in what condition.

use super::cluster::Cluster;
use endpointlag::model::{Arrival, Event, Resource, Seen, Stamp};
use std::{collections::VecDeque, time::Duration};

/// What the core is given, in order.
#[derive(Clone, Debug)]
pub enum Step {
    Event(Seen, Event),
    Advance(Stamp),
}

/// One watch.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// On their way.
    queue: VecDeque<(Arrival, Event)>,
    /// What happened while the watch was cut.
    missed: Vec<Event>,
    listed: bool,
    cut: bool,
    /// Whether the core was told that the watch is lost, and not yet that it is restored.
    lost: bool,
    /// No event of a stream is stamped before the one read ahead of it.
    last: Stamp,
    last_arrival: Option<Arrival>,
}

/// All three, and the clock by which they are read.
#[derive(Clone, Debug)]
pub struct Streams {
    streams: [Stream; 3],
    pub now: Stamp,
    /// The time that the core was told: nothing that it has not been given is stamped before.
    told: Stamp,
    pub steps: Vec<Step>,
}

/// How a watch breaks, for the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It fails, and nobody notices.
    Unnoticed,
    /// It fails, and is known to be lost since now.
    Noticed,
    /// It fails, and is known to be lost since what was read last: it had been silent.
    Silent,
    /// It is held to be lost, and goes on all the same.
    Suspected,
}

/// How events are read off a watch.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// How many, at most.
    pub count: usize,
    /// How long before now they were stamped: each watch has a reader of its own, and one may be behind another.
    pub behind: Duration,
    pub delayed: Delayed,
}

/// Whether what the reader brings was delayed, so that nothing can be timed by what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delayed {
    No,
    Unnoticed,
    /// The watch counts as lost meanwhile.
    Noticed,
}

impl Streams {
    pub fn new() -> Self {
        // Far enough from the clock's origin for stamps that lie behind.
        let now = Stamp::new(Duration::from_secs(1_000));
        Self { streams: Default::default(), now, told: Stamp::default(), steps: Vec::new() }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    /// Tells the core that all until some time before now has been read.
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

    /// The connection breaks. What was on its way comes later, with what happens until then. One that has not listed yet
    /// can only be known to be lost.
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
            // It may be told a second time that it is lost.
            stream.lost = true;
            stream.last = stream.last.max(since);
            self.steps.push(Step::Event(Seen::late(since), Event::WatchLost(resource)));
        }
    }

    /// The watch goes on where it was cut: what it missed comes in one burst, and then it is whole.
    pub fn resume(&mut self, resource: Resource) {
        let stream = &mut self.streams[resource as usize];
        stream.cut = false;
        stream.queue.extend(stream.missed.drain(..).map(|event| (Arrival::Late, event)));
        if stream.listed {
            stream.restore(resource);
        }
    }

    /// The watch cannot go on, and lists: what it missed is lost. `broken_off` names how many objects an attempt before
    /// this one got.
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

    /// Reads all three dry, in the order given.
    pub fn read_all(&mut self, order: [Resource; 3]) {
        for resource in order {
            self.read(resource, Reading { count: usize::MAX, behind: Duration::ZERO, delayed: Delayed::No });
        }
    }
}

impl Stream {
    /// What is on its way now is all there was: the core is told so after it.
    fn restore(&mut self, resource: Resource) {
        let is_restored = |(_, event): &(Arrival, Event)| matches!(event, Event::WatchRestored(_));
        if self.lost && !self.queue.iter().any(is_restored) {
            self.queue.push_back((Arrival::Late, Event::WatchRestored(resource)));
        }
    }
}
