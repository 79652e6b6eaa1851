//! The three watches: what of the cluster's log has come through, when, and in what condition.

use super::cluster::Cluster;
use endpointlag::cluster::event::{Arrival, Event, Resource, Seen, Stamp};
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
    /// No event of a stream is stamped before the one read ahead of it.
    last: Stamp,
    last_arrival: Option<Arrival>,
}

/// All three, and the clock by which they are read.
#[derive(Clone, Debug)]
pub struct Streams {
    streams: [Stream; 3],
    pub now: Stamp,
    pub steps: Vec<Step>,
}

/// How events are read off a watch.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// How many, at most.
    pub count: usize,
    /// How long before now they were stamped: each watch has a reader of its own, and one may be behind another.
    pub behind: Duration,
    /// Whether the reader was held up, so that nothing can be timed by what it read.
    pub held_up: bool,
}

impl Streams {
    pub fn new() -> Self {
        // Far enough from the clock's origin for stamps that lie behind.
        let now = Stamp::new(Duration::from_secs(1_000));
        Self { streams: Default::default(), now, steps: Vec::new() }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    pub fn tick(&mut self) {
        self.steps.push(Step::Advance(self.now));
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

    /// The connection breaks. What was on its way comes later, with what happens until then.
    pub fn cut(&mut self, resource: Resource) {
        let stream = &mut self.streams[resource as usize];
        let is_list = |(_, event): &(Arrival, Event)| matches!(event, Event::ListBegan(_) | Event::ListEnded(_));
        if stream.listed && !stream.cut && !stream.queue.iter().any(is_list) {
            stream.cut = true;
            stream.missed = stream.queue.drain(..).map(|(_, event)| event).collect();
        }
    }

    /// The watch goes on where it was cut: what it missed comes in one burst.
    pub fn resume(&mut self, resource: Resource) {
        let stream = &mut self.streams[resource as usize];
        stream.cut = false;
        stream.queue.extend(stream.missed.drain(..).map(|event| (Arrival::Late, event)));
    }

    /// The watch cannot go on, and lists: what it missed is lost. `broken_off` names how many objects an attempt before
    /// this one got.
    pub fn list(&mut self, resource: Resource, cluster: &Cluster, broken_off: Option<usize>) {
        let objects = cluster.list(resource);
        let attempt = broken_off.map(|got| objects.iter().take(got).cloned().collect());
        let stream = &mut self.streams[resource as usize];
        *stream = Stream { listed: true, last: stream.last, ..Stream::default() };
        for attempt in attempt.into_iter().chain([objects]) {
            stream.queue.push_back((Arrival::Late, Event::ListBegan(resource)));
            stream.queue.extend(attempt.into_iter().map(|event| (Arrival::Late, event)));
        }
        stream.queue.push_back((Arrival::Late, Event::ListEnded(resource)));
    }

    pub fn read(&mut self, resource: Resource, reading: Reading) {
        let stream = &mut self.streams[resource as usize];
        let behind = Stamp::new(self.now.since_origin() - reading.behind);
        for _ in 0..reading.count {
            let Some((arrival, event)) = stream.queue.pop_front() else { return };
            let arrival = if reading.held_up { Arrival::Late } else { arrival };
            stream.last = stream.last.max(behind);
            if stream.last_arrival.replace(arrival) != Some(arrival) {
                // A list or a replay and what follows it are never read at the same instant.
                stream.last = stream.last.plus(Duration::from_nanos(1));
            }
            self.steps.push(Step::Event(Seen { at: stream.last, arrival }, event));
        }
    }

    /// Reads all three dry, in the order given.
    pub fn read_all(&mut self, order: [Resource; 3]) {
        for resource in order {
            self.read(resource, Reading { count: usize::MAX, behind: Duration::ZERO, held_up: false });
        }
    }
}
