//! The interval log of `--hdr-log`, which HdrHistogram's own tools read: a histogram a kind of change, every few seconds.
//!
//! Of the whole cluster: a line for each Service and kind of change at every interval would be gigabytes a day in a cluster of
//! thousands. An interval in which nothing ended has its lines too, so that a quiet cluster can be told from a daemon that was
//! away. A histogram that could not be written is not lost: it stands in the next interval, which is longer by as much.

use super::hdr;
use crate::{
    propagation::{Change, Ended},
    stats::{Precision, empty_histogram, units},
};
use hdrhistogram::Histogram;
use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Delays that may wait for the thread. A slow disk costs delays, never measuring.
const QUEUE: usize = 65_536;

/// Where the log goes, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file; what is in it stays.
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
    queue: SyncSender<(Change, Duration)>,
    errors: Arc<AtomicU64>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    /// Writes that failed, and delays that came faster than they could be counted.
    pub errors: Arc<AtomicU64>,
}

/// The thread's side.
struct Log {
    file: File,
    target: Target,
    errors: Arc<AtomicU64>,
    histograms: [Histogram<u64>; Change::ALL.len()],
    /// When the interval under way began.
    began: (Instant, SystemTime),
    /// Whether the last write failed, and was complained about.
    failing: bool,
}

// === impl HdrLog ===

impl HdrLog {
    /// Opens the file, writes the header, and starts the thread that writes the rest.
    ///
    /// # Errors
    /// If the file cannot be opened or written.
    pub fn start(target: Target) -> Result<(Self, Writer), HdrLogError> {
        let error = |source| HdrLogError { path: target.path.clone(), source };
        let began = (Instant::now(), SystemTime::now());
        let mut file = open(&target.path).map_err(error)?;
        file.write_all(header(began.1).as_bytes()).map_err(error)?;
        let (queue, delays) = sync_channel(QUEUE);
        let errors = Arc::new(AtomicU64::new(0));
        let histograms = std::array::from_fn(|_| empty_histogram(Precision::Cluster));
        let log = Log { file, target: target.clone(), errors: errors.clone(), histograms, began, failing: false };
        let thread = std::thread::Builder::new().name("hdr-log".into()).spawn(move || log.run(&delays));
        let thread = thread.map_err(error)?;
        Ok((Self { queue, errors: errors.clone() }, Writer { thread, errors }))
    }

    /// Counts a change that has ended, if it has a delay.
    pub fn push(&self, ended: &Ended) {
        if let Some(delay) = ended.outcome.delay()
            && self.queue.try_send((ended.change, delay)).is_err()
        {
            self.errors.fetch_add(1, Relaxed);
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Waits until the last interval is written. Whoever pushes must be gone before.
    pub fn finish(self) {
        // It does not panic; if it did, it said so already.
        let _ = self.thread.join();
    }
}

// === impl Log ===

impl Log {
    /// Counts until nobody pushes any more, and writes at every interval and at the end.
    fn run(mut self, delays: &Receiver<(Change, Duration)>) {
        let mut due = self.began.0 + self.target.interval;
        loop {
            match delays.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok((change, delay)) => self.histograms[change.index()].saturating_record(units(delay)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
            let now = Instant::now();
            if now >= due {
                self.write();
                due += self.target.interval;
                if due <= now {
                    // Intervals that a suspended machine slept through are one.
                    due = now + self.target.interval;
                }
            }
        }
    }

    /// Ends the interval. If it cannot be written it goes on instead.
    fn write(&mut self) {
        let end = (Instant::now(), SystemTime::now());
        let lines = self.lines(end.0.duration_since(self.began.0));
        match append(&mut self.file, lines.as_bytes()) {
            Ok(()) => {
                self.histograms.iter_mut().for_each(Histogram::reset);
                self.began = end;
                if std::mem::take(&mut self.failing) {
                    tracing::info!(file = %self.target.path.display(), "the HDR log is written again");
                }
            }
            Err(error) => {
                self.errors.fetch_add(1, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(file = %self.target.path.display(), %error, "cannot write the HDR log; will retry");
                }
            }
        }
    }

    /// A line for each kind of change: tag, start in seconds since 1970, length and longest delay in seconds, histogram.
    fn lines(&self, length: Duration) -> String {
        let start = self.began.1.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut lines = String::new();
        for (change, histogram) in Change::ALL.iter().zip(&self.histograms) {
            let max = if histogram.is_empty() { 0.0 } else { crate::stats::duration(histogram.max()).as_secs_f64() };
            // It is made in memory, from a histogram of constant bounds.
            let encoded = hdr::encode(histogram).expect("a histogram of 24,000 cells fits into memory");
            let length = length.as_secs_f64();
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "Tag={change},{start:.3},{length:.3},{max:.3},{encoded}");
        }
        lines
    }
}

/// Not emptied: what an earlier process measured is as true as before.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Appends whole lines or nothing: on a full disk, a part of a line would keep readers from all that follows it.
fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(lines).inspect_err(|_| {
        // A pipe or a terminal has no length to restore.
        let _ = file.set_len(before);
    })
}

/// As HdrHistogram's `HistogramLogWriter` begins a log. Start times are absolute, and no base time is given, so that a log to
/// which several processes append stays right.
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
        cluster::event::Stamp,
        propagation::{Outcome, ServiceName},
    };
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn ended(millis: u64) -> Ended {
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: "cart".into() });
        let outcome = Outcome::Propagated { delay: Duration::from_millis(millis), reordered: None };
        Ended { service, pod: None, change: Change::Unready, outcome, at: Stamp::default() }
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
        // The library knows neither the legend that the Java library writes nor a version of its own.
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('"')).collect();
        let intervals = intervals((lines.join("\n") + "\n").as_bytes());
        let tags: Vec<_> = intervals.iter().map(|(tag, _)| tag.as_str()).collect();
        let all = Change::ALL.map(Change::as_str);
        assert_eq!(tags, [all, all].concat());
        assert_eq!([intervals[1].1, intervals[6].1, intervals[0].1], [0.125, 0.25, 0.0]);
    }

    #[test]
    fn a_write_that_fails_is_counted_and_made_up_for() {
        let target = Target { path: "/dev/full".into(), interval: Duration::from_secs(3600) };
        assert!(HdrLog::start(target.clone()).is_err(), "the header cannot be written");
        let mut histograms = std::array::from_fn(|_| empty_histogram(Precision::Cluster));
        histograms[1].saturating_record(units(Duration::from_millis(125)));
        let began = (Instant::now(), SystemTime::now());
        let (file, errors) = (open(&target.path).expect("opens"), Arc::default());
        let mut log = Log { file, target, errors, histograms, began, failing: false };
        log.write();
        assert_eq!((log.errors.load(Relaxed), log.failing), (1, true));
        let healthy = tempfile::NamedTempFile::new().expect("a file");
        log.file = open(healthy.path()).expect("opens");
        log.write();
        assert_eq!((log.errors.load(Relaxed), log.failing), (1, false));
        assert_eq!(intervals(&std::fs::read(healthy.path()).expect("written"))[1].1, 0.125);
    }
}
