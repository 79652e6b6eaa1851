//! The reader of the kernel's rules.
//!
//! ```text
//! thread "netlink"              the caller's thread
//! socket ─► stamp ─► queue ───► Follower ─► reports
//!                                  ▲
//!                    Dumper ───────┘  at the start, and after each loss
//! ```
//!
//! It never writes rules.

use super::{
    clock,
    follower::{Arrival, Counts, Follower},
    netlink::{
        dump::{DumpError, Dumper},
        socket::{Received, Socket, SocketError},
    },
    observation::{Loss, Planes, Report},
    queue::{Item, Queue},
    reader::{ReadError, Reader},
    unseen,
};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// How long the receiving thread waits at most before it reads the clock. From the clock it knows that it runs.
const BEAT: Duration = Duration::from_millis(10);

/// Number of datagrams that are passed to the reader together at most: some 200 KB.
const BATCH: usize = 64;

/// How much longer than that the wait may take. The error of a stamp is at most the sum of both, which is still useful.
const TOLERANCE: Duration = Duration::from_millis(10);

/// Pause after a dump that failed: about the time between the commits of two families of a busy kube-proxy.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Interval of the check for commits that were missed without a notice, and of the search for data planes that cannot be seen.
const CHECK: Duration = Duration::from_secs(10);

/// The limits of the buffers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that the kernel keeps until they are received.
    pub receive_buffer: usize,
    /// Bytes that are kept until they are read.
    pub queue: usize,
}

/// Reads what kube-proxy writes into nf_tables, in this process's network namespace.
#[derive(Debug)]
pub struct KernelReader {
    queue: Arc<Queue>,
    dumper: Dumper,
    follower: Follower,
    /// As last reported.
    planes: Option<Planes>,
    /// When the last check for missed commits was.
    checked: Instant,
    /// A generation that the kernel has reported. Its notification must have arrived by the next check.
    due: Option<u32>,
}

// === impl KernelReader ===

impl KernelReader {
    /// Starts to listen.
    ///
    /// # Errors
    /// The kernel refuses it, or no thread can be started.
    pub fn start(limits: Limits) -> Result<Self, ReadError> {
        let socket = Socket::listening(limits.receive_buffer, BEAT)?;
        let queue = Arc::new(Queue::new(limits.queue));
        let filled = queue.clone();
        thread::Builder::new()
            .name("netlink".to_owned())
            .spawn(move || receive(socket, &filled))
            .map_err(ReadError::Thread)?;
        Ok(Self {
            queue,
            dumper: Dumper::open()?,
            follower: Follower::new(),
            planes: None,
            checked: Instant::now(),
            due: None,
        })
    }

    /// Asks for all rules once. After a failure it pauses, but not longer than until `deadline`.
    fn dump(&mut self, deadline: Instant) -> Result<(), ReadError> {
        // Everything that waits was sent before the dump begins.
        self.queue.clear();
        match self.dumper.dump() {
            Ok(dump) => {
                tracing::debug!(generation = dump.generation, frontends = dump.rules.sets().len(), "read the rules");
                self.follower.dumped(dump);
                self.due = None;
                Ok(())
            }
            Err(error @ (DumpError::Torn | DumpError::NoAnswer | DumpError::Malformed(_))) => {
                tracing::debug!("cannot read the rules yet: {error}");
                self.dumper.reopen()?;
                thread::sleep(TRY_AGAIN.min(deadline.saturating_duration_since(Instant::now())));
                Ok(())
            }
            Err(error @ DumpError::Socket(_)) => Err(error.into()),
        }
    }

    /// Reports the data planes, if they have changed.
    fn news(&mut self) -> Option<Report> {
        self.follower.generation()?;
        let families = self.follower.rules().planes();
        let known = self.planes.as_ref().is_some_and(|planes| planes.families == families);
        let planes = Planes { families, unseen: Vec::new() };
        // A search for others reads files, which is too much for every commit.
        let planes = match &self.planes {
            _ if planes.is_seen() => planes,
            Some(known_planes) if known && self.checked.elapsed() < CHECK => known_planes.clone(),
            _ => Planes { unseen: unseen::look(), ..planes },
        };
        if self.planes.as_ref() == Some(&planes) {
            return None;
        }
        self.planes = Some(planes.clone());
        Some(Report::Planes(planes))
    }

