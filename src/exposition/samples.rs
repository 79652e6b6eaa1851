//! One line of JSON for every change that ended, with its pod.

use super::{
    lines::{LineWriter, Target},
    nodes::NodesLine,
    slice::SliceLine,
};
use crate::{
    cluster::clock::Clock,
    ledger::{Cause, Change, Hop},
    model::Stamp,
    pipeline::Ending,
    programming::Spread,
    propagation::{Ended, Subject},
};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

/// Number of lines that may wait to be written. A slow disk loses lines, but never affects the measurement.
const QUEUE: usize = 65_536;

/// Maximum number of bytes of one write.
const BATCH: usize = 64 << 10;

/// Pause before another attempt to write lines that could not be written.
const RETRY: Duration = Duration::from_secs(1);

/// The target cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write samples to {target}: {source}")]
pub struct SamplesError {
    target: Target,
    source: io::Error,
}

/// Takes ended changes, and never blocks.
#[derive(Debug)]
pub struct Samples {
    queue: SyncSender<Message>,
    counts: Arc<Counts>,
}

/// Counts of lost lines and errors.
#[derive(Debug, Default)]
pub struct Counts {
    /// Lines that were not written.
    pub dropped: AtomicU64,
    /// Writes that failed.
    pub errors: AtomicU64,
}

/// The owner's handle of the thread that writes.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    queue: SyncSender<Message>,
    asked: Arc<Asked>,
    /// Counts of lost lines and errors.
    pub counts: Arc<Counts>,
}

#[derive(Debug)]
enum Message {
    Slice(Ended),
    DataPlane(Box<Spread>),
    /// Wakes the thread to check its requests.
    Wake,
}

/// Requests to the thread.
#[derive(Debug, Default)]
struct Asked {
    /// Reopen the file.
    reopen: AtomicBool,
    /// Stop. Lines that cannot be written now are lost.
    finish: AtomicBool,
}

/// The state of the thread.
struct Worker {
    queue: Receiver<Message>,
    output: LineWriter,
    clock: Clock,
    asked: Arc<Asked>,
    counts: Arc<Counts>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    namespace: &'a str,
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    hop: &'static str,
    change: &'static str,
    /// What started it.
    cause: &'static str,
    /// On the slice hop.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<f64>,
    /// What showed it, where it propagated.
    #[serde(skip_serializing_if = "Option::is_none")]
    slice: Option<SliceLine<'a>>,
    /// On the hop to the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<NodesLine<'a>>,
}

/// Adds the line of a change, or nothing. `wall` gives the time of a stamp on the wall clock.
///
/// # Errors
/// If the time cannot be formatted, because the clock is wrong by millennia.
pub fn write_line(lines: &mut Vec<u8>, wall: impl Fn(Stamp) -> SystemTime, ending: Ending<'_>) -> io::Result<()> {
    let (at, line) = match ending {
        Ending::Slice(ended) => (ended.at, Line::of_slice_hop(ended)),
        // Its times count from the slice event.
        Ending::DataPlane(spread) => (spread.shown, Line::of_data_plane(spread)),
    };
    let time = Timestamp::try_from(wall(at)).map_err(io::Error::other)?;
    serde_json::to_writer(&mut *lines, &Line { time: format!("{time:.6}"), ..line })?;
    lines.push(b'\n');
    Ok(())
}

// === impl Samples ===

impl Samples {
    /// Opens the target and starts the thread that writes to it.
    ///
    /// # Errors
    /// If the target cannot be opened. Write errors, at the start or later, are counted and logged instead.
    pub fn start(target: Target, clock: Clock) -> Result<(Self, Writer), SamplesError> {
        let error = |source| SamplesError { target: target.clone(), source };
        let output = LineWriter::open(target.clone()).map_err(error)?;
        let (queue, receiver) = sync_channel(QUEUE);
        let (asked, counts) = (Arc::<Asked>::default(), Arc::<Counts>::default());
        let worker = Worker { queue: receiver, output, clock, asked: asked.clone(), counts: counts.clone() };
        let thread = thread::Builder::new().name("samples".into()).spawn(move || worker.run()).map_err(error)?;
        Ok((Self { queue: queue.clone(), counts: counts.clone() }, Writer { thread, queue, asked, counts }))
    }

