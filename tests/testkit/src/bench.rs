//! The daemon as a separate process with a simulated cluster, and its cost.

use crate::executable;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// Ticks of Linux' process times: USER_HZ, which is 100 on every architecture that Rust's standard library supports.
const TICKS: f64 = 100.0;

/// A running daemon. Dropping it kills it.
pub struct Daemon {
    process: Child,
    address: String,
    folder: TempDir,
    started: Instant,
}

/// One line of `--samples`.
#[derive(Clone, Debug)]
pub struct Sample {
    /// UID of the pod.
    pub uid: String,
    /// When the change arrived.
    pub started: SystemTime,
    /// When the slice that shows it arrived.
    pub ended: SystemTime,
}

// === impl Daemon ===

impl Daemon {
    /// Starts one. If processors are given (`1`, or `0,1`), it runs only on these.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(server: &str, flags: &[&str], processors: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("kubeconfig");
        fs::write(&config, kubeconfig(server))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let program = executable();
        let mut command = match processors {
            // The program replaces taskset: the process is the daemon's.
            Some(processors) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", processors]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env("KUBECONFIG", &config).args(["run", "--log-level=warn", "--listen", &address]).args(flags);
        command.arg(format!("--samples={}", folder.path().join("samples").display())).stdin(Stdio::null());
        Ok(Self { process: command.spawn()?, address, folder, started: Instant::now() })
    }

    /// Waits until all watches are synced. Returns the time since the start.
    ///
    /// # Errors
    /// They are not synced within two minutes.
    pub fn wait_until_ready(&self) -> Result<Duration> {
        let ready = || self.get("/readyz").is_ok_and(|page| page.starts_with(b"HTTP/1.1 200"));
        wait("the daemon to be ready", Duration::from_millis(5), ready)?;
        Ok(self.started.elapsed())
    }

    /// Processor time so far.
    ///
    /// # Errors
    /// As for [`processor_time`].
    pub fn processor_time(&self) -> Result<Duration> {
        processor_time(self.process.id())
    }

    /// Resident memory now, and at its peak, in bytes.
    ///
    /// # Errors
    /// As for [`memory`].
    pub fn memory(&self) -> Result<(u64, u64)> {
        memory(self.process.id())
    }

    /// Changes whose delay is known, of all Services.
    ///
    /// # Errors
    /// No answer, or the answer is not JSON.
    pub fn propagated(&self) -> Result<u64> {
        let page = self.get("/api/v1/overview")?;
        let body = page.windows(4).position(|end| end == b"\r\n\r\n").context("no body")? + 4;
        let overview: serde_json::Value = serde_json::from_slice(&page[body..])?;
        Ok(overview["windows"]["start"]["count"].as_u64().unwrap_or_default())
    }

    /// How often a reader of a watch had to wait for the pipeline.
    ///
    /// # Errors
    /// No answer.
    pub fn backpressure(&self) -> Result<u64> {
        let page = String::from_utf8(self.get("/metrics")?)?;
        let held = page.lines().filter_map(|line| line.strip_prefix("endpointlag_watch_backpressure_total{"));
        Ok(held.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64)
    }

    /// How many samples it has written.
    pub fn sample_count(&self) -> usize {
        fs::read(self.samples_file()).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }

    /// The samples with a delay after the first `skipped` samples.
    ///
    /// # Errors
    /// A line is not a sample.
    pub fn samples(&self, skipped: usize) -> Result<Vec<Sample>> {
        let text = fs::read_to_string(self.samples_file())?;
        text.lines().skip(skipped).filter(|line| line.contains("delay_seconds")).map(sample).collect()
    }

    /// The answer to a request, head and body.
    ///
    /// # Errors
    /// As for [`get`].
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        get(&self.address, path)
    }

    fn samples_file(&self) -> PathBuf {
        self.folder.path().join("samples")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sample(line: &str) -> Result<Sample> {
    let line: serde_json::Value = serde_json::from_str(line)?;
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let ended: Timestamp = text("time").parse()?;
    let ended = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(ended.as_microsecond())?);
    let delay = Duration::from_secs_f64(line["delay_seconds"].as_f64().context("no delay")?);
    Ok(Sample { uid: text("uid"), started: ended - delay, ended })
}

/// Processor time of a process so far, in user and kernel mode.
///
/// # Errors
/// There is no such process.
pub fn processor_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program is in parentheses and may contain any character. The times are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(") ").context("no fields")?.1.split(' ').collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(Duration::from_secs_f64(ticks / TICKS))
}

/// Resident memory of a process now, and at its peak, in bytes.
///
/// # Errors
/// There is no such process.
pub fn memory(process: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let fields: HashMap<&str, &str> = status.lines().filter_map(|line| line.split_once(':')).collect();
    let bytes = |name: &str| -> Result<u64> {
        let kilobytes = fields.get(name).context("no such field")?.trim().trim_end_matches(" kB");
        Ok(kilobytes.parse::<u64>()? << 10)
    };
    Ok((bytes("VmRSS")?, bytes("VmHWM")?))
}

/// The answer to a request, head and body.
///
/// # Errors
/// No connection, or it breaks.
pub fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Waits up to two minutes, and checks at this interval.
///
/// # Errors
/// It is not done by then.
pub fn wait(what: &str, pause: Duration, done: impl Fn() -> bool) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(120) {
        if done() {
            return Ok(());
        }
        thread::sleep(pause);
    }
    bail!("waited two minutes for {what}")
}

/// The quantile `q` of the values.
pub fn quantile(values: &mut [Duration], q: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get(((values.len() as f64 * q) as usize).min(last)).copied().unwrap_or_default()
}

/// Calls `change` this many times a second for `length`, each call at its time. Late calls are made up for. Returns
/// how many calls were made in that time.
pub fn at_rate(per_second: usize, length: Duration, mut change: impl FnMut(usize)) -> usize {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < length {
        let due = (started.elapsed().as_secs_f64() * per_second as f64) as usize;
        if done >= due {
            thread::sleep(Duration::from_micros(200));
        }
        while done < due && started.elapsed() < length {
            change(done);
            done += 1;
        }
    }
    done
}

fn kubeconfig(server: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: it, clusters: [{{name: it, cluster: {{server: '{server}'}}}}], \
         users: [{{name: it, user: {{}}}}], contexts: [{{name: it, context: {{cluster: it, user: it}}}}]}}"
    )
}
