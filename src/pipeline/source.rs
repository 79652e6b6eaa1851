//! One watch: turns its messages into the events of its tracker.

use super::{
    annotations::Annotations,
    startup::Starts,
    step::{Step, Tap},
};
use crate::{
    cluster::{
        decode::{DecodeError, Decoder, Sink},
        health::WatchHealth,
        object::ObjectError,
        queue::{Message, Progress, StreamFailure},
        watch::Signals,
    },
    model::{Event, Pod, Seen, Stamp},
    programming::Programming,
    propagation::Tracker,
};
use std::sync::Arc;

/// A watch, as the pipeline sees it.
#[derive(Debug)]
pub struct Source {
    /// Index of the tracker that gets its events.
    pub(super) tracker: usize,
    decoder: Decoder,
    /// Counts its events, and knows how far its reader has come.
    pub(super) health: Arc<WatchHealth>,
    /// Reaches its reader.
    signals: Arc<Signals>,
    /// Why its stream is unusable. Messages that are still on their way are ignored.
    failure: Option<StreamFailure>,
}

/// Who gets the events of a source.
pub(super) struct Takers<'a> {
    pub(super) tracker: &'a mut Tracker,
    /// The hop to the nodes, if there are agents.
    pub(super) programming: Option<&'a mut Programming>,
    /// The starts of pods, if they are followed.
    pub(super) startup: Option<&'a mut Starts>,
    /// What records them, if anything does.
    pub(super) tap: Option<&'a mut Tap>,
    pub(super) annotations: &'a mut Annotations,
}

/// Passes the events of one source to its tracker.
struct Feed<'a> {
    now: Stamp,
    scope: usize,
    tracker: &'a mut Tracker,
    programming: Option<&'a mut Programming>,
    startup: Option<&'a mut Starts>,
    tap: Option<&'a mut Tap>,
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

    /// Passes what the watch delivers to its tracker, and to those that see it too.
    pub(super) fn take(&mut self, message: Message, now: Stamp, takers: Takers<'_>) {
        let Takers { tracker, programming, startup, tap, annotations } = takers;
        let mut feed = Feed {
            now,
            scope: self.tracker,
            tracker,
            programming,
            startup,
            tap,
            health: &self.health,
            signals: &self.signals,
            annotations,
        };
        match message {
            Message::Lost(at) => feed.event(Seen::late(at), Event::WatchLost(self.health.resource)),
            Message::Restored(at) => feed.event(Seen::late(at), Event::WatchRestored(self.health.resource)),
            Message::Init(at) => self.decoder.begin_list(at, &mut feed),
            Message::Frame { .. } if self.failure.is_some() => {}
            Message::Frame { at, bytes, replay } => match self.decoder.frame(at, &bytes, replay, &mut feed) {
                Ok(()) => self.health.count_event(),
                Err(error) => self.fail(&error),
            },
            Message::NoFrame(error) => self.fail(&error.into()),
            Message::Page { at, body, reply } => {
                let page = self.decoder.page(at, body, &mut feed);
                if let Ok(page) = &page
                    && page.next.is_none()
                {
                    self.decoder.end_list(at, page.resource_version, &mut feed);
                }
                if let Err(error) = &page {
                    self.fail(error);
                }
                let _ = reply.send(page);
            }
            Message::Ended(reply) => {
                let resume = self.decoder.end_connection();
                let _ = reply.send(Progress { resume, failure: self.failure.take() });
            }
        }
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
        if let Some(programming) = &mut self.programming {
            programming.apply(self.scope, seen, &event);
        }
        if let Some(tap) = &mut self.tap {
            tap(Step::Event { scope: self.scope, seen, event: &event });
        }
        match &mut self.startup {
            Some(startup) => startup.follow(self.scope, self.tracker, seen, event),
            None => self.tracker.apply(seen, event),
        }
    }

    fn pod_object(&mut self, seen: Seen, pod: &Pod, object: &[u8]) {
        if let Some(startup) = &mut self.startup
            && let Err(error) = startup.pod(self.scope, self.tracker, seen, pod, object)
        {
            self.malformed(error);
        }
    }

    fn malformed(&mut self, error: ObjectError) {
        self.health.count_malformed();
        if self.health.is_due(&error.to_string(), self.now) {
            tracing::warn!(watch = %self.health, %error, "an object cannot be used; going on without it");
        }
    }
}