    /// Queues a line.
    pub fn push(&self, ending: Ending<'_>) {
        let message = match ending {
            Ending::Slice(ended) => Message::Slice(ended.clone()),
            Ending::DataPlane(spread) => Message::DataPlane(Box::new(spread.clone())),
        };
        if let Err(TrySendError::Full(_)) = self.queue.try_send(message) {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Requests to reopen the file, after it was moved away.
    pub fn reopen(&self) {
        self.asked.reopen.store(true, Relaxed);
        self.wake();
    }

    /// Waits until all queued lines are written, or cannot be written. [`Samples`] must be dropped first.
    pub fn finish(self) {
        self.asked.finish.store(true, Relaxed);
        self.wake();
        drop(self.queue);
        // The thread does not panic. If it did, the panic hook has reported it.
        let _ = self.thread.join();
    }

    fn wake(&self) {
        // If the queue is full, the thread is running and does not need to be woken.
        let _ = self.queue.try_send(Message::Wake);
        self.thread.thread().unpark();
    }
}

// === impl Worker ===

impl Worker {
    /// Writes until all senders are gone. Each write contains all waiting lines, so that a reader sees each line at once.
    fn run(mut self) {
        let mut lines = Vec::new();
        while let Ok(first) = self.queue.recv() {
            self.add(&mut lines, first);
            while lines.len() < BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                self.add(&mut lines, next);
            }
            self.write(&mut lines);
        }
    }

    fn add(&self, lines: &mut Vec<u8>, message: Message) {
        let wall = |at| self.clock.wall(at);
        let written = match &message {
            Message::Slice(ended) => write_line(lines, wall, Ending::Slice(ended)),
            Message::DataPlane(spread) => write_line(lines, wall, Ending::DataPlane(spread)),
            Message::Wake => Ok(()),
        };
        if written.is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Retries until all lines are written, but not when the process ends.
    fn write(&mut self, lines: &mut Vec<u8>) {
        loop {
            if self.asked.reopen.swap(false, Relaxed) {
                self.output.reopen();
            }
            if lines.is_empty() {
                return;
            }
            match self.output.append(lines) {
                Ok(()) => lines.clear(),
                Err(unwritten) => {
                    self.counts.errors.fetch_add(1, Relaxed);
                    lines.drain(..unwritten.kept);
                    if self.asked.finish.load(Relaxed) {
                        let lost = lines.iter().filter(|byte| **byte == b'\n').count();
                        self.counts.dropped.fetch_add(lost as u64, Relaxed);
                        lines.clear();
                        return;
                    }
                    thread::park_timeout(RETRY);
                }
            }
        }
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(Subject { service, pod }: &'a Subject, hop: Hop, change: Change, cause: Cause) -> Self {
        Self {
            time: String::new(),
            namespace: &service.namespace,
            service: &service.name,
            pod: pod.as_ref().map(|pod| &*pod.name),
            uid: pod.as_ref().map(|pod| pod.uid.to_string()),
            hop: hop.as_str(),
            change: change.as_str(),
            cause: cause.as_str(),
            outcome: None,
            delay_seconds: None,
            slice: None,
            nodes: None,
        }
    }

    fn of_slice_hop(ended: &'a Ended) -> Self {
        Self {
            outcome: Some(ended.outcome.as_str()),
            delay_seconds: ended.outcome.delay().map(|delay| delay.as_secs_f64()),
            slice: ended.by.as_deref().map(SliceLine::from),
            ..Self::new(&ended.key, ended.hop, ended.change, ended.cause)
        }
    }

    fn of_data_plane(spread: &'a Spread) -> Self {
        Self {
            slice: Some(SliceLine::from(&*spread.by)),
            nodes: Some(NodesLine::from(spread)),
            ..Self::new(&spread.subject, Hop::DataPlane, spread.change, spread.cause)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Cause, Change, Hop, Outcome},
        model::{SliceVersion, Uid},
        propagation::{PodRef, ServiceName, Subject},
    };
    use std::{fs, path::Path, time::Instant};

    fn withdrawn(service: &str) -> Ended {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: service.into() });
        let (key, at) = (Subject { service, pod: None }, Clock::start().now());
        let (hop, change, cause, outcome) = (Hop::Slice, Change::Service, Cause::Service, Outcome::Withdrawn);
        Ended { hop, key, change, cause, began: at, outcome, at, shown: None, by: None }
    }

    fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < Duration::from_secs(20), "not in time: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn services(file: &Path) -> Vec<String> {
        let lines = fs::read_to_string(file).unwrap_or_default();
        let service =
            |line| Some(serde_json::from_str::<serde_json::Value>(line).ok()?["service"].as_str()?.to_owned());
        lines.lines().map(|line| service(line).expect("a line of JSON with a Service")).collect()
    }

