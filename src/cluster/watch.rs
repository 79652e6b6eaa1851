//! One watch, kept running forever: list, watch, resume, list again.
//!
//! The task that reads the socket stamps each chunk, cuts it into frames and passes them on. It decodes nothing, so that a burst
//! does not delay the stamps of later events. The decoder tells it what it needs to know about the contents: the progress of
//! decoding, when a connection has ended, and whether the first list is complete.

mod end;
mod requests;
mod retry;
mod sight;

use self::{
    end::{Account, End, Ended},
    retry::Retry,
    sight::Sight,
};
use crate::{
    cluster::{
        client::{Connection, Link, Lost, RequestError, Scope},
        clock::Clock,
        frame::Framer,
        health::{Restart, WatchHealth},
        heartbeat::Heartbeat,
        queue::{EventSender, Load, Message, Progress, QueueClosed},
    },
    model::Stamp,
};
use bytes::Bytes;
use futures::{FutureExt, Stream};
use http::StatusCode;
use http_body_util::BodyExt;
use kube::client::Body;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::sync::{Notify, oneshot, watch};

/// The requested duration of a watch. It is long, because each new watch is a gap. It is limited, so that watches spread over the
/// API servers again after one of them was down.
const WATCH_SECONDS: std::ops::Range<u64> = 30 * 60..60 * 60;

/// A watch that is not synced after this time reports that it is slow. This is ten times the duration of a list of 150,000 pods.
const SLOW: Duration = Duration::from_secs(15);

/// One watch.
pub struct Watch {
    /// What to watch.
    pub scope: Scope,
    /// The connection that it uses.
    pub link: Arc<Link>,
    /// The clock of the stamps.
    pub clock: Clock,
    /// Whether the thread that runs this task has stalled.
    pub heartbeat: Arc<Heartbeat>,
    /// Receives what is read.
    pub queue: EventSender,
    /// The state of the watch.
    pub health: Arc<WatchHealth>,
    /// Signals from the decoder.
    pub signals: Arc<Signals>,
    /// A watch that receives nothing for this long, not even a bookmark, is dropped.
    pub idle_timeout: Duration,
}

/// What the decoder tells a watch while the watch runs.
#[derive(Debug)]
pub struct Signals {
    /// Whether the list is complete.
    listed: watch::Sender<bool>,
    /// The stream is malformed.
    abort: Notify,
}

/// What happened next while a stream was read.
enum Turn<T> {
    /// The version that was current when the watch was established, or why it is not known.
    Established(Result<u64, RequestError>),
    /// The connection is lost.
    Left(Lost),
    /// Bytes, or the end of the stream.
    Chunk(T),
    /// There is nothing more to read now.
    Drained,
    /// The decoder has rejected the stream.
    Aborted,
    /// The timer fired.
    Alarm,
}

/// The receiver of the events is gone.
struct Stop;

// === impl Signals ===

impl Default for Signals {
    fn default() -> Self {
        Self { listed: watch::Sender::new(false), abort: Notify::new() }
    }
}

impl Signals {
    /// The list is complete.
    pub fn set_listed(&self) {
        self.listed.send_replace(true);
    }

    /// Whether the list is complete, now and later.
    fn subscribe(&self) -> watch::Receiver<bool> {
        self.listed.subscribe()
    }

    /// The stream is malformed: drop it.
    pub fn abort(&self) {
        self.abort.notify_one();
    }
}

// === impl Watch ===

impl Watch {
    /// Keeps the watch running until the receiver is gone.
    pub async fn run(self) {
        let (health, clock) = (self.health.clone(), self.clock);
        let checks = tokio::spawn(async move {
            loop {
                tokio::time::sleep(SLOW / 3).await;
                health.check_slow(clock.now(), SLOW);
            }
        });
        // Ends only with the process.
        let Err(Stop) = self.keep_up().await;
        checks.abort();
    }

