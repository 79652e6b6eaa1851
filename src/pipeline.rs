//! The one owner of what is measured: takes what the watches deliver, decodes it, feeds the trackers, keeps the statistics.
//!
//! It runs on a thread of its own and shares nothing. Queries are answered between two messages, so that every answer is consistent and
//! nothing on the way from socket to histogram waits for a lock.

mod annotations;
mod args;

pub use self::args::{Args, PipelineSettings};

use self::annotations::Annotations;
use crate::{
    cluster::{
        clock::Clock,
        decode::{DecodeError, Decoder, Sink},
        health::WatchHealth,
        heartbeat::Heartbeat,
        object::ObjectError,
        queue::{Envelope, EventReceiver, Message, Progress, StreamFailure},
        watch::Signals,
    },
    model::{Event, Seen, Stamp},
    propagation::{Ended, OutOfSyncEndpoint, PendingChange, Report, Standing, Tracker},
    stats::{ClusterView, Overflow, Overview, Recent, Selection, Snapshot, Stats, Table},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::MissedTickBehavior,
};

/// How often what has come is looked at and time passes for the trackers, while little comes: how exactly the moment of an SLO miss is
/// counted.
const TICK: Duration = Duration::from_millis(100);

/// How often Services that are gone are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// A watch, as the pipeline sees it.
#[derive(Debug)]
pub struct Source {
    /// Which tracker it feeds.
    pub tracker: usize,
    /// Decodes it.
    pub decoder: Decoder,
    /// Where its events are counted.
    pub health: Arc<WatchHealth>,
    /// How to reach its reader.
    pub signals: Arc<Signals>,
    /// Why its stream makes no sense any more; what is still on its way is not looked at.
    failure: Option<StreamFailure>,
}

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

/// Queries the pipeline.
#[derive(Clone, Debug)]
pub struct PipelineHandle(UnboundedSender<Query>);

/// A query, and where its answer goes.
#[derive(Debug)]
enum Query {
    Snapshot(oneshot::Sender<Snapshot>),
    Overview(oneshot::Sender<Overview>),
    Cluster(oneshot::Sender<Now<ClusterView>>),
    Table(Selection, oneshot::Sender<Now<Table>>),
    Changes(oneshot::Sender<Now<Changes>>),
    OutOfSync(oneshot::Sender<Now<Vec<OutOfSyncEndpoint>>>),
}

/// An answer, and when it was true.
#[derive(Clone, Debug)]
pub struct Now<T> {
    /// The moment.
    pub at: Stamp,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
    /// The answer.
    pub value: T,
}

/// Single changes.
#[derive(Clone, Debug)]
pub struct Changes {
    /// All that are pending, in no order.
    pub pending: Vec<PendingChange>,
    /// The last that ended.
    pub recent: Recent,
}

/// The pipeline's end of its [`PipelineHandle`]s.
#[derive(Debug)]
pub struct Queries(UnboundedReceiver<Query>);

/// Takes the events of one source to its tracker.
struct Feed<'a> {
    now: Stamp,
    tracker: &'a mut Tracker,
    health: &'a WatchHealth,
    signals: &'a Signals,
    annotations: &'a mut Annotations,
}

// === impl Source ===

impl Source {
    /// A watch that has delivered nothing yet.
    pub fn new(tracker: usize, decoder: Decoder, health: Arc<WatchHealth>, signals: Arc<Signals>) -> Self {
        Self { tracker, decoder, health, signals, failure: None }
    }

    fn fail(&mut self, error: &DecodeError) {
        let expired = matches!(error, DecodeError::Status { code: 410, .. });
        if !expired {
            self.health.count_malformed();
        }
        self.failure = Some(StreamFailure { expired, message: error.to_string() });
        self.signals.abort();
    }
}

// === impl PipelineHandle ===

