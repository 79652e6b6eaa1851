//! The interval log of `--hdr-log`, which HdrHistogram's tools read: one histogram for each kind of change, every few seconds.
//!
//! The histograms are for the whole cluster. A line for each Service and kind of change at every interval would be gigabytes a
//! day in a cluster with thousands of Services. An interval without ended changes has its lines too, so that readers can tell a
//! quiet cluster from a daemon that was down. If a histogram cannot be written, it is not lost: its data are in the next
//! interval, which is then longer.

use super::{hdr, lines};
use crate::{
    ledger::Change,
    propagation::Ended,
    stats::{Precision, empty_histogram, units},
};
use hdrhistogram::Histogram;
use std::{
    fmt::Write as _,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Number of delays that may wait for the thread. A slow disk loses delays in this log, but never affects the measurement.
const QUEUE: usize = 65_536;

/// Where and how often the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file. Its contents are kept.
    pub path: PathBuf,
    /// Length of an interval.
    pub interval: Duration,
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the HDR log {}: {source}", path.display())]
pub struct HdrLogError {
    path: PathBuf,
    source: io::Error,
}

/// Takes ended changes, and never blocks.
#[derive(Debug)]
pub struct HdrLog {
    queue: SyncSender<Message>,
    errors: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    /// A change took this long.
    Delay(Change, Duration),
    /// Wakes the thread to check its requests.
    Wake,
}

/// The owner's handle of the thread that writes.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    queue: SyncSender<Message>,
    /// Requests the thread to reopen the file.
    reopen: Arc<AtomicBool>,
    /// Number of failed writes, and of delays that were lost because they came too fast.
    pub errors: Arc<AtomicU64>,
}

/// The state of the thread.
struct Log {
    output: lines::LineWriter,
    interval: Duration,
    reopen: Arc<AtomicBool>,
    errors: Arc<AtomicU64>,
    /// The file does not have this process's header yet.
    header_due: bool,
    histograms: [Histogram<u64>; Change::ALL.len()],
    /// Start of the present interval.
    began: (Instant, SystemTime),
}

// === impl HdrLog ===

impl HdrLog {
    /// Opens the file, writes the header, and starts the thread that writes the rest.
    ///
    /// # Errors
    /// If the file cannot be opened. Write errors, at the start or later, are counted and logged instead.
    pub fn start(target: Target) -> Result<(Self, Writer), HdrLogError> {
        let error = |source| HdrLogError { path: target.path.clone(), source };
        let output = lines::LineWriter::open(lines::Target::File(target.path.clone())).map_err(error)?;
        let (queue, messages) = sync_channel(QUEUE);
        let (errors, reopen) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut log = Log::new(output, target.interval, reopen.clone(), errors.clone());
        log.write_header();
        let thread = std::thread::Builder::new().name("hdr-log".into()).spawn(move || log.run(&messages));
        let thread = thread.map_err(error)?;
        Ok((Self { queue: queue.clone(), errors: errors.clone() }, Writer { thread, queue, reopen, errors }))
    }

