//! One line of JSON for every change that ended, for whoever asks which pod it was.

use crate::{cluster::clock::Clock, propagation::Ended};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Lines that may wait to be written. A slow disk costs lines, never measuring.
const QUEUE: usize = 65_536;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

/// The lines cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write samples to {target}: {source}")]
pub struct SamplesError {
    target: String,
    source: io::Error,
}

/// Takes ended changes, and never blocks.
#[derive(Debug)]
pub struct Samples {
    queue: SyncSender<Ended>,
    dropped: Arc<AtomicU64>,
}

/// The thread that writes, and what it has to say.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    /// Lines that were dropped.
    pub dropped: Arc<AtomicU64>,
    /// Comes when nothing can be written any more.
    pub failed: oneshot::Receiver<SamplesError>,
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
    change: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<f64>,
}

// === impl Target ===

impl Target {
    /// `-` is standard output.
    pub fn parse(text: &str) -> Self {
        if text == "-" { Self::Stdout } else { Self::File(text.into()) }
    }

    fn open(&self) -> Result<Box<dyn Write + Send>, SamplesError> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => Box::new(append(path).map_err(|source| self.error(source))?),
        })
    }

    fn error(&self, source: io::Error) -> SamplesError {
        let target = match self {
            Self::Stdout => "standard output".to_owned(),
            Self::File(path) => path.display().to_string(),
        };
        SamplesError { target, source }
    }
}

fn append(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

// === impl Samples ===

impl Samples {
    /// Opens the target and starts the thread that writes to it.
    ///
    /// # Errors
    /// If the target cannot be opened.
    pub fn start(target: Target, clock: Clock) -> Result<(Self, Writer), SamplesError> {
        let output = target.open()?;
        let (queue, lines) = sync_channel(QUEUE);
        let (failure, failed) = oneshot::channel();
        let write = move || {
            if let Err(error) = write_all(output, &lines, clock) {
                // Nobody listens when the process is ending.
                let _ = failure.send(target.error(error));
            }
        };
        let thread = std::thread::Builder::new().name("samples".into()).spawn(write);
        let thread = thread.map_err(|source| Target::Stdout.error(source))?;
        let dropped = Arc::new(AtomicU64::new(0));
        Ok((Self { queue, dropped: dropped.clone() }, Writer { thread, dropped, failed }))
    }

    /// Queues a line.
    pub fn push(&self, ended: &Ended) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(ended.clone()) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Waits until all that was queued is written. Whoever queues must be gone before.
    pub fn finish(self) {
        // It does not panic; if it did, it said so already.
        let _ = self.thread.join();
    }
}

/// Writes until nobody queues any more. Flushes whenever there is nothing to do, so that a reader sees each line at once.
fn write_all(output: Box<dyn Write + Send>, lines: &Receiver<Ended>, clock: Clock) -> io::Result<()> {
    let mut output = BufWriter::new(output);
    while let Ok(first) = lines.recv() {
        write_line(&mut output, &first, clock)?;
        while let Ok(next) = lines.try_recv() {
            write_line(&mut output, &next, clock)?;
        }
        output.flush()?;
    }
    Ok(())
}

fn write_line(output: &mut impl Write, ended: &Ended, clock: Clock) -> io::Result<()> {
    let time = Timestamp::try_from(clock.wall(ended.at)).map_err(io::Error::other)?;
    let line = Line {
        time: format!("{time:.6}"),
        namespace: &ended.service.namespace,
        service: &ended.service.name,
        pod: ended.pod.as_ref().map(|pod| &*pod.name),
        uid: ended.pod.as_ref().map(|pod| pod.uid.to_string()),
        change: ended.change.as_str(),
        outcome: ended.outcome.as_str(),
        delay_seconds: ended.outcome.delay().map(|delay| delay.as_secs_f64()),
    };
    serde_json::to_writer(&mut *output, &line)?;
    output.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::object::Uid,
        propagation::{Change, Outcome, PodRef, ServiceName},
    };
    use std::time::Duration;

    #[test]
    fn a_line_names_the_pod_and_gives_a_delay_only_where_one_is_known() {
        let clock = Clock::start();
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (samples, writer) = Samples::start(Target::File(file.path().into()), clock).expect("opens");
        let service = Arc::new(ServiceName { namespace: "shop".into(), name: "cart".into() });
        let pod = PodRef { name: "cart-0".into(), uid: Uid::from("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0") };
        let (at, delay) = (clock.now(), Duration::from_micros(12_345));
        let outcome = Outcome::Propagated { delay, reordered: None };
        samples.push(&Ended { service: service.clone(), pod: Some(pod), change: Change::Ready, outcome, at });
        let outcome = Outcome::Withdrawn;
        samples.push(&Ended { service, pod: None, change: Change::Service, outcome, at });
        drop(samples);
        writer.finish();
        let text = std::fs::read_to_string(file.path()).expect("written");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["pod"], "cart-0");
        assert_eq!(lines[0]["uid"], "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
        assert_eq!(lines[0]["delay_seconds"], 0.012345);
        let time = lines[0]["time"].as_str().expect("text");
        assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
        assert_eq!(lines[1]["outcome"], "withdrawn");
        assert!(lines[1].get("pod").is_none() && lines[1].get("delay_seconds").is_none());
    }
}
