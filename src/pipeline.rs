//! The one owner of what is measured: takes what the watches deliver, decodes it, feeds the trackers, keeps the statistics.
//!
//! It runs on a thread of its own and shares nothing. Queries are answered between two messages, so that every answer is consistent and
//! nothing on the way from socket to histogram waits for a lock.

mod annotations;
mod args;
mod query;
mod source;

pub use self::{
    args::{Args, PipelineSettings},
    query::{Changes, Now, PipelineHandle},
    source::Source,
};

use self::{annotations::Annotations, query::Queries};
use crate::{
    cluster::{
        clock::Clock,
        heartbeat::Heartbeat,
        queue::{Envelope, EventReceiver},
    },
    model::Stamp,
    propagation::{Ended, Report, Tracker},
    stats::{Overflow, Recent, Stats},
};
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{runtime::Builder, time::MissedTickBehavior};

/// How often what has come is looked at and time passes for the trackers, while little comes: how exactly the moment of an SLO miss is
/// counted.
const TICK: Duration = Duration::from_millis(100);

/// How often Services that are gone are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// The worker that owns what is measured.
pub struct Pipeline {
    clock: Clock,
    /// Of the thread that reads.
    heartbeat: Arc<Heartbeat>,
    sources: Vec<Source>,
    trackers: Vec<Tracker>,
    stats: Stats,
    recent: Recent,
    annotations: Annotations,
    on_ended: Box<dyn FnMut(&Ended) + Send>,
    swept: Stamp,
}

// === impl Pipeline ===

impl Pipeline {
    /// Over these sources and trackers, whose bytes come from the thread of `heartbeat`. `on_ended` is called for each change that ends,
    /// and must not block.
    pub fn new(
        clock: Clock,
        heartbeat: Arc<Heartbeat>,
        sources: Vec<Source>,
        trackers: Vec<Tracker>,
        stats: Stats,
        on_ended: impl FnMut(&Ended) + Send + 'static,
    ) -> Self {
        let on_ended = Box::new(on_ended);
        Self {
            clock,
            heartbeat,
            sources,
            trackers,
            stats,
            recent: Recent::default(),
            annotations: Annotations::default(),
            on_ended,
            swept: clock.now(),
        }
    }

    /// Runs on a thread of its own, until the last handle is gone.
    ///
    /// # Errors
    /// The system has no threads left.
    pub fn start(self, queue: EventReceiver) -> io::Result<(PipelineHandle, JoinHandle<()>)> {
        let (handle, queries) = PipelineHandle::new();
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let thread = thread::Builder::new().name("pipeline".into());
        let running = thread.spawn(move || runtime.block_on(self.run(queue, queries)))?;
        Ok((handle, running))
    }

    async fn run(mut self, mut queue: EventReceiver, mut queries: Queries) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                query = queries.next() => match query {
                    Some(query) => {
                        self.pass_time(&mut queue);
                        self.answer(query);
                    }
                    None => return,
                },
                _ = ticks.tick() => self.pass_time(&mut queue),
                () = queue.due() => self.take_waiting(&mut queue),
            }
        }
    }

    /// Takes what waits now.
    fn take_waiting(&mut self, queue: &mut EventReceiver) {
        queue.waiting().for_each(|envelope| self.take(envelope));
    }

    /// Lets time pass for the trackers: to each, the time of which it has heard all there is to hear. It is read off before what waits is
    /// taken, so that what came in time is never judged by when it was looked at.
    fn pass_time(&mut self, queue: &mut EventReceiver) {
        let heard: Vec<_> = (0..self.trackers.len()).map(|tracker| self.heard_through(tracker)).collect();
        self.take_waiting(queue);
        let now = self.clock.now();
        for (tracker, through) in heard.into_iter().enumerate() {
            self.trackers[tracker].advance(through);
            self.record(tracker, now);
        }
        if now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.stats.sweep(|service| self.trackers.iter().any(|tracker| tracker.measures(service)), now);
        }
    }

    /// The time before which all that the watches of a tracker have to tell has been handed over.
    fn heard_through(&self, tracker: usize) -> Stamp {
        let watches = self.sources.iter().filter(|source| source.tracker == tracker);
        let through = watches.map(|source| source.health.complete_through());
        through.fold(self.heartbeat.read_through(), Stamp::min)
    }

    fn record(&mut self, tracker: usize, now: Stamp) {
        for report in self.trackers[tracker].reports() {
            if let Some(Overflow { limit, first }) = self.stats.record(&report, now) {
                tracing::warn!(limit, %first, "more Services than --max-services change: the others are counted as _other/_other");
            }
            if let Report::Ended(ended) = &report {
                self.recent.push(ended);
                (self.on_ended)(ended);
            }
        }
    }

    /// Takes what a watch delivers.
    pub fn take(&mut self, envelope: Envelope) {
        let now = self.clock.now();
        let Some(source) = self.sources.get_mut(envelope.watch) else { return };
        let tracker = source.tracker;
        source.take(envelope.message, now, &mut self.trackers[tracker], &mut self.annotations);
        self.record(tracker, now);
    }
}

#[cfg(test)]
mod tests;