    /// Counts a change that has ended, if it has a delay.
    pub fn push(&self, ended: &Ended) {
        if let Some(delay) = ended.outcome.delay()
            && self.queue.try_send(Message::Delay(ended.change, delay)).is_err()
        {
            self.errors.fetch_add(1, Relaxed);
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Requests to reopen the file, after it was moved away.
    pub fn reopen(&self) {
        self.reopen.store(true, Relaxed);
        // If the queue is full, the thread is running and does not need to be woken.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Waits until the last interval is written, or cannot be written. [`HdrLog`] must be dropped first.
    pub fn finish(self) {
        drop(self.queue);
        // The thread does not panic. If it did, the panic hook has reported it.
        let _ = self.thread.join();
    }
}

// === impl Log ===

impl Log {
    fn new(output: lines::LineWriter, interval: Duration, reopen: Arc<AtomicBool>, errors: Arc<AtomicU64>) -> Self {
        let histograms = std::array::from_fn(|_| empty_histogram(Precision::Cluster));
        let began = (Instant::now(), SystemTime::now());
        Self { output, interval, reopen, errors, header_due: true, histograms, began }
    }

    /// Counts until all senders are gone. Writes at every interval and at the end.
    fn run(mut self, messages: &Receiver<Message>) {
        let mut due = self.began.0 + self.interval;
        loop {
            match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Message::Delay(change, delay)) => self.histograms[change.index()].saturating_record(units(delay)),
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
            if self.reopen.swap(false, Relaxed) {
                self.output.reopen();
                if self.output.is_empty() {
                    self.write_header();
                }
            }
            let now = Instant::now();
            if now >= due {
                self.write();
                due += self.interval;
                if due <= now {
                    // If the machine was suspended for several intervals, they count as one.
                    due = now + self.interval;
                }
            }
        }
    }

    /// Writes the header. If this fails, the next interval writes it.
    fn write_header(&mut self) {
        self.header_due = self.output.append(header(self.began.1).as_bytes()).is_err();
        if self.header_due {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// Ends the interval. Data that cannot be written stay for the next one.
    fn write(&mut self) {
        let end = (Instant::now(), SystemTime::now());
        if self.header_due {
            self.write_header();
            if self.header_due {
                return;
            }
        }
        let lines = self.lines(end.0.duration_since(self.began.0));
        let Err(unwritten) = self.output.append(lines.as_bytes()) else {
            self.histograms.iter_mut().for_each(Histogram::reset);
            self.began = end;
            return;
        };
        self.errors.fetch_add(1, Relaxed);
        // Delays that are already in the file must not be written twice.
        let told = lines.as_bytes()[..unwritten.kept].iter().filter(|byte| **byte == b'\n').count();
        self.histograms[..told].iter_mut().for_each(Histogram::reset);
    }

    /// One line for each kind of change: tag, start in seconds since 1970, length and longest delay in seconds, histogram.
    fn lines(&self, length: Duration) -> String {
        let start = self.began.1.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut lines = String::new();
        for (change, histogram) in Change::ALL.iter().zip(&self.histograms) {
            let max = if histogram.is_empty() { 0.0 } else { crate::stats::duration(histogram.max()).as_secs_f64() };
            // It is written to memory, from a histogram with constant bounds.
            let encoded = hdr::encode(histogram).expect("a histogram of 24,000 cells fits into memory");
            let length = length.as_secs_f64();
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "Tag={change},{start:.3},{length:.3},{max:.3},{encoded}");
        }
        lines
    }
}

/// The header as HdrHistogram's `HistogramLogWriter` writes it. Start times are absolute and there is no base time, so the log
/// stays correct if several processes append to it.
fn header(start: SystemTime) -> String {
    let seconds = start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    format!(
        "#[endpointlag {}: delays by change, in units of 2^-20 s; a value v is at most (v + 1) / 2^20 seconds]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {seconds:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        crate::VERSION
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Cause, Hop, Outcome},
        model::Stamp,
        propagation::{ServiceName, Subject},
    };
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn ended(millis: u64) -> Ended {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: "cart".into() });
        let outcome = Outcome::Propagated { delay: Duration::from_millis(millis), reordered: None };
        let (key, at) = (Subject { service, pod: None }, Stamp::default());
        let (change, cause) = (Change::Unready, Cause::Pod);
        Ended { hop: Hop::Slice, key, change, cause, began: at, outcome, at, shown: None, by: None }
    }

    fn intervals(text: &[u8]) -> Vec<(String, f64)> {
        let entries = IntervalLogIterator::new(text).map(|entry| entry.expect("a valid line"));
        entries
            .filter_map(|entry| match entry {
                LogEntry::Interval(it) => Some((it.tag().expect("tagged").as_str().to_owned(), it.max())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_last_interval_is_written_at_the_end_and_the_next_process_appends() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for millis in [125, 250] {
            let target = Target { path: file.path().into(), interval: Duration::from_secs(3600) };
            let (log, writer) = HdrLog::start(target).expect("opens");
            log.push(&ended(millis));
            drop(log);
            writer.finish();
        }
        let text = std::fs::read_to_string(file.path()).expect("written");
        // The library writes neither the legend nor the version that the Java library writes.
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('"')).collect();
        let intervals = intervals((lines.join("\n") + "\n").as_bytes());
        let tags: Vec<_> = intervals.iter().map(|(tag, _)| tag.as_str()).collect();
        let all = Change::ALL.map(Change::as_str);
        assert_eq!(tags, [all, all].concat());
        assert_eq!([intervals[1].1, intervals[6].1, intervals[0].1], [0.125, 0.25, 0.0]);
    }

    #[test]
    fn a_write_that_fails_is_counted_and_made_up_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("delays.hlog");
        std::os::unix::fs::symlink("/dev/full", &path).expect("linked");
        let output = lines::LineWriter::open(lines::Target::File(path.clone())).expect("opens");
        let mut log = Log::new(output, Duration::from_secs(3600), Arc::default(), Arc::default());
        log.histograms[1].saturating_record(units(Duration::from_millis(125)));
        log.write_header();
        log.write();
        assert_eq!(log.errors.load(Relaxed), 2);
        std::fs::remove_file(&path).expect("there");
        log.output.reopen();
        log.write();
        assert_eq!(log.errors.load(Relaxed), 2);
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(text.starts_with("#[endpointlag"), "{text}");
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('"')).collect();
        assert_eq!(intervals((lines.join("\n") + "\n").as_bytes())[1].1, 0.125);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("delays.hlog"), folder.path().join("delays.hlog.1"));
        let target = Target { path: path.clone(), interval: Duration::from_secs(3600) };
        let (log, writer) = HdrLog::start(target).expect("opens");
        std::fs::rename(&path, &old).expect("moved");
        writer.reopen();
        log.push(&ended(125));
        drop(log);
        writer.finish();
        let (old, new) = [old, path].map(|path| std::fs::read_to_string(path).expect("there")).into();
        assert!(!old.contains("Tag="), "{old}");
        assert!(new.starts_with("#[endpointlag") && new.matches("Tag=").count() == 5, "{new}");
    }
}
