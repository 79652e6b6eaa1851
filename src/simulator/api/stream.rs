//! The body of a watch: a reader of the store's log, as fast as its client reads.

use super::Failure;
use super::query::{Start, WatchQuery};
use crate::simulator::body::Bodies;
use crate::simulator::frame::{self, EventKind};
use crate::simulator::sent::SentLog;
use crate::simulator::store::{Store, Stored};
use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Number of events that are read from the log at once. It is small, so that a slow client keeps little of the log in memory.
const BATCH: usize = 256;

/// A watch on one resource, in the whole cluster or in one namespace.
pub(super) struct WatchStream<O> {
    store: Store,
    namespace: Option<String>,
    /// All events up to this version have been read from the log.
    cursor: u64,
    /// Events that were read and not sent yet.
    backlog: VecDeque<Waiting<O>>,
    wake: watch::Receiver<()>,
    bookmarks: Option<Bookmarks>,
    /// The server ends every watch after some time, even an active one.
    deadline: Instant,
    stop: watch::Receiver<bool>,
    /// An `ERROR` event was sent. It is always the last event.
    ended: bool,
    bodies: Option<&'static Bodies>,
    sent: SentLog,
}

/// Settings that the stream gets from the server, not from the client.
pub(super) struct WatchTerms {
    /// Time between bookmarks, if the client accepts them.
    pub(super) bookmark_interval: Duration,
    /// Duration of the watch, if the client sets none.
    pub(super) timeout: Duration,
    /// Becomes true when the server stops.
    pub(super) stop: watch::Receiver<bool>,
    /// The parts of every object that are not read.
    pub(super) bodies: Option<&'static Bodies>,
    /// Gets every event that is sent.
    pub(super) sent: SentLog,
}

enum Waiting<O> {
    /// An event is encoded only when it is sent. Waiting events share the memory of the objects.
    Event(EventKind, Arc<O>),
    Frame(Bytes),
}

struct Bookmarks {
    interval: Duration,
    next: Instant,
}

// === impl WatchStream ===

impl<O: Stored> WatchStream<O> {
    /// Starts a watch. It misses no write from now on.
    ///
    /// # Errors
    /// 504 if the client has seen a version that this cluster has not reached. A version that is too old is not an error here,
    /// but the first event of the stream, as in the real server.
    pub(super) fn new(
        store: Store,
        namespace: Option<String>,
        query: &WatchQuery,
        terms: WatchTerms,
    ) -> Result<Self, Failure> {
        let now = Instant::now();
        let mut stream = Self {
            wake: store.subscribe::<O>(),
            cursor: store.version(),
            namespace,
            backlog: VecDeque::new(),
            bookmarks: query
                .bookmarks
                .then(|| Bookmarks { interval: terms.bookmark_interval, next: now + terms.bookmark_interval }),
            deadline: now + query.timeout.unwrap_or(terms.timeout),
            stop: terms.stop,
            ended: false,
            bodies: terms.bodies,
            sent: terms.sent,
            store,
        };
        match query.start {
            Start::Now => {}
            Start::After(version) => stream.cursor = version,
            Start::Initial { not_older_than, marked } => stream.begin_with_all(not_older_than, marked)?,
        }
        Ok(stream)
    }

    fn begin_with_all(&mut self, not_older_than: u64, marked: bool) -> Result<(), Failure> {
        let namespace = self.namespace.as_deref();
        let page = self.store.page::<O>(namespace, None, None, usize::MAX)?;
        Failure::unless_reached(not_older_than, page.version)?;
        self.cursor = page.version;
        self.backlog = page.items.into_iter().map(|object| Waiting::Event(EventKind::Added, object)).collect();
        if marked {
            let end = frame::bookmark::<O>(page.version, true);
            self.backlog.push_back(Waiting::Frame(end));
        }
        Ok(())
    }

    /// The next frame; `None` when the watch is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(waiting) = self.backlog.pop_front() {
                return Some(self.frame(waiting));
            }
            let now = Instant::now();
            if self.ended || *self.stop.borrow() || now >= self.deadline {
                return None;
            }
            // Marked as seen before the log is read. A write in between causes one extra wake-up, but none is missed.
            self.wake.mark_unchanged();
            let batch = match self.store.since::<O>(self.cursor, BATCH) {
                Ok(batch) => batch,
                Err(expired) => {
                    self.ended = true;
                    return Some(frame::error(&Failure::from(expired).status()));
                }
            };
            self.cursor = batch.version;
            let at_end = batch.events.is_empty();
            let wanted = |key: &str| self.namespace.as_deref().is_none_or(|n| n == key);
            let events = batch.events.into_iter();
            let wanted = events.filter(|e| wanted(e.object.namespace()));
            self.backlog.extend(wanted.map(|e| Waiting::Event(e.kind, e.object)));
            if !self.backlog.is_empty() {
                continue;
            }
            if let Some(bookmarks) = self.bookmarks.as_mut().filter(|b| b.next <= now) {
                bookmarks.next = now + bookmarks.interval;
                return Some(frame::bookmark::<O>(self.cursor, false));
            }
            if at_end {
                self.wait().await;
            }
        }
    }

    fn frame(&self, waiting: Waiting<O>) -> Bytes {
        match waiting {
            Waiting::Frame(frame) => frame,
            Waiting::Event(kind, object) => {
                let frame = frame::event(kind, &*object, self.bodies);
                self.sent.note(&*object);
                frame
            }
        }
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self) {
        let bookmark = self.bookmarks.as_ref().map(|b| b.next);
        let timer = bookmark.map_or(self.deadline, |b| b.min(self.deadline));
        // The stream owns the store, so the sender of `wake` exists. If the sender of `stop` is gone, the server is gone too.
        tokio::select! {
            _ = self.wake.changed() => {}
            _ = self.stop.wait_for(|stop| *stop) => self.ended = true,
            () = sleep_until(timer) => {}
        }
    }
}