    /// No line that waits while a disk is full is lost, and each failure is counted.
    #[test]
    fn what_could_not_be_written_is_once_it_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("samples");
        std::os::unix::fs::symlink("/dev/full", &path).expect("linked");
        let (samples, writer) = Samples::start(Target::File(path.clone()), Clock::start()).expect("opens");
        samples.push(Ending::Slice(&withdrawn("a")));
        wait_until("the disk is full", || writer.counts.errors.load(Relaxed) >= 1);
        samples.push(Ending::Slice(&withdrawn("b")));
        fs::remove_file(&path).expect("there");
        writer.reopen();
        wait_until("both are written", || services(&path).len() == 2);
        drop(samples);
        assert_eq!(writer.counts.dropped.load(Relaxed), 0);
        writer.finish();
        assert_eq!(services(&path), ["a", "b"]);
    }

    /// A reader that has closed the pipe does not come back, so the end of the process does not wait for it.
    #[test]
    fn the_end_does_not_wait_for_what_cannot_be_written() {
        let (samples, writer) = Samples::start(Target::File("/dev/full".into()), Clock::start()).expect("opens");
        let counts = writer.counts.clone();
        for service in ["a", "b", "c"] {
            samples.push(Ending::Slice(&withdrawn(service)));
        }
        wait_until("it fails", || counts.errors.load(Relaxed) >= 1);
        drop(samples);
        let started = Instant::now();
        writer.finish();
        assert!(started.elapsed() < RETRY, "it took {:?}", started.elapsed());
        assert_eq!(counts.dropped.load(Relaxed), 3);
    }

    #[test]
    fn a_file_that_was_moved_away_is_left_alone_after_it_is_opened_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("samples"), folder.path().join("samples.1"));
        let (samples, writer) = Samples::start(Target::File(path.clone()), Clock::start()).expect("opens");
        samples.push(Ending::Slice(&withdrawn("a")));
        wait_until("it is written", || services(&path) == ["a"]);
        fs::rename(&path, &old).expect("moved");
        writer.reopen();
        wait_until("there is a new one", || path.exists());
        samples.push(Ending::Slice(&withdrawn("b")));
        drop(samples);
        writer.finish();
        assert_eq!((services(&old), services(&path)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn a_line_names_the_pod_and_gives_a_delay_only_where_one_is_known() {
        let clock = Clock::start();
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (samples, writer) = Samples::start(Target::File(file.path().into()), clock).expect("opens");
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: "cart".into() });
        let pod = PodRef { name: "cart-0".into(), uid: Uid::from("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0") };
        let (at, delay) = (clock.now(), Duration::from_micros(12_345));
        let outcome = Outcome::Propagated { delay, reordered: None };
        let by = SliceVersion { uid: Uid::from("u"), name: "cart-x7k2p".into(), resource_version: 4711 };
        let key = Subject { service, pod: Some(pod) };
        let (change, cause) = (Change::Ready, Cause::Pod);
        let by = Some(Arc::new(by));
        let ended = Ended { hop: Hop::Slice, key, change, cause, began: at, outcome, at, shown: None, by };
        samples.push(Ending::Slice(&ended));
        samples.push(Ending::Slice(&withdrawn("cart")));
        drop(samples);
        writer.finish();
        let text = fs::read_to_string(file.path()).expect("written");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["pod"], "cart-0");
        assert_eq!(lines[0]["uid"], "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
        assert_eq!(lines[0]["delay_seconds"], 0.012345);
        assert_eq!((&lines[0]["hop"], &lines[0]["cause"]), (&"slice".into(), &"pod".into()));
        let slice = serde_json::json!({ "name": "cart-x7k2p", "uid": "u", "resource_version": "4711" });
        assert_eq!(lines[0]["slice"], slice);
        let time = lines[0]["time"].as_str().expect("text");
        assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
        assert_eq!(lines[1]["outcome"], "withdrawn");
        assert!(["pod", "delay_seconds", "slice"].iter().all(|key| lines[1].get(key).is_none()));
    }
}
