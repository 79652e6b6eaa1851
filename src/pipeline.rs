//! The only owner of what is measured: takes what the watches deliver, decodes it, feeds the trackers and keeps the statistics.
//!
//! It runs on its own thread and shares nothing. It answers queries between two messages, so every answer is consistent and nothing
//! waits for a lock on the way from socket to histogram.

mod annotations;
mod args;
mod data_plane;
mod query;
mod replay;
mod source;
mod start;
mod startup;
mod step;

pub use self::{
    args::{Args, ObjectiveArgs, PipelineSettings},
    data_plane::DataPlane,
    query::{Changes, Now, PipelineHandle},
    replay::{NoScope, Replay},
    source::Source,
    start::{Followers, Started},
    startup::{Starts, StartsView, StartupArgs},
    step::{Step, Tap},
};

use self::{annotations::Annotations, query::Queries, source::Takers};
use crate::{
    cluster::{
        clock::Clock,
        heartbeat::Heartbeat,
        queue::{Envelope, EventReceiver},
    },
    collector::Told,
    ledger::Outcome,
    model::Stamp,
    programming::{self, Spread},
    propagation::{Ended, Report, Tracker},
    stats::{Overflow, Recent, Stats},
};
use std::{
    future::pending,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{runtime::Builder, time::MissedTickBehavior};

/// How often it takes waiting messages and lets time pass for the trackers, while few arrive: the precision with which an SLO miss is
/// counted.
const TICK: Duration = Duration::from_millis(100);

/// How often it looks for Services that are gone.
const SWEEP: Duration = Duration::from_secs(30);

/// Something that ended, for outputs.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// A change on the slice hop.
    Slice(&'a Ended),
    /// A change on all nodes.
    DataPlane(&'a Spread),
}

/// The worker that owns what is measured.
pub struct Pipeline {
    clock: Clock,
    /// Of the reading thread.
    heartbeat: Arc<Heartbeat>,
    sources: Vec<Source>,
    trackers: Vec<Tracker>,
    stats: Stats,
    recent: Recent,
    annotations: Annotations,
    /// The hop to the nodes, if there are agents.
    data_plane: Option<DataPlane>,
    /// The starts of pods, if they are followed.
    startup: Option<Starts>,
    on_ended: Box<dyn FnMut(Ending<'_>) + Send>,
    /// Gets all that reaches the trackers, if it is recorded.
    tap: Option<Tap>,
    swept: Stamp,
}

// === impl Pipeline ===

impl Pipeline {
    /// A pipeline of these sources and trackers. The thread of `heartbeat` reads their bytes. `on_ended` is called for each change that
    /// ends, and must not block. Without a `data_plane`, changes end with the slice hop.
    pub fn new(
        clock: Clock,
        heartbeat: Arc<Heartbeat>,
        sources: Vec<Source>,
        trackers: Vec<Tracker>,
        stats: Stats,
        data_plane: Option<DataPlane>,
        on_ended: impl FnMut(Ending<'_>) + Send + 'static,
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
            data_plane,
            startup: None,
            on_ended,
            tap: None,
            swept: clock.now(),
        }
    }

    /// The same pipeline, which follows the starts of pods too.
    #[must_use]
    pub fn with_startup(self, startup: Option<Starts>) -> Self {
        Self { startup, ..self }
    }

    /// Runs on its own thread, until the last handle is gone.
    ///
    /// # Errors
    /// If the system has no threads left.
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
                told = next_told(&mut self.data_plane), if self.trackers.iter().all(Tracker::is_measuring) => {
                    self.take_told(&told);
                }
            }
        }
    }

    /// Takes the waiting messages.
    fn take_waiting(&mut self, queue: &mut EventReceiver) {
        queue.waiting().for_each(|envelope| self.take(envelope));
    }

    /// Lets time pass for each tracker, up to when its watches have delivered everything. That time is read before it takes the
    /// waiting messages, so what arrived in time is not judged by when it is processed.
    fn pass_time(&mut self, queue: &mut EventReceiver) {
        let heard: Vec<_> = (0..self.trackers.len()).map(|tracker| self.heard_through(tracker)).collect();
        self.take_waiting(queue);
        let now = self.clock.now();
        for (tracker, through) in heard.into_iter().enumerate() {
            if let Some(tap) = &mut self.tap {
                tap(Step::Through { scope: tracker, at: through });
            }
            self.trackers[tracker].advance(through);
            self.record(tracker, now);
        }
        if let Some(data_plane) = &mut self.data_plane {
            data_plane.pass_time(now);
            self.record_data_plane(now);
        }
        if now.since(self.swept) >= SWEEP {
            self.swept = now;
            self.stats.sweep(|service| self.trackers.iter().any(|tracker| tracker.measures(service)), now);
            if let Some(startup) = &mut self.startup {
                startup.startup.forget(now);
            }
        }
    }

    /// Takes what agents observed.
    fn take_told(&mut self, told: &Told) {
        let now = self.clock.now();
        if let Some(data_plane) = &mut self.data_plane {
            data_plane.take(told, now);
        }
        self.record_data_plane(now);
    }

    /// The time before which the watches of a tracker have delivered everything.
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
            if let Report::Ended(ended) = report {
                (self.on_ended)(Ending::Slice(&ended));
                let number = self.recent.push(&ended);
                if let Some(startup) = &mut self.startup {
                    startup.startup.ended(&ended, number);
                }
                let Some(data_plane) = &mut self.data_plane else { continue };
                if matches!(ended.outcome, Outcome::Expired { .. }) {
                    data_plane.programming.expired(&ended.key, ended.change);
                }
                if let Some(carried) = ended.carried()
                    && data_plane.programming.carried(carried, number, now)
                {
                    self.recent.follow(number);
                }
            }
        }
        self.record_data_plane(now);
        self.record_starts(now);
    }

    /// Counts what became known of the starts of pods.
    fn record_starts(&mut self, now: Stamp) {
        let Some(startup) = &mut self.startup else { return };
        startup.startup.reports().for_each(|report| self.stats.record_startup(&report, now));
    }

    /// Counts what became known of the hop to the nodes.
    fn record_data_plane(&mut self, now: Stamp) {
        let Some(data_plane) = &mut self.data_plane else { return };
        for report in data_plane.programming.reports() {
            self.stats.record_nodes(&report, now);
            if let programming::Report::Spread(spread) = report {
                (self.on_ended)(Ending::DataPlane(&spread));
                if let Some(startup) = &mut self.startup {
                    startup.startup.spread(&spread);
                }
                self.recent.spread(spread);
            }
        }
    }

    /// Takes what a watch delivers.
    pub fn take(&mut self, envelope: Envelope) {
        let now = self.clock.now();
        let Some(source) = self.sources.get_mut(envelope.watch) else { return };
        let tracker = source.tracker;
        let takers = Takers {
            tracker: &mut self.trackers[tracker],
            programming: self.data_plane.as_mut().map(|data_plane| &mut data_plane.programming),
            startup: self.startup.as_mut(),
            tap: self.tap.as_mut(),
            annotations: &mut self.annotations,
        };
        source.take(envelope.message, now, takers);
        self.record(tracker, now);
    }
}

/// The next event of an agent. Never completes if there is none. What agents send before each watch has listed once waits: it cannot be
/// compared with anything.
async fn next_told(data_plane: &mut Option<DataPlane>) -> Arc<Told> {
    match data_plane {
        Some(data_plane) => match data_plane.next().await {
            Some(told) => told,
            None => pending().await,
        },
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