    async fn keep_up(&self) -> Result<std::convert::Infallible, Stop> {
        let mut retry = Retry::default();
        let mut resume: Option<u64> = None;
        let mut streams_lists = true;
        let mut has_been_up = false;
        // Until the first list is complete, the watch is blind, as after any other gap.
        let mut blind_since = self.clock.now();
        self.lose(blind_since)?;
        loop {
            let resumes = resume.is_some();
            self.health.set_trying(Some(self.clock.now()));
            let mut clear = None;
            let end = match self.link.connection().await {
                Err(error) => End::Request(error),
                Ok(connection) => match self.open(&connection, &mut resume, &mut streams_lists).await? {
                    Err(end) => end.or_lost(connection.loss()),
                    Ok(body) => {
                        let now = self.clock.now();
                        if has_been_up {
                            self.health.count_gap(now.since(blind_since));
                        }
                        has_been_up = true;
                        self.health.touch(now);
                        let mut sight = Sight::connected(retry.proof());
                        let ended = self.read(&connection, body, resume, &mut sight).await?;
                        clear = sight.clear_for(self.clock.now());
                        blind_since = ended.through.unwrap_or_else(|| self.seen_through(ended.restart));
                        self.health.set_unsynced();
                        self.lose(blind_since)?;
                        End::Stream(ended)
                    }
                },
            };
            let was_sound = matches!(end, End::Stream(_)) && retry.ended(clear);
            if was_sound {
                self.health.forget_failures();
            }
            let progress = self.ask_progress().await?;
            let asked_to_wait = end.retry_after();
            let account = end.account(&progress);
            let lists_at_once = account.lists_at_once(resumes);
            let Account { restart, failure, needs_list } = account;
            resume = progress.resume.filter(|_| !needs_list);
            self.health.set_trying(None);
            self.health.count_restart(restart);
            if let Some(failure) = retry.doubt(clear.is_some(), restart, failure) {
                self.health.set_failure(self.clock.now(), failure);
            }
            if asked_to_wait.is_some() || !(was_sound || lists_at_once) {
                tokio::time::sleep(retry.pause(asked_to_wait)).await;
            }
        }
    }

    /// Up to when a stream that has ended was complete.
    fn seen_through(&self, restart: Restart) -> Stamp {
        match restart {
            // Everything arrived before the end of the stream.
            Restart::Closed => self.clock.now(),
            _ => self.health.last_byte().max(self.health.link.proven().unwrap_or_default()),
        }
    }

    /// Opens a watch, either to resume or with a list first.
    async fn open(
        &self,
        connection: &Connection,
        resume: &mut Option<u64>,
        streams_lists: &mut bool,
    ) -> Result<Result<Body, End>, Stop> {
        if resume.is_none() {
            self.health.set_unsynced();
            self.signals.listed.send_replace(false);
            self.hand_over(Message::Init(self.clock.now()))?;
            if *streams_lists {
                match self.ask(connection, None).await {
                    Err(RequestError::Refused { status, message, .. }) if lacks_streaming(status) => {
                        tracing::info!(watch = %self.health, %status, message, "the API server does not stream lists: listing in pages");
                        *streams_lists = false;
                    }
                    answer => return Ok(answer.map_err(End::from)),
                }
            }
            match self.list_in_pages(connection).await? {
                Ok(version) => *resume = Some(version),
                Err(end) => return Ok(Err(end)),
            }
        }
        Ok(self.ask(connection, *resume).await.map_err(End::from))
    }

    async fn ask(&self, connection: &Connection, from: Option<u64>) -> Result<Body, RequestError> {
        let began = self.clock.now();
        let timeout = Duration::from_secs(rand::random_range(WATCH_SECONDS));
        let body = connection.watch(&self.scope, from, timeout).await?;
        self.health.set_connect(self.clock.now().since(began));
        Ok(body)
    }