impl PipelineHandle {
    /// Both ends.
    pub fn new() -> (Self, Queries) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(sender), Queries(receiver))
    }

    /// All numbers as they are now; `None` when the process is ending.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.ask(Query::Snapshot).await
    }

    /// A summary of all Services; `None` when the process is ending.
    pub async fn overview(&self) -> Option<Overview> {
        self.ask(Query::Overview).await
    }

    /// The cluster as a whole; `None` when the process is ending.
    pub async fn cluster(&self) -> Option<Now<ClusterView>> {
        self.ask(Query::Cluster).await
    }

    /// The selected Services; `None` when the process is ending.
    pub async fn table(&self, selection: Selection) -> Option<Now<Table>> {
        self.ask(|reply| Query::Table(selection, reply)).await
    }

    /// Single changes; `None` when the process is ending.
    pub async fn changes(&self) -> Option<Now<Changes>> {
        self.ask(Query::Changes).await
    }

    /// Each endpoint that is out of sync, in no order; `None` when the process is ending.
    pub async fn out_of_sync(&self) -> Option<Now<Vec<OutOfSyncEndpoint>>> {
        self.ask(Query::OutOfSync).await
    }

    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(query(reply)).ok()?;
        answer.await.ok()
    }
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

    /// Runs until the last handle is gone.
    pub async fn run(mut self, mut queue: EventReceiver, mut queries: Queries) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                query = queries.0.recv() => match query {
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

    fn answer(&mut self, query: Query) {
        let now = self.clock.now();
        // A caller may be gone by now: nothing is lost then.
        match query {
            Query::Snapshot(reply) => {
                let mut snapshot = self.stats.snapshot(&self.standing(), now, self.clock.wall(now));
                snapshot.malformed_annotations = self.annotations.malformed();
                snapshot.reader_stalls = self.heartbeat.stalls();
                snapshot.reader_stalled = self.heartbeat.stalled();
                let _ = reply.send(snapshot);
            }
            Query::Overview(reply) => {
                let _ = reply.send(self.stats.overview(&self.standing(), now));
            }
            Query::Cluster(reply) => {
                let _ = reply.send(self.at(now, self.stats.cluster(&self.standing(), now)));
            }
            Query::Table(selection, reply) => {
                let _ = reply.send(self.at(now, self.stats.table(&self.standing(), &selection)));
            }
            Query::Changes(reply) => {
                let pending = self.trackers.iter().flat_map(Tracker::pending_changes).collect();
                let _ = reply.send(self.at(now, Changes { pending, recent: self.recent.clone() }));
            }
            Query::OutOfSync(reply) => {
                let endpoints = self.trackers.iter().flat_map(Tracker::out_of_sync_endpoints).collect();
                let _ = reply.send(self.at(now, endpoints));
            }
        }
    }

    /// How each scope stands now.
    fn standing(&self) -> Vec<Standing> {
        self.trackers.iter().map(Tracker::standing).collect()
    }

    fn at<T>(&self, at: Stamp, value: T) -> Now<T> {
        Now { at, wall: self.clock.wall(at), value }
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
        let mut feed = Feed {
            now,
            tracker: &mut self.trackers[tracker],
            health: &source.health,
            signals: &source.signals,
            annotations: &mut self.annotations,
        };
        match envelope.message {
            Message::Lost(at) => feed.event(Seen::late(at), Event::WatchLost(source.health.resource)),
            Message::Restored(at) => feed.event(Seen::late(at), Event::WatchRestored(source.health.resource)),
            Message::Init(at) => source.decoder.begin_list(at, &mut feed),
            Message::Frame { .. } if source.failure.is_some() => {}
            Message::Frame { at, bytes, replay } => match source.decoder.frame(at, &bytes, replay, &mut feed) {
                Ok(()) => source.health.count_event(),
                Err(error) => source.fail(&error),
            },
            Message::NoFrame(error) => source.fail(&error.into()),
            Message::Page { at, body, reply } => {
                let page = source.decoder.page(at, body, &mut feed);
                if let Ok(page) = &page
                    && page.next.is_none()
                {
                    source.decoder.end_list(at, page.resource_version, &mut feed);
                }
                if let Err(error) = &page {
                    source.fail(error);
                }
                let _ = reply.send(page);
            }
            Message::Ended(reply) => {
                let resume = source.decoder.end_connection();
                let _ = reply.send(Progress { resume, failure: source.failure.take() });
            }
        }
        self.record(tracker, now);
    }
}

// === impl Feed ===

impl Sink for Feed<'_> {
    fn event(&mut self, seen: Seen, event: Event) {
        match &event {
            Event::InitDone(_) => {
                self.signals.set_listed();
                tracing::info!(watch = %self.health, "listed");
            }
            Event::Service(service) => self.annotations.check(service),
            _ => {}
        }
        self.tracker.apply(seen, event);
    }

    fn malformed(&mut self, error: ObjectError) {
        self.health.count_malformed();
        if self.health.is_due(&error.to_string(), self.now) {
            tracing::warn!(watch = %self.health, %error, "an object cannot be used; going on without it");
        }
    }
}

#[cfg(test)]
mod tests;