    /// Checks that no commit was missed, when no datagram waits to be read. This finds something only if the kernel drops
    /// notifications without an error.
    fn check(&mut self) -> Result<(), ReadError> {
        let Some(generation) = self.follower.generation() else { return Ok(()) };
        if self.due.take().is_some_and(|due| (due.wrapping_sub(generation) as i32) > 0) {
            self.follower.lost(Loss::MissedGeneration);
            return Ok(());
        }
        match self.dumper.generation() {
            Ok(generation) => self.due = Some(generation),
            Err(_) => self.dumper.reopen()?,
        }
        Ok(())
    }
}

impl Reader for KernelReader {
    fn next(&mut self, within: Duration) -> Result<Option<Report>, ReadError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(report) = self.follower.report() {
                return Ok(Some(report));
            }
            if let Some(news) = self.news() {
                return Ok(Some(news));
            }
            if self.follower.needs_dump() {
                self.dump(deadline)?;
                if self.follower.needs_dump() && Instant::now() >= deadline {
                    return Ok(None);
                }
                continue;
            }
            match self.queue.pop(deadline.min(self.checked + CHECK)) {
                Some(Item::Datagram(arrival, bytes)) => self.follower.datagram(arrival, &bytes),
                Some(Item::Lost(loss)) => self.follower.lost(loss),
                Some(Item::Failed(error)) => return Err(error.into()),
                None if self.checked.elapsed() >= CHECK => {
                    self.check()?;
                    let news = self.news();
                    self.checked = Instant::now();
                    if news.is_some() {
                        return Ok(news);
                    }
                }
                None if Instant::now() >= deadline => return Ok(None),
                None => {}
            }
        }
    }

    fn counts(&self) -> Counts {
        self.follower.counts()
    }
}

impl Drop for KernelReader {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Receives and stamps, and does nothing else: any other work would delay the next stamp. What is there is passed on together: to wake the
/// reader for each datagram of a commit costs more than to read it.
fn receive(mut socket: Socket, queue: &Queue) {
    let mut last = clock::now();
    let mut unread_since = None;
    let mut batch = Vec::new();
    while queue.is_open() {
        let may_wait = unread_since.is_none() && batch.is_empty();
        let received = if may_wait { socket.receive() } else { socket.receive_waiting() };
        let at = clock::now();
        let was_paused = at.since(last) > BEAT + TOLERANCE;
        if was_paused {
            // The thread did not run. What it finds now may have waited in the socket all this time.
            unread_since.get_or_insert(last);
        }
        last = at;
        let item = match received {
            Ok(Received::Datagram(bytes)) => Item::Datagram(Arrival { at, unread_since }, bytes.into()),
            // The socket may have been empty before the pause, and not after it.
            Ok(Received::Nothing) => {
                if !was_paused {
                    unread_since = None;
                }
                queue.push(&mut batch);
                continue;
            }
            Ok(Received::Interrupted) => continue,
            Ok(Received::Truncated) => Item::Lost(Loss::Malformed),
            Ok(Received::Overrun) => match drain(&mut socket) {
                Ok(()) => Item::Lost(Loss::SocketOverrun),
                Err(error) => Item::Failed(error),
            },
            Err(error) => Item::Failed(error),
        };
        let failed = matches!(item, Item::Failed(_));
        batch.push(item);
        if failed || batch.len() >= BATCH {
            queue.push(&mut batch);
        }
        if failed {
            return;
        }
    }
}

/// Empties a socket that overran. Until it is empty, the kernel drops new datagrams without another error; so the notice of the loss
/// must come after that.
fn drain(socket: &mut Socket) -> Result<(), SocketError> {
    while !matches!(socket.receive_waiting()?, Received::Nothing) {}
    Ok(())
}