    /// Reads the stream to its end. The stream resumes from a version if there is one.
    async fn read(
        &self,
        connection: &Connection,
        body: Body,
        resumed: Option<u64>,
        sight: &mut Sight,
    ) -> Result<Ended, Stop> {
        // Everything from the last connection is decoded. So a pending abort signal belongs to that connection.
        let _ = self.signals.abort.notified().now_or_never();
        let mut abort = pin!(self.signals.abort.notified());
        let mut stream = pin!(body.into_data_stream());
        let mut bound = pin!(self.version_after_connecting(connection));
        let mut left = pin!(connection.lost());
        let mut framer = Framer::default();
        // Bytes that do not complete an event do not count as a sign of life.
        let mut last_event = self.clock.now();
        // Reset when it fires or must fire sooner, not with each chunk.
        let mut alarm = pin!(tokio::time::sleep(self.idle_timeout));
        loop {
            // Most turns receive a chunk, and do not need to poll the timer.
            let turn = poll_fn(|context| {
                if sight.is_replaying()
                    && let Poll::Ready(version) = bound.as_mut().poll(context)
                {
                    return Poll::Ready(Turn::Established(version));
                }
                // Polled before the stream, which may never pause.
                if abort.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Turn::Aborted);
                }
                if let Poll::Ready(chunk) = stream.as_mut().poll_next(context) {
                    return Poll::Ready(Turn::Chunk(chunk));
                }
                if let Poll::Ready(loss) = left.as_mut().poll(context) {
                    return Poll::Ready(Turn::Left(loss));
                }
                if sight.is_behind() {
                    return Poll::Ready(Turn::Drained);
                }
                alarm.as_mut().poll(context).map(|()| Turn::Alarm)
            });
            let turn = turn.await;
            let at = self.clock.now();
            let next = match turn {
                Turn::Chunk(next) => next,
                Turn::Aborted => return Ok(Ended::silently(Restart::Malformed)),
                Turn::Left(lost) => return Ok(lost.into()),
                Turn::Established(Err(error)) => return Ok(error.into()),
                Turn::Established(Ok(_)) | Turn::Drained | Turn::Alarm => {
                    match turn {
                        Turn::Established(Ok(version)) => {
                            if let Some(resumed) = resumed.filter(|resumed| version < *resumed) {
                                return Ok(Ended::rewound(version, resumed));
                            }
                            sight.establish(version, at);
                        }
                        Turn::Drained => sight.drain(at),
                        _ => self.settle(sight, at)?,
                    }
                    let silence = at.since(last_event);
                    if silence >= self.idle_timeout {
                        let failure = format!("no event came for {} s", self.idle_timeout.as_secs_f64());
                        // The connection may be healthy even if this stream receives nothing.
                        return Ok(Ended { through: Some(last_event), ..Ended::saying(Restart::Idle, failure) });
                    }
                    let idle = self.idle_timeout - silence;
                    let wait = sight.changes_in(at).map_or(idle, |change| change.min(idle));
                    alarm.as_mut().reset(tokio::time::Instant::now() + wait);
                    continue;
                }
            };
            let unread = self.heartbeat.unread_since(at);
            if let Some(since) = unread.or_else(|| self.health.link.delayed_since(at)) {
                sight.fall_behind();
                self.lose(since)?;
            } else {
                self.settle(sight, at)?;
            }
            let bytes = match next {
                None if framer.is_between_frames() => return Ok(Ended::silently(Restart::Closed)),
                None => return Ok(Ended::saying(Restart::Broken, "the stream ended in the middle of an event")),
                Some(Err(error)) => {
                    tracing::debug!(watch = %self.health, %error, "the connection broke");
                    return Ok(connection.loss().map_or_else(Ended::broken, Ended::from));
                }
                Some(Ok(bytes)) => bytes,
            };
            self.health.read(at, bytes.len());
            framer.push(bytes);
            loop {
                match framer.next_frame() {
                    Ok(Some(frame)) => {
                        last_event = at;
                        self.hand_over_frame(at, frame, sight).await?;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.hand_over(Message::NoFrame(error))?;
                        return Ok(Ended::silently(Restart::Malformed));
                    }
                }
            }
        }
    }

    /// Passes on what was read at `at`, when the queue has room. After a wait, the data that follow have waited unread.
    async fn hand_over_frame(&self, at: Stamp, bytes: Bytes, sight: &mut Sight) -> Result<(), Stop> {
        let is_listed = !sight.is_replaying() || *self.signals.listed.borrow();
        let load = if is_listed { Load::Event } else { Load::List };
        if let Some(permit) = self.queue.try_reserve(load, bytes.len()) {
            return Ok(self.queue.send_reserved(permit, Message::Frame { at, bytes, replay: sight.replay_bound() })?);
        }
        let is_newly_held = self.health.hold(at);
        let permit = self.queue.reserve(load, bytes.len()).await?;
        self.queue.send_reserved(permit, Message::Frame { at, bytes, replay: sight.replay_bound() })?;
        sight.fall_behind();
        if is_newly_held {
            self.hand_over(Message::Lost(at))?;
        }
        if is_listed {
            self.health.count_backpressure();
        }
        Ok(())
    }

    /// Events after `since` may be delivered late, or not at all.
    fn lose(&self, since: Stamp) -> Result<(), Stop> {
        if self.health.hold(since) {
            self.hand_over(Message::Lost(since))?;
        }
        Ok(())
    }

    /// Lets time pass. When everything that could have been missed has been delivered, the watch is restored.
    fn settle(&self, sight: &mut Sight, at: Stamp) -> Result<(), Stop> {
        if sight.settle(at) {
            self.hand_over(Message::Restored(at))?;
            // Everything that has been stamped since then follows in the queue.
            self.health.release(at);
        }
        if !self.health.is_synced() && sight.is_proven(at) {
            self.health.set_synced();
        }
        Ok(())
    }

    async fn ask_progress(&self) -> Result<Progress, Stop> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(Message::Ended(reply))?;
        answer.await.map_err(|_| Stop)
    }

    fn hand_over(&self, message: Message) -> Result<(), Stop> {
        Ok(self.queue.send(message)?)
    }
}

// === impl Stop ===

impl From<QueueClosed> for Stop {
    fn from(_: QueueClosed) -> Self {
        Self
    }
}

/// Whether the answer means that the server does not know streamed lists, or has them disabled.
fn lacks_streaming(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::NOT_ACCEPTABLE)
}

#[cfg(test)]
mod tests;
