//! Child processes that never outlive the tests.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio, id};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How often a process that should end is checked.
const POLL: Duration = Duration::from_millis(5);

/// A running or ended child, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, and appends its standard error to the file `log`. Standard output goes there too unless the
    /// command sets another destination.
    ///
    /// # Errors
    /// The program cannot be started, or the log cannot be written.
    pub fn start(name: &str, mut command: Command, output: Output, log: &Path) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(log).with_context(|| log.display().to_string());
        match output {
            Output::Log => command.stdout(open()?),
            Output::Pipe => command.stdout(Stdio::piped()),
        };
        command.stdin(Stdio::null()).stderr(open()?);
        let child = spawn_bound(command).with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// The child's standard output, if it was started with [`Output::Pipe`] and not taken yet.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// The operating system does not return it.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking for the end of {}", self.name))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Waits until it has ended without a signal.
    ///
    /// # Errors
    /// It has not ended within `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                bail!("{} still runs after {limit:?}; its log ends with\n{}", self.name, self.log_tail(40));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The last `lines` of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either fails only if it has ended already, which is the aim.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the child's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// To the log, with standard error.
    Log,
    /// To a pipe that the test reads, or closes.
    Pipe,
}

/// The last `lines` of a file. If it cannot be read, the error instead.
pub(crate) fn tail(file: &Path, lines: usize) -> String {
    match fs::read(file) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let skipped = text.lines().count().saturating_sub(lines);
            text.lines().skip(skipped).fold(String::new(), |all, line| all + "  " + line + "\n")
        }
        Err(error) => format!("  ({}: {error})\n", file.display()),
    }
}

/// The order to the spawning thread, and where it puts the child.
type Request = (Command, Sender<io::Result<Child>>);

/// The thread that starts all children.
///
/// The parent death signal is sent when the parent *thread* ends, and libtest's threads end with their test. With a thread
/// that lives as long as the process, the signal has the right meaning: the children die with the tests, even if the
/// tests are killed.
static SPAWNER: LazyLock<Sender<Request>> = LazyLock::new(|| {
    let (requests, inbox) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for (mut command, reply) in inbox {
            // The thread that asked waits for the reply. It is gone only if it died.
            let _ = reply.send(command.spawn());
        }
    });
    requests
});

/// Starts a child that is killed when this process ends, for any reason.
fn spawn_bound(mut command: Command) -> Result<Child> {
    let parent = id();
    let bind = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died between fork and the call above. Then no signal would come.
        match getppid() {
            Some(pid) if pid.as_raw_nonzero().get().unsigned_abs() == parent => Ok(()),
            _ => Err(io::Error::other("the tests ended")),
        }
    };
    // SAFETY: between fork and exec only two system calls are made. Nothing is allocated, except on the error path of a
    // parent that is already gone.
    unsafe { command.pre_exec(bind) };
    let (reply, answer) = mpsc::channel();
    SPAWNER.send((command, reply)).ok().context("the thread that starts children died")?;
    Ok(answer.recv().context("the thread that starts children died")??)
}
