//! The body of a watch: one reader of the store's log, at its client's pace.

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

/// Events taken from the log at once: few enough that a client which reads slowly pins little of it.
const BATCH: usize = 256;

/// A watch on one resource, whole or in one namespace.
pub(super) struct WatchStream<O> {
    store: Store,
    namespace: Option<String>,
    /// No event up to this version is still to be read from the log.
    cursor: u64,
    /// Read and not yet sent.
    backlog: VecDeque<Waiting<O>>,
    wake: watch::Receiver<()>,
    bookmarks: Option<Bookmarks>,
    /// The server ends every watch at some time, even one that is alive.
    deadline: Instant,
    stop: watch::Receiver<bool>,
    /// An `ERROR` event was sent, which is the last.
    ended: bool,
    bodies: Option<&'static Bodies>,
    sent: SentLog,
}

/// What the stream takes from the server beside the client's wishes.
pub(super) struct WatchTerms {
    /// Time between bookmarks, where the client takes them.
    pub(super) bookmark_interval: Duration,
    /// Length of the watch where the client sets none.
    pub(super) timeout: Duration,
    /// Turns true when the server stops.
    pub(super) stop: watch::Receiver<bool>,
    /// What every object carries beside the fields that are read.
    pub(super) bodies: Option<&'static Bodies>,
    /// Is told of every event that is handed over.
    pub(super) sent: SentLog,
}

enum Waiting<O> {
    /// Encoded when its turn comes: what waits takes no more memory than the objects do anyway.
    Event(EventKind, Arc<O>),
    Frame(Bytes),
}

struct Bookmarks {
    interval: Duration,
    next: Instant,
}

// === impl WatchStream ===

impl<O: Stored> WatchStream<O> {
    /// Begins to watch; what is written from now on is not missed.
    ///
    /// # Errors
    /// 504 where the client has seen a version that this cluster has not reached. A version that is too old is no
    /// error here but the first event of the stream, as with the real server.
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

    /// The next frame; none when the watch is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(waiting) = self.backlog.pop_front() {
                return Some(self.frame(waiting));
            }
            let now = Instant::now();
            if self.ended || *self.stop.borrow() || now >= self.deadline {
                return None;
            }
            // Marked before the log is read: a write in between wakes once too often, never too seldom.
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

    /// Until there may be something to do.
    async fn wait(&mut self) {
        let bookmark = self.bookmarks.as_ref().map(|b| b.next);
        let timer = bookmark.map_or(self.deadline, |b| b.min(self.deadline));
        // The stream holds the store, so its end of `wake` stands; with the end of `stop` gone the server is, too.
        tokio::select! {
            _ = self.wake.changed() => {}
            _ = self.stop.wait_for(|stop| *stop) => self.ended = true,
            () = sleep_until(timer) => {}
        }
    }
}
